package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// Each reload moves the host to another backend; clients with kept and with
// fresh connections lose nothing, and each sees the generations in order.
func TestReloadUnderLoadLosesNothing(t *testing.T) {
	const generations = 20
	address := make([]string, generations)
	for i := range address {
		address[i] = named(t, fmt.Sprint(i))
	}
	at := func(i int) *world {
		w := &world{}
		w.cluster(fmt.Sprint("c", i), address[i])
		w.host("x", fmt.Sprint("c", i))
		w.cluster("same", address[i])
		w.host("y", "same")
		w.tcp("outbound", fmt.Sprint("c", i))
		return w
	}
	p := run(t, at(0))
	gateway, outbound := p.address(t, "gateway"), p.address(t, "outbound")
	var stop atomic.Bool
	var served atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			tr := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer tr.CloseIdleConnections()
			target := gateway
			if i >= 4 {
				target = outbound // as bytes, on a fresh connection each
				tr.DisableKeepAlives = true
			}
			last := 0
			for !stop.Load() {
				r, err := http.NewRequest("GET", "http://"+target+"/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Host = []string{"x", "y"}[served.Load()%2]
				resp, err := tr.RoundTrip(r)
				if err != nil {
					t.Errorf("request lost: %v", err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				var now int
				fmt.Sscan(string(body), &now)
				if err != nil || resp.StatusCode != 200 || now < last {
					t.Errorf("status %d, generation %q after %d, %v", resp.StatusCode, body, last, err)
					return
				}
				last = now
				served.Add(1)
			}
		})
	}
	for i := 1; i < generations; i++ {
		before := served.Load()
		until(t, "requests went through", func() bool { return served.Load() > before+20 || t.Failed() })
		publish(t, p, at(i))
	}
	stop.Store(true)
	wg.Wait()
	if _, body := get(t, p, "x", "/"); body != fmt.Sprint(generations-1) {
		t.Errorf("the last generation does not serve: %q", body)
	}
}

func TestRequestKeepsItsGenerationAndFiltersCloseAfterIt(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{})
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-release
		io.WriteString(w, "old")
	}))
	w.host("x", "a")
	closed := make(chan string, 10)
	install := kinds{"k": func(filter.Stream) filter.HTTP { return filter.PassThrough{} }}.install(w, func(k string) { closed <- k })
	p := run(t, w, install)
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	<-started
	next := &world{}
	next.cluster("b", named(t, "new"))
	next.host("x", "b")
	publish(t, p, next)
	if _, body := get(t, p, "x", "/"); body != "new" {
		t.Errorf("after the reload: %q", body)
	}
	select {
	case <-closed:
		t.Error("a factory was closed under a running request")
	default:
	}
	close(release)
	if _, body := c.response("GET"); body != "old" {
		t.Errorf("the request in flight got %q", body)
	}
	<-closed
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	if _, body := c.response("GET"); body != "new" {
		t.Errorf("the next request on the connection got %q", body)
	}
}

func TestSocketTable(t *testing.T) {
	at := func(names ...string) *world {
		w := &world{}
		w.cluster("a", named(t, "a"))
		w.host("x", "a")
		for _, n := range names {
			w.tcp(n, "a")
		}
		return w
	}
	p := run(t, at("one", "two"))
	before := p.Addresses()
	publish(t, p, at("two", "three"))
	after := p.Addresses()
	if len(after) != 3 || after["two"].String() != before["two"].String() || after["gateway"].String() != before["gateway"].String() {
		t.Errorf("sockets that stay were opened anew: %v, then %v", before, after)
	}
	if c, err := net.Dial("tcp", before["one"].String()); err == nil {
		c.Close()
		t.Error("a removed listener still accepts")
	}

	t.Run("an error names the listener and leaves everything as it was", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		bad := at("two", "four")
		bad.dataplane = append(bad.dataplane, snapshot.Listener{
			Name: "outbound:taken", Protocol: snapshot.TCP, Address: "127.0.0.1", Port: uint16(taken.Addr().(*net.TCPAddr).Port),
		})
		if _, _, err := p.Prepare(context.Background(), bad.snapshot()); err == nil || !strings.Contains(err.Error(), "outbound:taken") {
			t.Errorf("error %v", err)
		}
		if got := p.Addresses(); len(got) != 3 {
			t.Errorf("addresses %v", got)
		}
	})
	t.Run("abort closes what was opened", func(t *testing.T) {
		w := at("two", "three")
		w.dataplane = append(w.dataplane, snapshot.Listener{Name: "n", Protocol: snapshot.TCP, Address: "127.0.0.1", Port: freePort(t, "tcp")})
		for range 2 { // the second time would find the address in use
			_, abort, err := p.Prepare(context.Background(), w.snapshot())
			if err != nil {
				t.Fatal(err)
			}
			abort()
		}
	})
	t.Run("a filter that cannot be made", func(t *testing.T) {
		w := at()
		w.filters = []snapshot.Filter{{Kind: "none"}}
		if _, _, err := p.Prepare(context.Background(), w.snapshot()); err == nil || !strings.Contains(err.Error(), "gateway") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a publication that is overtaken", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, _, err := p.Prepare(ctx, at().snapshot()); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestTCP(t *testing.T) {
	w := &world{}
	w.cluster("echo", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		all, _ := io.ReadAll(r) // needs the client's half-close
		c.Write(all)
	}))
	w.cluster("greets", rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.WriteString(c, "hello") }))
	w.cluster("empty")
	w.tcp("echo", "echo")
	w.tcp("greets", "greets")
	w.tcp("none")
	w.tcp("empty", "empty")
	p := run(t, w)
	t.Run("half-close", func(t *testing.T) {
		c := dial(t, p.address(t, "echo"))
		sent := strings.Repeat("x", 1<<20)
		go func() {
			io.WriteString(c, sent)
			c.Conn.(*net.TCPConn).CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || string(got) != sent {
			t.Errorf("%d bytes back, %v", len(got), err)
		}
	})
	t.Run("server speaks first and ends", func(t *testing.T) {
		c := dial(t, p.address(t, "greets"))
		if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
			t.Errorf("%q %v", got, err)
		}
	})
	for _, name := range []string{"none", "empty"} {
		t.Run(name+" is closed at once", func(t *testing.T) {
			c := dial(t, p.address(t, name))
			if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
				t.Errorf("%q %v", got, err)
			}
		})
	}
}

func TestDNSCluster(t *testing.T) {
	one := netip.MustParseAddrPort(named(t, "1"))
	var answer atomic.Pointer[[]netip.Addr]
	var asked atomic.Int32
	var failure atomic.Pointer[error]
	broken, gone := errors.New("no answer"), error(&net.DNSError{IsNotFound: true})
	failure.Store(&broken)
	fail := []netip.Addr{}
	answer.Store(&fail)
	w := &world{}
	w.cluster("a")
	w.clusters[0].Discovery = snapshot.DNS
	w.endpoints[0].Endpoints = snapshot.ListOf(snapshot.Endpoint{Address: "backend.example", Port: one.Port()})
	w.host("x", "a")
	p := run(t, w, func(c *Config) {
		c.Resolve = func(_ context.Context, host string) ([]netip.Addr, time.Duration, error) {
			asked.Add(1)
			if host != "backend.example" {
				t.Errorf("asked for %s", host)
			}
			if a := *answer.Load(); len(a) > 0 {
				return a, time.Hour, nil
			}
			return nil, 0, *failure.Load()
		}
	})
	if r, _ := get(t, p, "x", "/"); r.StatusCode != 503 {
		t.Errorf("unresolved: %d", r.StatusCode)
	}
	good := []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1"), netip.MustParseAddr("::1")}
	answer.Store(&good)
	expire := func() {
		p.names.mu.Lock()
		defer p.names.mu.Unlock()
		for _, h := range p.names.hosts {
			h.due = time.Time{}
		}
	}
	expire()
	until(t, "the name is resolved again", func() bool { r, _ := get(t, p, "x", "/"); return r.StatusCode == 200 })
	answer.Store(&fail)
	before := asked.Load()
	expire()
	until(t, "the name is asked for again", func() bool { get(t, p, "x", "/"); return asked.Load() > before })
	if r, body := get(t, p, "x", "/"); r.StatusCode != 200 || body != "1" {
		t.Errorf("the last good answer was not kept: %d %q", r.StatusCode, body)
	}
	failure.Store(&gone)
	expire()
	until(t, "the name is gone", func() bool { r, _ := get(t, p, "x", "/"); return r.StatusCode == 503 })
}

func TestPoolsSurviveAReloadWhileTheEndpointStays(t *testing.T) {
	var conns atomic.Int32
	address := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		conns.Add(1)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				conns.Add(-1)
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	w := &world{}
	w.cluster("a", address)
	w.host("x", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	for range 6 {
		c.send("GET / HTTP/1.1\nHost: x\n\n")
		c.response("GET")
		publish(t, p, w)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d upstream connections for 6 requests one after the other", n)
	}
	publish(t, p, &world{})
	until(t, "the idle connection of a removed endpoint is closed", func() bool { return conns.Load() == 0 })
}

func TestMetrics(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "abc"))
	w.host("x", "a")
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	for range 3 {
		c.send("POST / HTTP/1.1\nHost: x\nContent-Length: 2\n\nhi")
		c.response("POST")
	}
	c.send("GET / HTTP/1.1\nHost: nobody\n\n")
	c.response("GET")
	c.send("GET / HTTP/1.1\nHost: x\nContent-Length: 0\n\n")
	c.response("GET")
	publish(t, p, w) // counters live on
	until(t, "the last request is counted", func() bool {
		p.metrics.mu.Lock()
		defer p.metrics.mu.Unlock()
		return p.metrics.gen.meters[meterKey{"gateway", "a"}].time(200).count.Load() == 4
	})
	got := metricsOf(t, p)
	for name, value := range map[string]float64{
		"requests_total code=200 listener=gateway service=a":            4,
		"requests_total code=404 listener=gateway service=":             1,
		"received_bytes_total listener=gateway service=a":               6,
		"sent_bytes_total listener=gateway service=a":                   12,
		"request_duration_seconds class=2xx listener=gateway service=a": 4,
		"request_duration_seconds class=4xx listener=gateway service=":  1,
		"connections_total listener=gateway":                            1,
		"connections_active listener=gateway":                           1,
		"upstream_connects_total cluster=a":                             1,
		"upstream_connect_failures_total cluster=a":                     0,
	} {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s is %v, want %v", name, v, value)
		}
	}
}

// metricsOf returns the metrics of p by name and labels; of a histogram, the count.
func metricsOf(t *testing.T, p *Proxy) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(p.Metrics())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "meshc_proxy_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}
