package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// planes are the two data planes, and the meshc that drives both.
type planes struct {
	proxy, envoy, rest string // addresses
	log                *lines
	stops              []func()
}

func startDataPlanes(ctx context.Context, meshc, envoy, dir string) (_ *planes, err error) {
	gateway, err := freeAddress()
	if err != nil {
		return nil, err
	}
	d := &planes{envoy: gateway, log: &lines{changed: make(chan struct{})}}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	serving := d.log.next("msg=serving ")
	stop, err := startProcess(d.log, meshc, "serve", dir,
		"--proxy-addr", "127.0.0.1:0", "--xds-addr", "127.0.0.1:0", "--rest-addr", "127.0.0.1:0", "--xds-gateway-addr", gateway)
	if err != nil {
		return nil, err
	}
	d.stops = append(d.stops, stop)
	if err := d.log.await(ctx, serving); err != nil {
		return nil, fmt.Errorf("meshc does not serve: %w\n%s", err, d.log.text())
	}
	d.proxy, d.rest = d.log.attr("msg=serving ", "proxy"), d.log.attr("msg=serving ", "rest")

	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	envoyLog := &lines{changed: make(chan struct{})}
	bootstrap, err := exec.CommandContext(ctx, meshc, "bootstrap", "gateway", "--xds-addr", d.log.attr("msg=serving ", "xds"), "--admin-addr", admin).Output()
	if err != nil {
		return nil, fmt.Errorf("meshc bootstrap: %w", err)
	}
	stop, err = startProcess(envoyLog, envoy, "--config-yaml", string(bootstrap),
		"--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
	if err != nil {
		return nil, err
	}
	d.stops = append(d.stops, stop)
	for {
		if r, err := http.Get("http://" + admin + "/ready"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return d, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("Envoy does not become ready: %w\n%s", ctx.Err(), envoyLog.text())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *planes) stop() {
	for _, stop := range slices.Backward(d.stops) {
		stop()
	}
}

// expect sends the requests to both data planes, prints who answered, and
// returns an error where ok does not like it.
func (d *planes) expect(ctx context.Context, ok func(map[string]int) bool) error {
	for _, p := range []struct{ name, address string }{{"built-in proxy", d.proxy}, {"Envoy", d.envoy}} {
		counts := map[string]int{}
		for range requests {
			who, err := ask(ctx, p.address)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			counts[who]++
		}
		var shown []string
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			shown = append(shown, fmt.Sprintf("%s ×%d", name, counts[name]))
		}
		fmt.Printf("    %-14s  %s\n", p.name, strings.Join(shown, ", "))
		if !ok(counts) {
			return fmt.Errorf("that is not what %s should answer", p.name)
		}
	}
	return nil
}

// await asks both data planes until who answers ten times running, and prints how
// long after the edit that began.
func (d *planes) await(ctx context.Context, edited time.Time, who string) error {
	for _, p := range []struct{ name, address string }{{"built-in proxy", d.proxy}, {"Envoy", d.envoy}} {
		var first time.Time
		for running := 0; running < 10; running++ {
			got, err := ask(ctx, p.address)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			if got != who {
				running = -1
			} else if running == 0 {
				first = time.Now()
			}
		}
		fmt.Printf("    %-14s  answers with %s only, %d ms after the edit\n", p.name, who, first.Sub(edited).Milliseconds())
	}
	return nil
}

// ask sends one request and returns the name of the backend.
func ask(ctx context.Context, address string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	r.Host = "api"
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, b)
	}
	return strings.TrimSpace(string(b)), err
}

// freeAddress is one that nobody listens at now. Envoy has to be told its
// address before it starts.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// startProcess runs a program, its standard error into log.
func startProcess(log *lines, name string, args ...string) (stop func(), err error) {
	cmd := exec.Command(name, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			log.add(s.Text())
		}
		log.end()
		_ = cmd.Wait() // it is told to stop, or its log says why it did
	}()
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}, nil
}

// lines is what a program has said so far.
type lines struct {
	mu      sync.Mutex
	all     []string
	ended   bool
	changed chan struct{} // closed and made anew with each line
}

// mark waits for a line with a text, after the lines that were there.
type mark struct {
	text string
	from int
}

func (l *lines) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *lines) add(line string) { l.change(func() { l.all = append(l.all, line) }) }
func (l *lines) end()            { l.change(func() { l.ended = true }) }

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

func (l *lines) next(text string) mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return mark{text, len(l.all)}
}

func (l *lines) await(ctx context.Context, m mark) error {
	for {
		l.mu.Lock()
		found := slices.ContainsFunc(l.all[m.from:], func(s string) bool { return strings.Contains(s, m.text) })
		changed, ended := l.changed, l.ended
		l.mu.Unlock()
		switch {
		case found:
			return nil
		case ended:
			return fmt.Errorf("it ended")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// attr returns the value of key in the first line with text.
func (l *lines) attr(text, key string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if !strings.Contains(line, text) {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if value, ok := strings.CutPrefix(word, key+"="); ok {
				return value
			}
		}
	}
	return ""
}

// finding is the last line that names a place in route.yaml.
func (l *lines) finding() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range slices.Backward(l.all) {
		if strings.Contains(line, "route.yaml:") {
			return line
		}
	}
	return "(no finding)"
}
