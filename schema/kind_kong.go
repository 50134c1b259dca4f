package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/tree"
)

var kongServiceKind = &kind{
	dialect: Kong, name: "Service", definition: "#KongService",
	body:      func() any { return new(kong.Service) },
	normalise: (*reader).kongNormal,
	identify: func(d *Document) {
		s := d.Body.(*kong.Service)
		if d.Name = s.Name; d.Name == "" {
			d.Name = fmt.Sprintf("%s-%d", s.Host, s.Port)
		}
		// Kong takes null for its default when it proxies.
		for _, ms := range []*int32{&s.ConnectTimeout, &s.WriteTimeout, &s.ReadTimeout} {
			if *ms == 0 {
				*ms = kongTimeout
			}
		}
	},
	unapplied: []unapplied{
		{[]string{"tls_verify"}, "the upstream's certificate is not checked as it says"},
		{[]string{"tls_verify_depth"}, "the upstream's certificate is not checked as it says"},
		{[]string{"ca_certificates"}, "the upstream's certificate is not checked as it says"},
	},
}

// kongTimeout is Kong's default for its timeouts, in milliseconds.
const kongTimeout = 60000

// kongMeta are the keys of a declarative file that are about the file.
var kongMeta = []string{"_format_version", "_transform", "_comment", "_info", "_workspace", "_konnect", "_plugin_configs", "_ignore"}

// kongLost says what is lost where an entity is not applied.
var kongLost = map[string]string{
	"routes":          "its hosts and paths lead nowhere",
	"plugins":         "what they check, limit or change is not done",
	"upstreams":       "a service whose host names one is sent to DNS instead",
	"targets":         "the upstream has no addresses",
	"consumers":       "nobody is told from anybody else",
	"consumer_groups": "nobody is told from anybody else",
	"certificates":    "no TLS is served with them",
	"snis":            "no TLS is served with them",
	"ca_certificates": "no certificate is checked against them",
	"vaults":          "references into them are not resolved",
}

// kongFile takes a declarative file of Kong.
func (r *reader) kongFile(n *tree.Node, in extent) {
	for _, f := range n.Fields {
		switch {
		case f.Key == "services":
			r.kongServices(f, in)
		case slices.Contains(kongMeta, f.Key):
		case diag.Nearest(f.Key, []string{"services"}) != "":
			r.errorAt(diag.CodeUnknownField, f.KeyPos, f.Key, fmt.Sprintf("unknown field %q", f.Key), `did you mean "services"?`)
		default:
			r.kongUnapplied(f)
		}
	}
}

func (r *reader) kongServices(f tree.Field, in extent) {
	switch f.Value.Kind {
	case tree.Null:
	case tree.List:
		for i, item := range f.Value.Items {
			part := in.item(f.Value, i)
			if i == len(f.Value.Items)-1 {
				// The keys that follow services are not the last one's.
				part.to = item.End()
				part.to.Column++
			}
			if item.Kind != tree.Map {
				r.out.checked++
				r.errorAt(diag.CodeType, item.Pos, diag.Path("services", i), fmt.Sprintf("got %s, want map", item.Kind), "")
				continue
			}
			r.kongService(item, part)
		}
	default:
		r.errorAt(diag.CodeType, f.Value.Pos, "services", fmt.Sprintf("got %s, want list", f.Value.Kind), "")
	}
}

// kongNested are the entities that may be written inside a service.
var kongNested = []string{"routes", "plugins", "filter_chains"}

// kongService takes one service, without what hangs on it.
func (r *reader) kongService(n *tree.Node, in extent) {
	for _, f := range n.Fields {
		if slices.Contains(kongNested, f.Key) {
			r.kongUnapplied(f)
		}
	}
	r.check(kongServiceKind, without(n, kongNested...), in)
}

// kongUnapplied warns of entities of Kong's that this build does not apply.
func (r *reader) kongUnapplied(f tree.Field) {
	count := len(f.Value.Items)
	if f.Value.Kind != tree.List {
		count = 1
	}
	if f.Value.Kind == tree.Null || count == 0 {
		return
	}
	message := fmt.Sprintf("this build of meshc does not apply Kong %s (%d here)", f.Key, count)
	if lost := kongLost[f.Key]; lost != "" {
		message += ": " + lost
	}
	r.add(notApplied(f.KeyPos, f.Key, message))
}

// unapplied is a field that this build checks but does not act on.
type unapplied struct {
	path []string
	lost string
}

func notApplied(pos tree.Pos, path, message string) diag.Diagnostic {
	return finding(diag.Warning, diag.CodeNotApplied, pos, path, message, "")
}

func (r *reader) warnUnapplied(k *kind, n *tree.Node) {
	for _, u := range k.unapplied {
		v, path := n, make([]any, len(u.path))
		for i, step := range u.path {
			v, path[i] = v.Get(step), step
		}
		if v != nil && !v.Default && v.Kind != tree.Null {
			field := diag.Path(path...)
			r.add(notApplied(n.Find(path...), field, "this build of meshc does not apply "+field+": "+u.lost))
		}
	}
}

// kongNormal expands url, and a client certificate that a declarative file
// names by its id alone.
func (r *reader) kongNormal(n *tree.Node) *tree.Node {
	n = rewrite(n, []string{"client_certificate"}, func(v *tree.Node) *tree.Node {
		if v.Kind != tree.String {
			return v
		}
		return &tree.Node{Kind: tree.Map, Pos: v.Pos, Fields: []tree.Field{{Key: "id", KeyPos: v.Pos, Value: v}}}
	})
	return r.kongURL(n)
}

// kongURL expands the shorthand url into protocol, host, port and path, as
// Kong does: they replace what is written beside it. A url that is empty or no
// string stays, for the rules to refuse.
func (r *reader) kongURL(n *tree.Node) *tree.Node {
	f := n.Field("url")
	if f == nil {
		return n
	}
	if f.Value.Kind == tree.Null {
		return without(n, "url")
	}
	if f.Value.Str() == "" {
		return n
	}
	for _, key := range []string{"protocol", "host", "port", "path"} {
		if other := n.Field(key); other != nil && other.Value.Kind != tree.Null {
			r.add(notApplied(other.KeyPos, key, key+" has no effect beside url, which sets it"))
		}
	}
	out := without(n, "url", "protocol", "host", "port", "path")
	for _, part := range splitURL(f.Value.Text) {
		v := part.Value
		v.Pos = f.Value.Pos
		out.Fields = append(out.Fields, tree.Field{Key: part.Key, KeyPos: f.KeyPos, Value: v})
	}
	return out
}

var (
	urlScheme = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+.-]*:`)
	urlPort   = regexp.MustCompile(`:([^:\]]*)$`)
)

// splitURL takes a url apart as Kong's url.parse does, however odd it is: the
// rules say what is wrong with the parts. Query, fragment and user are dropped.
func splitURL(url string) []tree.Field {
	rest, _, _ := strings.Cut(url, "#")
	scheme := strings.TrimSuffix(urlScheme.FindString(rest), ":")
	if scheme != "" {
		rest = rest[len(scheme)+1:]
	}
	host, port := "", ""
	if authority, ok := strings.CutPrefix(rest, "//"); ok {
		rest = ""
		if i := strings.IndexAny(authority, "/?"); i >= 0 {
			authority, rest = authority[:i], authority[i:]
		}
		if i := strings.LastIndexByte(authority, '@'); i >= 0 {
			authority = authority[i+1:]
		}
		if m := urlPort.FindStringSubmatch(authority); m != nil {
			authority, port = strings.TrimSuffix(authority, m[0]), m[1]
		}
		host = authority
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
			host = host[1 : len(host)-1]
		}
	}
	path, _, _ := strings.Cut(rest, "?")
	if scheme == "" {
		scheme = "http"
		if port == "443" {
			scheme = "https"
		}
	}
	if port == "" {
		port = "80"
		if scheme == "https" {
			port = "443"
		}
	}
	fields := []tree.Field{{Key: "protocol", Value: &tree.Node{Kind: tree.String, Text: scheme}}}
	if host != "" { // else the rules say that it is missing
		fields = append(fields, tree.Field{Key: "host", Value: &tree.Node{Kind: tree.String, Text: host}})
	}
	number := &tree.Node{Kind: tree.String, Text: port}
	if decimal.MatchString(port) {
		number.Kind = tree.Int
	}
	fields = append(fields, tree.Field{Key: "port", Value: number})
	if path != "" {
		fields = append(fields, tree.Field{Key: "path", Value: &tree.Node{Kind: tree.String, Text: path}})
	}
	return fields
}
