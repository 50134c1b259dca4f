package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/files"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/kuma"
	"github.com/meshc/meshc/schema/meshc"
	"github.com/meshc/meshc/schema/tree"
)

// Sources checks what documents take from elsewhere: the files that they name,
// the certificates and keys that they are made of, and who else may read a
// secret. It keeps what it knows of a file for as long as a document names it
// and the file does not change. A Sources is for one caller at a time.
type Sources struct {
	last sourceCheck
}

// MaxModule is the size in bytes of the largest Wasm module, and maxCertificate
// of the largest file with certificates or a key.
const (
	MaxModule      = 64 << 20
	maxCertificate = 1 << 20
)

// Module is a Wasm module that a document names. It is never changed.
type Module struct {
	Sum  [sha256.Size]byte // the SHA-256 of Data
	Data string
}

// sourceCheck is one check, and what came of it.
type sourceCheck struct {
	known   map[string]*files.Named // by path, from the check before
	seen    map[string]*files.Named // the same of this one
	named   map[string]bool         // those of seen that documents name, and are no documents
	secrets map[string]*Document    // by mesh/name, of a GlobalSecret /name
	found   []diag.Diagnostic
	// modules holds each module once, whatever its path, and runs the ones that
	// documents name; nil for one that cannot be used, which has been reported.
	modules map[[sha256.Size]byte]*Module
	before  map[[sha256.Size]byte]*Module
	runs    map[*Document]*Module
}

// Check returns the findings about docs, which are sorted as Loader.Load sorts
// them. What a document from standard input names by a relative path cannot be
// found, for it lies in no folder; it is passed over.
func (s *Sources) Check(docs []*Document) []diag.Diagnostic {
	c := sourceCheck{
		known: s.last.seen, seen: map[string]*files.Named{}, named: map[string]bool{}, secrets: map[string]*Document{},
		modules: map[[sha256.Size]byte]*Module{}, before: s.last.modules, runs: map[*Document]*Module{},
	}
	for _, d := range docs {
		if secret, ok := d.Body.(*kuma.Secret); ok {
			c.secrets[secret.Mesh+"/"+secret.Name] = d
		}
	}
	var of kindKey // documents of a kind stand together
	var is *kind
	for _, d := range docs {
		if k := (kindKey{d.Dialect, d.Kind}); k != of {
			of, is = k, allKinds()[k]
		}
		c.document(d)
		c.exposed(d, is)
	}
	c.known, c.before = nil, nil // nobody needs them any more
	s.last = c
	return c.found
}

// Module returns the module that d, a WasmPlugin of the last check, names: nil
// if it cannot be used, which the check has reported. Not looked at is what a
// document from standard input names by a path that is not absolute.
func (s *Sources) Module(d *Document) (m *Module, looked bool) {
	m, looked = s.last.runs[d]
	return m, looked
}

// Files returns the files that the documents of the last check name, sorted by
// path, those that are not there included.
func (s *Sources) Files() []*files.Named {
	out := make([]*files.Named, 0, len(s.last.named))
	for _, path := range slices.Sorted(maps.Keys(s.last.named)) {
		out = append(out, s.last.seen[path])
	}
	return out
}

func (s *sourceCheck) document(d *Document) {
	switch body := d.Body.(type) {
	case *kuma.Secret:
		if body.File != "" {
			s.file(d, body.File, true, "file")
		}
	case *kuma.Mesh:
		for i := range body.MTLS.Backends {
			conf := &body.MTLS.Backends[i].Conf
			path := []any{"mtls", "backends", i, "conf"}
			s.authority(d, d.Name, pair{conf.Cert, conf.Key, append(path[:4:4], "cert"), append(path[:4:4], "key"), diag.Error})
		}
	case *kuma.ExternalService:
		if tls := body.Networking.TLS; tls != nil {
			path := []any{"networking", "tls"}
			severity := diag.Error // nothing that serves could use it
			if !tls.Enabled {
				severity = diag.Warning
			}
			s.chain(severity, d, d.Mesh, tls.CACert, append(path[:2:2], "caCert"))
			s.identity(d, d.Mesh, pair{tls.ClientCert, tls.ClientKey, append(path[:2:2], "clientCert"), append(path[:2:2], "clientKey"), severity})
		}
	case *meshc.WasmPlugin:
		s.module(d, body.Conf.Module)
	}
}

func (s *sourceCheck) add(severity diag.Severity, code string, d *Document, path []any, message, hint string) {
	s.found = append(s.found, diag.Diagnostic{
		Code: code, Severity: severity, Place: d.Place(path...), Path: diag.Path(path...), Message: message, Hint: hint,
	})
}

// look returns what is at a path that d names, with its content up to limit
// bytes, or nil where the path is relative and d lies in no folder.
func (s *sourceCheck) look(d *Document, path string, limit int64) *files.Named {
	if d.File == files.StdinShown && !filepath.IsAbs(path) {
		return nil
	}
	path = beside(d, path)
	s.named[path] = true
	return s.at(path, limit)
}

// at returns what is at path, with its content up to limit bytes.
func (s *sourceCheck) at(path string, limit int64) *files.Named {
	n := s.seen[path]
	if n == nil || n.Limit < limit {
		n = files.ReadNamed(path, limit, s.known[path])
		s.seen[path] = n
	}
	return n
}

// beside returns the path of a file that d names: relative to the folder of d.
func beside(d *Document, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(d.File), path)
}

// file checks that a file which d names at a field can be read, and if it is
// secret, that not everybody can. It returns the content, or nil.
func (s *sourceCheck) file(d *Document, name string, secret bool, field ...any) []byte {
	n := s.look(d, name, maxCertificate)
	switch {
	case n == nil:
		return nil
	case n.Err != nil:
		s.add(diag.Error, diag.CodeNoFile, d, field, fmt.Sprintf("the file %s %v", beside(d, name), n.Err),
			"a path is relative to the folder of the document that names it")
		return nil
	case n.Size > maxCertificate:
		s.add(diag.Error, diag.CodeCertificate, d, field, fmt.Sprintf("the file %s is larger than the %d KiB of a secret", beside(d, name), maxCertificate>>10), "")
		return nil
	case secret && n.Open && !public([]byte(n.Data)):
		s.add(diag.Warning, diag.CodeExposedSecret, d, field, fmt.Sprintf("everybody on this machine may read the secret in %s", beside(d, name)),
			"take the permission away, as by chmod go= FILE")
	}
	return contentOf(n)
}

// exposed warns of secrets in the document itself, where everybody may read its file.
func (s *sourceCheck) exposed(d *Document, k *kind) {
	if d.File == files.StdinShown {
		return
	}
	tell := func(path []any, text string) {
		if data, err := decoded(text); d.Kind == "Secret" && err == nil && public(data) {
			return
		}
		if s.open(d) {
			s.add(diag.Warning, diag.CodeExposedSecret, d, path, fmt.Sprintf("everybody on this machine may read %s, and with it this secret", d.File),
				"take the permission away, as by chmod go= FILE, or keep the secret in a file of its own")
		}
	}
	for _, pattern := range k.secrets {
		eachLeaf(d.Tree, pattern, nil, tell)
	}
	if k.raw != nil && s.open(d) {
		eachLeaf(d.Tree, k.raw, nil, func(path []any, text string) {
			if _, hides := redactRaw(text); hides {
				tell(path, text)
			}
		})
	}
}

// open reports whether everybody may read the file of d.
func (s *sourceCheck) open(d *Document) bool {
	n := s.at(d.File, 0)
	return n.Err == nil && n.Open
}

// eachLeaf calls f with the path of every text, and the text, at pattern that is not empty and
// does not stand in a vault; in pattern "*" is every item of a list.
func eachLeaf(n *tree.Node, pattern []string, path []any, f func(path []any, text string)) {
	switch {
	case n == nil:
	case len(pattern) == 0:
		if s := n.Str(); s != "" && !strings.HasPrefix(s, kong.VaultReference) {
			f(path, s)
		}
	case pattern[0] == "*":
		for i, item := range n.Items {
			eachLeaf(item, pattern[1:], append(slices.Clip(path), i), f)
		}
	default:
		eachLeaf(n.Get(pattern[0]), pattern[1:], append(slices.Clip(path), pattern[0]), f)
	}
}

// module checks that a Wasm module is there and is the one that is meant.
func (s *sourceCheck) module(d *Document, m meshc.WasmModule) {
	field := []any{"conf", "module", "path"}
	n := s.look(d, m.Path, MaxModule)
	if n == nil {
		return
	}
	s.runs[d] = nil
	switch {
	case n.Err != nil:
		s.add(diag.Error, diag.CodeNoFile, d, field, fmt.Sprintf("the module %s %v", beside(d, m.Path), n.Err),
			"a path is relative to the folder of the document that names it")
	case m.SHA256 != "" && m.SHA256 != hex.EncodeToString(n.Sum[:]):
		s.add(diag.Error, diag.CodeDigest, d, []any{"conf", "module", "sha256"},
			fmt.Sprintf("the module %s has another digest: it is not the file that is meant", beside(d, m.Path)),
			fmt.Sprintf("if it is the one you want, write %x", n.Sum))
	case n.Size > MaxModule:
		s.add(diag.Error, diag.CodeModule, d, field, fmt.Sprintf("the module %s is larger than the %d MiB that meshc runs", beside(d, m.Path), MaxModule>>20),
			"strip it of what is there for debuggers")
	default:
		s.runs[d] = s.moduleOf(n)
	}
}

// moduleOf returns the module of this content, the same for the same.
func (s *sourceCheck) moduleOf(n *files.Named) *Module {
	m := s.modules[n.Sum]
	if m == nil {
		m = s.before[n.Sum]
	}
	if m == nil {
		m = &Module{Sum: n.Sum, Data: n.Data}
	}
	s.modules[n.Sum] = m
	n.Data = m.Data // one copy in memory is enough
	return m
}

// bytes returns what a source of d holds, nil where that cannot be found out
// here, and the place of the Secret that it came from, if it did. An error
// completes a sentence that begins with the field.
func (s *sourceCheck) bytes(d *Document, mesh string, source *kuma.DataSource, secret bool, field []any) (data []byte, from []diag.Related, err error) {
	switch {
	case source == nil:
		return nil, nil, nil
	case source.Secret != "":
		holder := s.secrets[mesh+"/"+source.Secret]
		if holder == nil {
			holder = s.secrets["/"+source.Secret]
		}
		if holder == nil {
			return nil, nil, nil // the compiler reports it
		}
		from = []diag.Related{{Place: holder.Place("data"), Message: "the " + holder.Kind}}
		body := holder.Body.(*kuma.Secret)
		switch {
		case body.Data != "":
			data, err = decoded(string(body.Data))
			return data, from, err
		case body.File != "":
			from[0].Place = holder.Place("file")
			return contentOf(s.look(holder, body.File, maxCertificate)), from, nil
		}
		return nil, nil, nil // an environment variable belongs to where it runs
	case source.File != "":
		return s.file(d, source.File, secret, append(field, "file")...), nil, nil
	case source.Inline != "":
		data, err = decoded(string(source.Inline))
		return data, nil, err
	}
	return []byte(source.InlineString), nil, nil
}

// public reports whether data is certificates in PEM and nothing else: these are
// for everybody, whatever holds them.
func public(data []byte) bool {
	rest := bytes.TrimSpace(data)
	for len(rest) > 0 {
		if !bytes.HasPrefix(rest, []byte("-----BEGIN CERTIFICATE-----")) {
			return false
		}
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return false
		}
		rest = bytes.TrimSpace(after)
	}
	return len(data) > 0
}

// contentOf returns what n holds, nil where that is not known.
func contentOf(n *files.Named) []byte {
	if n == nil || n.Err != nil || n.Size > int64(len(n.Data)) {
		return nil
	}
	return []byte(n.Data)
}

// decoded reads base64, the lines of which may be broken. The rules have
// refused what cannot be read; should they ever disagree, somebody must hear.
func decoded(text string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("is not base64")
	}
	return data, nil
}
