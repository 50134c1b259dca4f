package identity

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// provided returns the authority that a user brings as PEM. What is asked of it
// is what Kuma asks: a root, alone, that may sign certificates and do nothing
// else with its key (X.509-SVID, sections 4.1 and 4.3). The compiler asks the
// same where it can see the files; here it is asked of what serves.
func provided(cert, key []byte, now time.Time) (pair, error) {
	chain, err := certificates(cert)
	if err != nil {
		return pair{}, fmt.Errorf("its certificate %w", err)
	}
	keys, err := privateKeys(key)
	if err != nil {
		return pair{}, fmt.Errorf("its key %w", err)
	}
	p := pair{chain[0], keys[0]}
	c := p.cert
	const other = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement | x509.KeyUsageKeyEncipherment
	switch {
	case len(chain) > 1:
		err = fmt.Errorf("its certificate is a chain of %d; give the root alone", len(chain))
	case !p.fits():
		err = errors.New("its key is not that of its certificate")
	case !c.IsCA:
		err = errors.New("its certificate is not a CA")
	case !bytes.Equal(c.RawIssuer, c.RawSubject):
		err = errors.New("its certificate is not a root")
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		err = errors.New("its certificate may not sign others: it lacks the key usage keyCertSign")
	case c.KeyUsage&other != 0:
		err = errors.New("its certificate has key usages that a CA of mesh identities must not have")
	case now.After(c.NotAfter):
		err = fmt.Errorf("its certificate ended on %s", c.NotAfter.UTC().Format(time.DateTime))
	case now.Before(c.NotBefore):
		err = fmt.Errorf("its certificate begins on %s", c.NotBefore.UTC().Format(time.DateTime))
	}
	return p, err
}
