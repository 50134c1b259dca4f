package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// tooLarge is a body that no buffers between two sockets hold.
const tooLarge = 64 << 20

// An endpoint that takes nothing of a request loses it, and nothing else bounds
// that here.
func TestWriteTimeout(t *testing.T) {
	w := &world{}
	answered, end := make(chan struct{}), make(chan error, 1)
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		select {
		case <-answered:
		case <-t.Context().Done():
		}
		_, err := io.Copy(io.Discard, r)
		end <- err
	}))
	w.clusters[0].WriteTimeout = soon
	w.host("x", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	go io.Copy(c, io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\n\r\n"), io.LimitReader(zeros{}, tooLarge)))
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(r.Body); r.StatusCode != 503 || !strings.HasSuffix(string(body), "reset reason: connection termination") {
		t.Errorf("%d %q", r.StatusCode, body)
	}
	close(answered)
	if err := <-end; err == nil {
		t.Error("the connection came to its end in order")
	}
}

// A connection that was opened under another write timeout is not used.
func TestWriteTimeoutThatChanged(t *testing.T) {
	address := named(t, "1")
	under := func(d time.Duration) *world {
		w := &world{}
		w.cluster("a", address)
		w.clusters[0].WriteTimeout = snapshot.Duration(d)
		w.host("x", "a")
		return w
	}
	p := run(t, under(0))
	state := p.current.clusters[0].state
	for i, d := range []time.Duration{0, time.Minute, time.Minute, time.Hour, 0} {
		publish(t, p, under(d))
		get(t, p, "x", "/")
		until(t, "the connection is pooled", func() bool {
			pl := p.current.clusters[0].endpoints[0].pool
			pl.mu.Lock()
			defer pl.mu.Unlock()
			return len(pl.idle) == 1
		})
		if n, want := state.meter.connects.Load(), []uint64{1, 2, 2, 3, 4}[i]; uint64(n) != want {
			t.Errorf("under %v: %d connections were made so far, not %d", d, n, want)
		}
	}
}
