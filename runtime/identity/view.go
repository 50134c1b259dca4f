package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// View is what belongs to one snapshot. While that serves it follows the time
// and the sources of secrets; afterwards it stays as it is, for requests that
// have yet to end.
type View struct {
	store   *Store
	version snapshot.Digest
	proxies snapshot.List[snapshot.Proxy]
	secrets map[string]*secret

	// The lock of the Store guards what follows, and is taken before mu.
	meshes      map[string]*mesh
	authorities []*authority  // sorted by ID
	leaves      map[key]*leaf // of those who asked, here or in the View before
	renewAt     time.Time     // not after the first of leaves is due

	mu      sync.RWMutex
	bundles map[key]*Bundle
}

// mesh is what the proxies of a mesh trust, and who signs for them.
type mesh struct {
	roots  *roots
	issues *authority // nil where no backend is enabled
	signer pair       // the one of issues that signs now
}

// roots are the certificates of the authorities of one mesh.
type roots struct {
	pool   *x509.CertPool
	pem    []byte
	digest string
}

// authority is one backend of a mesh.
type authority struct {
	of    snapshot.Authority
	where string // for errors
	made  *maker // nil for one that the user provides
	// cert and key are what brought belongs to.
	cert, key string // versions of the secrets
	brought   pair
	problem   string // why the secrets are not in use as they are now
}

// certs are the certificates that a speaks for.
func (a *authority) certs() []*x509.Certificate {
	if a.made == nil {
		return []*x509.Certificate{a.brought.cert}
	}
	out := make([]*x509.Certificate, len(a.made.pairs))
	for i, p := range a.made.pairs {
		out[i] = p.cert
	}
	return out
}

func (a *authority) signer(now time.Time) pair {
	if a.made == nil {
		return a.brought
	}
	return a.made.signer(now)
}

// Mesh returns what a proxy shows and checks in a mesh at present. The first
// call for a proxy makes its certificate.
func (v *View) Mesh(proxy, mesh string) (*Bundle, error) {
	k := key{proxy, mesh}
	v.mu.RLock()
	b := v.bundles[k]
	v.mu.RUnlock()
	if b != nil {
		return b, nil
	}
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	b, err := v.bundle(k, time.Now())
	if err != nil {
		return nil, fmt.Errorf("identity of %s in mesh %s: %w", proxy, mesh, err)
	}
	v.store.nudge()
	return b, nil
}

// Secret returns what a secret of the snapshot is at present.
func (v *View) Secret(id string) (*Value, error) {
	s := v.secrets[id]
	if s == nil {
		return nil, fmt.Errorf("the snapshot has no secret %s", id)
	}
	return s.value.Load(), nil
}

// newView returns the View of next, as good as the sources of its secrets are.
func (s *Store) newView(ctx context.Context, next snapshot.Snapshot) (*View, error) {
	v := &View{
		store: s, version: next.Version, proxies: next.Proxies, secrets: map[string]*secret{},
		meshes: map[string]*mesh{}, leaves: map[key]*leaf{}, bundles: map[key]*Bundle{},
	}
	now := time.Now()
	v.renewAt = now.Add(forever)
	var errs []error
	for _, x := range next.Secrets.All() {
		if err := v.addSecret(x, now); err != nil {
			errs = append(errs, unusable(next, x.Sources, "secret "+x.ID, err))
		}
	}
	for _, a := range next.Authorities.All() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := v.addAuthority(a, where(next, a.Sources), now); err != nil {
			errs = append(errs, unusable(next, a.Sources, "authority "+a.ID, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	v.gather(now)
	return v, nil
}

// addSecret reads a secret. One that was there before keeps what it had where
// its source cannot be read any more.
func (v *View) addSecret(x snapshot.Secret, now time.Time) error {
	if old := v.store.serving; old != nil {
		if was := old.secrets[x.ID]; was != nil && was.of.Digest == x.Digest && !x.Digest.IsZero() {
			v.secrets[x.ID] = was
			return nil // Run looks after it
		}
	}
	n := &secret{of: x, roots: v.store.cfg.Roots}
	if x.Made != "" {
		if err := v.store.give(n, now); err != nil {
			return err
		}
	} else if _, err := n.read(now); err != nil {
		return err
	}
	v.secrets[x.ID] = n
	return nil
}

func (v *View) addAuthority(a snapshot.Authority, where string, now time.Time) error {
	n := &authority{of: a, where: where}
	v.authorities = append(v.authorities, n)
	if a.Cert != "" {
		return n.bring(v, now)
	}
	m := v.store.makers[a.ID]
	if m == nil {
		var err error
		if m, err = openMaker(v.store.cfg.Dir, a, now, v.store.log); err != nil {
			return err
		}
		v.store.makers[a.ID] = m
	}
	n.made = m
	return m.refresh(a, now)
}

// bring reads the authority from its secrets, if they are others than before.
func (a *authority) bring(v *View, now time.Time) error {
	cert, err := v.Secret(a.of.Cert)
	if err != nil {
		return err
	}
	key, err := v.Secret(a.of.Key)
	if err != nil {
		return err
	}
	if a.cert == cert.Version && a.key == key.Version {
		return nil
	}
	p, err := provided(cert.Bytes, key.Bytes, now)
	if err != nil {
		return err
	}
	a.cert, a.key, a.brought = cert.Version, key.Version, p
	return nil
}

// inherit takes over the certificates of the View that served before.
func (v *View) inherit(before *View) {
	if before == nil {
		return
	}
	for k, l := range before.leaves {
		if _, still := v.identity(k); still && v.leaves[k] == nil {
			v.leaves[k] = l
		}
	}
}

// gather finds out anew what each mesh trusts and who signs there, and reports
// whether that is another than before.
func (v *View) gather(now time.Time) (changed bool) {
	certs := map[string][]*x509.Certificate{}
	meshes := map[string]*mesh{}
	for _, a := range v.authorities {
		m := meshes[a.of.Mesh]
		if m == nil {
			m = &mesh{}
			meshes[a.of.Mesh] = m
		}
		if a.of.Issues {
			m.issues = a
		}
		certs[a.of.Mesh] = append(certs[a.of.Mesh], a.certs()...)
	}
	for name, m := range meshes {
		was := v.meshes[name]
		if m.issues != nil {
			m.signer = m.issues.signer(now)
			changed = changed || was != nil && m.signer.cert != was.signer.cert
		}
		text := certPEM(certs[name]...)
		if was != nil && bytes.Equal(was.roots.pem, text) {
			m.roots = was.roots
			continue
		}
		changed = true
		m.roots = &roots{pool: x509.NewCertPool(), pem: text, digest: digest(string(text))[:16]}
		for _, c := range certs[name] {
			m.roots.pool.AddCert(c)
		}
	}
	v.meshes = meshes
	return changed
}

// identity returns what k is in v.
func (v *View) identity(k key) (snapshot.Identity, bool) {
	i, found := search(v.proxies, k.proxy, func(p snapshot.Proxy) string { return p.ID })
	if found {
		for _, id := range v.proxies.At(i).Identities.All() {
			if id.Mesh == k.mesh {
				return id, true
			}
		}
	}
	return snapshot.Identity{}, false
}

// bundle makes the Bundle of k, with the certificate that k has where that
// still says what it should.
func (v *View) bundle(k key, now time.Time) (*Bundle, error) {
	id, ok := v.identity(k)
	if !ok {
		return nil, errors.New("the snapshot has none")
	}
	m := v.meshes[k.mesh]
	if m == nil || m.issues == nil {
		return nil, errors.New("no authority of the mesh issues certificates")
	}
	life, uris := time.Duration(m.issues.of.Expiration), id.URIs.Slice()
	l := v.leaves[k]
	if serving := v.store.serving; l == nil && serving != nil {
		l = serving.leaves[k]
	}
	if l == nil || !l.issuer.Equal(m.signer.cert) || l.uris != joined(uris) || l.life != life || !now.Before(l.renewAt) {
		var err error
		if l, err = sign(m.signer, m.issues.of.ID, uris, life, now); err != nil {
			return nil, err
		}
	}
	v.leaves[k] = l
	if l.renewAt.Before(v.renewAt) {
		v.renewAt = l.renewAt
	}
	b := l.bundle(m.roots)
	v.mu.Lock()
	defer v.mu.Unlock()
	if was := v.bundles[k]; was != nil && was.Version == b.Version {
		return was, nil
	}
	v.bundles[k] = b
	return b, nil
}

// refresh does what is due, and reports whether anything is another now. What
// fails stays as it is, and is told of in the log once.
func (v *View) refresh(now time.Time) (changed bool) {
	log := v.store.log
	for id, x := range v.secrets {
		if !x.follows() {
			continue
		}
		is, err := x.read(now)
		changed = changed || is
		if news(&x.problem, err) {
			log.Error("a secret cannot be read; what it held before stays in use", "secret", id, "error", err)
		}
	}
	for _, a := range v.authorities {
		var err error
		if a.made != nil {
			err = a.made.refresh(a.of, now)
		} else {
			err = a.bring(v, now)
		}
		if news(&a.problem, err) {
			log.Error("a certificate authority stays as it was", "at", strings.TrimSuffix(a.where, ": "), "authority", a.of.ID, "error", err)
		}
	}
	others := v.gather(now)
	if !others && now.Before(v.renewAt) {
		return changed
	}
	v.renewAt = now.Add(forever)
	for k, b := range v.current() {
		r := v.store.renewals[k.mesh]
		if r == nil {
			r = &renewals{}
			v.store.renewals[k.mesh] = r
		}
		n, err := v.bundle(k, now)
		if n == b {
			continue
		}
		changed = changed || err == nil
		r.count(err)
		if news(&r.problem, err) {
			log.Error("a certificate cannot be renewed", "proxy", k.proxy, "mesh", k.mesh, "ends", b.NotAfter, "error", err)
		}
		if err != nil {
			v.renewAt = now.Add(v.store.cfg.Poll)
		}
	}
	return changed
}

// current returns the Bundles in use.
func (v *View) current() map[key]*Bundle {
	v.mu.RLock()
	defer v.mu.RUnlock()
	out := make(map[key]*Bundle, len(v.bundles))
	for k, b := range v.bundles {
		out[k] = b
	}
	return out
}

// forever is longer than anything waits without a look at the clock.
const forever = time.Hour

// due is when refresh has to be called again.
func (v *View) due(now time.Time) time.Time {
	next := v.renewAt
	for _, a := range v.authorities {
		if a.made != nil && a.made.due(now).Before(next) {
			next = a.made.due(now)
		}
	}
	for _, x := range v.secrets {
		if poll := now.Add(v.store.cfg.Poll); x.follows() && poll.Before(next) {
			next = poll
		}
	}
	return next
}

// news notes err, and reports whether it is an error that was not there before.
func news(problem *string, err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	was := *problem
	*problem = text
	return text != "" && text != was
}

func joined(uris []string) string { return strings.Join(uris, "\n") }

// digest names texts, in hex.
func digest(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d %s", len(t), t)
	}
	return hex.EncodeToString(h.Sum(nil))
}
