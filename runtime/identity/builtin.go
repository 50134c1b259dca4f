package identity

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// maker is a certificate authority that meshc makes and keeps itself. When its
// certificate has run for four fifths of its time, another is made beside it.
// Both are trusted from then on, and once everybody has had the time to hear of
// the new one, that signs.
type maker struct {
	id, mesh string
	path     string    // "" where it is not kept
	pairs    []pair    // newest first, at least one
	pause    time.Time // until another attempt to renew is made
}

// clockSkew is how far the clock of another machine may be behind ours.
const clockSkew = 2 * time.Minute

// The defaults of Kuma for a builtin backend.
const (
	defaultRSABits      = 2048
	defaultCAExpiration = 10 * 365 * 24 * time.Hour
)

// openMaker returns the authority that dir keeps, or makes it there.
func openMaker(dir string, a snapshot.Authority, now time.Time, log *slog.Logger) (*maker, error) {
	m := &maker{id: a.ID, mesh: a.Mesh}
	if dir != "" {
		if err := privateDir(dir); err != nil {
			return nil, err
		}
		// Names may hold anything; an escaped one holds neither comma nor slash.
		m.path = filepath.Join(dir, url.PathEscape(a.Mesh)+","+url.PathEscape(a.Backend)+".pem")
		err := m.load(log)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return m, err
		}
	} else {
		log.Warn("a certificate authority lives in memory only: after a restart nobody trusts the certificates that it signed; --state-dir keeps it", "authority", a.ID)
	}
	return m, m.add(a, now)
}

// load reads what save wrote. It makes no authority anew where the file is
// damaged: everybody would be cut off who trusts the one that was in it.
func (m *maker) load(log *slog.Logger) error {
	text, err := readPrivate(m.path, log.With("authority", m.id))
	if err != nil {
		return err
	}
	certs, err := certificates(text)
	if err != nil {
		return fmt.Errorf("%s %w", m.path, err)
	}
	keys, err := privateKeys(text)
	if err != nil {
		return fmt.Errorf("%s %w", m.path, err)
	}
	if len(keys) != len(certs) {
		return fmt.Errorf("%s holds %d certificates and %d keys", m.path, len(certs), len(keys))
	}
	for i := range certs {
		p := pair{certs[i], keys[i]}
		if !p.fits() || len(p.cert.URIs) != 1 || p.cert.URIs[0].String() != trustDomain(m.mesh) {
			return fmt.Errorf("%s holds a certificate authority of something else than mesh %s", m.path, m.mesh)
		}
		m.pairs = append(m.pairs, p)
	}
	return nil
}

// save puts all pairs in one file, so that no certificate is ever beside
// another's key.
func (m *maker) save() error {
	if m.path == "" {
		return nil
	}
	var text []byte
	for _, p := range m.pairs {
		key, err := keyPEM(p.key)
		if err != nil {
			return err
		}
		text = append(append(text, certPEM(p.cert)...), key...)
	}
	return writePrivate(m.path, text)
}

// add makes a new certificate authority and puts it first.
func (m *maker) add(a snapshot.Authority, now time.Time) error {
	key, err := rsa.GenerateKey(rand.Reader, int(cmp.Or(a.RSABits, defaultRSABits)))
	if err != nil {
		return fmt.Errorf("making a key of %d bits: %w", a.RSABits, err)
	}
	life := time.Duration(a.CAExpiration)
	if life == 0 {
		life = defaultCAExpiration
	}
	domain, err := url.Parse(trustDomain(a.Mesh))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{Organization: []string{"meshc"}, OrganizationalUnit: []string{"Mesh"}, CommonName: a.Mesh},
		URIs:         []*url.URL{domain},
		NotBefore:    now.Add(-clockSkew), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	before := m.pairs
	m.pairs = slices.Insert(slices.Clone(before), 0, pair{cert, key})
	if err := m.save(); err != nil {
		m.pairs = before
		return err
	}
	return nil
}

// signer is the pair that signs now.
func (m *maker) signer(now time.Time) pair {
	for _, p := range m.pairs {
		if !now.Before(settled(p.cert)) {
			return p
		}
	}
	return m.pairs[len(m.pairs)-1]
}

// due is when refresh has something to do, or signer another answer.
func (m *maker) due(now time.Time) time.Time {
	if len(m.pairs) > 1 {
		if at := settled(m.pairs[0].cert); now.Before(at) {
			return at
		}
	}
	c := m.pairs[0].cert
	begin := c.NotBefore.Add(clockSkew)
	at := begin.Add(c.NotAfter.Sub(begin) / 5 * 4)
	if at.Before(m.pause) {
		return m.pause
	}
	return at
}

// settled is when everybody has had the time to hear of c.
func settled(c *x509.Certificate) time.Time {
	begin := c.NotBefore.Add(clockSkew)
	return begin.Add(min(time.Hour, c.NotAfter.Sub(begin)/20))
}

// refresh makes another pair when it is time, and forgets those that ended.
func (m *maker) refresh(a snapshot.Authority, now time.Time) error {
	if now.Before(m.due(now)) {
		return nil
	}
	valid := slices.DeleteFunc(slices.Clone(m.pairs), func(p pair) bool { return now.After(p.cert.NotAfter) })
	before := m.pairs
	m.pairs = valid
	if err := m.add(a, now); err != nil {
		m.pairs, m.pause = before, now.Add(time.Minute)
		return err
	}
	return nil
}

// trustDomain is the URI of a mesh (SPIFFE ID, section 2.1).
func trustDomain(mesh string) string { return "spiffe://" + mesh }

// newSerial returns a number that nobody else has (RFC 5280, section 4.1.2.2).
func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[0] &= 0x7f
	b[0] |= 0x40
	return new(big.Int).SetBytes(b)
}
