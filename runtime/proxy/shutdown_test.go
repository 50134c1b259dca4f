package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

func TestShutdownDrains(t *testing.T) {
	release, started := make(chan struct{}), make(chan struct{})
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(started)
			<-release
		}
		io.WriteString(w, "done")
	}))
	w.host("x", "a")
	p := run(t, w)
	gateway := p.address(t, "gateway")
	idle, busy := dial(t, gateway), dial(t, gateway)
	idle.send("GET / HTTP/1.1\nHost: x\n\n")
	idle.response("GET")
	busy.send("GET /slow HTTP/1.1\nHost: x\n\n")
	<-started
	result := make(chan error)
	go func() { result <- p.Shutdown(context.Background()) }()
	if _, err := idle.r.ReadByte(); err != io.EOF {
		t.Errorf("idle connection: %v", err)
	}
	refuses(t, gateway)
	close(release)
	if r, body := busy.response("GET"); body != "done" || !r.Close {
		t.Errorf("request in flight: %q, connection: close %v", body, r.Close)
	}
	if err := <-result; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if _, _, err := p.Prepare(context.Background(), w.snapshot()); err == nil {
		t.Error("a proxy that was shut down takes a snapshot")
	}
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	w := &world{}
	started := make(chan struct{}, 1)
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		<-r.Context().Done()
	}))
	w.cluster("t", rawBackend(t, func(c net.Conn, _ *bufio.Reader) {
		started <- struct{}{}
		io.Copy(io.Discard, c)
	}))
	w.host("x", "a")
	w.inbound("in", 0, "a")
	w.tcp("tcp", "t")
	w.tcp("removed", "t")
	p := run(t, w, func(c *Config) { c.DrainTimeout = 20 * time.Millisecond })
	for _, listener := range []string{"gateway", "in", "tcp", "removed"} {
		dial(t, p.address(t, listener)).send("GET / HTTP/1.1\nHost: x\n\n")
		<-started
	}
	w.dataplane = w.dataplane[:2]
	publish(t, p, w)
	if err := p.Shutdown(context.Background()); err == nil || !strings.Contains(err.Error(), "4 connections") {
		t.Errorf("shutdown: %v", err)
	}
}

// A request on its way through two listeners of one proxy.
func TestShutdownKeepsInboundsForWhatGoesOnElsewhere(t *testing.T) {
	port := freePort(t, "tcp")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	w := &world{}
	w.cluster("app", named(t, "app"))
	w.inbound("in", port, "app")
	w.cluster("in", address)
	w.host("x", "in")
	streams := make(chan filter.Stream, 1)
	var held atomic.Bool
	pause := scripted{onRequest: func(s filter.Stream, _ *filter.Headers, _ bool) filter.HeadersStatus {
		if held.Swap(true) {
			return filter.HeadersContinue // at the inbound listener
		}
		streams <- s
		return filter.HeadersStop
	}}
	install := kinds{"k": func(s filter.Stream) filter.HTTP { f := pause; f.Stream = s; return f }}.install(w, func(string) {})
	// Nothing ends by the time being over.
	p := run(t, w, install, func(c *Config) { c.DrainTimeout = time.Hour })
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	s := <-streams
	result := make(chan error, 1)
	go func() { result <- p.Shutdown(context.Background()) }()
	until(t, "the gateway's socket is closed", func() bool { return p.Addresses()["gateway"] == nil })
	s.Continue(filter.Request)
	if r, body := c.response("GET"); r.StatusCode != 200 || body != "app" || !r.Close {
		t.Errorf("%d %q, connection: close %v", r.StatusCode, body, r.Close)
	}
	if err := <-result; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	refuses(t, address)
}

// patient is a context that is said to end, and ends when it is told to.
type patient struct {
	context.Context
	deadline time.Time
}

func (c patient) Deadline() (time.Time, bool) { return c.deadline, true }

func TestShutdownClosesInboundsByHalfTheTime(t *testing.T) {
	release, started := make(chan struct{}), make(chan struct{})
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(started)
			<-release
		}
	}))
	w.host("x", "a")
	w.inbound("in", 0, "a")
	p := run(t, w)
	in := p.address(t, "in")
	c := dial(t, p.address(t, "gateway"))
	c.send("GET /held HTTP/1.1\nHost: x\n\n")
	<-started
	ctx, end := context.WithCancel(context.Background())
	defer end()
	result := make(chan error, 1)
	go func() { result <- p.Shutdown(patient{ctx, time.Now().Add(10 * time.Millisecond)}) }()
	refuses(t, in) // while the other listener's request goes on
	close(release)
	if r, _ := c.response("GET"); r.StatusCode != 200 {
		t.Errorf("request in flight: %d", r.StatusCode)
	}
	if err := <-result; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// inbound adds an HTTP listener of the dataplane that takes all hosts; at port 0,
// on one that the system chooses.
func (w *world) inbound(name string, port uint16, targets ...string) {
	w.dataplane = append(w.dataplane, snapshot.Listener{
		Name: name, Direction: snapshot.Inbound, Protocol: snapshot.HTTP, Address: "127.0.0.1", Port: port,
		VirtualHosts: snapshot.ListOf(snapshot.VirtualHost{Name: name, Domains: snapshot.ListOf("*"), Routes: snapshot.ListOf(snapshot.Route{
			Name: name, PathPrefix: "/", Targets: targetList(targets),
		})}),
	})
}

// refuses waits until nobody listens at address.
func refuses(t *testing.T, address string) {
	t.Helper()
	until(t, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}
