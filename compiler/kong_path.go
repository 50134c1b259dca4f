package compiler

import (
	"regexp"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
)

// kongBase is the path of a Kong Service, which goes in front of what a route
// leaves of the request's path. "" is "/".
type kongBase string

// stem is the path without a slash at its end.
func (p kongBase) stem() string { return strings.TrimSuffix(string(p), "/") }

// dots is what Kong drops at the start of the rest of a path, where the route
// ends amid a segment and the rest would lead out of the service's path.
const dots = `(?:\.\.?(?:/|$))?`

// all is an expression for any path.
const all = "^.*$"

// rewriteWhole puts the base in front of a path that no route has touched.
func (p kongBase) rewriteWhole() snapshot.PathRewrite {
	if p.stem() == "" {
		return snapshot.PathRewrite{}
	}
	return snapshot.PathRewrite{Regex: "^/", Substitution: p.stem() + "/"}
}

// matches returns the ways in which a path of a route is matched, the first
// one first, with what the upstream gets: only those fields are set. path is
// as format 3.0 writes it, "" where the route has none.
//
// It puts paths together as Kong does (get_upstream_uri in kong/router/utils.lua):
// one slash between the base and the rest; and where there is no rest, one at
// the end if the request has one.
func (p kongBase) matches(path string, strip bool, handling string) []snapshot.Route {
	m := snapshot.Route{PathPrefix: path}
	matched := regexp.QuoteMeta(path)
	pattern, isPattern := strings.CutPrefix(path, "~")
	switch {
	case isPattern:
		matched = "(?:" + pattern + ")"
		m = snapshot.Route{PathRegex: matched + ".*"}
	case path == "":
		path, matched, m.PathPrefix = "/", "/", "/"
	}
	if handling == "v1" {
		m.Rewrite = p.concatenate(path, matched, strip)
		return []snapshot.Route{m}
	}
	if strip && path != "/" {
		m.Rewrite = snapshot.PathRewrite{Regex: "^" + matched + dots + "/?", Substitution: p.stem() + "/"}
	} else {
		m.Rewrite = p.rewriteWhole()
	}
	if p.stem() == "" {
		return []snapshot.Route{m}
	}
	endsInSlash := strings.HasSuffix(string(p), "/")
	bare := snapshot.PathRewrite{Regex: all, Substitution: p.stem()}
	switch {
	case strip && isPattern:
		// Nothing is left: the slash at the end, if there is one, is the request's.
		bare.Regex, bare.Substitution = `^/.*?(/?)$`, p.stem()+`\1`
		if endsInSlash {
			bare.Regex = `^.*?(/?)$`
		}
		return []snapshot.Route{{PathRegex: matched, Rewrite: bare}, m}
	case strip && path != "/" && !strings.HasSuffix(path, "/"):
		return []snapshot.Route{{PathExact: path, Rewrite: bare}, m}
	case !endsInSlash && !isPattern && path == "/" || !endsInSlash && isPattern && matchesRoot(pattern):
		return []snapshot.Route{{PathExact: "/", Rewrite: bare}, m}
	}
	return []snapshot.Route{m}
}

// stripped says what of the paths that a route's path takes is not part of the
// path of the service: a prefix, "" for nothing; unclear says that it is a pattern.
func stripped(path string, strip bool) (prefix string, unclear bool) {
	switch {
	case !strip:
		return "", false
	case strings.HasPrefix(path, "~"):
		return "", true
	}
	return strings.TrimSuffix(path, "/"), false
}

// concatenate is Kong's path_handling v1, which puts no slash between.
func (p kongBase) concatenate(path, matched string, strip bool) snapshot.PathRewrite {
	base := string(p)
	if base == "" {
		base = "/"
	}
	if !strip || path == "/" {
		matched = "/"
	}
	if base == "/" && matched == "/" {
		return snapshot.PathRewrite{}
	}
	if strip && matched != "/" {
		matched += dots
	}
	if strip && strings.HasSuffix(base, "/") {
		matched += "/?"
	}
	return snapshot.PathRewrite{Regex: "^" + matched, Substitution: base}
}

// matchesRoot reports whether a pattern matches the path "/".
func matchesRoot(pattern string) bool {
	re, err := regexp.Compile("^(?:" + pattern + ")")
	return err == nil && re.MatchString("/")
}
