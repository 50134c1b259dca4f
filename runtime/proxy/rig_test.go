package proxy

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nobody is an address where nobody listens: no system gives away this port by itself.
const nobody = "127.0.0.1:1"

// ports are those that freePort has looked at. Each package begins elsewhere, for their
// tests run side by side.
var ports atomic.Uint32

// freePort returns a port that nobody has. It is none of those that the system gives
// to whoever does not care, so that nobody comes by it before it is used.
func freePort(t testing.TB, network string) uint16 {
	t.Helper()
	ports.CompareAndSwap(0, 10_000+rand.Uint32N(4_000))
	for range 1000 {
		port := ports.Add(1)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		var c io.Closer
		var err error
		if network == "udp" {
			c, err = net.ListenPacket(network, address)
		} else {
			c, err = net.Listen(network, address)
		}
		if err == nil {
			c.Close()
			return uint16(port)
		}
	}
	t.Fatal("no port is free")
	return 0
}

// world is a snapshot in the making.
type world struct {
	vhosts    []snapshot.VirtualHost
	dataplane []snapshot.Listener
	clusters  []snapshot.Cluster
	endpoints []snapshot.EndpointSet
	filters   []snapshot.Filter
	blobs     []snapshot.Blob
}

// cluster adds a cluster with static endpoints at addresses.
func (w *world) cluster(name string, addresses ...string) {
	w.clusters = append(w.clusters, snapshot.Cluster{
		Name: name, Service: name, Discovery: snapshot.Static, Balancing: snapshot.RoundRobin,
		ConnectTimeout: snapshot.Duration(5 * time.Second),
	})
	var endpoints []snapshot.Endpoint
	for _, a := range addresses {
		ap := netip.MustParseAddrPort(a)
		endpoints = append(endpoints, snapshot.Endpoint{Address: ap.Addr().String(), Port: ap.Port()})
	}
	w.endpoints = append(w.endpoints, snapshot.EndpointSet{Name: name, Endpoints: snapshot.ListOf(endpoints...)})
}

// host routes a host of the gateway to targets, "cluster" or "cluster:weight".
func (w *world) host(domain string, targets ...string) {
	w.vhosts = append(w.vhosts, snapshot.VirtualHost{
		Name: "vh " + domain, Domains: snapshot.ListOf(domain),
		Routes: snapshot.ListOf(snapshot.Route{Name: "r " + domain, PathPrefix: "/", Targets: targetList(targets)}),
	})
}

func targetList(targets []string) snapshot.List[snapshot.Target] {
	var list []snapshot.Target
	for _, t := range targets {
		target := snapshot.Target{Cluster: t, Weight: 1}
		if name, weight, ok := strings.Cut(t, ":"); ok {
			target.Cluster = name
			fmt.Sscan(weight, &target.Weight)
		}
		list = append(list, target)
	}
	return snapshot.ListOf(list...)
}

// tcp adds a TCP listener of the dataplane, on a port the system chooses.
func (w *world) tcp(name string, targets ...string) {
	w.dataplane = append(w.dataplane, snapshot.Listener{
		Name: name, Direction: snapshot.Outbound, Protocol: snapshot.TCP, Address: "127.0.0.1", Targets: targetList(targets),
	})
}

func (w *world) snapshot() snapshot.Snapshot {
	gateway := snapshot.Listener{
		Name: "gateway", Direction: snapshot.Gateway, Protocol: snapshot.HTTP,
		VirtualHosts: snapshot.ListOf(w.vhosts...), Filters: snapshot.ListOf(w.filters...),
	}
	for i := range w.dataplane {
		w.dataplane[i].Filters = snapshot.ListOf(w.filters...)
	}
	slices.SortFunc(w.clusters, func(a, b snapshot.Cluster) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(w.endpoints, func(a, b snapshot.EndpointSet) int { return cmp.Compare(a.Name, b.Name) })
	return snapshot.Seal(snapshot.Snapshot{
		Proxies: snapshot.ListOf(
			snapshot.Proxy{ID: "default.web", Listeners: snapshot.ListOf(w.dataplane...)},
			snapshot.Proxy{ID: snapshot.GatewayID, Listeners: snapshot.ListOf(gateway)},
		),
		Clusters: snapshot.ListOf(w.clusters...), Endpoints: snapshot.ListOf(w.endpoints...),
		Blobs: snapshot.ListOf(w.blobs...),
	})
}

// run starts a proxy that serves w and is shut down with the test.
func run(t testing.TB, w *world, change ...func(*Config)) *Proxy {
	t.Helper()
	cfg := Config{
		Gateway: "127.0.0.1:0", Serve: func(string) bool { return true },
		Log: slog.New(slog.NewTextHandler(testLog{t}, nil)), tick: 10 * time.Millisecond,
	}
	for _, c := range change {
		c(&cfg)
	}
	p := New(cfg)
	publish(t, p, w)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		// Who gives no time to end has connections that are cut off.
		hasty := 0 < cfg.DrainTimeout && cfg.DrainTimeout < time.Second
		if err := p.Shutdown(ctx); err != nil && err != errStopped && !hasty {
			t.Errorf("shutdown: %v", err)
		}
	})
	return p
}

// testLog writes what the proxy logs to the test's log.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func publish(t testing.TB, p *Proxy, w *world) {
	t.Helper()
	commit, _, err := p.Prepare(context.Background(), w.snapshot())
	if err != nil {
		t.Fatal(err)
	}
	commit()
}

func (p *Proxy) address(t testing.TB, listener string) string {
	t.Helper()
	a := p.Addresses()[listener]
	if a == nil {
		t.Fatalf("no listener %s", listener)
	}
	return a.String()
}

// backend is an HTTP server that handles with h and whose address is returned.
func backend(t testing.TB, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// named is a backend that says its name.
func named(t testing.TB, name string) string {
	return backend(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, name)
	})
}

// client is one raw client connection.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, strings.ReplaceAll(format, "\n", "\r\n"), args...); err != nil {
		c.t.Fatal(err)
	}
}

// response reads a response and its whole body.
func (c *client) response(method string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("body: %v after %q", err, body)
	}
	return r, string(body)
}

// get sends a GET for host on a connection of its own.
func get(t testing.TB, p *Proxy, host, path string) (*http.Response, string) {
	t.Helper()
	c := dial(t, p.address(t, "gateway"))
	defer c.Close()
	c.send("GET %s HTTP/1.1\nHost: %s\n\n", path, host)
	return c.response("GET")
}

// until polls for a condition of another process or goroutine.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// kinds makes Config.NewFilter from functions.
type kinds map[string]func(filter.Stream) filter.HTTP

func (k kinds) install(w *world, closed func(string)) func(*Config) {
	for name := range k {
		w.filters = append(w.filters, snapshot.Filter{Kind: name})
	}
	return func(c *Config) {
		c.NewFilter = func(_ context.Context, f snapshot.Filter, _ bool, _ string) (filter.Factory, error) {
			if k[f.Kind] == nil {
				return nil, fmt.Errorf("no such kind")
			}
			return testFactory{k[f.Kind], func() { closed(f.Kind) }}, nil
		}
	}
}

type testFactory struct {
	http  func(filter.Stream) filter.HTTP
	close func()
}

func (f testFactory) HTTP(s filter.Stream) filter.HTTP { return f.http(s) }
func (f testFactory) TCP(filter.Conn) filter.TCP       { return nil }
func (f testFactory) Close()                           { f.close() }

func mustAddrPort(e snapshot.Endpoint) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(e.Address), e.Port)
}

func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)}) }
