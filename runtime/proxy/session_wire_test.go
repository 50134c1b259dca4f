package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/meshc/meshc/compiler/snapshot"
)

func TestHTTP2Refusals(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "a"))
	w.host("a", "a")
	p := run(t, w)
	get := []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a"}
	with := func(fields ...string) []string { return append(get[:len(get):len(get)], fields...) }
	for name, fields := range map[string][]string{
		"no path":             {":method", "GET", ":scheme", "http", ":authority", "a"},
		"path with a space":   {":method", "GET", ":scheme", "http", ":path", "/a b", ":authority", "a"},
		"path without slash":  {":method", "GET", ":scheme", "http", ":path", "x", ":authority", "a"},
		"unknown scheme":      {":method", "GET", ":scheme", "ftp", ":path", "/", ":authority", "a"},
		"user information":    {":method", "GET", ":scheme", "http", ":path", "/", ":authority", "u@a"},
		"pseudo header twice": with(":path", "/"),
		"path after none":     {":method", "GET", ":scheme", "http", ":path", "", ":path", "/", ":authority", "a"},
		"method after none":   {":method", "", ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a"},
		"scheme after none":   {":method", "GET", ":scheme", "", ":scheme", "http", ":path", "/", ":authority", "a"},
		"host after none":     {":method", "GET", ":scheme", "http", ":path", "/", ":authority", "", ":authority", "a"},
		"CONNECT with a path": {":method", "CONNECT", ":path", "", ":authority", "a"},
		"late pseudo header":  {":method", "GET", ":scheme", "http", "x", "y", ":path", "/"},
		"response's pseudo":   {":method", "GET", ":scheme", "http", ":path", "/", ":status", "200"},
		"connection":          with("connection", "close"),
		"transfer-encoding":   with("transfer-encoding", "chunked"),
		"te":                  with("te", "gzip"),
		"upper case":          with("X-Upper", "1"),
		"control character":   with("x", "a\r\nb: c"),
		"length without body": with("content-length", "5"),
		"two lengths":         with("content-length", "0", "content-length", "0"),
		"two hosts":           with("host", "a", "host", "b"),
	} {
		t.Run(name, func(t *testing.T) {
			f := dialFrames(t, p.address(t, "gateway"))
			f.request(1, true, fields...)
			if code := f.reset(1); code != http2.ErrCodeProtocol {
				t.Errorf("reset by %v", code)
			}
			f.get(3, "a") // the connection goes on
			if status := f.headers(3).PseudoValue("status"); status != "200" {
				t.Errorf("then status %s", status)
			}
		})
	}
	t.Run("headers over the limit", func(t *testing.T) {
		f := dialFrames(t, p.address(t, "gateway"))
		f.request(1, true, with("x", strings.Repeat("y", 8000), "y", strings.Repeat("\x01", 2))...)
		f.reset(1)
		fields := get
		for i := range 101 {
			fields = append(fields, fmt.Sprint("x-", i), "y")
		}
		f.request(3, true, fields...)
		if status := f.headers(3).PseudoValue("status"); status != "431" {
			t.Errorf("status %s", status)
		}
	})
	t.Run("body unlike its length", func(t *testing.T) {
		f := dialFrames(t, p.address(t, "gateway"))
		f.request(1, false, ":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a", "content-length", "3")
		f.fr.WriteData(1, true, []byte("four"))
		if code := f.reset(1); code != http2.ErrCodeProtocol {
			t.Errorf("reset by %v", code)
		}
	})
	t.Run("not the preface", func(t *testing.T) {
		c := dial(t, p.address(t, "gateway"))
		c.send("PRI * HTTP/2.0\n\nXX\n\n")
		if b, _ := io.ReadAll(c.r); len(b) > 0 {
			t.Errorf("answered %q", b)
		}
		c = dial(t, p.address(t, "gateway"))
		c.send("PRI * HTTP/2.0\nHost: a\n\n")
		if r, _ := c.response("GET"); r.StatusCode != 505 {
			t.Errorf("status %d", r.StatusCode)
		}
		c = dial(t, p.address(t, "gateway"))
		c.send("GET / HTTP/1.1\nHost: a\n\n")
		c.response("GET")
		c.send("PRI * HTTP/2.0\n\nSM\n\n")
		if r, _ := c.response("GET"); r.StatusCode != 505 {
			t.Errorf("later: status %d", r.StatusCode)
		}
	})
}

// Each of these connections is ended, and the proxy serves others.
func TestHTTP2Floods(t *testing.T) {
	w := &world{}
	held := make(chan struct{})
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	}))
	w.cluster("b", named(t, "b"))
	w.host("a", "a")
	w.host("b", "b")
	p := run(t, w)
	t.Cleanup(func() { close(held) })
	for name, flood := range map[string]func(f *framed){
		"rapid reset": func(f *framed) {
			for i := range uint32(1000) {
				f.get(1+2*i, "a")
				f.fr.WriteRSTStream(1+2*i, http2.ErrCodeCancel)
			}
		},
		"reset brought about": func(f *framed) {
			for i := range uint32(1000) {
				f.get(1+2*i, "a")
				f.fr.WriteData(1+2*i, false, []byte("x"))
			}
		},
		"CONTINUATION": func(f *framed) {
			f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1})
			for range 1000 {
				f.fr.WriteContinuation(1, false, nil)
			}
		},
		"large CONTINUATION": func(f *framed) {
			f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1})
			for range 50 {
				f.fr.WriteContinuation(1, false, []byte(strings.Repeat("\x00\x01x\x01y", 2000)))
			}
		},
		"frame over the limit": func(f *framed) { f.fr.WriteRawFrame(0xbe, 0, 0, make([]byte, 20_000)) },
		"DATA before HEADERS":  func(f *framed) { f.fr.WriteData(1, false, []byte("x")) },
		"DATA beyond window": func(f *framed) {
			f.request(1, false, ":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a")
			for range 2000 { // sockets hold some of it
				if f.fr.WriteData(1, false, make([]byte, 16<<10)) != nil {
					return
				}
			}
		},
		"broken HPACK": func(f *framed) {
			f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		},
		"window overflow": func(f *framed) { f.fr.WriteWindowUpdate(0, 1<<31-1) },
		"server's stream": func(f *framed) { f.get(2, "a") },
		"PUSH_PROMISE": func(f *framed) {
			f.fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := dialFrames(t, p.address(t, "gateway"))
			go flood(f)
			if name != "DATA beyond window" {
				if code := f.goAway().ErrCode; code == http2.ErrCodeNo {
					t.Error("GOAWAY without an error")
				}
				f.ended()
			} else if code := f.reset(1); code != http2.ErrCodeFlowControl {
				t.Errorf("reset by %v", code)
			}
			if _, body := get(t, p, "b", "/"); body != "b" {
				t.Error("others are not served")
			}
		})
	}
	t.Run("PING without reading", func(t *testing.T) {
		f := dialFrames(t, p.address(t, "gateway"))
		f.nc.SetWriteDeadline(time.Now().Add(time.Minute))
		for i := 0; ; i++ {
			if err := f.fr.WritePing(false, [8]byte{}); err != nil {
				return // cut off
			}
			if i > 10_000_000 {
				t.Fatal("it may go on for ever")
			}
		}
	})
}

func TestHTTP2ClientReset(t *testing.T) {
	begun, gone := make(chan struct{}), make(chan struct{})
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(gone)
	}))
	w.cluster("b", named(t, "b"))
	w.host("a", "a")
	w.host("b", "b")
	p := run(t, w)
	f := dialFrames(t, p.address(t, "gateway"))
	f.get(1, "a")
	<-begun
	f.fr.WriteRSTStream(1, http2.ErrCodeCancel)
	<-gone
	f.get(3, "b")
	if status := f.headers(3).PseudoValue("status"); status != "200" {
		t.Errorf("then status %s", status)
	}
}

// A client that takes nothing stops the backend, and no other stream.
func TestHTTP2BackPressureDown(t *testing.T) {
	var sent atomic.Int64
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 32<<10)
		for range 1000 { // 32 MB
			n, err := w.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	w.cluster("b", named(t, "b"))
	w.host("a", "a")
	w.host("b", "b")
	p := run(t, w)
	f := dialFrames(t, p.address(t, "gateway"))
	f.get(1, "a")
	f.headers(1)
	got := 0
	for got < 65535 {
		got += len(f.next("DATA", func(fr http2.Frame) bool { _, ok := fr.(*http2.DataFrame); return ok }).(*http2.DataFrame).Data())
	}
	f.fr.WriteWindowUpdate(0, 1<<20) // of the connection only
	f.get(3, "b")
	if status := f.headers(3).PseudoValue("status"); status != "200" {
		t.Errorf("the other stream: status %s", status)
	}
	if n := sent.Load(); n > 31<<20 {
		t.Errorf("the backend could send %d bytes", n)
	}
	f.fr.WriteWindowUpdate(0, 1<<30)
	f.fr.WriteWindowUpdate(1, 1<<30)
	for end := false; !end; {
		d := f.next("DATA", func(fr http2.Frame) bool { d, ok := fr.(*http2.DataFrame); return ok && d.StreamID == 1 }).(*http2.DataFrame)
		got += len(d.Data())
		end = d.StreamEnded()
	}
	if got != 1000*32<<10 {
		t.Errorf("%d bytes came", got)
	}
}

// A backend that takes nothing stops the client: no more than the stream's
// window and what the sockets hold is taken from it.
func TestHTTP2BackPressureUp(t *testing.T) {
	release := make(chan struct{})
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}))
	w.host("a", "a")
	p := run(t, w)
	c := h2client(t, p.address(t, "gateway"))
	var read atomic.Int64
	const size = 64 << 20
	body := io.TeeReader(io.LimitReader(zeros{}, size), counter{&read})
	done := make(chan string)
	go func() {
		res, err := c.Post("http://a/", "x/y", body)
		if err != nil {
			done <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		done <- string(b)
	}()
	last := int64(-1)
	until(t, "the upload stands still", func() bool {
		n := read.Load()
		same := n == last && n > 0
		last = n
		time.Sleep(20 * time.Millisecond) // between two looks; the bound below is what counts
		return same
	})
	if last > size/2 {
		t.Errorf("%d bytes were taken from the client", last)
	}
	close(release)
	if got := <-done; got != fmt.Sprint(size) {
		t.Errorf("the backend got %s", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

func TestHTTP2Interim(t *testing.T) {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	}))
	w.host("a", "a")
	p := run(t, w)
	f := dialFrames(t, p.address(t, "gateway"))
	f.request(1, false, ":method", "POST", ":scheme", "http", ":path", "/", ":authority", "a", "expect", "100-continue")
	for _, want := range []string{"100", "103"} {
		if got := f.headers(1).PseudoValue("status"); got != want {
			// The backend's 103 and our 100 are not in any order.
			if got != "100" && got != "103" {
				t.Errorf("status %s, want %s", got, want)
			}
		}
	}
	f.fr.WriteData(1, true, []byte("x"))
	if got := f.headers(1).PseudoValue("status"); got != "200" {
		t.Errorf("status %s", got)
	}
}

// What was sent before a client hears of the end is served, on reload and shutdown.
func TestHTTP2Drain(t *testing.T) {
	for _, how := range []string{"listener removed", "shutdown"} {
		t.Run(how, func(t *testing.T) {
			begun, release := make(chan struct{}, 2), make(chan struct{})
			w := &world{}
			w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
				begun <- struct{}{}
				<-release
				io.WriteString(w, "served")
			}))
			w.host("a", "a")
			w.dataplane = []snapshot.Listener{{
				Name: "in", Direction: snapshot.Outbound, Protocol: snapshot.HTTP, Address: "127.0.0.1",
				VirtualHosts: snapshot.ListOf(w.vhosts...),
			}}
			p := run(t, w)
			f := dialFrames(t, p.address(t, "in"))
			f.get(1, "a")
			<-begun
			stopped := make(chan error, 1)
			if how == "shutdown" {
				go func() { stopped <- p.Shutdown(context.Background()) }()
			} else {
				w.dataplane = nil
				publish(t, p, w)
				stopped <- nil
			}
			if last := f.goAway().LastStreamID; last != 1<<31-1 {
				t.Errorf("first GOAWAY names %d", last)
			}
			f.get(3, "a") // as if on its way
			<-begun
			f.next("PING", func(fr http2.Frame) bool {
				ping, ok := fr.(*http2.PingFrame)
				if ok {
					f.fr.WritePing(true, ping.Data)
				}
				return ok
			})
			if last := f.goAway().LastStreamID; last != 3 {
				t.Errorf("second GOAWAY names %d", last)
			}
			close(release)
			for n := 0; n < 2; {
				fr, err := f.fr.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if d, ok := fr.(*http2.DataFrame); ok && d.StreamEnded() {
					n++
				}
			}
			f.ended()
			f.nc.Close()
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHTTP2IdleConnection(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "a"))
	w.host("a", "a")
	p := run(t, w, func(c *Config) { c.IdleTimeout = time.Second })
	f := dialFrames(t, p.address(t, "gateway"))
	f.get(1, "a")
	f.headers(1)
	if code := f.goAway().ErrCode; code != http2.ErrCodeNo {
		t.Errorf("GOAWAY by %v", code)
	}
	f.ended()
}
