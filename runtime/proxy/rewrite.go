package proxy

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// rewrite replaces the start of the path, or all matches in it; its zero value
// replaces nothing.
type rewrite struct {
	regex        *regexp.Regexp
	substitution string // as Regexp.Expand takes it
	groups       bool   // the substitution is no plain text
	global       bool
}

func newRewrite(spec snapshot.PathRewrite) (r rewrite, err error) {
	if spec != (snapshot.PathRewrite{}) {
		r.regex, r.substitution, err = spec.Parse()
		r.groups = strings.Contains(r.substitution, "$")
		r.global = spec.Global
	}
	return r, err
}

// apply returns target, a path with or without a query, with its path rewritten;
// as it is where nothing would be left of the path, as in Envoy. Unless it is
// global, the expression begins with ^, so that there is one match, at the start.
func (r *rewrite) apply(target string) string {
	path, _ := cutQuery(target)
	start, end := r.substitution, len(path) // what takes the place of target[:end]
	switch {
	case r.global:
		start = r.regex.ReplaceAllString(path, r.substitution)
	case r.groups:
		m := r.regex.FindStringSubmatchIndex(path)
		if m == nil {
			return target
		}
		start, end = string(r.regex.ExpandString(nil, r.substitution, path, m)), m[1]
	default:
		m := r.regex.FindStringIndex(path)
		if m == nil {
			return target
		}
		end = m[1]
	}
	if start == "" && end == len(path) {
		return target
	}
	return start + target[end:]
}

// hostRewrite replaces the Host header; its zero value leaves it alone.
type hostRewrite struct {
	value        string
	path         *regexp.Regexp // for all of the path; nil without one
	substitution string         // as Regexp.Expand takes it
}

func newHostRewrite(spec snapshot.HostRewrite) (r hostRewrite, err error) {
	r.value = spec.Value
	if spec.PathRegex == "" {
		return r, nil
	}
	if _, r.substitution, err = spec.Parse(); err != nil {
		return r, fmt.Errorf("host: %w", err)
	}
	r.path, err = snapshot.ParseRegex(spec.PathRegex)
	return r, err
}

// apply returns the host for a request of target; false leaves it as it is, for
// one that would be empty too.
func (r *hostRewrite) apply(target string) (host string, ok bool) {
	if r.path == nil {
		return r.value, r.value != ""
	}
	path, _ := cutQuery(target)
	m := r.path.FindStringSubmatchIndex(path)
	if m == nil {
		return "", false
	}
	host = string(r.path.ExpandString(nil, r.substitution, path, m))
	return host, host != ""
}

// headerChanges are made in the order of the fields.
type headerChanges struct {
	remove   []string
	set, add []filter.Field
}

func newHeaderChanges(spec snapshot.HeaderChanges) headerChanges {
	fields := func(list snapshot.List[snapshot.HeaderField]) (fields []filter.Field) {
		for _, f := range list.All() {
			fields = append(fields, filter.Field{Name: f.Name, Value: f.Value})
		}
		return fields
	}
	return headerChanges{remove: spec.Remove.Slice(), set: fields(spec.Set), add: fields(spec.Add)}
}

// apply changes h. What is set moves to the end, as in Envoy.
func (c *headerChanges) apply(h *filter.Headers) {
	for _, name := range c.remove {
		h.Remove(name)
	}
	for _, f := range c.set {
		h.Remove(f.Name)
		h.Add(f.Name, f.Value)
	}
	for _, f := range c.add {
		h.Add(f.Name, f.Value)
	}
}

// cutQuery parts a request target before the question mark.
func cutQuery(target string) (path, query string) {
	if i := strings.IndexByte(target, '?'); i >= 0 {
		return target[:i], target[i:]
	}
	return target, ""
}
