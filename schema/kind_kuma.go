package schema

import (
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/kuma"
	"github.com/meshc/meshc/schema/meshc"
	"github.com/meshc/meshc/schema/tree"
)

// byType are the kinds that a document names in its field type.
var byType = map[string]*kind{
	"Mesh":            {body: func() any { return new(kuma.Mesh) }},
	"Dataplane":       {body: func() any { return new(kuma.Dataplane) }},
	"ExternalService": {body: func() any { return new(kuma.ExternalService) }},
	"Zone":            {body: func() any { return new(kuma.Zone) }},
	"Secret":          {body: func() any { return new(kuma.Secret) }},
	"GlobalSecret":    {body: func() any { return new(kuma.Secret) }},

	"TrafficRoute":      {body: func() any { return new(kuma.TrafficRoute) }},
	"TrafficPermission": {body: func() any { return new(kuma.TrafficPermission) }},
	"TrafficLog":        {body: func() any { return new(kuma.TrafficLog) }},
	"TrafficTrace":      {body: func() any { return new(kuma.TrafficTrace) }},
	"HealthCheck":       {body: func() any { return new(kuma.HealthCheck) }},
	"FaultInjection":    {body: func() any { return new(kuma.FaultInjection) }},
	"Retry":             {body: func() any { return new(kuma.Retry) }},
	"Timeout":           {body: func() any { return new(kuma.Timeout) }},
	"CircuitBreaker":    {body: func() any { return new(kuma.CircuitBreaker) }},
	"ProxyTemplate":     {body: func() any { return new(kuma.ProxyTemplate) }},

	"WasmPlugin": {dialect: Meshc, body: func() any { return new(meshc.WasmPlugin) }},
}

// kumaGlobal are the kinds that belong to no mesh.
var kumaGlobal = []string{"Mesh", "Zone", "GlobalSecret"}

func init() {
	for name, k := range byType {
		k.name = name
		k.definition = "#" + name
		if k.dialect == "" {
			k.dialect = Kuma
		}
		global := slices.Contains(kumaGlobal, name)
		k.identify = func(d *Document) {
			d.Name = d.Tree.Get("name").Str()
			if !global {
				d.Mesh = d.Tree.Get("mesh").Str()
			}
		}
		if tags, values := kumaTags[name], kumaScalars[name]; len(tags) > 0 || len(values) > 0 {
			k.normalise = func(r *reader, n *tree.Node) *tree.Node { return r.kumaNormal(n, tags, values) }
			k.restore = func(written, checked *tree.Node) *tree.Node { return shortTags(written, checked, tags) }
		}
		if k.dialect == Kuma {
			k.fieldPath = func(f plan.Finding) string { return kumaPath(name, f) }
		}
	}
	byType["Mesh"].secrets = [][]string{
		{"mtls", "backends", "*", "conf", "key", "inline"}, {"mtls", "backends", "*", "conf", "key", "inlineString"},
	}
	byType["ExternalService"].secrets = [][]string{{"networking", "tls", "clientKey", "inline"}, {"networking", "tls", "clientKey", "inlineString"}}
	byType["Secret"].secrets = [][]string{{"data"}}
	byType["GlobalSecret"].secrets = [][]string{{"data"}}
	byType["Mesh"].urls = [][]string{{"tracing", "backends", "*", "conf", "url"}}
	byType["WasmPlugin"].private = [][]string{{"conf", "configuration"}, {"conf", "vmConfiguration"}, {"conf", "env"}}
	byType["HealthCheck"].headers = dotted("conf.http.requestHeadersToAdd.*.header.key")
	byType["HealthCheck"].unquoted = dotted("conf.http.requestHeadersToAdd.*.header.value")
	byType["TrafficRoute"].headers = dotted(
		"conf.http.*.modify.requestHeaders.add.*.name", "conf.http.*.modify.requestHeaders.remove.*.name",
		"conf.http.*.modify.responseHeaders.add.*.name", "conf.http.*.modify.responseHeaders.remove.*.name")
	byType["TrafficRoute"].unquoted = dotted(
		"conf.http.*.modify.requestHeaders.add.*.value", "conf.http.*.modify.responseHeaders.add.*.value",
		"conf.http.*.match.headers.*.exact", "conf.http.*.match.headers.*.prefix", "conf.http.*.match.headers.*.regex")
	byType["ProxyTemplate"].raw = []string{"conf", "resources", "*", "resource"}
	byType["ProxyTemplate"].extra = (*reader).rawResources
	byType["Retry"].extra = (*reader).retryStatuses
	byType["Dataplane"].extra = (*reader).numericHosts
	byType["ExternalService"].extra = (*reader).numericHosts
	byType["HealthCheck"].unapplied = []unapplied{
		{[]string{"conf", "eventLogPath"}, "no events are written"}, {[]string{"conf", "alwaysLogHealthCheckFailures"}, "no events are written"},
	}
	byType["Dataplane"].unapplied = []unapplied{
		{[]string{"probes"}, "no listener for probes is opened"},
	}
}

// fromTo are the tags of the policies about traffic between services.
var fromTo = [][]string{{"sources", "*", "match"}, {"destinations", "*", "match"}}

// kumaTags are the places of tags.
var kumaTags = map[string][][]string{
	"Dataplane": {
		{"networking", "inbound", "*", "tags"}, {"networking", "outbound", "*", "tags"}, {"networking", "gateway", "tags"}, {"metrics", "conf", "tags"},
		{"networking", "ingress", "availableServices", "*", "tags"},
	},
	"ExternalService": {{"tags"}},
	"TrafficRoute": {
		fromTo[0], fromTo[1], {"conf", "destination"}, {"conf", "split", "*", "destination"},
		{"conf", "http", "*", "destination"}, {"conf", "http", "*", "split", "*", "destination"},
	},
	"Mesh":              {{"metrics", "backends", "*", "conf", "tags"}},
	"TrafficPermission": fromTo,
	"TrafficLog":        fromTo,
	"HealthCheck":       fromTo,
	"FaultInjection":    fromTo,
	"Retry":             fromTo,
	"Timeout":           fromTo,
	"CircuitBreaker":    fromTo,
	"TrafficTrace":      {{"selectors", "*", "match"}},
	"ProxyTemplate":     {{"selectors", "*", "match"}},
	"WasmPlugin":        {{"selectors", "*", "match"}, {"destinations", "*", "match"}},
}

// kumaScalars are the places of values that Kuma's JSON takes in two ways:
// numbers, which may stand in quotes, and names of an enumeration, for which
// their number may stand.
var kumaScalars = map[string][]scalars{
	"Mesh": {{read: number, at: [][]string{{"tracing", "backends", "*", "sampling"}}}},
	"Dataplane": {{read: number, at: [][]string{
		{"networking", "inbound", "*", "port"}, {"networking", "inbound", "*", "servicePort"}, {"networking", "outbound", "*", "port"},
		{"networking", "ingress", "publicPort"}, {"networking", "ingress", "availableServices", "*", "instances"},
	}}},
	"TrafficRoute": {{read: number, at: [][]string{{"conf", "split", "*", "weight"}, {"conf", "http", "*", "split", "*", "weight"}}}},
	"HealthCheck": {{read: number, at: [][]string{
		{"conf", "unhealthyThreshold"}, {"conf", "healthyThreshold"}, {"conf", "http", "expectedStatuses", "*"},
		{"conf", "intervalJitterPercent"}, {"conf", "healthyPanicThreshold"},
	}}},
	"FaultInjection": {{read: number, at: [][]string{
		{"conf", "delay", "percentage"}, {"conf", "abort", "percentage"}, {"conf", "abort", "httpStatus"}, {"conf", "responseBandwidth", "percentage"},
	}}},
	"Retry": {
		{read: number, at: [][]string{
			{"conf", "http", "numRetries"}, {"conf", "http", "retriableStatusCodes", "*"}, {"conf", "grpc", "numRetries"}, {"conf", "tcp", "maxConnectAttempts"},
		}},
		{read: retryOn, at: [][]string{{"conf", "grpc", "retryOn", "*"}}},
	},
	"CircuitBreaker": {{read: number, at: [][]string{
		{"conf", "maxEjectionPercent"},
		{"conf", "detectors", "totalErrors", "consecutive"}, {"conf", "detectors", "gatewayErrors", "consecutive"}, {"conf", "detectors", "localErrors", "consecutive"},
		{"conf", "detectors", "standardDeviation", "requestVolume"}, {"conf", "detectors", "standardDeviation", "minimumHosts"}, {"conf", "detectors", "standardDeviation", "factor"},
		{"conf", "detectors", "failure", "requestVolume"}, {"conf", "detectors", "failure", "minimumHosts"}, {"conf", "detectors", "failure", "threshold"},
		{"conf", "thresholds", "maxConnections"}, {"conf", "thresholds", "maxPendingRequests"}, {"conf", "thresholds", "maxRetries"}, {"conf", "thresholds", "maxRequests"},
	}}},
}

// scalars are values at some places, and how to read one.
type scalars struct {
	read func(v *tree.Node) *tree.Node
	at   [][]string
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// number returns text that is a number as one, and anything else as it is.
func number(v *tree.Node) *tree.Node {
	if v.Kind != tree.String || !decimal.MatchString(v.Text) {
		return v
	}
	out := *v
	out.Kind = tree.Int
	if strings.Contains(v.Text, ".") {
		out.Kind = tree.Float
	}
	return &out
}

// retryOn returns the name that goes with a number, and anything else as it is.
func retryOn(v *tree.Node) *tree.Node {
	names := []string{"cancelled", "deadline_exceeded", "internal", "resource_exhausted", "unavailable"}
	i, ok := v.Int64()
	if !ok || i < 0 || i >= int64(len(names)) {
		return v
	}
	out := *v
	out.Kind, out.Text = tree.String, names[i]
	return &out
}

// shortTag are the tags that older documents write without their prefix.
var shortTag = map[string]string{"service": kuma.ServiceTag, "protocol": kuma.ProtocolTag}

// kumaNormal gives tags their full names, with one note for the document, and
// scalars the form that the rules know.
func (r *reader) kumaNormal(n *tree.Node, tags [][]string, values []scalars) *tree.Node {
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
	for _, v := range values {
		for _, p := range v.at {
			n = rewrite(n, p, v.read)
		}
	}
	return n
}

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
	tagPath = regexp.MustCompile(`^(.*\.)?(tags|match|destination)\.(.*)$`)
	// requestMatch is what looks at requests, and not at tags.
	requestMatch = regexp.MustCompile(`^conf\.http\[\d+\]\.match\.`)
	missingTag   = regexp.MustCompile(`^(.*(?:match|destination))\["kuma\.io/(?:service|protocol)"\]$`)
	repeated     = regexp.MustCompile(`^(.*\.retryOn)\[\d+\]$`)
	backendConf  = regexp.MustCompile(`^((?:tracing|logging)\.backends\[\d+\])\.conf\b`)
)

// kumaPath writes a field path as Kuma does: a tag in brackets, a tag that a
// selector lacks at the selector, an item that is there twice at its list, and
// with the names that Kuma's own messages have for some fields.
func kumaPath(kind string, f plan.Finding) string {
	path := strings.TrimSuffix(f.Path, `[""]`) // of an empty tag name, Kuma says nothing
	if m := tagPath.FindStringSubmatch(path); m != nil && !requestMatch.MatchString(path) {
		path = m[1] + m[2]
		if m[3] != "" {
			path += `["` + m[3] + `"]`
		}
	}
	if m := missingTag.FindStringSubmatch(path); m != nil && f.Code == diag.CodeRequired {
		path = m[1]
	}
	switch kind {
	case "Retry":
		if f.Code == diag.CodeDuplicate {
			path = repeated.ReplaceAllString(path, "$1")
		}
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
