package xds

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// Identities is where secrets come from: an identity.Store, which prepares a
// snapshot before the Server does.
type Identities interface {
	View(snapshot.Digest) *identity.View
	OnChange(func())
}

// rotation tells streams that secrets are others now, though the snapshot is
// the same.
type rotation struct {
	mu   sync.Mutex
	next chan struct{}
}

func newRotation() *rotation { return &rotation{next: make(chan struct{})} }

// awaited returns a channel that is closed when secrets change.
func (r *rotation) awaited() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

func (r *rotation) announce() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.next)
	r.next = make(chan struct{})
}

// secret returns the secret that the client has under name, as it is at
// present, or nil. Its name alone does not give a client anything: what it
// stands for must be named by a listener or cluster of the client's own proxy,
// and of certificates of a mesh the client gets that of its proxy.
func (s *stream) secret(name string) *resource {
	if s.target == nil {
		return nil
	}
	if s.view != nil {
		if r := find(s.view.raw[secret], name); r != nil {
			return r
		}
	}
	of, ok := s.target.secret(s.view, name)
	if !ok || s.target.identities == nil {
		return nil
	}
	m, err := secretMessage(s.target.identities, s.nodeID, of)
	var r *resource
	if err == nil {
		r, err = encodeSecret(m, of)
	}
	if err != nil {
		if s.secretProblem != err.Error() {
			s.secretProblem = err.Error()
			s.log.Error("a secret that the client asks for cannot be had", "secret", name, "error", err)
		}
		return nil
	}
	return r
}

// secretMessage returns the SDS resource of a secret for a node.
func secretMessage(from *identity.View, node string, of envoy.Secret) (*tlsv3.Secret, error) {
	if of.Mesh != "" {
		b, err := from.Mesh(node, of.Mesh)
		if err != nil {
			return nil, err
		}
		if of.Roots {
			return envoy.RootsSecret(of.Name, b.RootsPEM)
		}
		return envoy.CertificateSecret(of.Name, b.CertPEM, b.KeyPEM)
	}
	if of.CA != "" {
		ca, err := from.Secret(of.CA)
		if err != nil {
			return nil, err
		}
		return envoy.RootsSecret(of.Name, ca.Bytes)
	}
	cert, err := from.Secret(of.Cert)
	if err != nil {
		return nil, err
	}
	key, err := from.Secret(of.Key)
	if err != nil {
		return nil, err
	}
	return envoy.CertificateSecret(of.Name, cert.Bytes, key.Bytes)
}

// encodeSecret encodes a secret. Versions are shown to many, so that of a
// certificate with its key says nothing of it.
func encodeSecret(m *tlsv3.Secret, of envoy.Secret) (*resource, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, errors.New("it cannot be encoded")
	}
	version := versionOf(value)
	if of.Certificate() {
		version = hiddenVersion(value)
	}
	return newResource(secret, m.Name, version, value), nil
}

// hiddenVersion is a version that does not help to guess what it is of: a
// digest under a key of this process.
func hiddenVersion(value []byte) string {
	h := hmac.New(sha256.New, versionKey())
	h.Write(value)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

var versionKey = sync.OnceValue(func() []byte {
	b := make([]byte, sha256.Size)
	rand.Read(b) // never fails
	return b
})

// renew offers the client the secrets that it has otherwise.
func (s *stream) renew() error {
	if s.target == nil {
		return nil
	}
	s.subs[secret].unsure = true
	return s.push(secret, false)
}
