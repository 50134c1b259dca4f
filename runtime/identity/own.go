package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// own is the certificate that is shown where there is no other. It is signed by
// itself, so no client takes it that verifies what it is shown.
type own struct{ certPEM, keyPEM []byte }

// ownLife is how long it is valid: as Kong's, twenty years.
const ownLife = 20 * 365 * 24 * time.Hour

// openOwn returns the certificate that dir keeps, or makes it there; with dir ""
// it is kept nowhere. One that has ended is made anew.
func openOwn(dir string, now time.Time, log *slog.Logger) (*own, error) {
	if dir == "" {
		p, err := makeOwn(now)
		if err != nil {
			return nil, err
		}
		return p.own()
	}
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "gateway.pem") // of authorities all have a comma
	p, err := loadOwn(path, log)
	switch {
	case err == nil && now.Before(p.cert.NotAfter):
		return p.own()
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if p, err = makeOwn(now); err != nil {
		return nil, err
	}
	o, err := p.own()
	if err != nil {
		return nil, err
	}
	return o, writePrivate(path, append(append([]byte{}, o.certPEM...), o.keyPEM...))
}

func loadOwn(path string, log *slog.Logger) (p pair, err error) {
	text, err := readPrivate(path, log)
	if err != nil {
		return p, err
	}
	certs, err := certificates(text)
	if err != nil {
		return p, fmt.Errorf("%s %w", path, err)
	}
	keys, err := privateKeys(text)
	if err != nil {
		return p, fmt.Errorf("%s %w", path, err)
	}
	if p = (pair{certs[0], keys[0]}); len(certs)+len(keys) != 2 || !p.fits() {
		return p, fmt.Errorf("%s holds something else than one certificate and its key", path)
	}
	return p, nil
}

func makeOwn(now time.Time) (p pair, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return p, err
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{Organization: []string{"meshc"}, CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    now.Add(-clockSkew), NotAfter: now.Add(ownLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return p, err
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert, key}, err
}

func (p pair) own() (*own, error) {
	key, err := keyPEM(p.key)
	return &own{certPEM(p.cert), key}, err
}

// give sets n, which is Made; the Store's lock is held.
func (s *Store) give(n *secret, now time.Time) error {
	if s.own == nil {
		var err error
		if s.own, err = openOwn(s.cfg.Dir, now, s.log); err != nil {
			s.own = nil
			return err
		}
	}
	data, err := s.own.part(n.of.Made)
	if err != nil {
		return err
	}
	n.value.Store(newValue(data))
	return nil
}

// part returns what a secret is that is Made so.
func (o *own) part(made string) ([]byte, error) {
	switch made {
	case snapshot.MadeCertificate:
		return o.certPEM, nil
	case snapshot.MadeKey:
		return o.keyPEM, nil
	}
	return nil, fmt.Errorf("%q is nothing that is made", made)
}
