package proxy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
)

// door443 is a listener with chains, in the making.
type door443 struct {
	*mesh
	chains []snapshot.Chain
	routes []snapshot.Route
}

func newDoor443(t testing.TB) *door443 {
	d := &door443{mesh: &mesh{t: t, store: identity.New(identity.Config{Log: slog.New(slog.DiscardHandler)})}}
	d.cluster("bytes", echo(t), snapshot.Transport{})
	return d
}

// chain adds one that shows a certificate of its own name.
func (d *door443) chain(name string, protocol snapshot.Protocol, names ...string) *snapshot.Chain {
	d.certify(name)
	return d.add(snapshot.Chain{Name: name, ServerNames: snapshot.ListOf(names...), Protocol: protocol,
		Certificates: snapshot.ListOf(snapshot.Certificate{Cert: name + "#cert", Key: name + "#key"})})
}

func (d *door443) add(c snapshot.Chain) *snapshot.Chain {
	if c.Protocol == snapshot.TCP {
		c.Targets = targetList([]string{"bytes"})
	}
	d.chains = append(d.chains, c)
	return &d.chains[len(d.chains)-1]
}

// certify makes the certificate of a chain, another one where it has one.
func (d *door443) certify(name string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		d.t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		d.t.Fatal(err)
	}
	var kept []snapshot.Secret
	for _, s := range d.secrets {
		if !strings.HasPrefix(s.ID, name+"#") {
			kept = append(kept, s)
		}
	}
	d.secrets = kept
	d.secret(name+"#cert", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	d.secret(name+"#key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

func (d *door443) serve() {
	d.t.Helper()
	l := snapshot.Listener{Name: "tls", Direction: snapshot.Inbound, Protocol: snapshot.HTTP, Address: "127.0.0.1", Chains: snapshot.ListOf(d.chains...),
		VirtualHosts: snapshot.ListOf(snapshot.VirtualHost{Name: "all", Domains: snapshot.ListOf("*"), Routes: snapshot.ListOf(d.routes...)})}
	d.proxies = nil
	d.dataplane("door", l)
	d.mustPublish()
}

// dial makes a handshake and returns whose certificate the client was shown.
func (d *door443) dial(c *tls.Config) (*tls.Conn, string, error) {
	d.t.Helper()
	c.InsecureSkipVerify = true
	nc, err := net.Dial("tcp", d.address("tls"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	conn := tls.Client(nc, c)
	if err := conn.Handshake(); err != nil {
		return nil, "", err
	}
	return conn, conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

// answer is the route that answers with its name.
func answer(name string, serverNames ...string) snapshot.Route {
	return snapshot.Route{Name: name, PathPrefix: "/", ServerNames: snapshot.ListOf(serverNames...), Answer: snapshot.Answer{Status: 200, Body: name}}
}

// askOver sends a request over c and returns the body of the response.
func askOver(t testing.TB, c *tls.Conn, protocol string) string {
	t.Helper()
	over := &http.Transport{ForceAttemptHTTP2: protocol == "h2", DialTLS: func(string, string) (net.Conn, error) { return c, nil }}
	defer over.CloseIdleConnections()
	r, err := (&http.Client{Transport: over, Timeout: time.Minute}).Get("https://x/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestChainsByServerName(t *testing.T) {
	d := newDoor443(t)
	d.chain("exact", snapshot.HTTP, "www.shop.test")
	d.chain("leading", snapshot.HTTP, "*.shop.test")
	d.chain("trailing", snapshot.HTTP, "www.*")
	d.routes = []snapshot.Route{answer("named", "*.shop.test"), answer("rest")}
	d.serve()
	for _, c := range []struct{ sni, shown, body string }{
		{"www.shop.test", "exact", "named"}, {"WWW.shop.test", "exact", "named"},
		{"api.shop.test", "leading", "named"}, {"www.test", "trailing", "rest"},
		{"a.b.shop.test", "", ""}, {"shop.test", "", ""}, {"", "", ""},
	} {
		for _, protocol := range []string{"h2", "http/1.1"} {
			conn, shown, err := d.dial(&tls.Config{ServerName: c.sni, NextProtos: []string{protocol}})
			if c.shown == "" {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%q: got %v, want the end of the connection and no word before it", c.sni, err)
				}
				continue
			}
			if err != nil || shown != c.shown {
				t.Errorf("%q: shown %q (%v), want %q", c.sni, shown, err, c.shown)
				continue
			}
			if got := conn.ConnectionState().NegotiatedProtocol; got != protocol {
				t.Errorf("%q: %q was negotiated, want %q", c.sni, got, protocol)
			}
			if got := askOver(t, conn, protocol); got != c.body {
				t.Errorf("%q: route %q, want %q", c.sni, got, c.body)
			}
		}
	}
	d.chain("any", snapshot.HTTP, snapshot.AnyServerName)
	d.serve()
	for _, sni := range []string{"", "shop.test"} {
		if _, shown, err := d.dial(&tls.Config{ServerName: sni}); shown != "any" {
			t.Errorf("%q: shown %q (%v), want any", sni, shown, err)
		}
	}
}

func TestChainsCarryBytes(t *testing.T) {
	d := newDoor443(t)
	d.chain("ended", snapshot.TCP, "ended.test")
	d.add(snapshot.Chain{Name: "passed", ServerNames: snapshot.ListOf("passed.test"), Protocol: snapshot.TCP})
	d.add(snapshot.Chain{Name: "others", ServerNames: snapshot.ListOf("others.test"), Protocol: snapshot.TCP, SourceRanges: snapshot.ListOf("192.0.2.0/24")})
	d.serve()

	conn, shown, err := d.dial(&tls.Config{ServerName: "ended.test", NextProtos: []string{"h2"}})
	if err != nil || shown != "ended" {
		t.Fatalf("shown %q: %v", shown, err)
	}
	echoes(t, conn, []byte("hello"))
	if got := conn.ConnectionState().NegotiatedProtocol; got != "" {
		t.Errorf("%q was negotiated for what is only bytes", got)
	}

	hello := clientHello(t, "passed.test")
	raw := dial(t, d.address("tls"))
	for i := range hello { // in as many pieces as there can be
		raw.Write(hello[i : i+1])
	}
	echoed := make([]byte, len(hello))
	if _, err := io.ReadFull(raw, echoed); err != nil || !bytes.Equal(echoed, hello) {
		t.Errorf("the ClientHello did not pass as it was: %v", err)
	}
	echoes(t, raw, []byte("and more"))

	for what, first := range map[string][]byte{
		"another's":  clientHello(t, "others.test"),
		"too large":  bytes.Repeat(append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff}, make([]byte, 0x4000-4)...), 2),
		"not of TLS": []byte("GET / HTTP/1.1\r\nHost: passed.test\r\n\r\n"),
	} {
		raw := dial(t, d.address("tls"))
		go raw.Write(first)
		if rest, err := io.ReadAll(raw); len(rest) > 0 && what != "not of TLS" || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %q, %v", what, rest, err)
		}
	}
}

// clientHello returns that of a client that asks for a server name.
func clientHello(t testing.TB, sni string) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go tls.Client(theirs, &tls.Config{ServerName: sni}).Handshake()
	ours.SetDeadline(time.Now().Add(time.Minute))
	head := make([]byte, 5)
	if _, err := io.ReadFull(ours, head); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(ours, rest); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	return append(head, rest...)
}

func echoes(t testing.TB, c net.Conn, text []byte) {
	t.Helper()
	if _, err := c.Write(text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("got %q (%v), want %q", got, err, text)
	}
}

// A certificate that another takes the place of is seen by the next connection,
// one that could have taken a session up again included.
func TestChainsShowTheNewCertificate(t *testing.T) {
	d := newDoor443(t)
	d.chain("www", snapshot.HTTP, "www.test")
	d.routes = []snapshot.Route{answer("before")}
	d.serve()
	client := &tls.Config{ServerName: "www.test", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	serial := func() (*tls.Conn, string) {
		t.Helper()
		c, _, err := d.dial(client)
		if err != nil {
			t.Fatal(err)
		}
		return c, c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	held, first := serial()
	if got := askOver(t, held, ""); got != "before" { // reads the tickets, too
		t.Fatal(got)
	}
	again, second := serial()
	if !again.ConnectionState().DidResume || second != first {
		t.Errorf("the session is not taken up again: %v", again.ConnectionState().DidResume)
	}
	d.routes[0] = answer("after")
	d.serve()
	if other, _ := serial(); !other.ConnectionState().DidResume {
		t.Error("a reload that touches no certificate ends the sessions")
	}
	d.certify("www")
	d.serve()
	renewed, third := serial()
	if renewed.ConnectionState().DidResume || third == first {
		t.Errorf("after the renewal a client resumed (%v) or was shown %s again", renewed.ConnectionState().DidResume, third)
	}
	if got := askOver(t, again, ""); got != "after" {
		t.Errorf("an old connection gets %q", got)
	}
}

// What takes the place of a chain while a client makes its handshake serves the
// client only if it would have let it in.
func TestChainsGoDuringAHandshake(t *testing.T) {
	for _, c := range []struct {
		name   string
		reload func(d *door443)
		served bool
	}{
		{"for one like it", func(d *door443) { d.routes[0] = answer("after"); d.serve() }, true},
		{"for that of another name", func(d *door443) { d.chains = nil; d.chain("other", snapshot.HTTP, "other.test"); d.serve() }, false},
		{"for one that carries bytes", func(d *door443) { d.chains = nil; d.chain("www", snapshot.TCP, "www.test"); d.serve() }, false},
		{"for one of other addresses", func(d *door443) { d.chains[0].SourceRanges = snapshot.ListOf("192.0.2.0/24"); d.serve() }, false},
		{"for a mesh", func(d *door443) {
			d.proxies = nil
			d.dataplane("door", inbound("tls", snapshot.HTTP, "bytes", "web"))
			d.mustPublish()
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDoor443(t)
			d.authority("one", true)
			d.chain("www", snapshot.HTTP, "www.test")
			d.routes = []snapshot.Route{answer("before")}
			d.serve()
			conn, _, err := d.dial(&tls.Config{ServerName: "www.test", VerifyConnection: func(tls.ConnectionState) error {
				c.reload(d)
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			got, _ := io.ReadAll(conn)
			if !c.served && len(got) > 0 || c.served && !bytes.Contains(got, []byte("after")) {
				t.Errorf("the client gets %q", got)
			}
		})
	}
}

// A reload leaves chains that stay as they are alone, but for the clusters that
// are others.
func TestChainsAreCarried(t *testing.T) {
	d := newDoor443(t)
	d.chain("www", snapshot.HTTP, "www.test")
	d.chain("bytes", snapshot.TCP, "bytes.test")
	d.routes = []snapshot.Route{answer("same")}
	d.serve()
	serving := func() *chains {
		d.proxy.mu.Lock()
		defer d.proxy.mu.Unlock()
		return d.proxy.current.listeners[0].chains
	}
	first := serving()
	if first.all[0].shown.sound.Load() == nil {
		t.Error("a certificate that was found good is parsed again")
	}
	d.cluster("other", echo(t), snapshot.Transport{})
	d.serve()
	if serving() != first {
		t.Error("chains of which nothing is new are made anew")
	}
	d.clusters[0].ConnectTimeout++
	d.serve()
	second := serving()
	if second == first || second.all[0] != first.all[0] || second.all[1] == first.all[1] || second.find("bytes.test") != second.all[1] {
		t.Error("not just the chain is made anew whose cluster is another")
	}
	conn, _, err := d.dial(&tls.Config{ServerName: "bytes.test"})
	if err != nil {
		t.Fatal(err)
	}
	echoes(t, conn, []byte("hello"))

	d.secrets = nil
	d.secret("www#cert", []byte("no certificate"))
	d.secret("www#key", []byte("no key"))
	d.certify("bytes")
	d.proxies = nil
	d.dataplane("door", snapshot.Listener{Name: "tls", Direction: snapshot.Inbound, Protocol: snapshot.HTTP, Address: "127.0.0.1", Chains: snapshot.ListOf(d.chains...),
		VirtualHosts: snapshot.ListOf(snapshot.VirtualHost{Name: "all", Domains: snapshot.ListOf("*"), Routes: snapshot.ListOf(d.routes...)})})
	if err := d.publish(); err == nil {
		t.Error("a certificate that cannot be read is taken")
	}
}

func FuzzClientHello(f *testing.F) {
	d := newDoor443(f)
	d.proxy = run(f, &world{}, func(c *Config) { c.Identities, c.Gateway, c.Log = d.store, "", slog.New(slog.DiscardHandler) })
	d.chain("www", snapshot.HTTP, "www.test", "*.test")
	d.add(snapshot.Chain{Name: "passed", ServerNames: snapshot.ListOf("passed.test"), Protocol: snapshot.TCP})
	d.serve()
	f.Add(clientHello(f, "www.test"))
	f.Add(clientHello(f, "passed.test"))
	f.Add([]byte{22, 3, 1, 0, 5})
	address := d.address("tls")
	f.Fuzz(func(t *testing.T, first []byte) {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.Write(first)
		nc.(*net.TCPConn).CloseWrite()
		nc.SetDeadline(time.Now().Add(time.Minute))
		io.Copy(io.Discard, nc) // ends, whatever came
		next, err := tls.Dial("tcp", address, &tls.Config{ServerName: "www.test", InsecureSkipVerify: true})
		if err != nil {
			t.Fatalf("the next client is refused: %v", err)
		}
		next.Close()
	})
}
