// Package identity holds what proxies prove themselves with and what they check
// others by: the certificate authorities of meshes, the certificates that these
// sign for proxies, and the secrets of a snapshot, wherever they are kept.
//
// A Store is a publish.Consumer that comes before those who use it. Each
// snapshot has a View of its own, so that a handshake never meets a snapshot
// that was prepared and not put into effect; what stays the same is shared from
// one View to the next, so that a reload issues nothing anew.
//
// No error, log line or status of the package quotes anything of a secret.
package identity

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// Bundle is what a proxy shows and checks in one mesh. It is never changed.
type Bundle struct {
	// Certificate is the proxy's own, with its key and its Leaf.
	Certificate tls.Certificate
	// Roots are the certificates of all authorities of the mesh.
	Roots *x509.CertPool
	// The same in PEM. KeyPEM is a secret.
	CertPEM, KeyPEM, RootsPEM []byte
	// Version is another one for another Bundle.
	Version string
	// Trust stays the same while a certificate is only renewed. A connection
	// that was made under another Trust is used for nothing new: who was behind
	// it may not be trusted any more, or this proxy not be who it was.
	Trust string
	// NotAfter is when the certificate ends.
	NotAfter time.Time
}

// Value is the content of a secret. It is never changed.
type Value struct {
	Bytes   []byte
	Version string // another one for other Bytes
}

// String hides the content.
func (*Value) String() string { return "[redacted]" }

// GoString hides the content.
func (*Value) GoString() string { return "[redacted]" }
