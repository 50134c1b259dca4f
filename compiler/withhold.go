package compiler

import (
	"slices"
	"strings"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// Withhold returns ds, what a compile has found, without what may be wrong for
// no other reason than that some documents were refused: that something is not
// there, where one of them may be it. It writes into ds.
func Withhold(ds []diag.Diagnostic, refused []schema.Refused) []diag.Diagnostic {
	if len(refused) == 0 {
		return ds
	}
	byKind := map[string]*absent{}
	for _, r := range refused {
		a := byKind[kindOf(r)]
		if a == nil {
			a = &absent{names: map[string]bool{}}
			byKind[kindOf(r)] = a
		}
		a.unnamed = a.unnamed || r.Names == nil
		for _, n := range r.Names {
			a.names[n] = true
		}
	}
	anything := byKind[kindOf(schema.Refused{})] != nil
	return slices.DeleteFunc(ds, func(d diag.Diagnostic) bool {
		return diag.LeadsOut(d.Code) && (anything || slices.ContainsFunc(restsOn[d.Code], func(kind string) bool {
			return byKind[kind].mayBe(kind, d.Missing)
		}))
	})
}

func kindOf(r schema.Refused) string { return string(r.Dialect) + "/" + r.Kind }

// absent is what the refused documents of a kind may be called or define.
type absent struct {
	names   map[string]bool
	unnamed bool // one of them may be called anything
}

// mayBe reports whether one of a may be what others call name; of no name, that
// there is one.
func (a *absent) mayBe(kind, name string) bool {
	if a == nil || a.unnamed || name == "" || a.names[name] {
		return a != nil
	}
	// Two kinds define services by more than one text of theirs.
	switch kind {
	case "kubernetes/Service": // NAME_NAMESPACE_svc_PORT
		first, _, _ := strings.Cut(name, "_")
		return a.names[first]
	case "kong/Service": // HOST-PORT
		i := strings.LastIndexByte(name, '-')
		return i >= 0 && a.names[name[:i]]
	}
	return false
}

// restsOn says, for each finding of the compiler's that diag.LeadsOut tells of,
// which kinds it has looked for.
var restsOn = map[string][]string{
	diag.CodeUnknownService: definers,
	diag.CodeUnknownMesh:    {"kuma/Mesh"},
	diag.CodeNoEndpoints:    {"kubernetes/Endpoints", "kubernetes/EndpointSlice", "kong/Upstream", "kong/Target"},
	diag.CodeMatchesNothing: definers,
	diag.CodeTie:            slices.Concat(definers, policyKinds()),
	diag.CodeShadowed:       slices.Concat(definers, policyKinds()),
	diag.CodeUnknownBackend: {"kuma/Mesh"},
	diag.CodeUnknownSecret:  {"kuma/Secret", "kuma/GlobalSecret"},
	diag.CodeUnknownEntity: {
		"kong/Service", "kong/Route", "kong/Upstream", "kong/Certificate", "kong/CACertificate", "kong/Consumer", "kong/ConsumerGroup",
	},
	diag.CodeNoMTLS:      {"kuma/Mesh", "kuma/TrafficPermission"},
	diag.CodeUnprotected: {"kuma/Dataplane"},
}

// definers are the kinds that define services and proxies.
var definers = []string{"kubernetes/Service", "kong/Service", "kuma/Dataplane", "kuma/ExternalService"}

func policyKinds() []string {
	var out []string
	for _, f := range families {
		out = append(out, f.kind)
	}
	return out
}
