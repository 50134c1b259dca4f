package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// guest is the connection of a client that has shown who it is.
type guest struct {
	*servedConn
	until time.Time // the end of the authority that vouched for it
}

// admission tells apart by what clients are let in. It stays the same while a
// certificate is merely renewed.
type admission struct {
	mesh   string
	access snapshot.Digest
	trust  string
}

var errClear = errors.New("the client came before the listener spoke TLS")

// admit returns the end of the authority that vouches for a client, or why the
// client is not let in, by the time at.
func (l *listener) admit(s tls.ConnectionState, roots *x509.CertPool, at time.Time) (until time.Time, err error) {
	uris, until, err := peerURIs(s, roots, x509.ExtKeyUsageClientAuth, at)
	if err == nil {
		err = l.access.check(l.tls, uris)
	}
	return until, err
}

// readmit returns why l would not let in again a client that is inside. What has
// merely expired since is not held against it, its authority included.
func (l *listener) readmit(nc net.Conn, roots *x509.CertPool, now time.Time) error {
	if l.tls == "" {
		return nil
	}
	g, ok := nc.(*guest)
	if !ok {
		return errClear
	}
	s := g.ConnectionState()
	at := s.PeerCertificates[0].NotAfter
	if now.Before(at) {
		at = now
	}
	_, err := l.admit(s, roots, at)
	var untrusted *verifyError
	if errors.As(err, &untrusted) && now.After(g.until) {
		return nil
	}
	return err
}

// readmit looks whether those inside would be let in again, wherever that
// may have changed: by a reload, or because a secret did. Those who would not have
// the drain time to end; then they are cut off.
func (p *Proxy) readmit() {
	p.readmitting.Lock()
	defer p.readmitting.Unlock()
	type changed struct {
		*listener
		roots   *x509.CertPool
		sockets []*socket
	}
	doors := map[*door]*changed{}
	p.mu.Lock()
	for _, s := range p.sockets {
		l := s.serving.Load()
		if l.tls == "" && s.door.by == (admission{}) {
			continue
		}
		by, c := admission{mesh: l.tls, access: l.access.digest}, &changed{listener: l}
		if l.tls != "" {
			b, err := bundle(l.gen.identities, l.proxy, l.tls)
			if err != nil {
				continue // nobody new comes in either, and it may pass
			}
			by.trust, c.roots = b.Trust, b.Roots
		}
		if by == s.door.by && !s.door.unsure {
			continue
		}
		// Who is being let in just now is seen the next time.
		s.door.by, s.door.unsure = by, by != s.door.by
		c.sockets = append(c.sockets, s)
		doors[s.door] = c
	}
	for s := range p.draining {
		if c := doors[s.door]; c != nil {
			c.sockets = append(c.sockets, s)
		}
	}
	p.mu.Unlock()
	now := time.Now()
	for _, c := range doors {
		refused := 0
		for _, s := range c.sockets {
			refused += s.readmit(c.listener, c.roots, now)
		}
		if refused > 0 {
			p.log.Info("connections of clients that are not admitted any more end", "listener", c.name, "connections", refused, "at most", p.cfg.DrainTimeout)
		}
	}
}

// readmit begins to end the connections that l would not let in again, and
// returns how many those are.
func (s *socket) readmit(l *listener, roots *x509.CertPool, now time.Time) (refused int) {
	at := now.Add(s.proxy.cfg.DrainTimeout).UnixNano()
	s.each(func(c connection) {
		nc := c.from()
		if nc == nil {
			return
		}
		err := l.readmit(nc, roots, now)
		if s.leave(c, err != nil, at) {
			refused++
			s.proxy.log.Debug("connection ends", "listener", l.name, "remote", nc.RemoteAddr(), "error", err)
			c.drain()
		}
	})
	return refused
}

// leave has c cut off at a time or, with on false, not any more. True: it is
// news, and c is still there.
func (s *socket) leave(c connection, on bool, at int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, there := s.live[c]
	switch {
	case !there || on == (before != 0):
		return false
	case on:
		s.live[c] = at
		s.leaving++
		return true
	}
	s.live[c] = 0
	s.leaving--
	return false
}

// overdue returns the connections whose time to end has gone by.
func (s *socket) overdue(now int64) (all []connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving == 0 {
		return nil
	}
	for c, at := range s.live {
		if at != 0 && at <= now {
			all = append(all, c)
		}
	}
	return all
}
