package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kubernetes"
	"github.com/meshc/meshc/schema/tree"
)

// gvk is Kubernetes' name of a kind.
type gvk struct{ apiVersion, kind string }

var kubernetesKinds = map[gvk]*kind{
	{"v1", "Service"}:   {dialect: Kubernetes, name: "Service", definition: "#Service", body: func() any { return new(kubernetes.Service) }},
	{"v1", "Endpoints"}: {dialect: Kubernetes, name: "Endpoints", definition: "#Endpoints", body: func() any { return new(kubernetes.Endpoints) }},
	{"discovery.k8s.io/v1", "EndpointSlice"}: {
		dialect: Kubernetes, name: "EndpointSlice", definition: "#EndpointSlice", body: func() any { return new(kubernetes.EndpointSlice) },
	},
}

func init() {
	for _, k := range kubernetesKinds {
		k.identify = func(d *Document) {
			meta := d.Tree.Get("metadata")
			d.Namespace = meta.Get("namespace").Str()
			if d.Name = meta.Get("name").Str(); d.Name == "" {
				d.Name = meta.Get("generateName").Str()
			}
		}
	}
}

// coreKinds are the kinds of apiVersion v1, which has no group to tell a
// stranger's kind from a slip of the pen. Config is what kubectl reads.
var coreKinds = []string{
	"Binding", "ComponentStatus", "Config", "ConfigMap", "Endpoints", "Event", "LimitRange", "List", "Namespace", "Node", "PersistentVolume",
	"PersistentVolumeClaim", "Pod", "PodTemplate", "ReplicationController", "ResourceQuota", "Secret", "Service", "ServiceAccount", "Status",
}

// looksKubernetes reports whether n says that it is a Kubernetes object, or
// nearly says so.
func looksKubernetes(n *tree.Node) bool {
	return n.Field("apiVersion") != nil ||
		n.Field("kind") != nil && (n.Field("metadata") != nil || n.Field("spec") != nil || n.Field("items") != nil)
}

// fill gives an item of a typed list the apiVersion and kind that the list
// implies.
func (t *gvk) fill(n *tree.Node) *tree.Node {
	out := *n
	out.Fields = slices.Clone(n.Fields)
	for _, f := range []struct{ key, value string }{{"apiVersion", t.apiVersion}, {"kind", t.kind}} {
		if n.Field(f.key) == nil {
			out.Fields = append(out.Fields, tree.Field{Key: f.key, KeyPos: n.Pos, Value: &tree.Node{
				Kind: tree.String, Text: f.value, Pos: n.Pos, Default: true,
			}})
		}
	}
	return &out
}

// kubernetes takes a Kubernetes object: a kind that meshc checks, a list of
// objects, or one of the many kinds that it leaves out.
func (r *reader) kubernetes(n *tree.Node, in extent) {
	var name gvk
	for _, f := range []struct {
		key string
		to  *string
	}{{"apiVersion", &name.apiVersion}, {"kind", &name.kind}} {
		v := n.Get(f.key)
		if v.Str() == "" && !(f.key == "apiVersion" && isForeign(n.Get("kind").Str())) {
			r.silence(n, in)
			r.notNamed(n, f.key, v)
			return
		}
		*f.to = v.Str()
	}
	if k := kubernetesKinds[name]; k != nil {
		r.check(k, n, in)
		return
	}
	if items := n.Field("items"); items != nil && strings.HasSuffix(name.kind, "List") {
		r.kubernetesList(name, items, in)
		return
	}
	r.silence(n, in)
	if code, path, message, hint := nearMiss(name); code != "" {
		r.out.checked++
		r.errorAt(code, n.Get(path).Pos, path, message, hint)
		return
	}
	r.leave(in)
	d := finding(diag.Note, diag.CodeIgnoredKind, n.Pos, "",
		strings.TrimSpace(name.apiVersion+" "+name.kind)+" is left out", "")
	if group, _, _ := strings.Cut(name.apiVersion, "/"); group == "kuma.io" {
		d.Severity, d.Hint = diag.Warning, "meshc reads Kuma's resources in their universal form, with type, mesh and name"
	}
	r.add(d)
}

// isForeign reports whether a kind is nothing like those that meshc checks. An
// object of such a kind is left out, whatever else may be wrong with it.
func isForeign(kind string) bool {
	if kind == "" || strings.HasSuffix(kind, "List") {
		return false
	}
	for g := range kubernetesKinds {
		if strings.EqualFold(kind, g.kind) || diag.Nearest(kind, []string{g.kind}) != "" {
			return false
		}
	}
	return true
}

// notNamed reports an apiVersion or kind that is missing or no string.
func (r *reader) notNamed(n *tree.Node, key string, v *tree.Node) {
	r.out.checked++
	if v != nil && v.Kind != tree.String && v.Kind != tree.Null {
		r.errorAt(diag.CodeType, v.Pos, key, fmt.Sprintf("got %s, want string", v.Kind), "")
		return
	}
	if f := misspelt(n, key); v == nil && f != nil {
		r.errorAt(diag.CodeUnknownField, f.KeyPos, f.Key, fmt.Sprintf("unknown field %q", f.Key), fmt.Sprintf("did you mean %q?", key))
		return
	}
	hint := ""
	for g := range kubernetesKinds {
		if key == "apiVersion" && g.kind == n.Get("kind").Str() {
			hint = "write apiVersion: " + g.apiVersion
		}
	}
	r.errorAt(diag.CodeRequired, n.Pos, key, fmt.Sprintf("missing required field %q", key), hint)
}

// kubernetesList takes the items of a List, or of a typed list, whose items may
// leave out what the list says.
func (r *reader) kubernetesList(name gvk, items *tree.Field, in extent) {
	if items.Value.Kind == tree.Null {
		return
	}
	if items.Value.Kind != tree.List {
		r.errorAt(diag.CodeType, items.Value.Pos, "items", fmt.Sprintf("got %s, want list", items.Value.Kind), "")
		return
	}
	var typed *gvk
	if item := strings.TrimSuffix(name.kind, "List"); item != "" {
		typed = &gvk{name.apiVersion, item}
	}
	for i, item := range items.Value.Items {
		r.recognise(item, in.item(items.Value, i), typed)
	}
}

// nearMiss tells a misspelt kind or apiVersion from a kind of somebody else's.
func nearMiss(name gvk) (code, path, message, hint string) {
	group, _, grouped := strings.Cut(name.apiVersion, "/")
	for _, g := range sortedKinds() {
		ourGroup, _, _ := strings.Cut(g.apiVersion, "/")
		switch {
		case name.kind == g.kind && !strings.Contains(group, ".") || name.kind == g.kind && group == ourGroup:
			return diag.CodeUnknownAPI, "apiVersion", fmt.Sprintf("%s has no apiVersion %q", g.kind, name.apiVersion), "write apiVersion: " + g.apiVersion
		case strings.EqualFold(name.kind, g.kind) && (!grouped || group == ourGroup),
			group == ourGroup && !slices.Contains(coreKinds, name.kind) && !strings.HasSuffix(name.kind, "List") && diag.Nearest(name.kind, []string{g.kind}) != "":
			return diag.CodeUnknownKind, "kind", fmt.Sprintf("%s has no kind %q", name.apiVersion, name.kind), fmt.Sprintf("did you mean %q?", g.kind)
		}
	}
	return "", "", "", ""
}

func sortedKinds() []gvk {
	var out []gvk
	for g := range kubernetesKinds {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b gvk) int { return strings.Compare(a.kind, b.kind) })
	return out
}
