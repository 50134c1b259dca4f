package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

func init() {
	Checks["kong-protocols"] = func(n *tree.Node, report func(Fault)) { kongFamilyOf(n, report) }
	Checks["kong-paths"] = kongPaths
	Checks["kong-route"] = kongRoute
	Checks["kong-upstream"] = kongUpstream
	Checks["kong-certificate"] = kongCertificate
	Checks["kong-key"] = kongKey
	Checks["kong-key-pair"] = kongKeyPair
	Checks["kong-ca-certificate"] = kongCACertificate
}

// kongFamily are protocols that a route may have together, what such a route
// must have one of, and what it must not have (kong/db/schema/entities/
// routes_subschemas.lua; Kong's documentation for ws and wss).
type kongFamily struct {
	protocols []string
	oneOf     []string
	tlsOneOf  []string // more of the same where a protocol has TLS
	never     []string
}

var kongFamilies = []kongFamily{
	{[]string{"http", "https"}, []string{"methods", "hosts", "headers", "paths"}, []string{"snis"}, []string{"sources", "destinations"}},
	{[]string{"grpc", "grpcs"}, []string{"hosts", "headers", "paths"}, []string{"snis"}, []string{"methods", "sources", "destinations"}},
	{[]string{"tcp", "tls", "udp"}, []string{"sources", "destinations", "snis"}, nil, []string{"methods", "hosts", "paths", "headers"}},
	{[]string{"tls_passthrough"}, []string{"snis"}, nil, []string{"methods", "hosts", "paths", "headers"}},
	{[]string{"ws", "wss"}, []string{"hosts", "headers", "paths"}, []string{"snis"}, []string{"methods", "sources", "destinations"}},
}

// kongTLS are the protocols of a route that show a server name.
var kongTLS = []string{"https", "grpcs", "tls", "tls_passthrough", "wss"}

// kongRoute checks the fields of a route against its protocols.
func kongRoute(n *tree.Node, report func(Fault)) {
	family, protocols := kongFamilyOf(n.Get("protocols"), func(Fault) {})
	if family == nil {
		return // reported
	}
	words, others := strings.Join(protocols, ", "), false
	for _, field := range family.never {
		if v := n.Get(field); v != nil && v.Kind != tree.Null {
			others = true // of the protocols that were meant, perhaps
			report(Fault{
				At: []any{field}, Code: diag.CodeForbidden, Message: fmt.Sprintf("%s makes no sense with protocols %s", field, words),
				Hint: "remove it, or change protocols",
			})
		}
	}
	if strip := n.Get("strip_path"); family.protocols[0] == "grpc" && strip != nil && strip.Text == "true" {
		report(Fault{At: []any{"strip_path"}, Code: diag.CodeForbidden, Message: "strip_path makes no sense with protocols " + words, Hint: "remove it: gRPC paths are never shortened"})
	}
	hasTLS := slices.ContainsFunc(protocols, func(p string) bool { return slices.Contains(kongTLS, p) })
	if !kongEmpty(n.Get("snis")) && !hasTLS {
		report(Fault{
			At: []any{"snis"}, Code: diag.CodeForbidden, Message: "snis makes no sense with protocols " + words,
			Hint: "server names are seen with https, grpcs, tls, tls_passthrough and wss",
		})
	}
	oneOf := family.oneOf
	if hasTLS {
		oneOf = append(slices.Clip(oneOf), family.tlsOneOf...)
	}
	if n.Get("expression") == nil && !others && !slices.ContainsFunc(oneOf, func(field string) bool { return !kongEmpty(n.Get(field)) }) {
		at := oneOf[0]
		for _, field := range oneOf {
			if v := n.Get(field); v == nil || v.Default {
				at = field
				break // rather than at one that is written, and empty
			}
		}
		report(Fault{
			At: []any{at}, Code: diag.CodeRequired, Message: "nothing says which requests the route takes",
			Hint: fmt.Sprintf("with protocols %s, set %s", words, orList(oneOf)),
		})
	}
}

// kongFamilyOf returns the family of the protocols, or nil where they mix.
func kongFamilyOf(n *tree.Node, report func(Fault)) (*kongFamily, []string) {
	var family *kongFamily
	var protocols []string
	for i := 0; n.At(i) != nil; i++ {
		p := n.At(i).Str()
		at := slices.IndexFunc(kongFamilies, func(f kongFamily) bool { return slices.Contains(f.protocols, p) })
		if at < 0 {
			return nil, nil // reported as not supported
		}
		if family == nil {
			family = &kongFamilies[at]
		}
		if family != &kongFamilies[at] {
			report(Fault{
				At: []any{i}, Code: diag.CodeInvalid, Message: fmt.Sprintf("a route of %s cannot also be one of %s", protocols[0], p),
				Hint: "write one route for each",
			})
			return nil, nil
		}
		protocols = append(protocols, p)
	}
	return family, protocols
}

func kongEmpty(n *tree.Node) bool { return n == nil || len(n.Items)+len(n.Fields) == 0 }

var (
	kongPathText   = regexp.MustCompile(`^[A-Za-z0-9._~!$&'()*+,;=:@/%-]*$`)
	kongPathEscape = regexp.MustCompile(`%(..?)?`)
	kongHex        = regexp.MustCompile(`^[0-9A-F]{2}$`)
	kongUnreserved = regexp.MustCompile(`^[A-Za-z0-9._~-]$`)
)

// kongPaths checks what a pattern cannot: that plain paths are in their
// normal form, for a request's path is brought into it before it is compared,
// and that patterns are regular expressions.
func kongPaths(paths *tree.Node, report func(Fault)) {
	for i := 0; paths.At(i) != nil; i++ {
		path := paths.At(i).Str()
		if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "~/") || strings.Contains(path, "//") {
			continue // reported
		}
		fault := Fault{At: []any{i}, Code: diag.CodeInvalid}
		if pattern, ok := strings.CutPrefix(path, "~"); ok {
			if _, err := regexp.Compile(pattern); err != nil {
				fault.Message = fmt.Sprintf("%q is not a regular expression: %s", path, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
				fault.Hint = "meshc knows the syntax of RE2: neither look-around nor references to groups"
				report(fault)
			}
			continue
		}
		switch {
		case !kongPathText.MatchString(path):
			fault.Message = strconv.Quote(path) + " has a character that no path of a request holds"
			fault.Hint = "a pattern begins with ~, as in ~/users/[^/]+; any other character is written %XX"
		case kongDots(path):
			fault.Message, fault.Hint = strconv.Quote(path)+" has a segment of dots", "write the path that it leads to"
		default:
			for _, escape := range kongPathEscape.FindAllString(path, -1) {
				if fault.Message = kongEscapeFault(escape); fault.Message != "" {
					fault.Hint = "write %XX in capitals, and letters, digits, '-', '.', '_' and '~' as they are"
					break
				}
			}
		}
		if fault.Message != "" {
			report(fault)
		}
	}
}

func kongDots(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

// kongEscapeFault says why %XX would never match, or "".
func kongEscapeFault(escape string) string {
	if !kongHex.MatchString(escape[1:]) {
		return strconv.Quote(escape) + " is not a percent sign and two capital hexadecimal digits"
	}
	if b, err := strconv.ParseUint(escape[1:], 16, 8); err == nil && kongUnreserved.MatchString(string(rune(b))) {
		return fmt.Sprintf("%q is compared as %q", escape, string(rune(b)))
	}
	return ""
}

// kongUpstream refuses a second choice that is the first one again.
func kongUpstream(n *tree.Node, report func(Fault)) {
	for _, what := range []string{"header", "query_arg", "uri_capture"} {
		first, second := n.Get("hash_on_"+what), n.Get("hash_fallback_"+what)
		if first.Str() != "" && first.Str() == second.Str() {
			report(Fault{
				At: []any{"hash_fallback_" + what}, Code: diag.CodeInvalid,
				Message: fmt.Sprintf("%q is what hash_on_%s says already", second.Text, what), Hint: "fall back to something else",
			})
		}
	}
}
