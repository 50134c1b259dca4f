package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/tree"
)

// recognise finds the dialect that claims n and hands n over. typed is what a
// typed list says its items are; nil elsewhere.
func (r *reader) recognise(n *tree.Node, in extent, typed *gvk) {
	switch {
	case n.Kind != tree.Map:
		r.unrecognised(n, in)
	case typed != nil:
		r.kubernetes(typed.fill(n), in)
	case looksKubernetes(n):
		r.kubernetes(n, in)
	case n.Field("type") != nil:
		r.byType(n, in)
	case n.Field("_format_version") != nil || n.Get("services") != nil && n.Get("services").Kind == tree.List:
		r.kongFile(n, in)
	case n.Field("host") != nil || n.Field("url") != nil:
		r.kongService(n, in)
	default:
		r.unrecognised(n, in)
	}
}

// unrecognised reports a document that no dialect claims.
func (r *reader) unrecognised(n *tree.Node, in extent) {
	r.silence(n, in)
	if r.broken(in) {
		return // what it lost in the writing may be what it was known by
	}
	at, path, hint := recognitionHint(n)
	r.errorAt(diag.CodeUnrecognised, at, path, "no kind of document that meshc knows looks like this", hint)
}

// marks are the fields that say what a document is.
var marks = parse.Marks

// recognitionHint says what would make a document of n, and where.
func recognitionHint(n *tree.Node) (at tree.Pos, path, hint string) {
	const want = "a document has apiVersion and kind (Kubernetes), type (Kuma, WasmPlugin), or _format_version, services, host or url (Kong)"
	switch {
	case n.Kind == tree.List:
		return n.Pos, "", "a document is a map; separate documents with a line of ---, or put Kubernetes objects under items in a List"
	case n.Kind != tree.Map:
		return n.Pos, "", "a document is a map"
	case n.Get("items") != nil && n.Get("items").Kind == tree.List:
		return n.Pos, "", "write each of the items as a document of its own"
	case n.Get("services") != nil && n.Get("services").Kind == tree.Map:
		return n.Pos, "", "Kong's services are a list; meshc does not read Compose files"
	}
	if kind := n.Field("kind"); kind != nil && byType[kind.Value.Str()] != nil {
		return kind.KeyPos, kind.Key, "Kuma's documents name their kind in type: write type: " + kind.Value.Text
	}
	for _, mark := range marks {
		if f := misspelt(n, mark); f != nil {
			return f.KeyPos, f.Key, fmt.Sprintf("did you mean %q where it says %q?", mark, f.Key)
		}
	}
	return n.Pos, "", want
}

// misspelt returns the field of n that is nearly named key, or nil.
func misspelt(n *tree.Node, key string) *tree.Field {
	for i, f := range n.Fields {
		if f.Key != key && strings.EqualFold(f.Key, key) || diag.Nearest(f.Key, []string{key}) != "" {
			return &n.Fields[i]
		}
	}
	return nil
}

// byType hands over a document that names its kind in type: Kuma's and meshc's own.
func (r *reader) byType(n *tree.Node, in extent) {
	t := n.Get("type")
	if t.Kind != tree.String {
		r.silence(n, in)
		r.errorAt(diag.CodeType, t.Pos, "type", fmt.Sprintf("got %s, want the name of a kind", t.Kind), "")
		return
	}
	if k := byType[t.Text]; k != nil {
		r.check(k, n, in)
		return
	}
	r.out.checked++
	r.silence(n, in)
	message, hint := fmt.Sprintf("no kind is named %q", t.Text), ""
	switch {
	case slices.Contains(kumaState, t.Text):
		message, hint = fmt.Sprintf("%s is a state that Kuma reports, not something to configure", t.Text), "remove the document"
	case kumaLater[t.Text] != "":
		message, hint = fmt.Sprintf("%s is a kind of later versions of Kuma, which meshc does not know", t.Text), kumaLater[t.Text]
	case nearestKind(t.Text) != "":
		hint = fmt.Sprintf("did you mean %q?", nearestKind(t.Text))
	}
	r.errorAt(diag.CodeUnknownKind, t.Pos, "type", message, hint)
}

// kumaState are types that Kuma's REST API shows beside its resources.
var kumaState = []string{
	"DataplaneInsight", "DataplaneOverview", "MeshInsight", "ServiceInsight", "ServiceOverview", "ZoneInsight", "ZoneOverview", "Config",
	"ZoneIngressInsight", "ZoneIngressOverview", "ZoneEgressInsight", "ZoneEgressOverview", "MeshGatewayOverview",
}

// noOlderKind is the remedy where the Kuma that meshc knows has nothing like it.
const noOlderKind = "remove it; meshc reads the universal API of Kuma 1.1, which has nothing like it"

// kumaLater are kinds that came after Kuma 1.1, and what does their work there.
var kumaLater = map[string]string{
	"MeshAccessLog":         "log traffic by a TrafficLog",
	"MeshCircuitBreaker":    "write a CircuitBreaker",
	"MeshExternalService":   "write an ExternalService",
	"MeshFaultInjection":    "write a FaultInjection",
	"MeshHTTPRoute":         "route by a TrafficRoute",
	"MeshHealthCheck":       "write a HealthCheck",
	"MeshProxyPatch":        "change what Envoy gets by a ProxyTemplate",
	"MeshRetry":             "write a Retry",
	"MeshTCPRoute":          "route by a TrafficRoute",
	"MeshTimeout":           "write a Timeout",
	"MeshTrace":             "trace traffic by a TrafficTrace",
	"MeshTrafficPermission": "write a TrafficPermission",
	"ZoneIngress":           "write a Dataplane with networking.ingress",

	"AccessAudit": noOlderKind, "AccessRole": noOlderKind, "AccessRoleBinding": noOlderKind, "HostnameGenerator": noOlderKind,
	"MeshGateway": noOlderKind, "MeshGatewayConfig": noOlderKind, "MeshGatewayInstance": noOlderKind, "MeshGatewayRoute": noOlderKind,
	"MeshGlobalRateLimit": noOlderKind, "MeshIdentity": noOlderKind, "MeshLoadBalancingStrategy": noOlderKind, "MeshMetric": noOlderKind,
	"MeshMultiZoneService": noOlderKind, "MeshOPA": noOlderKind, "MeshPassthrough": noOlderKind, "MeshRateLimit": noOlderKind,
	"MeshService": noOlderKind, "MeshTLS": noOlderKind, "MeshTrust": noOlderKind, "OPAPolicy": noOlderKind, "RateLimit": noOlderKind,
	"VirtualOutbound": noOlderKind, "Workload": noOlderKind, "ZoneEgress": noOlderKind,
}

func nearestKind(name string) string {
	var names []string
	for n := range byType {
		if strings.EqualFold(n, name) {
			return n
		}
		names = append(names, n)
	}
	slices.Sort(names)
	return diag.Nearest(name, names)
}
