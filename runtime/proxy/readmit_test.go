package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// inside is a client's connection to an inbound that speaks TLS.
type inside struct {
	*tls.Conn
	r *bufio.Reader
}

// enter connects to the inbound "in" as a service.
func (m *mesh) enter(service string) *inside {
	m.t.Helper()
	c := tls.Client(dial(m.t, m.address("in")).Conn, &tls.Config{
		Certificates: []tls.Certificate{m.bundle("default." + service).Certificate}, InsecureSkipVerify: true,
	})
	c.SetDeadline(time.Now().Add(time.Minute))
	return &inside{c, bufio.NewReader(c)}
}

// says sends text, and returns what the next line of the answer is.
func (c *inside) says(text string) (string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	return c.r.ReadString('\n')
}

// crowd is an inbound that admits web and zoo, in front of a backend.
func crowd(t *testing.T, protocol snapshot.Protocol, backend string, drain time.Duration) *mesh {
	m := newMesh(t)
	m.proxy = run(t, &world{}, func(c *Config) { c.Identities, c.Gateway, c.DrainTimeout = m.store, "", drain })
	m.cluster("local", backend, snapshot.Transport{})
	m.dataplane("api", inbound("in", protocol, "local", "web", "zoo"))
	m.dataplane("web")
	m.dataplane("zoo")
	m.mustPublish()
	return m
}

// admit has the inbound admit other services.
func (m *mesh) admit(protocol snapshot.Protocol, services ...string) {
	m.t.Helper()
	m.proxies[0].Listeners = snapshot.ListOf(inbound("in", protocol, "local", services...))
	m.mustPublish()
}

func TestPermissionTakenAwayEndsConnections(t *testing.T) {
	for name, c := range map[string]struct {
		protocol snapshot.Protocol
		backend  string
		first    string
	}{
		"TCP":  {snapshot.TCP, echo(t), "hello\n"},
		"HTTP": {snapshot.HTTP, backend(t, endless), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			m := crowd(t, c.protocol, c.backend, 10*time.Millisecond)
			web, zoo := m.enter("web"), m.enter("zoo")
			for _, who := range []*inside{web, zoo} {
				if _, err := who.says(c.first); err != nil {
					t.Fatal(err)
				}
			}
			m.admit(c.protocol, "web")
			if _, err := io.Copy(io.Discard, zoo.r); isTimeout(err) {
				t.Error("zoo's connection goes on")
			}
			if c.protocol == snapshot.TCP {
				if line, err := web.says("still\n"); line != "still\n" {
					t.Errorf("web, permitted all the time, reads %q, %v", line, err)
				}
			}
		})
	}
}

// Who was let in by an authority that the mesh lists no more has to go, without
// any change of the listener.
func TestAuthorityTakenAwayEndsConnections(t *testing.T) {
	m := crowd(t, snapshot.TCP, echo(t), 10*time.Millisecond)
	m.authority("two", false)
	m.mustPublish()
	old := m.enter("web")
	if _, err := old.says("hello\n"); err != nil {
		t.Fatal(err)
	}
	m.authorities[0].Issues, m.authorities[1].Issues = false, true
	m.mustPublish()
	fresh := m.enter("web")
	for _, who := range []*inside{old, fresh} {
		if line, err := who.says("both are trusted\n"); line != "both are trusted\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	m.authorities = m.authorities[1:]
	m.mustPublish()
	if _, err := io.Copy(io.Discard, old.r); isTimeout(err) {
		t.Error("the connection of the removed authority's client goes on")
	}
	if line, err := fresh.says("still\n"); line != "still\n" {
		t.Errorf("the other's: %q, %v", line, err)
	}
}

// Who gets the permission back in time stays.
func TestPermissionThatComesBack(t *testing.T) {
	m := crowd(t, snapshot.TCP, echo(t), time.Hour)
	zoo := m.enter("zoo")
	if _, err := zoo.says("hello\n"); err != nil {
		t.Fatal(err)
	}
	leaving := func() (n int) {
		m.proxy.mu.Lock()
		defer m.proxy.mu.Unlock()
		for _, s := range m.proxy.sockets {
			n += s.departing()
		}
		for s := range m.proxy.draining {
			n += s.departing()
		}
		return n
	}
	m.admit(snapshot.TCP, "web")
	until(t, "zoo is to leave", func() bool { return leaving() == 1 })
	m.admit(snapshot.TCP, "zoo")
	until(t, "zoo may stay", func() bool { return leaving() == 0 })
	if line, err := zoo.says("still\n"); line != "still\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func (s *socket) departing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
}

// Time that goes by is no reason to end a connection; that would make a renewal
// of certificates felt.
func TestExpiryEndsNoConnection(t *testing.T) {
	m := crowd(t, snapshot.TCP, echo(t), time.Hour)
	if _, err := m.enter("web").says("hello\n"); err != nil {
		t.Fatal(err)
	}
	var l *listener
	var came net.Conn
	for _, s := range m.proxy.sockets {
		l = s.serving.Load()
		s.each(func(c connection) { came = c.from() })
	}
	leaf := came.(*guest).ConnectionState().PeerCertificates[0]
	end := came.(*guest).until
	roots := m.bundle("default.api").Roots
	for what, c := range map[string]struct {
		roots    *x509.CertPool
		at       time.Time
		admitted bool
	}{
		"now":                               {roots, time.Now(), true},
		"after the certificate's end":       {roots, leaf.NotAfter.Add(time.Second), true},
		"without its authority":             {x509.NewCertPool(), time.Now(), false},
		"without it, after the leaf's end":  {x509.NewCertPool(), leaf.NotAfter.Add(time.Second), false},
		"when the authority itself is over": {x509.NewCertPool(), end.Add(time.Second), true},
	} {
		if err := l.readmit(came, c.roots, c.at); (err == nil) != c.admitted {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := l.readmit(came.(*guest).NetConn(), roots, time.Now()); err != errClear {
		t.Errorf("who came in the clear: %v", err)
	}
}
