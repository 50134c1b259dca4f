//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What the filters are measured with: each data plane on one core, in turns.
const (
	filterRounds      = 5
	filterRequests    = 12_000 // of one turn
	filterConnections = 16
)

// guest is a module that is measured.
type guest struct {
	what          string
	module        string
	configuration string
}

// filters measures what a Proxy-Wasm filter costs a request, in the built-in
// proxy and in Envoy, with the same module.
func (b *bench) filters() error {
	guests, err := b.guests()
	if err != nil {
		return err
	}
	b.title(fmt.Sprintf("A Proxy-Wasm filter on a GET of 100 bytes: processor time of the data plane a request, one core, median of %d rounds of %d requests",
		filterRounds, filterRequests))
	backend, err := newBackend()
	if err != nil {
		return err
	}
	defer backend.Close()
	setups := []guest{{what: "without a filter"}}
	setups = append(setups, guests...)
	var planes [2][]*plane // meshc, Envoy
	defer func() {
		for _, p := range slices.Concat(planes[0], planes[1]) {
			p.stop()
		}
	}()
	for i, g := range setups {
		dir := filepath.Join(b.dir, fmt.Sprintf("filter-%d", i))
		if err := writeFilterInput(dir, backend.Listener.Addr().String(), g); err != nil {
			return err
		}
		own, envoy, err := b.startPlanes(dir)
		if own != nil {
			planes[0] = append(planes[0], own)
		}
		if envoy != nil {
			planes[1] = append(planes[1], envoy)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", g.what, err)
		}
	}
	var cost [2][][]float64 // by plane and setup: µs a request of each round
	for side := range planes {
		cost[side] = make([][]float64, len(setups))
	}
	for round := range filterRounds + 1 {
		for i := range setups {
			for side := range planes {
				c, err := planes[side][i].turn()
				if err != nil {
					return fmt.Errorf("%s: %w", setups[i].what, err)
				}
				if round > 0 { // the first warms up
					cost[side][i] = append(cost[side][i], c)
				}
			}
		}
	}
	for i, g := range setups {
		own, envoy := median(cost[0][i]), median(cost[1][i])
		if i == 0 {
			fmt.Fprintf(b.out, "meshc\t%.1f µs\t\tEnvoy\t%.1f µs\t\t\t  %s\n", own, envoy, g.what)
			continue
		}
		ownAdds, envoyAdds := adds(cost[0][i], cost[0][0]), adds(cost[1][i], cost[1][0])
		fmt.Fprintf(b.out, "meshc\t%.1f µs\t%+.1f µs\tEnvoy\t%.1f µs\t%+.1f µs\tadded: %.2f of Envoy's\t  %s\n",
			own, ownAdds, envoy, envoyAdds, ownAdds/envoyAdds, g.what)
	}
	return nil
}

// adds is the median, over the rounds, of what a filter adds.
func adds(with, without []float64) float64 {
	d := make([]float64, len(with))
	for i := range with {
		d[i] = with[i] - without[i]
	}
	return median(d)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// guests are the modules: the committed one in C, and the example in Go, built here.
func (b *bench) guests() ([]guest, error) {
	module := filepath.Join(b.dir, "headers.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", module, "./examples/filters/headers-go")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the filter in Go: %w\n%s", err, out)
	}
	return []guest{
		{"C, 1 KB: two metrics, a property, a header each way", "examples/filters/count-c/count-c.wasm", ""},
		{"Go, on the SDK: a header removed, one set, one added", module,
			"request remove x-debug\nrequest set x-team shop\nresponse add x-served-by meshc\n"},
	}, nil
}

func writeFilterInput(dir, backend string, g guest) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("_format_version: \"3.0\"\nservices:\n- name: bench\n  url: http://%s\n", backend)
	if err := os.WriteFile(filepath.Join(dir, "kong.yml"), []byte(text), 0o600); err != nil {
		return err
	}
	if g.module == "" {
		return nil
	}
	module, err := filepath.Abs(g.module)
	if err != nil {
		return err
	}
	text = fmt.Sprintf("type: WasmPlugin\nmesh: default\nname: bench\nconf:\n  module: {path: %q}\n  listeners: [gateway]\n  configuration: %q\n", module, g.configuration)
	return os.WriteFile(filepath.Join(dir, "plugin.yaml"), []byte(text), 0o600)
}

// newBackend answers every request with 100 bytes.
func newBackend() (*backend, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	body := bytes.Repeat([]byte("x"), 100)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })}
	b := &backend{Listener: l, server: s, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		s.Serve(l)
	}()
	return b, nil
}

type backend struct {
	Listener net.Listener
	server   *http.Server
	done     chan struct{}
}

func (b *backend) Close() {
	b.server.Close()
	<-b.done
}

// plane is a data plane at work.
type plane struct {
	cmd     *exec.Cmd
	address string
	said    *bytes.Buffer
	with    *plane // serves its configuration; stopped after it
}

// startPlanes starts the built-in proxy on dir, and an Envoy that another
// process configures.
func (b *bench) startPlanes(dir string) (own, envoy *plane, err error) {
	port, err := freePorts(6)
	if err != nil {
		return nil, nil, err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", port[i]) }
	own, err = b.start(at(0), b.meshc, "serve", dir, "--proxy-addr", at(0), "--xds-addr", "", "--rest-addr", at(1))
	if err != nil {
		return nil, nil, err
	}
	control, err := b.start("", b.meshc, "serve", dir, "--no-proxy", "--proxy-addr", at(2), "--xds-addr", at(3), "--rest-addr", at(4))
	if err != nil {
		return own, nil, err
	}
	bootstrap, err := exec.Command(b.meshc, "bootstrap", "gateway", "--xds-addr", at(3), "--admin-addr", at(5)).Output()
	if err != nil {
		control.stop()
		return own, nil, fmt.Errorf("meshc bootstrap: %w", err)
	}
	envoy, err = b.start(at(2), b.envoy, "--config-yaml", string(bootstrap), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
	if envoy == nil {
		control.stop()
		return own, nil, err
	}
	envoy.with = control
	for _, p := range []*plane{own, envoy} {
		if err := p.await(); err != nil {
			return own, envoy, err
		}
	}
	return own, envoy, nil
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func (b *bench) start(address, name string, args ...string) (*plane, error) {
	p := &plane{cmd: exec.Command(name, args...), address: address, said: &bytes.Buffer{}}
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *plane) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Wait()
	if p.with != nil {
		p.with.stop()
	}
}

const filterRequest = "GET /orders HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"

// await waits until the plane serves.
func (p *plane) await() error {
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = p.requests(1); err == nil {
			return nil
		}
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	said := p.said.String()
	return fmt.Errorf("%s does not come to serve: %w\n%s", p.cmd.Path, err, said[max(0, len(said)-2000):])
}

// turn sends the requests of a turn and returns the microseconds of processor
// time that one took.
func (p *plane) turn() (float64, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	errs := make([]error, filterConnections)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = p.requests(filterRequests / filterConnections) })
	}
	wg.Wait()
	after, err := p.cpu()
	if err := errors.Join(append(errs, err)...); err != nil {
		return 0, err
	}
	return float64((after - before).Microseconds()) / filterRequests, nil
}

// requests sends n requests on one connection, one after another.
func (p *plane) requests(n int) error {
	c, err := net.DialTimeout("tcp", p.address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	for range n {
		if _, err := io.WriteString(c, filterRequest); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || n != 100 {
			return fmt.Errorf("answered %s and %d bytes: %v", resp.Status, n, err)
		}
	}
	return nil
}

// cpu returns the processor time that the process has used.
func (p *plane) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}
