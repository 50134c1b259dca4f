package schema

import (
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/kuma"
	"github.com/meshc/meshc/schema/tree"
)

// byType are the kinds that a document names in its field type.
var byType = map[string]*kind{
	"Mesh":            {definition: "#Mesh", body: func() any { return new(kuma.Mesh) }},
	"Dataplane":       {definition: "#Dataplane", body: func() any { return new(kuma.Dataplane) }},
	"ExternalService": {definition: "#ExternalService", body: func() any { return new(kuma.ExternalService) }},
	"TrafficRoute":    {definition: "#TrafficRoute", body: func() any { return new(kuma.TrafficRoute) }},
	"Zone":            {definition: "#KumaGlobal"},
	"GlobalSecret":    {definition: "#KumaGlobal", secrets: [][]string{{"data"}}},
	"Secret":          {definition: "#KumaResource", secrets: [][]string{{"data"}}},
	"WasmPlugin":      {dialect: Meshc, definition: "#KumaResource"},
}

func init() {
	for _, name := range []string{
		"HealthCheck", "ProxyTemplate", "TrafficPermission", "TrafficLog", "TrafficTrace", "FaultInjection", "Retry", "Timeout", "CircuitBreaker",
	} {
		byType[name] = &kind{definition: "#KumaResource"}
	}
	for name, k := range byType {
		k.name = name
		if k.dialect == "" {
			k.dialect = Kuma
		}
		global := k.definition == "#KumaGlobal" || name == "Mesh"
		k.identify = func(d *Document) {
			d.Name = d.Tree.Get("name").Str()
			if !global {
				d.Mesh = d.Tree.Get("mesh").Str()
			}
		}
		if tags, numbers := kumaTags[name], kumaNumbers[name]; len(tags) > 0 || len(numbers) > 0 {
			k.normalise = func(r *reader, n *tree.Node) *tree.Node { return r.kumaNormal(n, tags, numbers) }
			k.restore = func(written, checked *tree.Node) *tree.Node { return shortTags(written, checked, tags) }
			k.fieldPath = func(f plan.Finding) string { return kumaPath(name, f) }
		}
	}
	byType["Mesh"].secrets = [][]string{
		{"mtls", "backends", "*", "conf", "key", "inline"}, {"mtls", "backends", "*", "conf", "key", "inlineString"},
	}
	byType["ExternalService"].secrets = [][]string{{"networking", "tls", "clientKey", "inline"}, {"networking", "tls", "clientKey", "inlineString"}}
	byType["TrafficRoute"].unapplied = []unapplied{{[]string{"conf", "loadBalancer"}, "requests are balanced round robin"}}
	byType["Dataplane"].unapplied = []unapplied{
		{[]string{"metrics"}, "no metrics listener is opened"}, {[]string{"probes"}, "no listener for probes is opened"},
	}
}

// kumaTags are the places of tags, and kumaNumbers those of integers, which
// Kuma's JSON takes as text, too.
var kumaTags = map[string][][]string{
	"Dataplane": {
		{"networking", "inbound", "*", "tags"}, {"networking", "outbound", "*", "tags"}, {"networking", "gateway", "tags"},
		{"networking", "ingress", "availableServices", "*", "tags"},
	},
	"ExternalService": {{"tags"}},
	"TrafficRoute":    {{"sources", "*", "match"}, {"destinations", "*", "match"}, {"conf", "split", "*", "destination"}},
	"Mesh":            {{"metrics", "backends", "*", "conf", "tags"}},
}

var kumaNumbers = map[string][][]string{
	"Dataplane": {
		{"networking", "inbound", "*", "port"}, {"networking", "inbound", "*", "servicePort"}, {"networking", "outbound", "*", "port"},
		{"networking", "ingress", "publicPort"}, {"networking", "ingress", "availableServices", "*", "instances"},
	},
	"TrafficRoute": {{"conf", "split", "*", "weight"}},
}

// shortTag are the tags that older documents write without their prefix.
var shortTag = map[string]string{"service": kuma.ServiceTag, "protocol": kuma.ProtocolTag}

// kumaNormal gives tags their full names, with one note for the document, and
// makes integers of text that is one.
func (r *reader) kumaNormal(n *tree.Node, tags, numbers [][]string) *tree.Node {
	var first tree.Field
	for _, p := range tags {
		n = rewrite(n, p, func(m *tree.Node) *tree.Node {
			return renameFields(m, func(f tree.Field) string {
				full := shortTag[f.Key]
				if full == "" || m.Field(full) != nil {
					return f.Key
				}
				if first.Key == "" || f.KeyPos.Before(first.KeyPos) {
					first = f
				}
				return full
			})
		})
	}
	if first.Key != "" {
		r.add(finding(diag.Note, diag.CodeAlias, first.KeyPos, "",
			"short tags are read as "+kuma.ServiceTag+" and "+kuma.ProtocolTag, "write "+shortTag[first.Key]))
	}
	for _, p := range numbers {
		n = rewrite(n, p, func(v *tree.Node) *tree.Node {
			if v.Kind != tree.String || !decimal.MatchString(v.Text) {
				return v
			}
			number := *v
			number.Kind = tree.Int
			return &number
		})
	}
	return n
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

// shortTags undoes kumaNormal's renaming in checked: JSON shows what was written.
func shortTags(written, checked *tree.Node, tags [][]string) *tree.Node {
	short := map[tree.Pos]string{}
	for _, p := range tags {
		rewrite(written, p, func(m *tree.Node) *tree.Node {
			for _, f := range m.Fields {
				if full := shortTag[f.Key]; full != "" && m.Field(full) == nil {
					short[f.KeyPos] = f.Key
				}
			}
			return m
		})
	}
	if len(short) == 0 {
		return checked
	}
	for _, p := range tags {
		checked = rewrite(checked, p, func(m *tree.Node) *tree.Node {
			return renameFields(m, func(f tree.Field) string {
				if s := short[f.KeyPos]; s != "" && shortTag[s] == f.Key && !f.Value.Default {
					return s
				}
				return f.Key
			})
		})
	}
	return checked
}

// renameFields returns m with its fields renamed; m itself where none is.
func renameFields(m *tree.Node, name func(tree.Field) string) *tree.Node {
	out := m
	for i, f := range m.Fields {
		if to := name(f); to != f.Key {
			if out == m {
				copied := *m
				out = &copied
				out.Fields = slices.Clone(m.Fields)
			}
			out.Fields[i].Key = to
		}
	}
	return out
}

var (
	tagPath     = regexp.MustCompile(`^(.*\.)?(tags|match|destination)\.(.*)$`)
	missingTag  = regexp.MustCompile(`^(.*(?:match|destination))\["kuma\.io/service"\]$`)
	backendConf = regexp.MustCompile(`^((?:mtls|tracing|logging)\.backends\[\d+\])\.conf\b`)
)

// kumaPath writes a field path as Kuma does: a tag in brackets, a tag that a
// selector lacks at the selector, and with the names that Kuma's own messages
// have for some fields.
func kumaPath(kind string, f plan.Finding) string {
	path := f.Path
	if m := tagPath.FindStringSubmatch(path); m != nil {
		path = m[1] + m[2]
		if m[3] != "" {
			path += `["` + m[3] + `"]`
		}
	}
	if m := missingTag.FindStringSubmatch(path); m != nil && f.Code == diag.CodeRequired {
		path = m[1]
	}
	switch kind {
	case "Mesh":
		path = backendConf.ReplaceAllString(path, "$1.config")
	case "Dataplane":
		path = strings.Replace(path, "networking.ingress.availableServices[", "networking.ingress.availableService[", 1)
		if path == "networking.ingress.publicAddress" && f.Code == diag.CodeInvalid {
			path += ".address"
		}
	}
	return path
}
