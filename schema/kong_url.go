package schema

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// kongURL expands the shorthand url into protocol, host, port and path, as
// Kong does: they replace what is written beside it. A url without a host
// stays, for the rules to refuse.
func (r *reader) kongURL(n *tree.Node) *tree.Node {
	f := n.Field("url")
	if f == nil {
		return n
	}
	if f.Value.Kind == tree.Null {
		return without(n, "url")
	}
	parts := splitURL(f.Value.Text)
	if !slices.ContainsFunc(parts, func(p tree.Field) bool { return p.Key == "host" }) {
		return n
	}
	for _, key := range urlParts {
		if other := n.Field(key); other != nil && other.Value.Kind != tree.Null {
			r.add(notApplied(other.KeyPos, key, "it has no effect beside url, which sets it"))
		}
	}
	r.warnDropped(f)
	out := without(n, slices.Concat(urlParts, []string{"url"})...)
	for _, part := range parts {
		v := part.Value
		v.Pos = f.Value.Pos
		out.Fields = append(out.Fields, tree.Field{Key: part.Key, KeyPos: f.KeyPos, Value: v})
	}
	return out
}

// warnDropped tells what of a url, which has a host, Kong drops. It quotes
// nothing: any of it may be a password.
func (r *reader) warnDropped(f *tree.Field) {
	rest, _, fragment := strings.Cut(f.Value.Text, "#")
	rest, _, query := strings.Cut(rest, "?")
	_, rest, _ = strings.Cut(rest, "//")
	authority, _, _ := strings.Cut(rest, "/")
	var dropped []string
	for _, part := range []struct {
		name  string
		there bool
	}{{"user", strings.Contains(authority, "@")}, {"query", query}, {"fragment", fragment}} {
		if part.there {
			dropped = append(dropped, part.name)
		}
	}
	if last := len(dropped) - 1; last >= 0 {
		words := dropped[last]
		if last > 0 {
			words = strings.Join(dropped[:last], ", ") + " and " + words
		}
		d := notApplied(f.Value.Pos, "url", "nothing comes of the "+words+" in url, here as in Kong")
		d.Hint = "write protocol, host, port and path alone"
		r.add(d)
	}
}

// wordURL says what is wrong with a part of a url in the words of who wrote the
// url: paths stay those of the parts, as in Kong's own errors, but nobody wrote
// such fields.
func wordURL(written *tree.Node, d *diag.Diagnostic) {
	url := written.Get("url").Str()
	switch {
	case d.Path == "url" && d.Code == diag.CodeInvalid && urlWithoutScheme.MatchString(url):
		d.Hint = "did you mean " + strconv.Quote("http://"+url) + "?"
	case url != "" && slices.Contains(urlParts, d.Path):
		d.Message = "in url, " + d.Message
		if d.Path == "host" && !strings.Contains(url, "${") {
			d.Hint = "write protocol://host:port/path"
		}
	}
}

// urlParts are the fields that url stands for.
var urlParts = []string{"protocol", "host", "port", "path"}

var (
	urlScheme = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+.-]*:`)
	urlPort   = regexp.MustCompile(`:([^:\]]*)$`)
	// urlWithoutScheme is host:port/path, of which nothing may be a secret.
	urlWithoutScheme = regexp.MustCompile(`^[A-Za-z0-9_.-]+(:[0-9]+)?(/[A-Za-z0-9_./-]*)?$`)
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
	if host != "" {
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
