package proxy

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
)

// shown is the certificates of a chain. They are read anew when the secrets are
// others.
type shown struct {
	spec snapshot.List[snapshot.Certificate]
	last atomic.Pointer[serverConfigs]
	// sound are the versions of the secrets that check found good last. What it
	// parses is not kept in last: its generation may never serve.
	sound atomic.Pointer[string]
}

// serverConfigs are for clients that offer a protocol of ours and for those
// that do not. Whoever takes a session up again knows the key of these: another
// certificate has another, so that it is seen.
type serverConfigs struct {
	versions string
	made     time.Time
	http, no *tls.Config // with and without ALPN
}

// ticketLife is how long one key encrypts the tickets of sessions.
const ticketLife = 24 * time.Hour

// newShown returns the certificates of a chain, nil where it has none; those of
// before, which may be nil, where they are the same.
func newShown(s snapshot.Chain, before *chain) *shown {
	if s.Certificates.Len() == 0 {
		return nil
	}
	if before != nil && before.shown != nil && snapshot.DigestOf(before.shown.spec) == snapshot.DigestOf(s.Certificates) {
		return before.shown
	}
	return &shown{spec: s.Certificates}
}

// check returns why the certificates that v has cannot be shown.
func (s *shown) check(v *identity.View) error {
	versions, pairs, err := s.read(v)
	if err != nil {
		return err
	}
	if sound := s.sound.Load(); sound != nil && *sound == versions {
		return nil
	}
	if _, err := parse(pairs, s.spec); err != nil {
		return err
	}
	s.sound.Store(&versions)
	return nil
}

// configs returns what v has now. Where that is not good any more, it is what
// was before.
func (s *shown) configs(v *identity.View) (*serverConfigs, error) {
	last := s.last.Load()
	versions, pairs, err := s.read(v)
	if err == nil && last != nil && last.versions == versions && time.Since(last.made) < ticketLife {
		return last, nil
	}
	var certs []tls.Certificate
	if err == nil {
		certs, err = parse(pairs, s.spec)
	}
	if err != nil {
		if last != nil {
			return last, nil // the identity store has told of it
		}
		return nil, err
	}
	var key [32]byte
	rand.Read(key[:]) // never fails
	next := &serverConfigs{versions: versions, made: time.Now()}
	next.no = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: certs}
	next.http = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: certs, NextProtos: []string{"h2", "http/1.1"}}
	for _, c := range []*tls.Config{next.no, next.http} {
		c.SetSessionTicketKeys([][32]byte{key})
	}
	s.last.Store(next)
	return next, nil
}

// pair is a certificate and its key in PEM.
type pair struct{ cert, key []byte }

func (s *shown) read(v *identity.View) (versions string, pairs []pair, err error) {
	if v == nil {
		return "", nil, errors.New("there are no secrets")
	}
	var all strings.Builder
	for _, c := range s.spec.All() {
		cert, err := v.Secret(c.Cert)
		if err != nil {
			return "", nil, err
		}
		key, err := v.Secret(c.Key)
		if err != nil {
			return "", nil, err
		}
		all.WriteString(cert.Version + " " + key.Version + " ")
		pairs = append(pairs, pair{cert.Bytes, key.Bytes})
	}
	return all.String(), pairs, nil
}

func parse(pairs []pair, from snapshot.List[snapshot.Certificate]) ([]tls.Certificate, error) {
	out := make([]tls.Certificate, len(pairs))
	for i, p := range pairs {
		var err error
		if out[i], err = tls.X509KeyPair(p.cert, p.key); err != nil {
			// Its text is of the form of the secrets, and quotes nothing of them.
			return nil, fmt.Errorf("secrets %s and %s: %w", from.At(i).Cert, from.At(i).Key, err)
		}
	}
	return out, nil
}
