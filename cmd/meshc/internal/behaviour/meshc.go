//go:build linux

package behaviour

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// commandEnv makes the test binary be the meshc command.
const commandEnv = "MESHC_TEST_COMMAND"

// RunCommand calls the command's main, which does not return, if the test
// binary was started to be the command. So what is tested has the race detector
// exactly when the tests have it, and cannot be an old build.
func RunCommand(main func()) {
	if os.Getenv(commandEnv) != "" {
		main()
	}
}

// Command is a meshc command line, run by the test binary.
func Command(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	// The race detector would let each of them linger for a second at its end.
	cmd.Env = envWith(commandEnv+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// Meshc is a running meshc serve.
type Meshc struct {
	*process
	Proxy, XDS, REST string // addresses; Proxy is empty without a gateway

	network *Network
}

// Serve runs meshc serve on dir and waits until it is ready. env are further
// assignments.
func (n *Network) Serve(t testing.TB, dir string, env []string, flags ...string) *Meshc {
	t.Helper()
	args := append([]string{"serve", dir, "--xds-addr", "127.0.0.1:0", "--rest-addr", "127.0.0.1:0"}, flags...)
	cmd := Command(args...)
	cmd.Env = append(cmd.Env, env...)
	m := &Meshc{network: n}
	serving := make(chan map[string]string, 1)
	m.process = n.start(t, cmd, "meshc", func(line string) {
		if strings.Contains(line, "msg=serving ") {
			attrs := map[string]string{}
			for word := range strings.FieldsSeq(line) {
				k, v, _ := strings.Cut(word, "=")
				attrs[k] = v
			}
			serving <- attrs
		}
	})
	t.Cleanup(func() {
		if out := m.output(); strings.Contains(out, "WARNING: DATA RACE") {
			t.Errorf("data race in meshc:\n%s", out)
		}
	})
	select {
	case attrs := <-serving:
		m.Proxy, m.XDS, m.REST = attrs["proxy"], attrs["xds"], attrs["rest"]
	case <-m.done:
		t.Fatalf("meshc ended before it served: %v", m.err)
	case <-time.After(10 * patience): // with the race detector a Go module takes long to compile
		t.Fatal("meshc does not come to serve")
	}
	m.await(t, "/readyz", func() bool { return n.Get("http://"+m.REST+"/readyz") != "" })
	return m
}

// Get decodes a JSON view.
func (m *Meshc) Get(t testing.TB, path string, into any) {
	t.Helper()
	body := m.network.Get("http://" + m.REST + path)
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("GET %s: %v in %q", path, err, clip([]byte(body)))
	}
}
