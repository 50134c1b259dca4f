//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// faultReasons is what each of the guest's faults is counted as; "" means that
// it is none, and what it is in goes on.
var faultReasons = map[string]string{
	"trap": "trap", "wild": "trap", "hog": "trap",
	"loop": "timeout", "calls": "timeout", "deep": "stack",
	"bad": "", "giant": "", "exit": "",
}

// faultCase is one fault in one callback.
type faultCase struct {
	policy, fault, callback string
	// want is what the client of the stream gets: a status, "cut" for an answer
	// that is cut off, "signed" where it is over before it comes to that.
	want string
	// armed means that the fault is in the next stream or connection.
	armed   bool
	service string
	address string
}

func (c *faultCase) script() string {
	if c.armed {
		return "arm-" + c.callback + ":" + c.fault
	}
	return c.callback + ":" + c.fault
}

// httpFaultCases are faults in streams: a trap in each callback, under either
// policy, and each other fault in headers, in a body and in a root.
func httpFaultCases() (cases []*faultCase) {
	for _, policy := range []string{"closed", "open"} {
		for _, callback := range []string{
			"context_create", "request_headers", "request_body", "request_trailers", "response_headers",
			"response_body", "response_trailers", "log", "done", "delete",
			"tick", "queue_ready", "call_response", "grpc_close",
		} {
			c := &faultCase{policy: policy, fault: "trap", callback: callback, want: "503", armed: callback == "context_create"}
			switch callback {
			case "response_body", "response_trailers":
				c.want = "cut"
			case "log", "done", "delete":
				c.want = "signed"
			}
			cases = append(cases, c)
		}
	}
	for _, callback := range []string{"request_headers", "request_body", "tick"} {
		for _, fault := range []string{"wild", "exit", "hog", "loop", "calls", "deep", "bad", "giant"} {
			c := &faultCase{policy: "closed", fault: fault, callback: callback, want: "503"}
			if faultReasons[fault] == "" {
				c.want = "signed"
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// tcpFaultCases are faults in connections.
func tcpFaultCases() (cases []*faultCase) {
	for _, callback := range []string{
		"context_create", "new_connection", "downstream_data", "upstream_data", "downstream_close", "upstream_close", "log", "done", "delete",
	} {
		c := &faultCase{policy: "closed", fault: "trap", callback: callback, want: "signed"}
		switch callback {
		case "context_create", "new_connection":
			c.want, c.armed = "cut", true
		case "downstream_data", "upstream_data":
			c.want = "cut"
		}
		cases = append(cases, c)
	}
	for _, fault := range []string{"loop", "hog", "deep", "bad"} {
		c := &faultCase{policy: "open", fault: fault, callback: "downstream_data", want: "cut"}
		if faultReasons[fault] == "" {
			c.want = "signed"
		}
		cases = append(cases, c)
	}
	return cases
}

// conf is the configuration of the plugin that the case is in.
func (c *faultCase) conf() map[string]any {
	conf := map[string]any{"failurePolicy": c.policy}
	if faultReasons[c.fault] == "timeout" {
		conf["limits"] = map[string]string{"memory": "32MiB", "callTimeout": "100ms"}
	}
	return conf
}

// TestFaults: what goes wrong in a guest costs the stream that it was in and
// nothing else, is told with its reason and origin, and is over with the next
// instance.
func TestFaults(t *testing.T) {
	w := newFaultWorld(t)
	cases := map[string][]*faultCase{"http": httpFaultCases(), "tcp": tcpFaultCases()}
	for protocol, list := range cases {
		for _, c := range list {
			c.service = strings.ReplaceAll(strings.Join([]string{protocol, c.policy, c.fault, c.callback}, "-"), "_", "-")
			address := map[string]string{"http": faultBackend, "tcp": faultPlainTCP}[protocol]
			c.address = w.service(c.service, address, protocol, c.conf())
		}
	}
	w.serve()
	w.awaitInstances()
	logged := &faultLog{}
	w.meshc.Follow(logged.add)
	memory := w.metric("go_memstats_heap_inuse_bytes")
	faults := 0
	for protocol, list := range cases {
		for _, c := range list {
			t.Run(c.service, func(t *testing.T) {
				if protocol == "http" {
					w.stream(t, c)
				} else {
					w.connection(t, c)
				}
				w.noneLost()
			})
			if faultReasons[c.fault] != "" {
				faults++
			}
		}
	}
	if t.Failed() {
		return
	}
	w.awaitInstances()
	if n := w.metric("meshc_wasm_faults_total"); n != float64(faults) {
		t.Errorf("%v faults are counted, not %d", n, faults)
	}
	for _, list := range cases {
		for _, c := range list {
			want := 1
			if faultReasons[c.fault] == "" {
				want = 0
			}
			if n := logged.count("default/" + c.service); n != want {
				t.Errorf("%s: %d lines in the log", c.service, n)
			}
		}
	}
	// What stays is what the giants have, who live on: memory of their own and
	// shared data, below 90 MiB each. All that was dead would be 500 MiB more.
	giants := 0.0
	for _, list := range cases {
		for _, c := range list {
			if c.fault == "giant" {
				giants += 90 << 20
			}
		}
	}
	w.awaitMetric("go_memstats_heap_inuse_bytes", func(n float64) bool { return n < memory+giants+(100<<20) })
	t.Logf("%d faults beside %d healthy requests; memory from %.0f to %.0f MiB", faults, w.load.Total(), memory/(1<<20), w.metric("go_memstats_heap_inuse_bytes")/(1<<20))
}

// faultLog counts the lines about plugins that failed.
type faultLog struct {
	mu    sync.Mutex
	lines map[string]int // by plugin
}

func (l *faultLog) add(line string) {
	if !strings.Contains(line, `msg="a plugin failed"`) {
		return
	}
	_, plugin, _ := strings.Cut(line, " plugin=")
	plugin, _, _ = strings.Cut(plugin, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil {
		l.lines = map[string]int{}
	}
	l.lines[plugin]++
}

func (l *faultLog) count(plugin string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[plugin]
}

// stream carries out a case over HTTP.
func (w *faultWorld) stream(t *testing.T, c *faultCase) {
	const signed = "200 A+"
	if got := w.request(c.address, "").String(); got != signed {
		t.Fatalf("before the fault: %s", got)
	}
	want := c.want
	if want == "signed" {
		want = signed
	}
	got := w.request(c.address, c.script()).String()
	if c.armed {
		if got != signed {
			t.Errorf("arming it got %s", got)
		}
		got = w.request(c.address, "").String()
	}
	if got != want {
		t.Errorf("the stream got %s, not %s", got, want)
	}
	w.told(t, c)
	// From now on nothing is lost, for the replacement was under way at once:
	// closed streams wait for it, open ones may go by.
	good := 0
	w.await("the replacement", func() bool {
		got := w.request(c.address, "").String()
		switch {
		case got == signed:
			good++
		case c.policy == "open" && got == "200":
			good = 0
		default:
			t.Fatalf("after the fault: %s", got)
		}
		return good == 2*faultWorkers
	}, func() any { return got })
}

// connection carries out a case over TCP.
func (w *faultWorld) connection(t *testing.T, c *faultCase) {
	const signed = "A+"
	// ends closes a connection in an orderly way, from the client's side; or
	// from the server's, which follows its client.
	ends := func(x connection) {
		if c.callback == "upstream_close" {
			x.Conn.(*net.TCPConn).CloseWrite() //nolint:errcheck // what follows tells
			io.Copy(io.Discard, x.r)           //nolint:errcheck // likewise
		}
		x.Close()
	}
	good := func(when, text string) {
		t.Helper()
		x := w.connect(c.address)
		defer ends(x)
		if got := x.line(); got != signed {
			t.Fatalf("%s: %s", when, got)
		}
		if !x.echo(text) {
			t.Fatalf("%s: no echo", when)
		}
	}
	good("before the fault", "good")
	if c.want == "cut" && !c.armed {
		x := w.connect(c.address)
		if got := x.line(); got != signed {
			t.Errorf("the connection got %s", got)
		}
		if x.echo(c.script()) || !x.cut() {
			t.Error("the connection went on")
		}
	} else {
		good("the connection itself", c.script())
	}
	if c.armed {
		x := w.connect(c.address)
		if got := x.line(); got != "cut" {
			t.Errorf("the connection got %s", got)
		}
		x.Close()
	}
	w.told(t, c)
	seen := 0
	w.await("the replacement", func() bool {
		x := w.connect(c.address)
		defer x.Close()
		got := x.line()
		switch {
		case got == signed:
			seen++
		case c.policy == "open" && got == "plain":
			seen = 0
		default:
			t.Fatalf("after the fault: %s", got)
		}
		return seen == 2*faultWorkers
	}, func() any { return seen })
}

// told wants the fault of a case in REST, as the only one of its plugin.
func (w *faultWorld) told(t *testing.T, c *faultCase) {
	t.Helper()
	reason, want := faultReasons[c.fault], map[string]uint64{}
	if reason == "" {
		if v := w.view(c.service); len(v.Faults) != 0 {
			t.Errorf("it is counted as a fault: %v: %s", v.Faults, v.Last.Detail)
		}
		return
	}
	want[reason] = 1
	var v faultView
	w.await("the fault in REST", func() bool {
		v = w.view(c.service)
		return len(v.Faults) > 0
	}, func() any { return v })
	if fmt.Sprint(v.Faults) != fmt.Sprint(want) || v.Last.Reason != reason || v.Last.Detail == "" || !v.Last.Restart.Equal(v.Last.Time) {
		t.Errorf("it is told as %v, %+v", v.Faults, *v.Last)
	}
	if len(v.Origins) != 1 || v.Origins[0].File != "faults.yaml" || v.Origins[0].Line == 0 {
		t.Errorf("its origin is %+v", v.Origins)
	}
}
