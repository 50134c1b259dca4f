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
	for d, sockets := range p.crowded() {
		l := d.serving
		by, roots := admission{mesh: l.tls, access: l.access.digest}, (*x509.CertPool)(nil)
		if l.tls != "" {
			b, err := bundle(l.gen.identities, l.proxy, l.tls)
			if err != nil {
				continue // nobody new comes in either, and it may pass
			}
			by.trust, roots = b.Trust, b.Roots
		}
		if by == d.by && !d.unsure {
			continue
		}
		// Who is being let in just now is seen the next time.
		d.by, d.unsure = by, by != d.by
		refused, now := 0, time.Now()
		for _, s := range sockets {
			refused += s.readmit(l, roots, now)
		}
		if refused > 0 {
			p.log.Info("connections of clients that are not admitted any more end", "listener", l.name, "connections", refused, "at most", p.cfg.DrainTimeout)
		}
	}
}

// guarded is a door with what is behind it at present.
type guarded struct {
	*door
	serving *listener
}

// crowded returns the sockets with somebody inside, by their doors, of those doors
// where it matters who that is. Nobody's certificate need be made for the others.
func (p *Proxy) crowded() map[guarded][]*socket {
	p.mu.Lock()
	defer p.mu.Unlock()
	serving := map[*door]*listener{}
	out := map[guarded][]*socket{}
	add := func(s *socket) {
		if l := serving[s.door]; l != nil && s.crowd() > 0 {
			g := guarded{s.door, l}
			out[g] = append(out[g], s)
		}
	}
	for _, s := range p.sockets {
		if l := s.serving.Load(); l.tls != "" || s.door.by != (admission{}) {
			serving[s.door] = l
			add(s)
		}
	}
	for s := range p.draining {
		add(s)
	}
	return out
}

// crowd is how many connections s has.
func (s *socket) crowd() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
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
