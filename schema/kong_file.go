package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// kongEntity is a sort of entity in a declarative file of Kong: a list at the
// top, or inside an entity that it refers to.
type kongEntity struct {
	list   string   // the key of the list
	one    string   // one of them; also the field by which others refer to it
	kind   *kind    // nil: recognised, and left out
	inside []string // lists that may be nested in one
	refs   []string // fields that refer to others, by {id}, {name} or one of the two alone
	keep   []string // the fields that are looked at; nil: all
	lost   string   // what is lost without it, where it is left out
}

var kongEntities = map[string]*kongEntity{}

func init() {
	for _, e := range []*kongEntity{
		{list: "services", one: "service", kind: kongServiceKind, inside: []string{"routes", "plugins", "filter_chains"}},
		{list: "routes", one: "route", kind: kongRouteKind, inside: []string{"plugins", "filter_chains"}, refs: []string{"service"}},
		{list: "upstreams", one: "upstream", kind: kongUpstreamKind, inside: []string{"targets"}, refs: []string{"client_certificate"}},
		{list: "targets", one: "target", kind: kongTargetKind, refs: []string{"upstream"}},
		{list: "certificates", one: "certificate", kind: kongCertificateKind, inside: []string{"snis"}},
		{list: "snis", one: "SNI", kind: kongSNIKind, refs: []string{"certificate"}},
		{list: "ca_certificates", one: "CA certificate", kind: kongCACertificateKind},
		{
			list: "plugins", one: "plugin", kind: kongPluginKind, refs: []string{"service", "route", "consumer", "consumer_group"},
			keep: []string{"id", "name", "instance_name", "enabled", "service", "route", "consumer", "consumer_group"},
		},
		{
			list: "consumers", one: "consumer", kind: kongConsumerKind, inside: []string{"plugins"},
			keep: []string{"id", "username", "custom_id"}, lost: "nobody is told from anybody else",
		},
		{
			list: "consumer_groups", one: "consumer_group", kind: kongConsumerGroupKind, inside: []string{"plugins"},
			keep: []string{"id", "name"}, lost: "nobody is told from anybody else",
		},

		{list: "filter_chains", one: "filter chain", lost: "its filters do not run"},
		{list: "vaults", one: "vault", lost: "references into it are not resolved"},
		{list: "keys", one: "key", lost: "nothing is signed or verified with it"},
		{list: "key_sets", one: "key set", lost: "nothing is signed or verified with it"},
		{list: "licenses", one: "license", lost: "meshc needs none"},
		{list: "partials", one: "partial", lost: "plugins that use it do not run anyway"},
		{list: "rbac_roles", one: "role", lost: "the REST API shows the same to everybody"},
		{list: "rbac_endpoint_permissions", one: "permission", lost: "the REST API shows the same to everybody"},
		{list: "service_packages", one: "service package", lost: "nothing is documented by it"},
		{list: "custom_entities", one: "custom entity", lost: "the plugin that it belongs to does not run"},
		{list: "acls", one: "ACL", lost: "nobody is let in or kept out by it"},
		{list: "basicauth_credentials", one: "credential", lost: "nobody is recognised by it"},
		{list: "hmacauth_credentials", one: "credential", lost: "nobody is recognised by it"},
		{list: "keyauth_credentials", one: "credential", lost: "nobody is recognised by it"},
		{list: "jwt_secrets", one: "credential", lost: "nobody is recognised by it"},
		{list: "oauth2_credentials", one: "credential", lost: "nobody is recognised by it"},
		{list: "mtls_auth_credentials", one: "credential", lost: "nobody is recognised by it"},
	} {
		kongEntities[e.list] = e
	}
}

// kongMeta are the keys of a declarative file that are about the file.
var kongMeta = []string{
	"_format_version", "_transform", "_comment", "_info", "_workspace", "_konnect", "_plugin_configs", "_ignore", "$schema",
}

// remarks are fields that any entity may have, and that are about it.
var remarks = []string{"_comment", "_ignore"}

// kongFormats are the versions of declarative files.
var kongFormats = []string{"1.1", "2.1", "3.0"}

// kongFile reads one declarative file.
type kongFile struct {
	*reader
	patterns bool       // paths that look like patterns are ones: before 3.0 nothing marks them
	defaults *tree.Node // what decK fills in, by sort of entity; may be nil
}

// kongOwner is the entity that a list is nested in.
type kongOwner struct {
	field string     // that refers to it
	ref   *tree.Node // what that field says
}

// kongFile takes a declarative file of Kong.
func (r *reader) kongFile(n *tree.Node, in extent) {
	k := &kongFile{reader: r, patterns: true, defaults: n.Get("_info").Get("defaults")}
	before := len(r.out.diagnostics)
	k.format(n.Get("_format_version"))
	for _, f := range n.Fields {
		switch {
		case kongEntities[f.Key] != nil:
			k.list(f, in, nil)
		case slices.Contains(kongMeta, f.Key):
		default:
			k.unknownList(f)
		}
	}
	if k.defaults != nil {
		// A mistake in a default is one of every entity that it is filled into.
		found := r.out.diagnostics[before:]
		diag.Sort(found)
		r.out.diagnostics = slices.CompactFunc(r.out.diagnostics, func(a, b diag.Diagnostic) bool {
			return a.Place == b.Place && a.Code == b.Code && a.Path == b.Path && a.Message == b.Message
		})
	}
}

// kongService takes a Service that is a document of its own.
func (r *reader) kongService(n *tree.Node, in extent) {
	k := &kongFile{reader: r, patterns: true}
	k.entity(kongEntities["services"], n, "", in, nil)
}

// format checks the version of the file's format, n, and takes note of it.
func (k *kongFile) format(n *tree.Node) {
	switch {
	case n == nil:
	case n.Kind != tree.String:
		hint := ""
		if n.Kind == tree.Float || n.Kind == tree.Int {
			hint = fmt.Sprintf("write it in quotes: %q", n.Text)
		}
		k.errorAt(diag.CodeType, n.Pos, "_format_version", fmt.Sprintf("got %s, want string", n.Kind), hint)
		k.patterns = strings.HasPrefix(n.Text, "1") || strings.HasPrefix(n.Text, "2")
	case !slices.Contains(kongFormats, n.Text):
		k.errorAt(diag.CodeNotSupported, n.Pos, "_format_version", fmt.Sprintf("%q is not a version of Kong's format", n.Text),
			"the versions are "+strings.Join(kongFormats, ", "))
	default:
		k.patterns = n.Text != "3.0"
	}
}

// unknownList tells of a key at the top that holds no entities known here.
func (k *kongFile) unknownList(f tree.Field) {
	known := []string{"services", "routes", "upstreams", "targets", "certificates", "snis", "ca_certificates", "plugins", "consumers"}
	if near := diag.Nearest(f.Key, append(known, kongMeta...)); near != "" {
		k.errorAt(diag.CodeUnknownField, f.KeyPos, f.Key, fmt.Sprintf("unknown field %q", f.Key), fmt.Sprintf("did you mean %q?", near))
		return
	}
	if strings.HasPrefix(f.Key, "_") || strings.HasPrefix(f.Key, "x-") {
		return // by custom, a place for aliases
	}
	count := len(f.Value.Items)
	if f.Value.Kind != tree.List {
		count = 1
	}
	if f.Value.Kind != tree.Null && count > 0 {
		k.add(notApplied(f.KeyPos, f.Key, fmt.Sprintf("meshc does not know Kong's %s and leaves them out (%d here)", f.Key, count)))
	}
}

// list takes a list of entities, at the top or in owner.
func (k *kongFile) list(f tree.Field, in extent, owner *kongOwner) {
	switch f.Value.Kind {
	case tree.Null:
	case tree.List:
		for i, item := range f.Value.Items {
			path, part := diag.Path(f.Key, i), k.part(f.Value, i, in)
			switch e := kongEntities[f.Key]; {
			case item.Kind == tree.Map && e.kind != nil:
				k.entity(e, item, path, part, owner)
			case item.Kind == tree.Map:
				k.silence(item, part)
				k.leftOut(e, item, path)
			case item.Kind == tree.String && e.kind == kongSNIKind && owner != nil: // the Admin API's short form
				k.entity(e, &tree.Node{Kind: tree.Map, Pos: item.Pos, Fields: []tree.Field{{Key: "name", KeyPos: item.Pos, Value: item}}}, path, part, owner)
			default:
				k.out.checked++
				k.errorAt(diag.CodeType, item.Pos, path, fmt.Sprintf("got %s, want map", item.Kind), "")
			}
		}
	default:
		pos, hint := f.Value.Pos, ""
		if f.Value.Kind == tree.Map {
			pos, hint = f.KeyPos, "write it as a list: put a - before the first key"
		}
		k.errorAt(diag.CodeType, pos, f.Key, fmt.Sprintf("got %s, want list", f.Value.Kind), hint)
	}
}

// part returns the extent of item i. A comment above the first item is its
// own, and what follows the list is not the last one's.
func (k *kongFile) part(list *tree.Node, i int, in extent) extent {
	part := in.item(list, i)
	if i == 0 {
		part.from = list.Pos
	}
	if i == len(list.Items)-1 {
		part.to = list.Items[i].End()
		part.to.Column += 2 // a mistake in a key {{ … }} lies one after the map
	}
	return part
}

// entity takes one entity, which path leads to in the entity or file that it
// stands in, and what is nested in it.
func (k *kongFile) entity(e *kongEntity, n *tree.Node, path string, in extent, owner *kongOwner) {
	k.silenceInside(e, n, in)
	before, found := len(k.out.documents), len(k.out.diagnostics)
	k.check(e.kind, k.bare(e, n, owner), in)
	hintFields(e, k.out.diagnostics[found:])
	whole := len(k.out.documents) > before
	mine := kongOwner{field: e.one, ref: &tree.Node{Kind: tree.Map, Pos: n.Pos, Default: true}}
	if whole {
		mine.ref.Fields = ownerFields(k.out.documents[before])
		k.tellUnapplied(e, k.out.documents[before], n, path)
	}
	for _, f := range n.Fields {
		if slices.Contains(e.inside, f.Key) {
			k.list(f, in, &mine)
		}
	}
	if !whole {
		// What was in it belongs to nothing; its mistakes have been told.
		k.drop(k.out.documents[before:])
		k.out.documents = k.out.documents[:before]
	}
}

// silenceInside takes the silences of what is nested in an entity, the innermost
// first, so that they are not taken for those of the whole.
func (k *kongFile) silenceInside(e *kongEntity, n *tree.Node, in extent) {
	for _, f := range n.Fields {
		if !slices.Contains(e.inside, f.Key) {
			continue
		}
		for i, item := range f.Value.Items {
			part := k.part(f.Value, i, in)
			k.silenceInside(kongEntities[f.Key], item, part)
			k.silence(item, part)
		}
	}
}

// ownerFields name d in a reference.
func ownerFields(d *Document) []tree.Field {
	field := func(key, text string) tree.Field {
		return tree.Field{Key: key, KeyPos: d.Tree.Pos, Value: &tree.Node{Kind: tree.String, Text: text, Pos: d.Tree.Pos, Default: true}}
	}
	id := d.Tree.Get("id").Str()
	if id == "" {
		return []tree.Field{field("name", d.Name)}
	}
	if id == d.Name {
		return []tree.Field{field("id", id)}
	}
	return []tree.Field{field("id", id), field("name", d.Name)}
}

// bare returns an entity as its rules want it: without what is nested in it,
// what is not looked at and remarks, with decK's defaults, and with its
// references written in full.
func (k *kongFile) bare(e *kongEntity, n *tree.Node, owner *kongOwner) *tree.Node {
	out := without(n, slices.Concat(remarks, e.inside)...)
	if e.keep != nil {
		k.checkUnread(e, n)
		out.Fields = slices.DeleteFunc(out.Fields, func(f tree.Field) bool { return !e.looksAt(f.Key) })
	}
	if owner != nil {
		if f := out.Field(owner.field); f != nil && f.Value.Kind != tree.Null {
			k.errorAt(diag.CodeForbidden, f.KeyPos, owner.field, fmt.Sprintf("%s cannot be set here: this %s is nested in its %s", owner.field, e.one, owner.field),
				fmt.Sprintf("remove it, or move the %s to %s at the top of the file", e.one, e.list))
		}
		out = without(out, owner.field)
		ref := owner.ref
		if len(ref.Fields) == 0 { // broken, but that is no mistake of this one
			ref = &tree.Node{Kind: tree.Map, Pos: n.Pos, Fields: []tree.Field{{Key: "name", KeyPos: n.Pos, Value: &tree.Node{Kind: tree.String, Text: "?", Pos: n.Pos}}}}
		}
		out.Fields = append(out.Fields, tree.Field{Key: owner.field, KeyPos: n.Pos, Value: ref})
	}
	out = withDefaults(out, k.defaultsOf(e, n))
	for _, ref := range e.refs {
		write := kongReference
		if ref == "client_certificate" { // certificates have no names
			write = kongReferenceBy("id")
		}
		out = rewrite(out, []string{ref}, write)
	}
	if e.kind == kongRouteKind {
		out = k.route(out)
	}
	return out
}

// route brings a route into the form of format 3.0, and fills in the one
// default that depends on another field.
func (k *kongFile) route(n *tree.Node) *tree.Node {
	if k.patterns {
		n = rewrite(n, []string{"paths", "*"}, kongPathOf)
	}
	protocols := n.Get("protocols")
	if n.Field("strip_path") == nil && strings.HasPrefix(protocols.At(0).Str(), "grpc") {
		n = without(n)
		n.Fields = append(n.Fields, tree.Field{Key: "strip_path", KeyPos: n.Pos, Value: &tree.Node{Kind: tree.Bool, Text: "false", Pos: n.Pos, Default: true}})
	}
	return n
}

// defaultsOf returns what decK fills into entity n; url says some of it itself.
func (k *kongFile) defaultsOf(e *kongEntity, n *tree.Node) *tree.Node {
	d := k.defaults.Get(e.one)
	if d != nil && d.Kind == tree.Map && n.Get("url").Str() != "" {
		d = without(d, urlParts...)
	}
	return d
}

// withDefaults returns n with what only d says added, also inside maps.
func withDefaults(n, d *tree.Node) *tree.Node {
	if d == nil || d.Kind != tree.Map || n.Kind != tree.Map {
		return n
	}
	out := without(n)
	for _, f := range d.Fields {
		i := slices.IndexFunc(out.Fields, func(o tree.Field) bool { return o.Key == f.Key })
		if i < 0 {
			out.Fields = append(out.Fields, f)
			continue
		}
		out.Fields[i].Value = withDefaults(out.Fields[i].Value, f.Value)
	}
	return out
}
