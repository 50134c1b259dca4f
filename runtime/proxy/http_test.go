package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

func TestRouting(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "a"))
	w.cluster("b", named(t, "b"))
	w.cluster("empty")
	w.host("a.example", "a")
	w.host("b.example:8080", "b")
	w.host("none.example")
	w.host("empty.example", "empty")
	w.vhosts = append(w.vhosts, snapshot.VirtualHost{
		Name: "paths", Domains: snapshot.ListOf("paths.example"), Routes: snapshot.ListOf(
			snapshot.Route{Name: "b", PathPrefix: "/b/", Targets: targetList([]string{"b"})},
			snapshot.Route{Name: "a", PathPrefix: "/a", Targets: targetList([]string{"a"})},
		),
	})
	p := run(t, w)
	for _, c := range []struct {
		host, path string
		status     int
		body       string
	}{
		{"a.example", "/", 200, "a"},
		{"A.Example", "/x?y", 200, "a"},
		{"a.example:80", "/", 404, ""},
		{"b.example:8080", "/", 200, "b"},
		{"b.example", "/", 404, ""},
		{"nobody", "/", 404, ""},
		{"none.example", "/", 503, "no healthy upstream"},
		{"empty.example", "/", 503, "no healthy upstream"},
		{"paths.example", "/b/1", 200, "b"},
		{"paths.example", "/abc", 200, "a"},
		{"paths.example", "/b", 404, ""},
	} {
		r, body := get(t, p, c.host, c.path)
		if r.StatusCode != c.status || body != c.body {
			t.Errorf("%s%s: %d %q, want %d %q", c.host, c.path, r.StatusCode, body, c.status, c.body)
		}
		if r.Header.Get("Date") == "" {
			t.Errorf("%s%s: no date", c.host, c.path)
		}
		if ct := r.Header.Get("Content-Type"); c.status == 404 && ct != "" || c.status == 503 && ct != "text/plain" {
			t.Errorf("%s%s: content-type %q", c.host, c.path, ct)
		}
	}
	w.host("*", "b")
	publish(t, p, w)
	if _, body := get(t, p, "nobody", "/"); body != "b" {
		t.Errorf("host of no other virtual host: %q", body)
	}
}

func TestWhatTheBackendReceives(t *testing.T) {
	var got atomic.Pointer[http.Request]
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Clone(r.Context()))
		w.Header().Set("Server", "backend")
	}))
	w.host("a.example", "a")
	w.vhosts = append(w.vhosts, snapshot.VirtualHost{
		Name: "kong", Domains: snapshot.ListOf("kong.example"), Routes: snapshot.ListOf(
			snapshot.Route{Name: "k", PathPrefix: "/", Targets: targetList([]string{"named"}), HostFromEndpoint: true}),
	})
	a := w.endpoints[0].Endpoints.At(0)
	a.Hostname = "real.example"
	w.clusters = append(w.clusters, snapshot.Cluster{Name: "named", Discovery: snapshot.Static})
	w.endpoints = append(w.endpoints, snapshot.EndpointSet{Name: "named", Endpoints: snapshot.ListOf(a)})
	p := run(t, w)

	c := dial(t, p.address(t, "gateway"))
	c.send("GET /p?q=1 HTTP/1.1\nHost: a.example\nX-Mine: 1\nConnection: x-hop\nX-Hop: 1\n\n")
	r, _ := c.response("GET")
	h := got.Load().Header
	if got.Load().Host != "a.example" || got.Load().RequestURI != "/p?q=1" || h.Get("X-Mine") != "1" {
		t.Errorf("request changed on the way: %+v", got.Load())
	}
	if h.Get("X-Hop") != "" || h.Get("X-Forwarded-For") != "" {
		t.Errorf("headers too many: %v", h)
	}
	if h.Get("X-Forwarded-Proto") != "http" || len(h.Get("X-Request-Id")) != 36 || h.Get("X-Request-Id")[14] != '4' {
		t.Errorf("headers missing: %v", h)
	}
	if r.Header.Get("Server") != "backend" || len(r.Header.Values("Date")) != 1 {
		t.Errorf("response headers: %v", r.Header)
	}
	c.send("GET / HTTP/1.1\nHost: kong.example\nX-Request-Id: mine\nX-Forwarded-Proto: https\n\n")
	c.response("GET")
	h = got.Load().Header
	if got.Load().Host != "real.example" || h.Get("X-Request-Id") != "mine" || h.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("host %s, %v", got.Load().Host, h)
	}
}

func TestWeightedSplit(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "a"))
	w.cluster("b", named(t, "b"))
	w.cluster("c")
	w.host("x", "a:70", "b:20", "c:10")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	counts := map[string]int{}
	for range 2000 {
		c.send("GET / HTTP/1.1\nHost: x\n\n")
		_, body := c.response("GET")
		counts[body]++
	}
	// Seven standard deviations.
	for body, share := range map[string]float64{"a": .7, "b": .2, "no healthy upstream": .1} {
		if got := float64(counts[body]) / 2000; got < share-.07 || got > share+.07 {
			t.Errorf("share of %q is %.2f, want %.1f", body, got, share)
		}
	}
}

func TestRoundRobinGoesOnAfterAReload(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "1"), named(t, "2"), named(t, "3"))
	w.host("x", "a")
	p := run(t, w)
	counts := map[string]int{}
	for range 30 {
		_, body := get(t, p, "x", "/")
		counts[body]++
		publish(t, p, w)
	}
	for name, n := range counts {
		if n != 10 {
			t.Errorf("endpoint %s got %d of 30 requests", name, n)
		}
	}
}

func TestClientIPStaysAndOnlyLostClientsMove(t *testing.T) {
	c := &cluster{balancing: balancing{Balancing: snapshot.ClientIP}, state: newClusterState()}
	w := &world{}
	w.cluster("a", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80")
	for _, e := range w.endpoints[0].Endpoints.All() {
		ap := mustAddrPort(e)
		c.endpoints = append(c.endpoints, newEndpoint(newPool(nil, ap, nil, nil, nil), e))
	}
	const clients = 1000
	before := make([]*endpoint, clients)
	spread := map[*endpoint]int{}
	for i := range clients {
		before[i] = c.pick(t.Context(), clientHash(addr(i)))
		if again := c.pick(t.Context(), clientHash(addr(i))); again != before[i] {
			t.Fatal("a client moved without reason")
		}
		spread[before[i]]++
	}
	for _, n := range spread {
		if n < clients/8 {
			t.Errorf("endpoints are used unevenly: %v", spread)
		}
	}
	removed := c.endpoints[1]
	c.members.endpoints = append(append([]*endpoint{}, c.endpoints[:1]...), c.endpoints[2:]...)
	c.newest.Store(nil)
	for i := range clients {
		if now := c.pick(t.Context(), clientHash(addr(i))); before[i] != removed && now != before[i] {
			t.Fatal("a client moved although its endpoint stayed")
		}
	}
}

func TestUpstreamFailures(t *testing.T) {
	raw := func(answer string) string {
		return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			http.ReadRequest(r)
			io.WriteString(c, answer)
		})
	}
	w := &world{}
	w.cluster("refused", nobody)
	w.cluster("hangs-up", raw(""))
	w.cluster("half-headers", raw("HTTP/1.1 200 OK\r\nX: "))
	w.cluster("nonsense", raw("nonsense\r\n\r\n"))
	for _, c := range w.clusters {
		w.host(c.Name, c.Name)
	}
	p := run(t, w)
	const prefix = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
	for _, c := range []struct {
		host   string
		status int
		reason string
	}{
		{"refused", 503, "remote connection failure"},
		{"hangs-up", 503, "connection termination"},
		{"half-headers", 502, "protocol error"},
		{"nonsense", 502, "protocol error"},
	} {
		r, body := get(t, p, c.host, "/")
		if r.StatusCode != c.status || body != prefix+c.reason {
			t.Errorf("%s: %d %q", c.host, r.StatusCode, body)
		}
	}
}

// rawBackend accepts connections and hands each to serve.
func rawBackend(t testing.TB, serve func(net.Conn, *bufio.Reader)) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				serve(c, bufio.NewReader(c))
			}()
		}
	}()
	return ln.Addr().String()
}

func TestResponseCutOffByTheUpstreamIsCutOffDownstream(t *testing.T) {
	for name, answer := range map[string]string{
		"content-length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"chunked":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				http.ReadRequest(r)
				io.WriteString(c, answer)
			}))
			w.host("x", "a")
			p := run(t, w)
			c := dial(t, p.address(t, "gateway"))
			c.send("GET / HTTP/1.1\nHost: x\n\n")
			r, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(r.Body); err == nil || string(body) != "abc" {
				t.Errorf("body %q, error %v: a cut response looks whole", body, err)
			}
		})
	}
}

func TestBodiesAndTrailersBothWays(t *testing.T) {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "Got")
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("Got", fmt.Sprint(n, r.Trailer.Get("Sum")))
	}))
	w.host("x", "a")
	p := run(t, w)
	for _, size := range []int{0, 1, 1000, 70_000, 3 << 20} {
		body := strings.Repeat("0123456789", size/10+1)[:size]
		for name, length := range map[string]int64{"content-length": int64(size), "chunked": -1} {
			r, err := http.NewRequest("POST", "http://"+p.address(t, "gateway")+"/", io.NopCloser(strings.NewReader(body)))
			if err != nil {
				t.Fatal(err)
			}
			r.Host, r.ContentLength = "x", length
			sum := ""
			if length < 0 {
				r.Trailer, sum = http.Header{"Sum": {"s"}}, "s"
			}
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				t.Fatalf("%s %d: %v", name, size, err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(got) != body || resp.Trailer.Get("Got") != fmt.Sprint(size, sum) {
				t.Errorf("%s %d: %d bytes back, %v, trailers %v", name, size, len(got), err, resp.Trailer)
			}
		}
	}
}

func TestFullDuplex(t *testing.T) {
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(req.Body, b); err != nil {
				break
			}
			fmt.Fprintf(c, "1\r\n%s\r\n", b)
		}
		io.WriteString(c, "0\r\n\r\n")
	}))
	w.host("x", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	c.send("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n")
	r, err := http.ReadResponse(c.r, nil) // before any of the body
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range "abc" {
		c.send("1\n%c\n", x)
		b := make([]byte, 1)
		if _, err := io.ReadFull(r.Body, b); err != nil || b[0] != byte(x) {
			t.Fatalf("echo of %c: %q %v", x, b, err)
		}
	}
	c.send("0\n\n")
	if rest, err := io.ReadAll(r.Body); err != nil || len(rest) != 0 {
		t.Errorf("rest %q %v", rest, err)
	}
	// Both ends came together: the connection goes on.
	c.send("POST / HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi")
	if _, body := c.response("POST"); body != "hi" {
		t.Errorf("second request: %q", body)
	}
}

func TestEarlyResponseToAnUnfinishedUpload(t *testing.T) {
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
		io.Copy(io.Discard, r)
	}))
	w.host("x", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	c.send("POST / HTTP/1.1\nHost: x\nContent-Length: 1000000\n\nstart")
	if r, body := c.response("POST"); r.StatusCode != 413 || body != "big" {
		t.Errorf("%d %q", r.StatusCode, body)
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("the connection of a request half read goes on: %v", err)
	}
}

func TestExpectContinue(t *testing.T) {
	w := &world{}
	var expected atomic.Value
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		expected.Store(r.Header.Get("Expect"))
		io.Copy(w, r.Body)
	}))
	w.host("x", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	c.send("POST / HTTP/1.1\nHost: x\nContent-Length: 2\nExpect: 100-continue\n\n")
	if line, _ := c.r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q", line)
	}
	c.r.ReadString('\n')
	c.send("hi")
	if _, body := c.response("POST"); body != "hi" || expected.Load() != "" {
		t.Errorf("body %q, expect sent on: %v", body, expected.Load())
	}
}

func TestEarlyHintsArePassedOn(t *testing.T) {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>")
		w.WriteHeader(103)
		w.WriteHeader(200)
	}))
	w.host("x", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	if r, _ := c.response("GET"); r.StatusCode != 103 || r.Header.Get("Link") != "</x>" {
		t.Fatalf("first %d %v", r.StatusCode, r.Header)
	}
	if r, _ := c.response("GET"); r.StatusCode != 200 {
		t.Errorf("then %d", r.StatusCode)
	}
}

func TestUpgrade(t *testing.T) {
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Upgrade") != "websocket" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		io.Copy(c, r)
		io.WriteString(c, "bye")
	}))
	w.host("x", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	c.send("GET /chat HTTP/1.1\nHost: x\nConnection: upgrade\nUpgrade: websocket\n\nping")
	r, err := http.ReadResponse(c.r, &http.Request{Method: "GET"})
	if err != nil || r.StatusCode != 101 || r.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("%v %v", r, err)
	}
	c.Conn.(*net.TCPConn).CloseWrite()
	if all, err := io.ReadAll(c.r); err != nil || string(all) != "hellopingbye" {
		t.Errorf("after the upgrade: %q %v", all, err)
	}
	// What is not a websocket stays HTTP: h2c would be a way around the routes.
	c = dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\nConnection: upgrade\nUpgrade: h2c\n\n")
	if r, body := c.response("GET"); r.StatusCode != 200 || body != "plain" {
		t.Errorf("h2c: %d %q", r.StatusCode, body)
	}
}

func TestConnectIsRefused(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "a"))
	w.host("*", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	c.send("CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\n\n")
	if r, _ := c.response("CONNECT"); r.StatusCode != 404 {
		t.Errorf("CONNECT: %d", r.StatusCode)
	}
}

func TestClientThatLeavesCancelsTheUpstream(t *testing.T) {
	for name, request := range map[string]string{
		"without body":        "GET / HTTP/1.1\nHost: x\n\n",
		"in the middle of it": "POST / HTTP/1.1\nHost: x\nContent-Length: 10\n\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			started, cancelled := make(chan struct{}), make(chan struct{})
			w := &world{}
			w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" {
					io.ReadFull(r.Body, make([]byte, 3))
				}
				close(started)
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					<-r.Context().Done()
				}
				close(cancelled)
			}))
			w.host("x", "a")
			p := run(t, w)
			c := dial(t, p.address(t, "gateway"))
			c.send("%s", strings.ReplaceAll(request, "\n", "\r\n"))
			<-started
			c.Close()
			select {
			case <-cancelled:
			case <-time.After(time.Minute):
				t.Error("the upstream request goes on")
			}
		})
	}
}

// A pooled connection that the server closed meanwhile costs no request.
func TestConnectionThatDiedWhileIdle(t *testing.T) {
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") // keeps alive, and closes
	}))
	w.host("x", "a")
	p := run(t, w, func(c *Config) { c.tick = time.Hour })
	c := dial(t, p.address(t, "gateway"))
	for i := range 50 {
		// The close may be seen before, while or after the next is sent.
		c.send("GET / HTTP/1.1\nHost: x\n\n")
		if r, body := c.response("GET"); r.StatusCode != 200 || body != "ok" {
			t.Fatalf("GET %d: %d %q", i, r.StatusCode, body)
		}
	}
	for i := range 5 {
		// What must not be sent twice is safe once the close can be seen.
		until(t, "the idle connection is dead", func() bool {
			for _, pl := range p.current.clusters[0].state.appendPools(nil) {
				pl.mu.Lock()
				defer pl.mu.Unlock()
				return len(pl.idle) == 0 || !pl.idle[0].codec.Idle()
			}
			return false
		})
		c.send("POST / HTTP/1.1\nHost: x\nContent-Length: 0\n\n")
		if r, body := c.response("POST"); r.StatusCode != 200 || body != "ok" {
			t.Fatalf("POST %d: %d %q", i, r.StatusCode, body)
		}
	}
}

func TestHeaderTimeout(t *testing.T) {
	p := run(t, &world{}, func(c *Config) { c.HeaderTimeout = 20 * time.Millisecond })
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHo")
	if r, _ := c.response("GET"); r.StatusCode != 408 {
		t.Errorf("status %d", r.StatusCode)
	}
}

func TestStalledResponse(t *testing.T) {
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }))
	w.host("x", "a")
	p := run(t, w, func(c *Config) { c.StreamIdleTimeout = 30 * time.Millisecond })
	if r, body := get(t, p, "x", "/"); r.StatusCode != 504 || body != "stream timeout" {
		t.Errorf("%d %q", r.StatusCode, body)
	}
}

func TestBadRequests(t *testing.T) {
	p := run(t, &world{})
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: a\nHost: b\n\n")
	if r, _ := c.response("GET"); r.StatusCode != 400 || !r.Close {
		t.Errorf("%d, close %v", r.StatusCode, r.Close)
	}
}
