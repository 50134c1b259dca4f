package compiler

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
	"github.com/meshc/meshc/schema/meshc"
)

// resolve finds what the documents define together: the meshes, the services
// of all dialects in one namespace of names, the dataplanes and the policies.
func resolve(b *build) {
	b.dropDuplicates()
	// Documents are sorted by ID, so those of a kind stand together.
	byKind := map[string][]*schema.Document{}
	for rest := b.docs; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Dialect == rest[0].Dialect && rest[n].Kind == rest[0].Kind {
			n++
		}
		byKind[string(rest[0].Dialect)+"/"+rest[0].Kind], rest = rest[:n:n], rest[n:]
	}
	for _, d := range byKind["kuma/Mesh"] {
		b.meshes[d.Name] = d
	}
	b.checkMeshes()
	b.byKind = byKind
	b.dataplanes = byKind["kuma/Dataplane"]
	b.routes = byKind["kuma/TrafficRoute"]
	b.indexPolicies()
	b.readMetrics()

	b.kubernetesServices(byKind)
	b.kong(byKind)
	b.findZones()
	b.kumaServices(b.dataplanes, byKind["kuma/ExternalService"])
	b.metricsServices()

	b.sortServices()
}

// sortServices fills in sorted. Compiles define nearly the same in the same order.
func (b *build) sortServices() {
	compare := func(x, y *service) int { return x.compare(y.serviceKey) }
	switch {
	case slices.Equal(b.defined, b.c.lastDefined):
		b.sorted = b.c.lastServices
	case slices.IsSortedFunc(b.defined, compare):
		b.sorted = b.defined
	default:
		keys := make([]serviceKey, len(b.defined))
		for i, s := range b.defined {
			keys[i] = s.serviceKey
		}
		order := &b.c.serviceOrder
		order.order(keys, serviceKey.compare)
		b.sorted = make([]*service, order.length)
		for i, s := range b.defined {
			b.sorted[order.places[i]] = s
		}
	}
	b.c.lastDefined = b.defined
}

// dropDuplicates keeps the first document of each name. The input is sorted by
// name and then place, so that does not depend on the order of files.
func (b *build) dropDuplicates() {
	b.docs = make([]*schema.Document, 0, len(b.input))
	last := ""
	for _, d := range b.input {
		id := d.ID()
		if id != last || d.Dialect == schema.Kong && d.Kind == "Plugin" { // its configuration, which is not kept, may differ
			b.docs, last = append(b.docs, d), id
			continue
		}
		first := b.docs[len(b.docs)-1]
		path := namePath(d)
		same := d.Tree.Equal(first.Tree) && b.sameFiles(d, first) // not by JSON, which hides secrets
		sev, message, hint := duplicate(d, same, path == nil)
		b.report(diag.CodeDuplicateName, sev, d, path, message, hint,
			diag.Related{Place: first.Place(path...), Message: "the other definition"})
	}
}

// sameFiles reports whether two documents with the same text mean the same
// files by it: a path is relative to the folder of its document.
func (b *build) sameFiles(d, e *schema.Document) bool {
	if filepath.Dir(d.File) == filepath.Dir(e.File) {
		return true
	}
	switch body := d.Body.(type) {
	case *kuma.Secret:
		return body.File == "" || filepath.IsAbs(body.File)
	case *meshc.WasmPlugin:
		if b.c.Modules == nil || filepath.IsAbs(body.Conf.Module.Path) {
			return true
		}
		m, _ := b.c.Modules(d)
		n, _ := b.c.Modules(e)
		return m == n || m != nil && n != nil && m.Sum == n.Sum
	}
	return true
}

// duplicate says what is wrong with a document whose name another has, which
// may say the same, and that may have its name from meshc.
func duplicate(d *schema.Document, same, unnamed bool) (sev diag.Severity, message, hint string) {
	switch {
	case !unnamed && same:
		return diag.Warning, describe(d) + " is defined twice", "the two say the same; remove one"
	case !unnamed:
		return diag.Error, describe(d) + " is defined twice", "give one of the two another name, or remove it"
	case same:
		return diag.Warning, fmt.Sprintf("this %s is written twice", kongWord(d.Kind)), "the two say the same; remove one"
	case d.Kind == "Service":
		return diag.Error, "another service without a name has this host and port, by which meshc names it", "give one of the two a name"
	}
	return diag.Error, fmt.Sprintf("this %s is written twice, and not in the same way", kongWord(d.Kind)), "give one of the two an id, or remove it"
}

// namePath is where a document says its name; nil where it does not, which
// only entities of Kong may: then it is named by what it says.
func namePath(d *schema.Document) []any {
	switch {
	case d.Dialect == schema.Kubernetes:
		return []any{"metadata", "name"}
	case d.Dialect == schema.Kong && d.Kind == "Target":
		return []any{"target"}
	case d.Dialect == schema.Kong:
		for _, field := range []string{"name", "username", "custom_id", "id"} {
			if d.Tree.Get(field).Str() == d.Name {
				return []any{field}
			}
		}
		return nil
	}
	return []any{"name"}
}

// describe names a document as its author would.
func describe(d *schema.Document) string {
	switch {
	case d.Namespace != "":
		return fmt.Sprintf("%s %s in namespace %s", d.Kind, d.Name, d.Namespace)
	case d.Mesh != "":
		return fmt.Sprintf("%s %s in mesh %s", d.Kind, d.Name, d.Mesh)
	case d.Dialect == schema.Kong && d.Kind == "Target":
		upstream, address, _ := strings.Cut(d.Name, "/")
		return fmt.Sprintf("Target %s of upstream %s", address, upstream)
	}
	return fmt.Sprintf("%s %s", d.Kind, d.Name)
}

// checkMeshes reports documents in a mesh that nobody defines.
func (b *build) checkMeshes() {
	for _, d := range b.docs {
		if d.Mesh != "" {
			b.checkMesh(d, []any{"mesh"}, d.Mesh)
		}
	}
}

// checkMesh reports that the mesh named at path is not defined.
func (b *build) checkMesh(d *schema.Document, path []any, mesh string) {
	if _, ok := b.meshes[mesh]; !ok {
		b.reportMissing(mesh, diag.CodeUnknownMesh, diag.Error, d, path, fmt.Sprintf("no Mesh is named %q", mesh),
			diag.Suggest(mesh, b.meshes)+"add a document of type Mesh with that name, or use mesh default, which always exists")
	}
}

// service returns the service of that name, or nil.
func (b *build) service(k serviceKey) *service {
	if s := b.services[k]; s != nil {
		return s
	}
	if o := b.c.offers.of[k]; o != nil {
		return o.service
	}
	return nil
}

// define adds s to the world, or reports that its name is taken.
func (b *build) define(s *service) {
	if !b.taken(s) {
		b.services[s.serviceKey] = s
		b.defined = append(b.defined, s)
	}
}

// taken reports that the name of s is that of a service defined before, if it is.
func (b *build) taken(s *service) bool {
	other := b.services[s.serviceKey]
	if other == nil {
		return false
	}
	b.report(diag.CodeServiceMeeting, diag.Error, s.doc, s.path,
		fmt.Sprintf("service %s of mesh %s is defined by a %s document and by a %s document", s.name, s.mesh, other.dialect, s.dialect),
		"only Dataplanes and ExternalServices may share the name of a service; rename one of the two",
		diag.Related{Place: other.doc.Place(other.path...), Message: "the other definition"})
	return true
}
