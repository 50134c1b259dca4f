package compiler_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/files"
)

// TestKongPutsPathsTogether compares the path that an upstream gets with what
// Kong's own rule says (get_upstream_uri in kong/router/utils.lua), for every
// service path with every path of a route.
func TestKongPutsPathsTogether(t *testing.T) {
	bases := []string{"", "/", "/v", "/v/", "/v/w"}
	paths := []string{"", "/", "/a", "/a/", "~/a", "~/a/?$", "~/[ab]+", "~/(a/b|a)"}
	requests := []string{"/", "/a", "/a/", "/a/b", "/a/b/", "/ab", "/b", "/a../b", "/ab?q=/a", "/v", "/a.txt"}
	type variant struct {
		base, path string
		strip      bool
		handling   string
	}
	var variants []variant
	var doc strings.Builder
	doc.WriteString("_format_version: \"3.0\"\nservices:\n")
	for _, base := range bases {
		for _, path := range paths {
			for _, strip := range []bool{true, false} {
				for _, handling := range []string{"v0", "v1"} {
					fmt.Fprintf(&doc, "- name: s%d\n  host: s.test\n", len(variants))
					if base != "" {
						fmt.Fprintf(&doc, "  path: %s\n", base)
					}
					fmt.Fprintf(&doc, "  routes: [{name: r%[1]d, hosts: [h%[1]d.test], strip_path: %[2]v, path_handling: %[3]s", len(variants), strip, handling)
					if path != "" {
						fmt.Fprintf(&doc, ", paths: ['%s']", path)
					}
					doc.WriteString("}]\n")
					variants = append(variants, variant{base, path, strip, handling})
				}
			}
		}
	}
	docs, ds := load(t, files.Tree{Files: []files.File{file("kong.yml", []byte(doc.String()))}})
	r := compiler.New().Compile(docs)
	if text := findings(append(ds, r.Diagnostics...)); text != "" {
		t.Fatal(text)
	}
	hosts := map[string]snapshot.VirtualHost{}
	for _, h := range r.Snapshot.Proxies.At(0).Listeners.At(0).VirtualHosts.All() {
		hosts[h.Domains.At(0)] = h
	}
	checked := 0
	for i, v := range variants {
		for _, request := range requests {
			want, matches := kongUpstreamPath(v.base, v.path, v.strip, v.handling, request)
			got, ok := upstreamPath(t, hosts[fmt.Sprintf("h%d.test", i)], request)
			if ok != matches || ok && got != want {
				t.Errorf("service path %q, route %q, strip_path %v, path_handling %s: request %s goes on as %q (%v), want %q (%v)",
					v.base, v.path, v.strip, v.handling, request, got, ok, want, matches)
			}
			checked++
		}
	}
	if checked != len(bases)*len(paths)*4*len(requests) {
		t.Errorf("checked %d", checked)
	}
}

// upstreamPath is what a data plane makes of a request's path.
func upstreamPath(t *testing.T, h snapshot.VirtualHost, request string) (string, bool) {
	t.Helper()
	path, query, _ := strings.Cut(request, "?")
	for _, r := range h.Routes.All() {
		switch {
		case r.PathExact != "" && r.PathExact != path, r.PathPrefix != "" && !strings.HasPrefix(path, r.PathPrefix):
			continue
		case r.PathRegex != "":
			re, err := snapshot.ParseRegex(r.PathRegex)
			if err != nil {
				t.Fatal(err)
			}
			if !re.MatchString(path) {
				continue
			}
		}
		if r.Rewrite != (snapshot.PathRewrite{}) {
			re, to, err := r.Rewrite.Parse()
			if err != nil {
				t.Fatal(err)
			}
			path = re.ReplaceAllString(path, to)
		}
		if query != "" {
			path += "?" + query
		}
		return path, true
	}
	return "", false
}

// kongUpstreamPath is Kong's rule: the service's path, then what the route
// leaves, with one slash between (v0) or with none added (v1). Where nothing is
// left, v0 ends in a slash if the request does.
func kongUpstreamPath(base, path string, strip bool, handling, request string) (string, bool) {
	request, query, hasQuery := strings.Cut(request, "?")
	rest := request
	if path == "" {
		rest = request[1:]
	} else {
		pattern, ok := strings.CutPrefix(path, "~")
		if !ok {
			pattern = regexp.QuoteMeta(path)
		}
		match := regexp.MustCompile("^(?:" + pattern + ")").FindString(request)
		if match == "" {
			return "", false
		}
		if strip {
			rest = request[len(match):]
			rest = strings.TrimPrefix(strings.TrimPrefix(rest, "../"), "./")
		}
	}
	if base == "" {
		base = "/"
	}
	var out string
	stem := strings.TrimSuffix(base, "/")
	switch {
	case handling == "v1" && !strip:
		out = base + request[1:]
	case handling == "v1" && strings.HasSuffix(base, "/"):
		out = base + strings.TrimPrefix(rest, "/")
	case handling == "v1":
		out = base + rest
	case strings.TrimPrefix(rest, "/") != "":
		out = stem + "/" + strings.TrimPrefix(rest, "/")
	case base == "/", strings.HasSuffix(request, "/") && (request != "/" || base != stem):
		out = stem + "/"
	default:
		out = stem
	}
	if hasQuery {
		out += "?" + query
	}
	return out, true
}
