package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/identity"
)

// mesh is a world with mTLS: dataplanes web and api, whose inbounds lead to
// backends, and whose outbounds lead to each other.
type mesh struct {
	t           testing.TB
	store       *identity.Store
	proxy       *Proxy
	authorities []snapshot.Authority
	clusters    []snapshot.Cluster
	endpoints   []snapshot.EndpointSet
	proxies     []snapshot.Proxy
	secrets     []snapshot.Secret
}

func newMesh(t testing.TB) *mesh {
	m := &mesh{t: t, store: identity.New(identity.Config{Log: slog.New(slog.DiscardHandler), Dir: authorities(t)})}
	m.authority("one", true)
	return m
}

// authorities keeps the keys of one test for the others: making them is slow.
func authorities(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if cached := authorityCache.Load(); cached != nil {
		for name, data := range *cached {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() {
		files, _ := os.ReadDir(dir)
		all := map[string][]byte{}
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err == nil {
				all[f.Name()] = data
			}
		}
		authorityCache.Store(&all)
	})
	return dir
}

var authorityCache atomic.Pointer[map[string][]byte]

func (m *mesh) authority(backend string, issues bool) {
	m.authorities = append(m.authorities, snapshot.Authority{
		ID: "default/" + backend, Mesh: "default", Backend: backend, Issues: issues, RSABits: 2048, Expiration: snapshot.Duration(time.Hour),
	})
}

// dataplane adds a proxy with listeners; its identity is that of a service.
func (m *mesh) dataplane(service string, listeners ...snapshot.Listener) {
	m.proxies = append(m.proxies, snapshot.Proxy{
		ID: "default." + service, Mesh: "default", Listeners: snapshot.ListOf(listeners...),
		Identities: snapshot.ListOf(snapshot.Identity{Mesh: "default", URIs: snapshot.ListOf("kuma://version/1", "spiffe://default/"+service)}),
	})
}

// cluster adds one with an endpoint, over a transport, if that has a name.
func (m *mesh) cluster(name, address string, over snapshot.Transport) {
	c := snapshot.Cluster{
		Name: name, Service: name, Discovery: snapshot.Static, Balancing: snapshot.RoundRobin, ConnectTimeout: snapshot.Duration(5 * time.Second),
	}
	if over.Name != "" {
		c.Transports = snapshot.ListOf(over)
	}
	ap := netip.MustParseAddrPort(address)
	m.clusters = append(m.clusters, c)
	m.endpoints = append(m.endpoints, snapshot.EndpointSet{Name: name, Endpoints: snapshot.ListOf(
		snapshot.Endpoint{Address: ap.Addr().String(), Port: ap.Port(), Transport: over.Name})})
}

func peer(service string) snapshot.Transport {
	return snapshot.Transport{Name: "mesh:" + service, Mesh: "default", Peers: snapshot.ListOf("spiffe://default/" + service), SNI: service + "{mesh=default}"}
}

func listenerFor(name string, protocol snapshot.Protocol, target string) snapshot.Listener {
	l := snapshot.Listener{Name: name, Protocol: protocol, Address: "127.0.0.1", Direction: snapshot.Outbound}
	if protocol == snapshot.HTTP {
		l.VirtualHosts = snapshot.ListOf(snapshot.VirtualHost{Name: name, Domains: snapshot.ListOf("*"), Routes: snapshot.ListOf(
			snapshot.Route{Name: name, PathPrefix: "/", Targets: targetList([]string{target})})})
	} else {
		l.Targets = targetList([]string{target})
	}
	return l
}

// inbound is a listener that speaks TLS and admits the services.
func inbound(name string, protocol snapshot.Protocol, target string, admits ...string) snapshot.Listener {
	l := listenerFor(name, protocol, target)
	l.Direction, l.TLS, l.Access.Enforced = snapshot.Inbound, "default", true
	for _, s := range admits {
		l.Access.Rules = snapshot.ListOf(append(l.Access.Rules.Slice(), snapshot.AccessRule{
			Name: s, Clients: snapshot.ListOf(snapshot.Client{URIs: snapshot.ListOf("kuma://version/1", "spiffe://default/"+s)}),
		})...)
	}
	return l
}

func (m *mesh) snapshot() snapshot.Snapshot {
	w := world{clusters: m.clusters, endpoints: m.endpoints}
	s := w.snapshot()
	s.Proxies, s.Authorities, s.Secrets = snapshot.ListOf(m.proxies...), snapshot.ListOf(m.authorities...), snapshot.ListOf(m.secrets...)
	return snapshot.Seal(s)
}

// publish starts the proxy, or gives it the next snapshot.
func (m *mesh) publish() error {
	m.t.Helper()
	if m.proxy == nil {
		m.proxy = run(m.t, &world{}, func(c *Config) { c.Identities = m.store; c.Gateway = "" })
	}
	next := m.snapshot()
	first, _, err := m.store.Prepare(m.t.Context(), next)
	if err != nil {
		return err
	}
	second, _, err := m.proxy.Prepare(m.t.Context(), next)
	if err != nil {
		return err
	}
	first()
	second()
	return nil
}

func (m *mesh) mustPublish() {
	m.t.Helper()
	if err := m.publish(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) bundle(proxy string) *identity.Bundle {
	m.t.Helper()
	b, err := m.store.View(m.snapshot().Version).Mesh(proxy, "default")
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// get asks a listener of the proxy.
func (m *mesh) get(listener string) (int, string) {
	m.t.Helper()
	c := dial(m.t, m.proxy.address(m.t, listener))
	defer c.Close()
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	r, body := c.response("GET")
	return r.StatusCode, body
}

// address of a listener, for the endpoints of the next snapshot.
func (m *mesh) address(listener string) string { return m.proxy.address(m.t, listener) }

// pairOf is web calling api, in one process.
func pairOf(t testing.TB, protocol snapshot.Protocol, backend string, admits ...string) *mesh {
	m := newMesh(t)
	m.cluster("local", backend, snapshot.Transport{})
	m.dataplane("api", inbound("in", protocol, "local", admits...))
	m.mustPublish()
	m.cluster("api", m.address("in"), peer("api"))
	m.dataplane("web", listenerFor("out", protocol, "api"))
	m.dataplane("zoo", listenerFor("out-zoo", protocol, "api"))
	m.mustPublish()
	return m
}

func TestMeshTLS(t *testing.T) {
	m := pairOf(t, snapshot.HTTP, named(t, "api"), "web")
	if status, body := m.get("out"); status != 200 || body != "api" {
		t.Errorf("web gets %d %q", status, body)
	}
	// The two are in one process, and show each its own certificate.
	if status, body := m.get("out-zoo"); status != 503 || !strings.HasPrefix(body, "upstream connect error") {
		t.Errorf("zoo gets %d %q", status, body)
	}
	if status, _ := m.get("out"); status != 200 {
		t.Errorf("then web gets %d", status)
	}
	m.until503(func() { m.proxies[0].Listeners = snapshot.ListOf(inbound("in", snapshot.HTTP, "local", "zoo")) })
	if status, body := m.get("out-zoo"); status != 200 || body != "api" {
		t.Errorf("zoo, now permitted, gets %d %q", status, body)
	}
}

// until503 makes a change, after which web is refused.
func (m *mesh) until503(change func()) {
	m.t.Helper()
	change()
	m.mustPublish()
	until(m.t, "web is refused", func() bool { status, _ := m.get("out"); return status == 503 })
}

func TestWhoIsRefused(t *testing.T) {
	m := pairOf(t, snapshot.TCP, echo(t), "web")
	address := m.address("in")
	stranger := identity.New(identity.Config{Log: slog.New(slog.DiscardHandler), Dir: t.TempDir()})
	commit, _, err := stranger.Prepare(t.Context(), m.snapshot())
	if err != nil {
		t.Fatal(err)
	}
	commit()
	foreign, err := stranger.View(m.snapshot().Version).Mesh("default.web", "default")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config *tls.Config
		served bool
	}{
		"web":                  {&tls.Config{Certificates: []tls.Certificate{m.bundle("default.web").Certificate}}, true},
		"offering other words": {&tls.Config{Certificates: []tls.Certificate{m.bundle("default.web").Certificate}, NextProtos: []string{"kuma"}}, true},
		"zoo":                  {&tls.Config{Certificates: []tls.Certificate{m.bundle("default.zoo").Certificate}}, false},
		"nobody":               {&tls.Config{}, false},
		"of another authority": {&tls.Config{Certificates: []tls.Certificate{foreign.Certificate}}, false},
		"TLS 1.1":              {&tls.Config{Certificates: []tls.Certificate{m.bundle("default.web").Certificate}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"in the clear":         {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			nc := dial(t, address)
			var conn net.Conn = nc.Conn
			if c.config != nil {
				c.config.InsecureSkipVerify = true
				conn = tls.Client(conn, c.config)
			}
			io.WriteString(conn, "hello\n") // may fail: the answer tells
			line, err := bufio.NewReader(conn).ReadString('\n')
			if served := line == "hello\n"; served != c.served {
				t.Errorf("answer %q, %v", line, err)
			}
		})
	}
}

// echo is a TCP server that says what it hears.
func echo(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// Half-closes pass, and nothing is cut off, with TLS on one side of the tunnel.
func TestTunnelOverTLS(t *testing.T) {
	m := pairOf(t, snapshot.TCP, echo(t), "web")
	c := dial(t, m.address("out"))
	text := strings.Repeat("a line of text\n", 100_000)
	go func() {
		io.WriteString(c, text)
		c.Conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c.r)
	if err != nil || string(got) != text {
		t.Errorf("%d of %d bytes, %v", len(got), len(text), err)
	}
}

// A connection of before lives on for as long as its authority is trusted, new
// ones show another certificate; nobody who goes on trusting loses a request.
func TestAuthoritiesTakeOver(t *testing.T) {
	m := pairOf(t, snapshot.HTTP, named(t, "api"), "web")
	address := m.address("in")
	old := tls.Client(dial(t, address).Conn, &tls.Config{Certificates: []tls.Certificate{m.bundle("default.web").Certificate}, InsecureSkipVerify: true})
	ask := func(c *tls.Conn) error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r.Body)
		return err
	}
	if err := ask(old); err != nil {
		t.Fatal(err)
	}
	serial := old.ConnectionState().PeerCertificates[0].SerialNumber
	before := m.bundle("default.web").Certificate
	step := func(what string, change func()) {
		t.Helper()
		change()
		m.mustPublish()
		if status, body := m.get("out"); status != 200 {
			t.Fatalf("%s: %d %q", what, status, body)
		}
	}
	step("another authority is added", func() { m.authority("two", false) })
	step("it signs", func() { m.authorities[0].Issues, m.authorities[1].Issues = false, true })
	fresh := tls.Client(dial(t, address).Conn, &tls.Config{Certificates: []tls.Certificate{before}, InsecureSkipVerify: true})
	if err := ask(fresh); err != nil {
		t.Errorf("who shows a certificate of the first one is refused too early: %v", err)
	}
	if fresh.ConnectionState().PeerCertificates[0].SerialNumber.Cmp(serial) == 0 {
		t.Error("a new connection sees the old certificate")
	}
	if err := ask(old); err != nil {
		t.Errorf("the connection of before was cut: %v", err)
	}
	step("the first is removed", func() { m.authorities = m.authorities[1:] })
	until(t, "the connection of before ends", func() bool { return ask(old) != nil })
	removed := tls.Client(dial(t, address).Conn, &tls.Config{Certificates: []tls.Certificate{before}, InsecureSkipVerify: true})
	if err := ask(removed); err == nil {
		t.Error("who shows a certificate of the removed one is served")
	}
}

// A cluster that gets TLS is not spoken to on the connections of before.
func TestTransportsReplacePools(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "secure "+r.TLS.ServerName) }))
	var asked atomic.Int32
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		asked.Add(1)
		return nil, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	m := newMesh(t)
	m.secret("ca", ca)
	m.secret("other", m.someRoot())
	m.cluster("shop", server.Listener.Addr().String(), snapshot.Transport{Name: "external:shop", CA: "ca", Host: "example.com", SNI: "shop.example"})
	m.dataplane("web", listenerFor("out", snapshot.HTTP, "shop"))
	m.mustPublish()
	c := dial(t, m.address("out"))
	for range 3 {
		c.send("GET / HTTP/1.1\nHost: x\n\n")
		if r, body := c.response("GET"); r.StatusCode != 200 || body != "secure shop.example" {
			t.Fatalf("%d %q", r.StatusCode, body)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d connections for 3 requests", n)
	}
	change := func(transport snapshot.Transport) (int, string) {
		m.clusters[0].Transports = snapshot.ListOf(transport)
		m.mustPublish()
		return m.get("out")
	}
	const failed = "reset reason: remote connection failure"
	if status, body := change(snapshot.Transport{Name: "external:shop", CA: "ca", Host: "other.example"}); status != 503 || !strings.HasSuffix(body, failed) {
		t.Errorf("another name: %d %q", status, body)
	}
	if status, body := change(snapshot.Transport{Name: "external:shop", CA: "other", Host: "example.com"}); status != 503 || !strings.HasSuffix(body, failed) {
		t.Errorf("another authority: %d %q", status, body)
	}
	if status, _ := change(snapshot.Transport{Name: "external:shop"}); status != 200 {
		t.Errorf("nothing to verify by: %d", status)
	}
	if status, _ := change(snapshot.Transport{Name: "external:shop", CA: "ca", Host: "127.0.0.1"}); status != 200 {
		t.Errorf("an address in place of a name: %d", status)
	}
	m.clusters[0].Transports = snapshot.List[snapshot.Transport]{}
	m.mustPublish()
	if status, body := m.get("out"); status != 503 || body != "no healthy upstream" {
		t.Errorf("an endpoint without its transport: %d %q", status, body)
	}
	m.secret("broken", []byte("no PEM"))
	m.clusters[0].Transports = snapshot.ListOf(snapshot.Transport{Name: "external:shop", CA: "broken"})
	if err := m.publish(); err == nil || !strings.Contains(err.Error(), "cluster shop: secret broken holds no certificate") || strings.Contains(err.Error(), "no PEM") {
		t.Errorf("an authority that cannot be read: %v", err)
	}
}

func (m *mesh) secret(id string, data []byte) {
	m.secrets = append(m.secrets, snapshot.Secret{ID: id, Data: snapshot.Hidden(base64.StdEncoding.EncodeToString(data))})
	for i := len(m.secrets) - 1; i > 0 && m.secrets[i].ID < m.secrets[i-1].ID; i-- {
		m.secrets[i], m.secrets[i-1] = m.secrets[i-1], m.secrets[i]
	}
}

// someRoot is a certificate that has signed nothing here.
func (m *mesh) someRoot() []byte {
	var out []byte
	m.dataplane("scratch")
	m.mustPublish()
	out = bytes.Clone(m.bundle("default.scratch").RootsPEM)
	m.proxies = nil
	return out
}

// An endpoint of its own shows the client's certificate, and calls for it.
func TestClientCertificate(t *testing.T) {
	m := newMesh(t)
	m.dataplane("client")
	m.mustPublish()
	shown := m.bundle("default.client")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(shown.RootsPEM)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.PeerCertificates[0].URIs[1])
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.StartTLS()
	t.Cleanup(server.Close)
	m.secret("cert", shown.CertPEM)
	m.secret("key", shown.KeyPEM)
	m.cluster("shop", server.Listener.Addr().String(), snapshot.Transport{Name: "external:shop", Cert: "cert", Key: "key"})
	m.dataplane("web", listenerFor("out", snapshot.HTTP, "shop"))
	m.mustPublish()
	if status, body := m.get("out"); status != 200 || body != "spiffe://default/client" {
		t.Errorf("%d %q", status, body)
	}
}

// A filter's call shows the certificate of the proxy on whose stream it is made.
func TestCallsOfSeveralProxies(t *testing.T) {
	m := pairOf(t, snapshot.HTTP, named(t, "api"), "web")
	for proxy, status := range map[string]string{"default.web": "200", "default.zoo": "503"} {
		r := m.proxy.call(t, "api", filter.CallRequest{Headers: callHeaders("GET"), Proxy: proxy})
		if got := r.Headers.Value(":status"); got != status {
			t.Errorf("%s gets %s, want %s", proxy, got, status)
		}
	}
	for _, proxy := range []string{"default.api", ""} {
		request := filter.CallRequest{Headers: callHeaders("GET"), Proxy: proxy}
		if _, err := m.proxy.Call("api", request, func(filter.CallResponse) {}); err != filter.ErrNoCluster {
			t.Errorf("for %q: %v", proxy, err)
		}
	}
}
