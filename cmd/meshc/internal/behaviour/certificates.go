//go:build linux

package behaviour

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// certificates are the authorities of a run and what they signed, as files
// NAME.crt and NAME.key in a folder.
type certificates struct {
	dir string

	mu     sync.Mutex // backends read what a step writes
	issued map[string]*issued
}

// issued is a certificate and its key.
type issued struct {
	tls.Certificate
	times int // how often one of this name was made
}

// declaredCertificate is a line of the section: NAME alone is a CA, NAME CA
// [SAN…] a leaf that CA signs.
type declaredCertificate struct {
	name, ca string
	names    []string
}

func parseCertificate(line string) (declaredCertificate, error) {
	f := strings.Fields(line)
	switch len(f) {
	case 0:
		return declaredCertificate{}, fmt.Errorf("want NAME [CA [SAN…]]")
	case 1:
		return declaredCertificate{name: f[0]}, nil
	}
	return declaredCertificate{f[0], f[1], f[2:]}, nil
}

func newCertificates(dir string, declared []declaredCertificate) (*certificates, error) {
	c := &certificates{dir: dir, issued: map[string]*issued{}}
	for _, d := range declared {
		if err := c.make(d); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", d.name, err)
		}
	}
	return c, nil
}

// make makes a certificate, or one in the place of another: it is told from the
// first by its organisational unit, which is the how-manieth of its name it is.
func (c *certificates) make(d declaredCertificate) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := &issued{times: 1}
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: d.name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	if was := c.issued[d.name]; was != nil {
		now.times = was.times + 1
		template.Subject.OrganizationalUnit = []string{strconv.Itoa(now.times)}
	}
	parent, signer := &template, key
	if d.ca == "" {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	} else {
		ca := c.issued[d.ca]
		if ca == nil || !ca.Leaf.IsCA {
			return fmt.Errorf("no CA is called %q", d.ca)
		}
		parent, signer = ca.Leaf, ca.PrivateKey.(*ecdsa.PrivateKey)
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	for _, name := range d.names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if u, err := url.Parse(name); err == nil && u.Scheme != "" {
			template.URIs = append(template.URIs, u)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	now.Certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for suffix, block := range map[string]*pem.Block{
		".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := replaceFile(filepath.Join(c.dir, d.name+suffix), pem.EncodeToMemory(block)); err != nil {
			return err
		}
	}
	c.issued[d.name] = now
	return nil
}

// get returns what the certificate of a name is at present, or nil.
func (c *certificates) get(name string) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.issued[name]; i != nil {
		return &i.Certificate
	}
	return nil
}

// pool returns the certificate of a name as the only root.
func (c *certificates) pool(name string) *x509.CertPool {
	pool := x509.NewCertPool()
	if cert := c.get(name); cert != nil {
		pool.AddCert(cert.Leaf)
	}
	return pool
}

var inPlace = regexp.MustCompile(`\$(PEM|TEXT|BASE64)\(([\w.-]+)\)`)

// expand replaces what stands for a file of certificates in text.
func (c *certificates) expand(text string) (string, error) {
	var failed error
	text = inPlace.ReplaceAllStringFunc(text, func(match string) string {
		m := inPlace.FindStringSubmatch(match)
		data, err := os.ReadFile(filepath.Join(c.dir, m[2]))
		if err != nil {
			failed = err
		}
		switch m[1] {
		case "PEM":
			return strconv.Quote(string(data))
		case "TEXT":
			return string(data)
		}
		return base64.StdEncoding.EncodeToString(data)
	})
	return strings.ReplaceAll(text, "$CERTS", c.dir), failed
}

// assignments returns the environment of a case: NAME VALUE, one a line.
func (c *Case) assignments(certs *certificates) (out []string, err error) {
	for line := range strings.Lines(c.env) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if value, err = certs.expand(value); err != nil {
			return nil, err
		}
		if text, err := strconv.Unquote(value); err == nil {
			value = text
		}
		out = append(out, name+"="+value)
	}
	return out, nil
}

// replaceFile has a file hold data from one moment to the next.
func replaceFile(path string, data []byte) error {
	beside := filepath.Join(filepath.Dir(path), ".new-"+filepath.Base(path))
	if err := os.WriteFile(beside, data, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, path)
}

// Certificates makes what lines of a section "certificates" declare, and returns
// the folder of the files.
func Certificates(t testing.TB, lines ...string) string {
	t.Helper()
	var declared []declaredCertificate
	for _, line := range lines {
		d, err := parseCertificate(line)
		if err != nil {
			t.Fatal(err)
		}
		declared = append(declared, d)
	}
	c, err := newCertificates(t.TempDir(), declared)
	if err != nil {
		t.Fatal(err)
	}
	return c.dir
}
