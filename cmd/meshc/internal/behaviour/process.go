//go:build linux

package behaviour

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program under test. Its standard error is kept and shown when
// the test fails.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of Wait; read it only after done

	mu       sync.Mutex
	log      []string
	follower func(string)
}

// Follow gives each line of standard error to f, those first that have come
// already. It can be called once.
func (p *process) Follow(f func(line string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		f(line)
	}
	p.follower = f
}

// Ended is closed when the process has ended.
func (p *process) Ended() <-chan struct{} { return p.done }

// start runs a program in the network until the test ends, then asks it to stop and wants it
// to end well. Each line of standard error is also given to online, if any.
func (n *Network) start(t testing.TB, cmd *exec.Cmd, name string, online func(string)) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	// The tests may be killed at any time; nothing may outlive them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.in(cmd.Start); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.mu.Lock()
			p.log = append(p.log, lines.Text())
			if p.follower != nil {
				p.follower(lines.Text())
			}
			p.mu.Unlock()
			if online != nil {
				online(lines.Text())
			}
		}
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

func (p *process) stop(t testing.TB) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("%s ended with: %v", p.name, p.err)
		}
	case <-time.After(patience):
		t.Errorf("%s does not stop", p.name)
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // a Go program shows where it stands
		select {
		case <-p.done:
		case <-time.After(time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
	if t.Failed() {
		t.Logf("standard error of %s:\n%s", p.name, p.output())
	}
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 200
	lines := p.log
	if len(lines) > most {
		lines = append([]string{fmt.Sprintf("(%d lines left out)", len(lines)-most)}, lines[len(lines)-most:]...)
	}
	return strings.Join(lines, "\n")
}

// await polls until ok, and fails the test when that does not come or the
// process ends.
func (p *process) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * patience) // Envoy compiles plugins first
	for !ok() {
		select {
		case <-p.done:
			t.Fatalf("%s ended before %s: %v", p.name, what, p.err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: waited in vain for %s", p.name, what)
		}
	}
}

// envWith returns the environment of the tests with the assignments added.
func envWith(assignments ...string) []string { return append(os.Environ(), assignments...) }
