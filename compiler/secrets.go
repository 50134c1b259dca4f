package compiler

import (
	"encoding/base64"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
)

// dataSource is a field of a document that holds bytes, or says where they are.
type dataSource struct {
	doc    *schema.Document
	mesh   string
	source *kuma.DataSource
	path   []any
}

// given reports whether a source says anything.
func given(s *kuma.DataSource) bool {
	return s != nil && (s.Secret != "" || s.File != "" || s.Inline != "" || s.InlineString != "")
}

// sourcesOf returns the sources of bytes in d that say anything.
func sourcesOf(d *schema.Document) []dataSource {
	var out []dataSource
	add := func(mesh string, s *kuma.DataSource, path ...any) {
		if given(s) {
			out = append(out, dataSource{d, mesh, s, path})
		}
	}
	switch body := d.Body.(type) {
	case *kuma.Mesh:
		for i, backend := range body.MTLS.Backends {
			add(d.Name, backend.Conf.Cert, "mtls", "backends", i, "conf", "cert")
			add(d.Name, backend.Conf.Key, "mtls", "backends", i, "conf", "key")
		}
	case *kuma.ExternalService:
		if tls := body.Networking.TLS; tls != nil {
			add(d.Mesh, tls.CACert, "networking", "tls", "caCert")
			add(d.Mesh, tls.ClientCert, "networking", "tls", "clientCert")
			add(d.Mesh, tls.ClientKey, "networking", "tls", "clientKey")
		}
	}
	return out
}

// secret returns the Secret of that name in a mesh, else the GlobalSecret, or nil.
func (b *build) secret(mesh, name string) *schema.Document {
	if b.secrets == nil {
		b.secrets = map[string]*schema.Document{}
		for _, kind := range []string{"kuma/Secret", "kuma/GlobalSecret"} {
			for _, d := range b.byKind[kind] {
				b.secrets[d.Mesh+"/"+d.Name] = d
			}
		}
	}
	if d := b.secrets[mesh+"/"+name]; d != nil {
		return d
	}
	return b.secrets["/"+name]
}

// secretNames are the names that a mesh may name secrets by.
func (b *build) secretNames(mesh string) map[string]bool {
	names := map[string]bool{}
	for _, d := range b.secrets {
		if d.Mesh == mesh || d.Mesh == "" {
			names[d.Name] = true
		}
	}
	return names
}

// id is the ID of the secret that s is, or refers to. A GlobalSecret has one in
// each mesh that uses it, so that a Secret may take its place.
func (s dataSource) id() string {
	if s.source.Secret != "" {
		return s.mesh + "/" + s.source.Secret
	}
	return s.doc.ID() + "#" + diag.Path(s.path...)
}

// secretUse is a secret that something in the snapshot needs: doc holds it, in
// a source or, where that is nil, as a Secret.
type secretUse struct {
	doc    *schema.Document
	source *kuma.DataSource
}

// lowerSecurity makes the authorities of meshes with mTLS, and the secrets that
// these and transports need. A secret that nothing needs is not among them: it
// has no business in a snapshot.
func (b *build) lowerSecurity() (snapshot.List[snapshot.Authority], snapshot.List[snapshot.Secret]) {
	var users []*schema.Document
	var authorities []snapshot.Authority
	for _, m := range b.mtls {
		users = append(users, m.doc)
		for i := range m.body.MTLS.Backends {
			id := m.doc.Name + "/" + m.body.MTLS.Backends[i].Name
			authorities = append(authorities, b.c.authorities.get(id, []any{m.doc, i}, func() snapshot.Authority { return lowerAuthority(m, i) }))
		}
	}
	slices.SortFunc(authorities, func(x, y snapshot.Authority) int { return strings.Compare(x.ID, y.ID) })

	for _, d := range b.byKind["kuma/ExternalService"] {
		if tls := d.Body.(*kuma.ExternalService).Networking.TLS; tls != nil && tls.Enabled {
			users = append(users, d)
		}
	}
	b.kongSecrets = append(b.kongSecrets, b.ownSecrets()...)
	if len(users)+len(b.kongSecrets) == 0 {
		return snapshot.List[snapshot.Authority]{}, snapshot.List[snapshot.Secret]{}
	}
	uses := map[string]secretUse{}
	for _, d := range users {
		for _, s := range sourcesOf(d) {
			if s.source.Secret == "" {
				uses[s.id()] = secretUse{d, s.source}
			} else if holder := b.secret(s.mesh, s.source.Secret); holder != nil { // else reported
				uses[s.id()] = secretUse{doc: holder}
			}
		}
	}
	ids := slices.Sorted(maps.Keys(uses))
	secrets := slices.Clone(b.kongSecrets)
	for _, id := range ids {
		u := uses[id]
		secrets = append(secrets, b.c.secrets.get(id, []any{u.doc}, func() snapshot.Secret { return lowerSecret(id, u) }))
	}
	slices.SortFunc(secrets, func(x, y snapshot.Secret) int { return strings.Compare(x.ID, y.ID) })
	secrets = slices.CompactFunc(secrets, func(x, y snapshot.Secret) bool { return x.ID == y.ID }) // a certificate may have many users
	return snapshot.ListOf(authorities...), snapshot.ListOf(secrets...)
}

func lowerSecret(id string, u secretUse) snapshot.Secret {
	out := snapshot.Secret{ID: id, Sources: sources(nil, u.doc)}
	if u.source == nil {
		body := u.doc.Body.(*kuma.Secret)
		switch {
		case body.Data != "":
			out.Data = oneLine(body.Data)
		case body.File != "":
			out.File = fromRoot(u.doc, body.File)
		default:
			out.Env = body.Env
		}
	} else {
		switch {
		case u.source.File != "":
			out.File = fromRoot(u.doc, u.source.File)
		case u.source.Inline != "":
			out.Data = oneLine(u.source.Inline)
		default:
			out.Data = snapshot.Hidden(base64.StdEncoding.EncodeToString([]byte(u.source.InlineString)))
		}
	}
	out.Digest = out.Sum()
	return out
}

// oneLine takes the line breaks out of base64, which may be broken anywhere.
func oneLine(data kuma.Hidden) snapshot.Hidden {
	return snapshot.Hidden(strings.Join(strings.Fields(string(data)), ""))
}

// fromRoot returns the path of a file that d names, which is relative to the
// folder of d, relative to the root of the input: the snapshot must not depend
// on where that lies.
func fromRoot(d *schema.Document, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return path.Join(path.Dir(d.Origin), filepath.ToSlash(file))
}
