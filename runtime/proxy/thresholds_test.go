package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// holding is a backend whose answers wait for release, but for those of /quick.
type holding struct {
	address string
	release chan struct{}
	arrived atomic.Int64
}

func hold(t *testing.T) *holding {
	h := &holding{release: make(chan struct{})}
	h.address = backend(t, func(w http.ResponseWriter, r *http.Request) {
		h.arrived.Add(1)
		if r.URL.Path != "/quick" {
			<-h.release
		}
		io.WriteString(w, "held")
	})
	return h
}

// limited is a world with one cluster of the bounds given.
func limited(limits snapshot.Thresholds, addresses ...string) *world {
	w := &world{}
	w.cluster("a", addresses...)
	w.clusters[0].Thresholds = limits
	w.host("x", "a")
	return w
}

func overflows(t *testing.T, p *Proxy) {
	t.Helper()
	r, body := get(t, p, "x", "/quick")
	if r.StatusCode != 503 || body != "upstream connect error or disconnect/reset before headers. reset reason: overflow" {
		t.Errorf("no overflow: %d %v %q", r.StatusCode, r.Header, body)
	}
}

func TestMaxRequests(t *testing.T) {
	h := hold(t)
	p := run(t, limited(snapshot.Thresholds{MaxRequests: 2}, h.address))
	state := p.current.clusters[0].state
	var busy []*client
	for range 2 {
		c := dial(t, p.address(t, "gateway"))
		c.send("GET / HTTP/1.1\nHost: x\n\n")
		busy = append(busy, c)
	}
	until(t, "two requests are in flight", func() bool { return h.arrived.Load() == 2 })
	overflows(t, p)
	// The bound and what it counts survive a reload.
	publish(t, p, limited(snapshot.Thresholds{MaxRequests: 2, MaxRetries: 1}, h.address))
	overflows(t, p)
	if n := state.load.requests.overflows.Load(); n != 2 {
		t.Errorf("%d overflows counted", n)
	}
	close(h.release)
	for _, c := range busy {
		if r, _ := c.response("GET"); r.StatusCode != 200 {
			t.Errorf("a request under the bound: %d", r.StatusCode)
		}
	}
	until(t, "none is in flight", func() bool { return state.load.requests.now.Load() == 0 })
	if r, _ := get(t, p, "x", "/quick"); r.StatusCode != 200 {
		t.Errorf("after the load: %d", r.StatusCode)
	}
}

// Who has all of an answer may at once send the next request, on any connection.
func TestMaxRequestsAnswered(t *testing.T) {
	p := run(t, limited(snapshot.Thresholds{MaxRequests: 1}, named(t, "a")))
	clients := []*client{dial(t, p.address(t, "gateway")), dial(t, p.address(t, "gateway"))}
	for i := range 500 {
		c := clients[i%2]
		c.send("GET / HTTP/1.1\nHost: x\n\n")
		if r, _ := c.response("GET"); r.StatusCode != 200 {
			t.Fatalf("%d: %d", i, r.StatusCode)
		}
	}
}

func TestMaxConnectionsQueues(t *testing.T) {
	h := hold(t)
	p := run(t, limited(snapshot.Thresholds{MaxConnections: 1, MaxPendingRequests: 1}, h.address))
	state := p.current.clusters[0].state
	first, second := dial(t, p.address(t, "gateway")), dial(t, p.address(t, "gateway"))
	first.send("GET / HTTP/1.1\nHost: x\n\n")
	until(t, "the first holds the connection", func() bool { return h.arrived.Load() == 1 })
	second.send("GET /quick HTTP/1.1\nHost: x\n\n")
	until(t, "the second waits", func() bool { return state.load.pending.now.Load() == 1 })
	overflows(t, p) // no room in the queue
	if h.arrived.Load() != 1 || state.load.connections.now.Load() != 1 {
		t.Errorf("%d requests arrived on %d connections", h.arrived.Load(), state.load.connections.now.Load())
	}
	close(h.release)
	for _, c := range []*client{first, second} {
		if r, body := c.response("GET"); r.StatusCode != 200 || body != "held" {
			t.Errorf("%d %q", r.StatusCode, body)
		}
	}
	if n := state.meter.connects.Load(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}

// A connection that closes lets the next in the queue open one.
func TestQueueMovesOnWhenAConnectionCloses(t *testing.T) {
	release := make(chan struct{})
	var n atomic.Int64
	address := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if n.Add(1) == 1 {
				<-release
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
	})
	p := run(t, limited(snapshot.Thresholds{MaxConnections: 1}, address))
	state := p.current.clusters[0].state
	var all []*client
	for range 3 {
		c := dial(t, p.address(t, "gateway"))
		c.send("GET / HTTP/1.1\nHost: x\n\n")
		all = append(all, c)
	}
	until(t, "two wait", func() bool { return state.load.pending.now.Load() == 2 && n.Load() == 1 })
	// One of those who wait goes away, and its place in the queue with it.
	all[2].Close()
	close(release)
	answered := 0
	for _, c := range all[:2] {
		if r, err := http.ReadResponse(c.r, nil); err == nil && r.StatusCode == 200 {
			answered++
		}
	}
	if answered != 2 {
		t.Errorf("%d answered", answered)
	}
	until(t, "nothing is open", func() bool {
		return state.load.connections.now.Load() == 0 && state.load.pending.now.Load() == 0 && state.load.requests.now.Load() == 0
	})
}

// Whoever leaves the queue just when its turn has come passes the turn on.
func TestTurnOfOneWhoLeft(t *testing.T) {
	p := run(t, limited(snapshot.Thresholds{MaxConnections: 1}, "127.0.0.1:1"))
	c := p.current.clusters[0]
	pl := c.endpoints[0].pool
	if pl.slot(c) != nil {
		t.Fatal("the first has to wait")
	}
	left, next := pl.slot(c), pl.slot(c)
	pl.gone() // the turn of left
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // which of the two await sees first is chance
		u, err := pl.await(ctx, left)
		if err == nil {
			if u != nil {
				t.Fatal("a connection out of nothing")
			}
			left <- nil
			continue
		}
		break
	}
	select {
	case <-next:
	default:
		t.Error("the turn is lost")
	}
}

func TestTCPThresholds(t *testing.T) {
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) }))
	w.clusters[0].Thresholds.MaxConnections = 1
	w.tcp("l", "a")
	p := run(t, w)
	echo := func() (*client, error) {
		c := dial(t, p.address(t, "l"))
		c.send("x")
		_, err := c.r.ReadByte()
		return c, err
	}
	first, err := echo()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := echo(); err == nil {
		t.Error("a second connection went through")
	}
	first.Close()
	until(t, "the first has ended", func() bool { return p.current.clusters[0].state.load.connections.now.Load() == 0 })
	if _, err := echo(); err != nil {
		t.Error("none may come after it:", err)
	}
}

func TestRetryBudget(t *testing.T) {
	c := &cluster{state: newClusterState()}
	begun := func() (n int) {
		for c.retryBegin() {
			n++
		}
		for range n {
			c.retryEnd()
		}
		return n
	}
	if n := begun(); n != 3 {
		t.Errorf("%d retries at the same time with nothing in flight", n)
	}
	c.state.load.requests.now.Store(40)
	c.state.load.pending.now.Store(10)
	if n := begun(); n != 10 {
		t.Errorf("%d retries with 50 in flight", n)
	}
	c.thresholds.MaxRetries = 1
	if n := begun(); n != 1 {
		t.Errorf("%d retries where one is allowed", n)
	}
}
