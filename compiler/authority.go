package compiler

import (
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// The lives of certificates where the Mesh does not say (Kuma has ten years for
// a CA, and for a proxy's 30 days, which is long for a key that anybody on the
// machine can reach who may read the proxy's memory).
const (
	caExpiration    = 10 * 365 * 24 * time.Hour
	proxyExpiration = 24 * time.Hour
	defaultRSABits  = 2048
)

// lowerAuthority makes the authority of one backend of a mesh.
func lowerAuthority(m *meshTLS, i int) snapshot.Authority {
	backend := &m.body.MTLS.Backends[i]
	a := snapshot.Authority{
		ID: m.doc.Name + "/" + backend.Name, Mesh: m.doc.Name, Backend: backend.Name,
		Issues:     backend.Name == m.body.MTLS.EnabledBackend,
		Expiration: snapshot.Duration(age(backend.DPCert.Rotation.Expiration, proxyExpiration)),
		Sources:    sources(nil, m.doc),
	}
	if backend.Type == "builtin" {
		a.RSABits = backend.Conf.CACert.RSABits
		if a.RSABits == 0 {
			a.RSABits = defaultRSABits
		}
		a.CAExpiration = snapshot.Duration(age(backend.Conf.CACert.Expiration, caExpiration))
	}
	for _, s := range sourcesOf(m.doc) {
		switch s.source {
		case backend.Conf.Cert:
			a.Cert = s.id()
		case backend.Conf.Key:
			a.Key = s.id()
		}
	}
	a.Digest = a.Sum()
	return a
}

// age reads a number with one unit, as in 24h or 10y; a year is 365 days, as in
// Kuma. Where nothing or 0 is written, and where it is more than a Duration
// holds, it is otherwise.
func age(text string, otherwise time.Duration) time.Duration {
	digits := strings.TrimRight(text, "ywdhms")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit := map[string]time.Duration{
		"y": 365 * 24 * time.Hour, "w": 7 * 24 * time.Hour, "d": 24 * time.Hour,
		"h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond,
	}[text[len(digits):]]
	if err != nil || n <= 0 || unit == 0 || n > int64(1<<63-1)/int64(unit) {
		return otherwise
	}
	return time.Duration(n) * unit
}
