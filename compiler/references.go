package compiler

import (
	"fmt"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kuma"
	"github.com/meshc/meshc/schema/meshc"
)

// references checks what documents name and other documents define: backends
// of the mesh, Secrets, services. What a pass needs to resolve for itself, it
// reports itself; files are not the compiler's to look at.
func references(b *build) {
	for _, d := range b.byKind["kuma/TrafficLog"] {
		b.checkBackend(d, d.Body.(*kuma.TrafficLog).Conf.Backend, "logging", "so it logs nothing")
	}
	for _, d := range b.byKind["kuma/TrafficTrace"] {
		b.checkBackend(d, d.Body.(*kuma.TrafficTrace).Conf.Backend, "tracing", "so it traces nothing")
	}
	b.checkSecrets()
	for _, d := range b.byKind["meshc/WasmPlugin"] {
		for i, name := range d.Body.(*meshc.WasmPlugin).Conf.Services {
			if b.service(serviceKey{d.Mesh, name}) == nil {
				b.reportUnknownService(diag.Error, d, []any{"conf", "services", i}, d.Mesh, name)
			}
		}
		b.checkPluginRoutes(d)
	}
}

// checkPluginRoutes reports that a WasmPlugin is limited to a route that is not
// among Kong's, all of which are of mesh default.
func (b *build) checkPluginRoutes(d *schema.Document) {
	names := d.Body.(*meshc.WasmPlugin).Conf.Routes
	if len(names) == 0 {
		return
	}
	known := map[string]bool{}
	if d.Mesh == "default" {
		for _, r := range b.byKind["kong/Route"] {
			known[r.Name] = true
		}
	}
	for i, name := range names {
		if !known[name] {
			b.reportMissing(name, diag.CodeUnknownEntity, diag.Error, d, []any{"conf", "routes", i},
				fmt.Sprintf("no route of mesh %s is called %q", d.Mesh, name),
				diag.Suggest(name, known)+"write the name of one of Kong's routes, which are of mesh default")
		}
	}
}

// checkBackend reports that the mesh of d has no backend of that name in the
// section logging or tracing; of no name, that it has no default one, so that d
// does nothing. A mesh that nobody defines has been reported.
func (b *build) checkBackend(d *schema.Document, name, section, loss string) {
	doc, ok := b.meshes[d.Mesh]
	if !ok {
		return
	}
	var names map[string]bool
	standard := ""
	var at []diag.Related
	if doc != nil { // nil: the mesh default that always exists, without backends
		names, standard = backends(doc.Body.(*kuma.Mesh), section)
		at = []diag.Related{{Place: doc.Place(section), Message: "the mesh"}}
	}
	switch {
	case name != "" && !names[name]:
		b.reportMissing(d.Mesh, diag.CodeUnknownBackend, diag.Error, d, []any{"conf", "backend"},
			fmt.Sprintf("mesh %s has no %s backend named %q", d.Mesh, section, name),
			diag.Suggest(name, names)+fmt.Sprintf("name one of %s.backends of the Mesh, or add it there", section), at...)
	case name == "" && standard == "":
		b.reportMissing(d.Mesh, diag.CodeUnknownBackend, diag.Warning, d, []any{"conf", "backend"},
			fmt.Sprintf("%s names no backend, and mesh %s has no default one for %s, %s", describe(d), d.Mesh, section, loss),
			fmt.Sprintf("set conf.backend, or %s.defaultBackend of the Mesh", section), at...)
	}
}

// backends returns the names of a mesh's logging or tracing backends, and the
// one that is meant where a policy names none.
func backends(m *kuma.Mesh, section string) (names map[string]bool, standard string) {
	names = map[string]bool{}
	if section == "logging" {
		for _, l := range m.Logging.Backends {
			names[l.Name] = true
		}
		return names, m.Logging.DefaultBackend
	}
	for _, t := range m.Tracing.Backends {
		names[t.Name] = true
	}
	return names, m.Tracing.DefaultBackend
}

// checkSecrets reports sources of bytes that name a Secret which their mesh
// does not have, nor all meshes.
func (b *build) checkSecrets() {
	for _, kind := range []string{"kuma/Mesh", "kuma/ExternalService"} {
		for _, d := range b.byKind[kind] {
			for _, s := range sourcesOf(d) {
				name := s.source.Secret
				if _, ok := b.meshes[s.mesh]; !ok || name == "" || b.secret(s.mesh, name) != nil {
					continue
				}
				b.reportMissing(name, diag.CodeUnknownSecret, diag.Error, d, append(s.path, "secret"),
					fmt.Sprintf("mesh %s has no Secret named %q", s.mesh, name),
					diag.Suggest(name, b.secretNames(s.mesh))+"add a document of type Secret with that name and mesh")
			}
		}
	}
}

// checkPermissions reports permissions that nothing enforces, for their mesh
// has no mTLS, and meshes with mTLS that nobody has permission to use.
func (b *build) checkPermissions() {
	allowed := map[string]bool{} // meshes with a permission
	for _, d := range b.byKind["kuma/TrafficPermission"] {
		allowed[d.Mesh] = true
		mesh, ok := b.meshes[d.Mesh]
		if !ok || mesh != nil && mesh.Body.(*kuma.Mesh).MTLS.EnabledBackend != "" {
			continue
		}
		var at []diag.Related
		if mesh != nil {
			at = []diag.Related{{Place: mesh.Place("mtls"), Message: "the mesh"}}
		}
		b.report(diag.CodeNoMTLS, diag.Warning, d, []any{"type"},
			fmt.Sprintf("%s restricts nobody: mesh %s has no mTLS, so clients have no identity", describe(d), d.Mesh),
			"turn mTLS on by mtls.enabledBackend of the Mesh, or remove the permission", at...)
	}
	for _, d := range b.byKind["kuma/Mesh"] {
		if d.Body.(*kuma.Mesh).MTLS.EnabledBackend != "" && !allowed[d.Name] {
			b.report(diag.CodeNoMTLS, diag.Warning, d, []any{"mtls", "enabledBackend"},
				fmt.Sprintf("mesh %s has mTLS and no TrafficPermission, so every connection in it is refused", d.Name),
				"add a TrafficPermission that says who may reach whom; unlike Kuma, meshc makes none by itself")
		}
	}
}
