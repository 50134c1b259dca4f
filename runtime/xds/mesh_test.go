package xds_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
	"github.com/meshc/meshc/runtime/xds"
)

// meshPorts are where the proxy of a mesh listens.
type meshPorts struct{ in, tcpIn, out uint16 }

// meshed is a mesh whose proxy default.web speaks to itself in TLS: its
// outbound leads to its inbound, and that to app. Clients of the inbounds are
// those that rules admit. default.client is another proxy.
func meshed(p meshPorts, app, greeter snapshot.Endpoint, authorities []snapshot.Authority, rules ...snapshot.AccessRule) snapshot.Snapshot {
	secure := snapshot.Transport{Name: "mesh", Mesh: "default", Peers: snapshot.ListOf("spiffe://default/web"), SNI: "web{mesh=default}", ALPN: snapshot.ListOf("kuma")}
	peer := at("127.0.0.1", p.in)
	peer.Transport = secure.Name
	in := snapshot.Listener{
		Name: fmt.Sprintf("inbound:127.0.0.1:%d", p.in), Direction: snapshot.Inbound, Protocol: snapshot.HTTP,
		Address: "127.0.0.1", Port: p.in, VirtualHosts: snapshot.ListOf(host("app", []string{"*"}, "/", "app")),
		TLS: "default", Access: snapshot.Access{Enforced: true, Rules: snapshot.ListOf(rules...)},
	}
	tcp := outboundTCP(p.tcpIn, "greeter")
	tcp.Name, tcp.Direction = fmt.Sprintf("inbound:127.0.0.1:%d", p.tcpIn), snapshot.Inbound
	tcp.TLS, tcp.Access = in.TLS, in.Access
	web := proxy("default.web", in, tcp, outbound(p.out, host("web", []string{"*"}, "/", "web")))
	client := proxy("default.client")
	for _, p := range []*snapshot.Proxy{&web, &client} {
		service := strings.TrimPrefix(p.ID, "default.")
		p.Identities = snapshot.ListOf(snapshot.Identity{Mesh: "default", URIs: snapshot.ListOf("kuma://kuma.io/service/"+service, "spiffe://default/"+service)})
	}
	s := world([]service{
		{name: "app", endpoints: []snapshot.Endpoint{app}},
		{name: "greeter", tcp: true, endpoints: []snapshot.Endpoint{greeter}},
		{name: "web", endpoints: []snapshot.Endpoint{peer}, more: func(c *snapshot.Cluster) { c.Transports = snapshot.ListOf(secure) }},
	}, web, client)
	s.Authorities = snapshot.ListOf(authorities...)
	return snapshot.Seal(s)
}

func authority(backend string, issues bool) snapshot.Authority {
	return snapshot.Authority{
		ID: "default/" + backend, Mesh: "default", Backend: backend, Issues: issues, RSABits: 2048,
		Expiration: snapshot.Duration(time.Hour), Sources: snapshot.ListOf("svc/web"),
	}
}

// admit is a rule for whoever has all the URIs.
func admit(name string, uris ...string) snapshot.AccessRule {
	return snapshot.AccessRule{Name: name, Clients: snapshot.ListOf(snapshot.Client{URIs: snapshot.ListOf(uris...)})}
}

// withIdentity gives the server a Store.
func withIdentity(c *xds.Config) {
	c.Identities = identity.New(identity.Config{Log: slog.New(slog.DiscardHandler)})
}

// as returns a TLS configuration of a proxy for connections to web.
func (r *rig) as(s snapshot.Snapshot, proxy string) *tls.Config {
	r.t.Helper()
	b, err := r.store.View(s.Version).Mesh(proxy, "default")
	if err != nil {
		r.t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{b.Certificate}, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // the name is a URI; that Envoy's certificate is good Envoy itself finds out
	}
}

// secureGet sends one request over a connection of its own and returns the
// serial number of the server's certificate; of a refused one the error.
func secureGet(c *tls.Config, port uint16) (string, error) {
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), c)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), ask(conn)
}

// ask sends a request over c.
func ask(c net.Conn) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// greeter says hello to whoever connects, before it is spoken to.
func greeter(t testing.TB) snapshot.Endpoint {
	t.Helper()
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
			fmt.Fprint(c, "hello")
			c.Close()
		}
	}()
	return at("127.0.0.1", uint16(l.Addr().(*net.TCPAddr).Port))
}

// greeted returns what the greeter says to a client.
func greeted(c *tls.Config, port uint16) string {
	conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), c)
	if err != nil {
		return ""
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	b, _ := io.ReadAll(conn)
	return string(b)
}
