package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/meshc/meshc/compiler/snapshot"
)

// h2backend is a server of HTTP/2 alone that handles with h; connections counts
// what it has accepted.
func h2backend(t testing.TB, h http.HandlerFunc) (address string, connections *atomic.Int64) {
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	connections = new(atomic.Int64)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), connections
}

// h2cluster adds a cluster whose endpoints speak HTTP/2, and a host of its name.
func (w *world) h2cluster(name string, addresses ...string) {
	w.cluster(name, addresses...)
	w.clusters[len(w.clusters)-1].HTTP2 = true
	w.host(name, name)
}

func TestHTTP2Upstream(t *testing.T) {
	address, connections := h2backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("X-Seen", fmt.Sprint(r.Proto, " ", r.Method, " ", r.Host, r.URL, " ", r.ContentLength, " ", r.Header.Get("Te"), r.Header.Get("Connection"), " ", r.Trailer.Get("X-After")))
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Link", "</x>")
		w.WriteHeader(103)
		w.Write(body)
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", fmt.Sprint(len(body)))
	})
	w := &world{}
	w.h2cluster("a", address)
	p := run(t, w)

	t.Run("from HTTP/1", func(t *testing.T) {
		c := dial(t, p.address(t, "gateway"))
		c.send("POST /x HTTP/1.1\nHost: a\nTE: trailers, gzip\nConnection: te, x-drop\nX-Drop: 1\nTrailer: X-After\nTransfer-Encoding: chunked\n\n3\none\n0\nX-After: late\n\n")
		if r, _ := c.response("POST"); r.StatusCode != 103 {
			t.Errorf("first status %d", r.StatusCode)
		}
		r, body := c.response("POST")
		if got, want := r.Header.Get("X-Seen"), "HTTP/2.0 POST a/x -1 trailers late"; got != want || body != "one" || r.Trailer.Get("X-Sum") != "3" {
			t.Errorf("the backend saw %q, want %q; body %q, trailers %v", got, want, body, r.Trailer)
		}
		c.send("GET / HTTP/1.1\nHost: a\n\n")
		c.response("GET")
		if r, body := c.response("GET"); r.StatusCode != 200 || body != "" {
			t.Errorf("%v %q", r, body)
		}
		c.send("HEAD / HTTP/1.1\nHost: a\n\n")
		c.response("HEAD")
		if r, _ := c.response("HEAD"); r.StatusCode != 200 {
			t.Errorf("%v", r)
		}
	})
	t.Run("from HTTP/2", func(t *testing.T) {
		c := h2client(t, p.address(t, "gateway"))
		body := strings.Repeat("0123456789", 500_000)
		if res, got := fetch(t, c, "POST", "http://a/", body); got != body || res.Trailer.Get("X-Sum") != fmt.Sprint(len(body)) {
			t.Errorf("%d bytes came back of %d; %v", len(got), len(body), res.Trailer)
		}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				body := strings.Repeat(fmt.Sprint(i), 5000)
				res, err := c.Post("http://a/", "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				if b, err := io.ReadAll(res.Body); err != nil || string(b) != body {
					t.Errorf("%d: %d bytes of %d: %v", i, len(b), len(body), err)
				}
			})
		}
		wg.Wait()
	})
	if n := connections.Load(); n > 2 {
		t.Errorf("%d connections", n)
	}
	if n, m := uint64(connections.Load()), p.current.clusters[0].state.meter.connects.Load(); n != m {
		t.Errorf("%d connections, and %d are counted", n, m)
	}
	t.Run("the connection outlives a reload", func(t *testing.T) {
		before := connections.Load()
		w.cluster("other", "127.0.0.1:1")
		publish(t, p, w)
		w.clusters[0].ConnectTimeout++
		publish(t, p, w)
		fetch(t, h2client(t, p.address(t, "gateway")), "GET", "http://a/", "")
		if n := connections.Load(); n != before {
			t.Errorf("%d more connections", n-before)
		}
	})
}

// framedServer is a backend that speaks frames. It serves each connection with
// serve, which gets the settings exchanged.
func framedServer(t testing.TB, serve func(n int, f *framed)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for n := 0; ; n++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(time.Minute))
				io.ReadFull(nc, make([]byte, len(http2.ClientPreface)))
				f := &framed{t: t, nc: nc, fr: http2.NewFramer(nc, nc)}
				f.enc = hpack.NewEncoder(&f.buf)
				f.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
				f.fr.WriteSettings()
				f.fr.WriteSettingsAck()
				serve(n, f)
			})
		}
	})
	return ln.Addr().String()
}

// each calls on for each request, with its stream, until the connection ends.
func (f *framed) each(on func(id uint32, last bool)) {
	for {
		fr, err := f.fr.ReadFrame()
		if err != nil {
			return
		}
		switch fr := fr.(type) {
		case *http2.MetaHeadersFrame:
			on(fr.StreamID, fr.StreamEnded())
		case *http2.DataFrame:
			if fr.StreamEnded() {
				on(fr.StreamID, true)
			}
		case *http2.PingFrame:
			if !fr.IsAck() {
				f.fr.WritePing(true, fr.Data)
			}
		}
	}
}

func TestHTTP2UpstreamFailures(t *testing.T) {
	const end = true
	ok := func(f *framed, id uint32, body string) {
		f.request(id, false, ":status", "200")
		f.fr.WriteData(id, end, []byte(body))
	}
	for name, c := range map[string]struct {
		serve        func(n int, f *framed)
		status       int
		body         string
		broken, post bool
	}{
		"reset": {
			serve: func(_ int, f *framed) {
				f.each(func(id uint32, _ bool) { f.fr.WriteRSTStream(id, http2.ErrCodeInternal) })
			},
			status: 503, body: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote reset",
		},
		"refused once": {
			serve: func(_ int, f *framed) {
				n := 0
				f.each(func(id uint32, last bool) {
					switch n++; {
					case n == 1:
						f.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
					case last && id > 1:
						ok(f, id, "again")
					}
				})
			},
			status: 200, body: "again", post: true,
		},
		"refused": {
			serve: func(_ int, f *framed) {
				f.each(func(id uint32, _ bool) { f.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) })
			},
			status: 503, body: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote refused stream reset",
		},
		"goes away": {
			serve: func(n int, f *framed) {
				f.each(func(id uint32, last bool) {
					switch {
					case n > 0 && last:
						ok(f, id, "another connection")
					case n == 0:
						f.fr.WriteGoAway(0, http2.ErrCodeNo, nil)
					}
				})
			},
			status: 200, body: "another connection", post: true,
		},
		"closes": {
			serve: func(_ int, f *framed) {
				f.next("request", func(fr http2.Frame) bool { _, ok := fr.(*http2.MetaHeadersFrame); return ok })
			},
			status: 503, body: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection termination",
		},
		"malformed": {
			serve: func(_ int, f *framed) {
				f.each(func(id uint32, _ bool) { f.request(id, end, ":status", "abc") })
			},
			status: 502, body: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: protocol error",
		},
		"not HTTP/2": {
			serve: func(_ int, f *framed) {
				io.WriteString(f.nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
				io.Copy(io.Discard, f.nc)
			},
			status: 502, body: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: protocol error",
		},
		"reset amid the body": {
			serve: func(_ int, f *framed) {
				f.each(func(id uint32, _ bool) {
					f.request(id, false, ":status", "200")
					f.fr.WriteData(id, false, []byte("part"))
					f.fr.WriteRSTStream(id, http2.ErrCodeInternal)
				})
			},
			status: 200, body: "part", broken: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			w.h2cluster("a", framedServer(t, c.serve))
			p := run(t, w)
			client := dial(t, p.address(t, "gateway"))
			if c.post {
				client.send("POST / HTTP/1.1\nHost: a\nContent-Length: 4\n\nbody")
			} else {
				client.send("GET / HTTP/1.1\nHost: a\n\n")
			}
			res, err := http.ReadResponse(client.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != c.status || string(body) != c.body || (err != nil) != c.broken {
				t.Errorf("status %d, body %q, error %v", res.StatusCode, body, err)
			}
		})
	}
}

// A place that comes just before a request queues for one is not missed.
func TestHTTP2PlaceBeforeTheQueue(t *testing.T) {
	address, _ := h2backend(t, func(http.ResponseWriter, *http.Request) {})
	w := &world{}
	w.h2cluster("a", address)
	w.clusters[0].Thresholds.MaxConnections = 1
	p := run(t, w)
	get(t, p, "a", "/") // one connection, with places
	c := p.current.clusters[0]
	pl := c.endpoints[0].pool
	d := &opening{done: make(chan struct{})} // of a request that saw none
	pl.mu.Lock()
	pl.opening = d
	pl.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	u, err := pl.dialShared(ctx, c, d)
	if err != nil || u == nil {
		t.Fatalf("no place: %v, %v", u, err)
	}
	u.end(false)
	pl.mu.Lock()
	defer pl.mu.Unlock()
	if len(pl.waiting) > 0 {
		t.Error("it still waits")
	}
}

// Whoever leaves takes the stream upstream with them, and no other.
func TestHTTP2UpstreamAbort(t *testing.T) {
	var f *framed
	streams := make(chan uint32, 2)
	resets := make(chan uint32, 2)
	w := &world{}
	w.h2cluster("a", framedServer(t, func(_ int, s *framed) {
		f = s
		for {
			fr, err := f.fr.ReadFrame()
			if err != nil {
				return
			}
			switch fr := fr.(type) {
			case *http2.MetaHeadersFrame:
				streams <- fr.StreamID
			case *http2.RSTStreamFrame:
				resets <- fr.StreamID
			}
		}
	}))
	p := run(t, w)
	d := dialFrames(t, p.address(t, "gateway"))
	d.get(1, "a")
	first := <-streams
	d.get(3, "a")
	second := <-streams
	d.fr.WriteRSTStream(1, http2.ErrCodeCancel)
	if id := <-resets; id != first {
		t.Errorf("stream %d was reset", id)
	}
	f.request(second, true, ":status", "204")
	if status := d.headers(3).PseudoValue("status"); status != "204" {
		t.Errorf("status %s", status)
	}
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: a\n\n")
	third := <-streams
	c.Close()
	if id := <-resets; id != third {
		t.Errorf("stream %d was reset", id)
	}
}

// A request that chose its endpoint before a reload closed the pool is served.
func TestHTTP2ClosedPool(t *testing.T) {
	address, _ := h2backend(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "served") })
	w := &world{}
	w.h2cluster("a", address)
	p := run(t, w)
	p.current.clusters[0].endpoints[0].pool.close()
	c := h2client(t, p.address(t, "gateway"))
	if _, got := fetch(t, c, "POST", "http://a/", "body"); got != "served" {
		t.Errorf("got %q", got)
	}
}

// A removed endpoint's connection ends with its last stream, an idle one after a while.
func TestHTTP2UpstreamLeaves(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	address, _ := h2backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			close(begun)
			<-release
		}
		io.WriteString(w, "served")
	})
	w := &world{}
	w.h2cluster("a", address)
	p := run(t, w, func(c *Config) { c.UpstreamIdleTimeout = 50 * time.Millisecond })
	pool := p.current.clusters[0].endpoints[0].pool
	open := func() int {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return len(pool.shared)
	}
	c := h2client(t, p.address(t, "gateway"))
	fetch(t, c, "GET", "http://a/", "")
	until(t, "the idle connection is closed", func() bool { return open() == 0 })

	done := make(chan string)
	go func() {
		res, err := c.Get("http://a/wait")
		if err != nil {
			done <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		done <- string(b)
	}()
	<-begun
	w.endpoints[0].Endpoints = snapshot.List[snapshot.Endpoint]{}
	publish(t, p, w)
	close(release)
	if got := <-done; got != "served" {
		t.Errorf("got %q", got)
	}
	until(t, "the connection is closed", func() bool { return open() == 0 })
}

// One client that does not read holds up nobody else on the same connection.
func TestHTTP2UpstreamHeadOfLine(t *testing.T) {
	address, connections := h2backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			io.WriteString(w, "small")
			return
		}
		w.Write(bytes.Repeat([]byte("x"), 8<<20))
	})
	w := &world{}
	w.h2cluster("a", address)
	p := run(t, w)
	for range 8 {
		f := dialFrames(t, p.address(t, "gateway"))
		f.request(1, true, ":method", "GET", ":scheme", "http", ":path", "/large", ":authority", "a")
		f.headers(1)
	}
	for range 10 {
		if _, body := get(t, p, "a", "/"); body != "small" {
			t.Errorf("body %q", body)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
