package schema

import (
	"regexp"
	"strings"

	"github.com/meshc/meshc/schema/tree"
)

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
