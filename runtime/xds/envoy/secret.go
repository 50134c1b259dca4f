package envoy

import (
	"fmt"
	"net/url"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Secret says what an SDS resource holds, and never the content itself: a
// proxy's certificate and key, or roots to verify others with.
type Secret struct {
	// Name is that of the resource: the same in every proxy, each of which
	// gets its own certificate under it.
	Name string
	// Mesh is set of a proxy's certificate in a mesh, or, with Roots, of the
	// roots of the mesh.
	Mesh  string
	Roots bool
	// Cert and Key, or CA, are the IDs of secrets of the snapshot.
	Cert, Key, CA string
	// Raw says that its content stands in a ProxyTemplate.
	Raw bool
}

// Certificate reports whether s is a certificate with its key.
func (s Secret) Certificate() bool { return !s.Roots && s.CA == "" }

// MeshSecrets are those of whoever speaks the mesh's TLS.
func MeshSecrets(mesh string) []Secret {
	return []Secret{
		{Name: "identity/" + mesh, Mesh: mesh},
		{Name: "roots/" + mesh, Mesh: mesh, Roots: true},
	}
}

// TransportSecrets are those that t needs.
func TransportSecrets(t snapshot.Transport) []Secret {
	if t.Mesh != "" {
		return MeshSecrets(t.Mesh)
	}
	var out []Secret
	if t.Cert != "" {
		out = append(out, Secret{Name: "certificate/" + t.Cert + "+" + t.Key, Cert: t.Cert, Key: t.Key})
	}
	if t.CA != "" {
		out = append(out, Secret{Name: "authority/" + t.CA, CA: t.CA})
	}
	return out
}

// Files are the paths where a static configuration looks for s, in PEM: the
// certificate chain and its key, or the roots. They are relative to the folder
// that Envoy runs in.
func (s Secret) Files() []string {
	dir := "secrets/" + url.PathEscape(s.Name)
	if s.Certificate() {
		return []string{dir + "/tls.crt", dir + "/tls.key"}
	}
	return []string{dir + "/ca.crt"}
}

// inFiles returns s as a part of a static configuration.
func (s Secret) inFiles() *tlsv3.Secret {
	var at []*corev3.DataSource
	for _, f := range s.Files() {
		at = append(at, inFile(f))
	}
	if s.Certificate() {
		return certificateSecret(s.Name, at[0], at[1])
	}
	return rootsSecret(s.Name, at[0])
}

// CertificateSecret returns the SDS resource of a certificate chain and its
// key, both in PEM.
func CertificateSecret(name string, cert, key []byte) (*tlsv3.Secret, error) {
	return secret(certificateSecret(name, inlineBytes(cert), inlineBytes(key)))
}

func certificateSecret(name string, cert, key *corev3.DataSource) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: cert,
		PrivateKey:       key,
	}}}
}

// RootsSecret returns the SDS resource of certificates to trust, in PEM.
func RootsSecret(name string, roots []byte) (*tlsv3.Secret, error) {
	return secret(rootsSecret(name, inlineBytes(roots)))
}

func rootsSecret(name string, roots *corev3.DataSource) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
		TrustedCa: roots,
	}}}
}

// secret checks s. The rules' own words are left out: they may quote a value.
func secret(s *tlsv3.Secret) (*tlsv3.Secret, error) {
	if s.ValidateAll() != nil {
		return nil, fmt.Errorf("Envoy would refuse the secret %q: a part of it is missing", s.Name)
	}
	return s, nil
}

func inlineBytes(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
