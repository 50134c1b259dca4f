package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// entrance is an accepted connection while its TLS handshake goes on. Then it
// is given to the socket that is behind the door by then, as what the listener
// makes of it.
type entrance struct {
	socket *socket
	l      *listener // with a reference to its generation
	nc     net.Conn
	// Who the client says it is, until when that is vouched for, and the
	// certificate that is shown to it; the handshake's goroutine has them.
	shows string
	until time.Time
	own   *x509.Certificate
	// Where the listener has chains: what was read so far, and the chain.
	preview *preview
	chain   *chain
}

func newEntrance(s *socket, l *listener, nc net.Conn) *entrance {
	return &entrance{socket: s, l: l, nc: nc}
}

func (e *entrance) drain()      {} // it is not known yet what it will ask for
func (e *entrance) check(int64) {}
func (e *entrance) kill()       { e.nc.Close() }

func (e *entrance) from() net.Conn { return nil }

func (e *entrance) serve() {
	defer e.l.gen.release()
	ctx, cancel := context.WithTimeout(context.Background(), e.socket.proxy.cfg.HandshakeTimeout)
	defer cancel()
	var err error
	if e.l.chains != nil {
		err = e.part(ctx)
	} else {
		c := tls.Server(e.nc, &tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: e.config,
		})
		if err = c.HandshakeContext(ctx); err == nil {
			err = e.socket.hand(func(to *socket) error {
				return to.admit(e.l, &guest{&servedConn{c, e.own}, e.until})
			})
		}
	}
	if err != nil {
		e.l.conns.refused()
		e.tell(err)
		e.nc.Close()
	}
}

// part gives the connection to the chain that its ClientHello asks for.
func (e *entrance) part(ctx context.Context) error {
	e.preview = &preview{Conn: e.nc}
	c := tls.Server(e.preview, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: e.choose})
	err := c.HandshakeContext(ctx)
	return e.socket.hand(func(to *socket) error {
		switch {
		case errors.Is(err, errPasses):
			to.carry(e.l, e.chain, e.nc, e.preview.read)
		case err != nil:
			return err
		case e.chain.protocol == snapshot.HTTP:
			return to.enter(e.l, &servedConn{c, e.own})
		default:
			to.carry(e.l, e.chain, &servedConn{c, e.own}, nil)
		}
		return nil
	})
}

// tell says why the client is not let in.
func (e *entrance) tell(err error) {
	log := e.socket.proxy.log
	if errors.Is(err, io.EOF) {
		// Whoever looks whether the port is open does so.
		log.Debug("a client leaves before its TLS handshake", "listener", e.l.name, "remote", e.nc.RemoteAddr())
		return
	}
	e.l.conns.handshakes.fail(log, "TLS handshake refused", slog.String("listener", e.l.name),
		slog.String("remote", e.nc.RemoteAddr().String()), slog.String("shows", e.shows), slog.Any("error", err))
}

// claimed returns what a peer's certificate says whose it is, for the log: the
// first SPIFFE ID, which nobody may have verified.
func claimed(s tls.ConnectionState) string {
	const most = 200
	for _, c := range s.PeerCertificates[:min(1, len(s.PeerCertificates))] {
		for _, u := range c.URIs {
			if u.Scheme == "spiffe" {
				text := u.String()
				return text[:min(most, len(text))]
			}
		}
	}
	return ""
}

// config is made for each handshake, of the certificate that there is by then.
func (e *entrance) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	b, err := bundle(e.l.gen.identities, e.l.proxy, e.l.tls)
	if err != nil {
		return nil, err
	}
	e.own = b.Certificate.Leaf
	c := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{b.Certificate},
		ClientAuth:   tls.RequireAnyClientCert, // which VerifyConnection verifies
		// A session that is taken up again would show a certificate that nobody
		// looks at any more.
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			e.shows = claimed(s)
			e.until, err = e.l.admit(s, b.Roots, time.Now())
			return err
		},
	}
	// A client that offers nothing of ours is served without, as Envoy does.
	if slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(e.l.alpn, p) }) {
		c.NextProtos = e.l.alpn
	}
	return c, nil
}

// enter serves the HTTP connection nc, which has made its handshake for a chain
// of the listener shaken. The one that serves by now may be another, and nc has
// shown it nothing but its server name and its address.
func (s *socket) enter(shaken *listener, nc *servedConn) error {
	l := s.acquire()
	if l != shaken && !l.takes(nc) {
		l.gen.release()
		return errors.New("the listener that serves by now has no chain for the client")
	}
	s.serve(l, nc)
	return nil
}

// takes reports whether a chain of l serves the client of nc by HTTP.
func (l *listener) takes(nc net.Conn) bool {
	if l.chains == nil || !l.ranges.admit(addressOf(nc.RemoteAddr()).Addr()) {
		return false
	}
	c := l.chains.find(serverName(nc))
	return c != nil && c.shown != nil && c.protocol == snapshot.HTTP && c.ranges.admit(addressOf(nc.RemoteAddr()).Addr())
}

// hand calls f with the socket behind s's door, or with s where that ends, too. Neither
// is done before f returns, whatever is put in their place meanwhile; s has connections.
func (s *socket) hand(f func(to *socket) error) error {
	s.door.mu.Lock()
	to := s.door.to
	if to.draining.Load() {
		to = s
	}
	to.conns.Add(1)
	s.door.mu.Unlock()
	defer to.conns.Done()
	return f(to)
}

// admit serves a connection that has made its handshake for the listener shaken.
// The one that serves by now may be another, and not for that client.
func (s *socket) admit(shaken *listener, g *guest) error {
	l := s.acquire()
	if l != shaken {
		b, err := bundle(l.gen.identities, l.proxy, l.tls)
		if err == nil {
			g.until, err = l.admit(g.ConnectionState(), b.Roots, time.Now())
		}
		if err != nil {
			l.gen.release()
			return err
		}
	}
	s.serve(l, g)
	return nil
}
