package schema_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/kuma"
	nodes "github.com/meshc/meshc/schema/tree"
)

// folder is a folder of files on disk, read again and again.
type folder struct {
	*testing.T
	dir     string
	reader  *files.Reader
	loader  *schema.Loader
	sources schema.Sources
	last    []*schema.Document // of the last check
}

func newFolder(t *testing.T) *folder {
	dir := t.TempDir()
	return &folder{T: t, dir: dir, reader: files.NewReader([]string{dir}, nil), loader: schema.NewLoader()}
}

func (f *folder) put(name string, data []byte, mode os.FileMode) {
	f.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		f.Fatal(err)
	}
}

// check returns the findings, one a line, without the folder.
func (f *folder) check() string {
	f.Helper()
	tree, err := f.reader.Read(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	r := f.loader.Load(f.Context(), tree)
	if diag.HasErrors(r.Diagnostics) {
		f.Fatal(r.Diagnostics)
	}
	ds := f.sources.Check(r.Documents)
	f.last = r.Documents
	diag.Sort(ds)
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "%s:%d:%d %s %s %s: %s; %s\n", filepath.Base(d.File), d.Line, d.Column, d.Severity, d.Code, d.Path, d.Message, d.Hint)
		for _, rel := range d.Related {
			fmt.Fprintf(&b, "\t%s: %s\n", rel.Place, rel.Message)
		}
	}
	return strings.ReplaceAll(b.String(), f.dir+"/", "")
}

func (f *folder) want(text string) {
	f.Helper()
	if got := f.check(); got != strings.TrimPrefix(text, "\n") {
		f.Errorf("got\n%swant%s", got, text)
	}
}

func TestNamedFiles(t *testing.T) {
	f := newFolder(t)
	f.put("a/plugin.yaml", []byte(`
type: WasmPlugin
name: one
conf:
  module: {path: filters/one.wasm, sha256: `+fmt.Sprintf("%x", sha256.Sum256([]byte("one")))+`}
  listeners: [gateway]
---
type: WasmPlugin
name: two
conf: {module: {path: ../two.wasm}, listeners: [gateway]}
---
type: WasmPlugin
name: three
conf: {module: {path: filters}, listeners: [gateway]}
`), 0o600)
	f.put("a/filters/one.wasm", []byte("one"), 0o600)
	const three = "plugin.yaml:14:23 error MC0415 conf.module.path: the module a/filters is a directory, not a file; a path is relative to the folder of the document that names it\n"
	f.want("\nplugin.yaml:10:23 error MC0415 conf.module.path: the module two.wasm is not there; a path is relative to the folder of the document that names it\n" + three)

	f.put("two.wasm", []byte("two"), 0o600)
	f.put("a/filters/one.wasm", []byte("one, changed"), 0o600)
	f.want("\nplugin.yaml:5:44 error MC0416 conf.module.sha256: the module a/filters/one.wasm has another digest: it is not the file that is meant; if it is the one you want, write " +
		fmt.Sprintf("%x", sha256.Sum256([]byte("one, changed"))) + "\n" + three)

	f.put("a/filters/one.wasm", []byte("one"), 0o600)
	f.want("\n" + three)
}

// What stands in standard input lies in no folder, so only absolute paths lead
// anywhere.
func TestNamedFilesOfStandardInput(t *testing.T) {
	module := filepath.Join(t.TempDir(), "a.wasm")
	if err := os.WriteFile(module, []byte("module"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := files.NewReader([]string{"-"}, strings.NewReader(`
type: Secret
name: s
file: nowhere
---
type: Secret
name: t
data: YQ==
---
type: WasmPlugin
name: absolute
conf: {module: {path: `+module+`}, listeners: [gateway]}
---
type: WasmPlugin
name: relative
conf: {module: {path: a.wasm}, listeners: [gateway]}
`))
	tree, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	docs := schema.NewLoader().Load(t.Context(), tree).Documents
	var s schema.Sources
	if ds := s.Check(docs); len(docs) != 4 || len(ds) != 0 {
		t.Fatalf("%d documents, %v", len(docs), ds)
	}
	for _, d := range docs {
		m, looked := s.Module(d)
		if want := d.Name == "absolute"; looked != want || want && (m == nil || m.Data != "module") {
			t.Errorf("%s: module %v, looked at %t", d.Name, m, looked)
		}
	}
}

// A module is held once, whatever its paths, and is the same as long as it says
// the same; one that is not as it should be is none.
func TestModules(t *testing.T) {
	f := newFolder(t)
	const plugin = "type: WasmPlugin\nname: %s\nconf: {module: {path: %s.wasm}, listeners: [gateway]}\n---\n"
	f.put("plugins.yaml", []byte(fmt.Sprintf(plugin, "a", "a")+fmt.Sprintf(plugin, "b", "b")+fmt.Sprintf(plugin, "large", "large")+fmt.Sprintf(plugin, "x-gone", "gone")), 0o600)
	f.put("a.wasm", []byte("one"), 0o600)
	f.put("b.wasm", []byte("one"), 0o600)
	f.put("large.wasm", nil, 0o600)
	if err := os.Truncate(filepath.Join(f.dir, "large.wasm"), schema.MaxModule+1); err != nil {
		t.Fatal(err)
	}
	const wrong = `
plugins.yaml:11:23 error MC0419 conf.module.path: the module large.wasm is larger than the 64 MiB that meshc runs; strip it of what is there for debuggers
plugins.yaml:15:23 error MC0415 conf.module.path: the module gone.wasm is not there; a path is relative to the folder of the document that names it
`
	modules := func() (out []*schema.Module) {
		t.Helper()
		f.want(wrong)
		for _, d := range f.last {
			m, looked := f.sources.Module(d)
			if !looked {
				t.Errorf("nobody looked for the module of %s", d.Name)
			}
			out = append(out, m)
		}
		return out
	}
	first := modules()
	if first[0] == nil || first[0] != first[1] || first[0].Data != "one" || first[0].Sum != sha256.Sum256([]byte("one")) || first[2] != nil || first[3] != nil {
		t.Fatalf("got %v", first)
	}
	f.put("a.wasm", []byte("two"), 0o600)
	f.put("b.wasm", []byte("one"), 0o600) // written anew
	second := modules()
	if second[0].Data != "two" || second[1] != first[0] {
		t.Errorf("got %v after %v", second, first)
	}
	var paths []string
	for _, n := range f.sources.Files() {
		paths = append(paths, strings.TrimPrefix(n.Path, f.dir+"/"))
	}
	if want := []string{"a.wasm", "b.wasm", "gone.wasm", "large.wasm"}; !slices.Equal(paths, want) {
		t.Errorf("the documents name %q, want %q", paths, want)
	}
}

func TestExposedSecrets(t *testing.T) {
	f := newFolder(t)
	const secret = "type: Secret\nname: %s\ndata: YQ==\n"
	f.put("closed.yaml", fmt.Appendf(nil, secret, "closed"), 0o640)
	f.put("open.yaml", fmt.Appendf(nil, secret, "open"), 0o644)
	f.put("beside.yaml", []byte("type: Secret\nname: beside\nfile: s/key\n"), 0o644)
	f.put("s/key", []byte("k"), 0o644)
	f.put("environment.yaml", []byte("type: Secret\nname: environment\nenv: KEY\n"), 0o644)
	f.put("raw.yaml", []byte("type: ProxyTemplate\nname: p\nconf:\n  resources:\n  - {name: a, version: v1, resource: '{\"@type\": a/b, name: a}'}\n  - {name: b, version: v1, resource: '{\"@type\": a/b, tls_certificate: {private_key: {inline_string: k}}}'}\n"), 0o644)
	f.put("raw-closed.yaml", []byte("type: ProxyTemplate\nname: q\nconf:\n  resources:\n  - {name: b, version: v1, resource: '{\"@type\": a/b, tls_certificate: {private_key: {inline_string: k}}}'}\n"), 0o600)
	ca := sign(t, nil, func(*x509.Certificate) {})
	f.put("certificate.yaml", fmt.Appendf(nil, "type: Secret\nname: certificate\ndata: %s\n", base64.StdEncoding.EncodeToString(ca.cert)), 0o644)
	f.put("certificate-file.yaml", []byte("type: Secret\nname: certificate-file\nfile: s/cert\n"), 0o644)
	f.put("s/cert", append(ca.cert, ca.cert...), 0o644)
	f.put("pair.yaml", []byte("type: Secret\nname: pair\nfile: s/pair\n"), 0o644)
	f.put("s/pair", append(slices.Clone(ca.cert), ca.key...), 0o644)
	f.put("mesh.yaml", []byte("type: Mesh\nname: m\nmtls: {backends: [{name: a, type: builtin}]}\n"), 0o644)
	f.put("vault.yaml", []byte("_format_version: '3.0'\ncertificates: [{cert: '{vault://env/cert}', key: '{vault://env/key}'}]\n"), 0o644)
	f.want(`
beside.yaml:3:7 warning MC0418 file: everybody on this machine may read the secret in s/key; take the permission away, as by chmod go= FILE
open.yaml:3:7 warning MC0418 data: everybody on this machine may read open.yaml, and with it this secret; take the permission away, as by chmod go= FILE, or keep the secret in a file of its own
pair.yaml:3:7 warning MC0418 file: everybody on this machine may read the secret in s/pair; take the permission away, as by chmod go= FILE
raw.yaml:6:38 warning MC0418 conf.resources[1].resource: everybody on this machine may read raw.yaml, and with it this secret; take the permission away, as by chmod go= FILE, or keep the secret in a file of its own
`)
}

// signed is a certificate and its key in PEM.
type signed struct {
	cert, key []byte
	parsed    *x509.Certificate
	private   *ecdsa.PrivateKey
}

// sign makes a certificate; without by, it signs itself.
func sign(t *testing.T, by *signed, change func(*x509.Certificate)) *signed {
	t.Helper()
	var s signed
	var err error
	if s.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	change(c)
	parent, key := c, s.private
	if by != nil {
		parent, key = by.parsed, by.private
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &s.private.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if s.parsed, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	bytes, err := x509.MarshalPKCS8PrivateKey(s.private)
	if err != nil {
		t.Fatal(err)
	}
	s.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes})
	return &s
}

func TestProvidedAuthority(t *testing.T) {
	good := sign(t, nil, func(*x509.Certificate) {})
	other := sign(t, nil, func(*x509.Certificate) {})
	leaf := sign(t, nil, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	middle := sign(t, good, func(c *x509.Certificate) { c.Subject.CommonName = "middle" })
	noSign := sign(t, nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	namesake := sign(t, good, func(*x509.Certificate) {})
	for _, c := range []struct {
		name      string
		cert, key []byte
		want      []string // beginnings of path and message
	}{
		{"right", good.cert, good.key, nil},
		{"another key", good.cert, other.key, []string{"key: key is not the key of the certificate"}},
		{"no PEM", []byte("x"), []byte("y"), []string{"cert: cert holds no certificate", "key: key holds no private key"}},
		{"a key of garbage", good.cert, []byte("-----BEGIN PRIVATE KEY-----\nYQ==\n-----END PRIVATE KEY-----\n"), []string{"key: key holds a private key that does not parse"}},
		{"a certificate of garbage", []byte("-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"), good.key, []string{"cert: cert holds a certificate (number 1) that does not parse"}},
		{"a certificate for a key", good.cert, good.cert, []string{"key: key holds no private key"}},
		{"neither, in PEM", []byte("x"), good.cert, []string{"cert: cert holds no certificate", "key: key holds no private key"}},
		{"a key in the certificate", slices.Concat(good.cert, good.key), good.key, []string{"cert: cert holds a PEM block of type \"PRIVATE KEY\""}},
		{"no CA", leaf.cert, leaf.key, []string{"cert: cert has the key usage digitalSignature", "cert: cert is not a CA", "cert: cert may not sign"}},
		{"no root", middle.cert, middle.key, []string{"cert: cert is not a root CA: it is signed by CN=ca"}},
		{"a root without keyCertSign", noSign.cert, noSign.key, []string{"cert: cert may not sign certificates: it lacks the key usage keyCertSign"}},
		{"a root by name only", namesake.cert, namesake.key, []string{"cert: cert is not a root CA: it is signed in its own name, but with another key"}},
		{"a chain", slices.Concat(middle.cert, good.cert), middle.key, []string{"cert: cert holds a chain of 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFolder(t)
			mesh := func(cert, key string) {
				f.put("mesh.yaml", fmt.Appendf(nil, "type: Mesh\nname: m\nmtls: {backends: [{name: a, type: provided, conf: {cert: {%s}, key: {%s}}}]}\n", cert, key), 0o600)
			}
			check := func(how string) {
				t.Helper()
				got := strings.Split(strings.TrimSpace(f.check()), "\n")
				got = slices.DeleteFunc(got, func(s string) bool { return s == "" || strings.HasPrefix(s, "\t") })
				if len(got) != len(c.want) {
					t.Fatalf("%s: got %q, want %q", how, got, c.want)
				}
				for i, w := range c.want {
					if !strings.Contains(got[i], "error MC0311 mtls.backends[0].conf."+w) {
						t.Errorf("%s: got %s, want %s", how, got[i], w)
					}
				}
			}
			encode := base64.StdEncoding.EncodeToString
			mesh("inline: "+encode(c.cert), "inline: "+encode(c.key))
			check("in place")
			f.put("c.pem", c.cert, 0o600)
			f.put("k.pem", c.key, 0o600)
			mesh("file: c.pem", "file: k.pem")
			check("in files")
			f.put("secrets.yaml", fmt.Appendf(nil, "type: Secret\nmesh: m\nname: c\ndata: %s\n---\ntype: GlobalSecret\nname: k\nfile: k.pem\n", encode(c.cert)), 0o600)
			mesh("secret: c", "secret: k")
			check("in a Secret and a GlobalSecret")
		})
	}
}

func TestExternalServiceCertificates(t *testing.T) {
	good, other := sign(t, nil, func(*x509.Certificate) {}), sign(t, nil, func(*x509.Certificate) {})
	f := newFolder(t)
	f.put("ca.pem", []byte("no PEM"), 0o600)
	f.put("cert.pem", good.cert, 0o600)
	f.put("key.pem", other.key, 0o600)
	f.put("e.yaml", []byte(`
type: ExternalService
name: e
tags: {kuma.io/service: e}
networking:
  address: e.test:443
  tls:
    enabled: true
    caCert: {file: ca.pem}
    clientCert: {file: cert.pem}
    clientKey: {file: key.pem}
---
type: ExternalService
name: gone
tags: {kuma.io/service: gone}
networking: {address: 'e.test:443', tls: {enabled: true, caCert: {file: gone.pem}, clientCert: {secret: gone}, clientKey: {secret: gone}}}
---
type: ExternalService
name: useless
tags: {kuma.io/service: useless}
networking: {address: 'e.test:443', tls: {enabled: true, caCert: {file: empty.pem}, clientCert: {secret: empty}, clientKey: {file: large.pem}}}
---
type: Secret
name: empty
file: empty.pem
---
type: ExternalService
name: off # what nobody uses is no error
tags: {kuma.io/service: off}
networking: {address: 'e.test:443', tls: {enabled: false, caCert: {file: ca.pem}}}
`), 0o600)
	f.put("empty.pem", nil, 0o600)
	f.put("large.pem", make([]byte, 1<<20+1), 0o600)
	f.want(`
e.yaml:9:5 error MC0311 networking.tls.caCert: caCert holds no certificate in PEM; write it in PEM: a block that begins with -----BEGIN CERTIFICATE-----
e.yaml:11:5 error MC0311 networking.tls.clientKey: clientKey is not the key of the certificate; give the two that were made together
e.yaml:16:73 error MC0415 networking.tls.caCert.file: the file gone.pem is not there; a path is relative to the folder of the document that names it
e.yaml:21:58 error MC0311 networking.tls.caCert: caCert holds no certificate in PEM; write it in PEM: a block that begins with -----BEGIN CERTIFICATE-----
e.yaml:21:85 error MC0311 networking.tls.clientCert: clientCert holds no certificate in PEM; write it in PEM: a block that begins with -----BEGIN CERTIFICATE-----
	e.yaml:25:7: the Secret
e.yaml:21:132 error MC0311 networking.tls.clientKey.file: the file large.pem is larger than the 1024 KiB of a secret; 
e.yaml:30:59 warning MC0311 networking.tls.caCert: caCert holds no certificate in PEM; write it in PEM: a block that begins with -----BEGIN CERTIFICATE-----
`)
}

// The rules refuse what is not base64; where they let something by, it is told.
func TestSourceThatIsNotBase64(t *testing.T) {
	e := &kuma.ExternalService{Mesh: "default", Name: "e"}
	e.Networking.TLS = &kuma.UpstreamTLS{CACert: &kuma.DataSource{Inline: "LS0tLS1=="}, ClientKey: &kuma.DataSource{Secret: "s"}}
	docs := []*schema.Document{
		{Dialect: schema.Kuma, Kind: "ExternalService", Mesh: "default", Name: "e", Body: e, File: files.StdinShown, Tree: &nodes.Node{Kind: nodes.Map}},
		{Dialect: schema.Kuma, Kind: "Secret", Mesh: "default", Name: "s", Body: &kuma.Secret{Mesh: "default", Name: "s", Data: "!"}, File: files.StdinShown, Tree: &nodes.Node{Kind: nodes.Map}},
	}
	var s schema.Sources
	var got []string
	for _, d := range s.Check(docs) {
		got = append(got, d.Path+": "+d.Message)
	}
	if want := []string{"networking.tls.caCert: caCert is not base64", "networking.tls.clientKey: clientKey is not base64"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
