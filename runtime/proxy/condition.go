package proxy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// condition is what a request must be like for a route to take it.
type condition struct {
	prefix, exact string         // of the path; "" where the route does not say
	regex         *regexp.Regexp // for all of the path, or nil
	methods       []string       // nil for every method
	headers       []headerCondition
	serverNames   []string // patterns, nil for any
}

type headerCondition struct {
	name   string
	prefix string
	values []string
	regex  *regexp.Regexp // nil without one
}

func newCondition(spec snapshot.Route) (c condition, err error) {
	c.prefix, c.exact, c.methods = spec.PathPrefix, spec.PathExact, spec.Methods.Slice()
	c.serverNames = spec.ServerNames.Slice()
	if spec.PathRegex != "" {
		if c.regex, err = snapshot.ParseRegex(spec.PathRegex); err != nil {
			return c, fmt.Errorf("path: %w", err)
		}
	}
	for _, h := range spec.Headers.All() {
		header := headerCondition{name: h.Name, prefix: h.Prefix, values: h.Values.Slice()}
		if h.Regex != "" {
			if header.regex, err = snapshot.ParseRegex(h.Regex); err != nil {
				return c, fmt.Errorf("header %s: %w", h.Name, err)
			}
		}
		c.headers = append(c.headers, header)
	}
	return c, nil
}

// holds reports whether a request with the headers h, the query cut off its
// path, whose client asked for a server name for which the patterns asked stand,
// meets the condition. Like Envoy it takes paths only: no "*".
func (c *condition) holds(path string, h *filter.Headers, asked []string) bool {
	switch {
	case path == "" || path[0] != '/':
		return false
	case c.regex != nil:
		if !c.regex.MatchString(path) {
			return false
		}
	case c.exact != "":
		if path != c.exact {
			return false
		}
	case !strings.HasPrefix(path, c.prefix):
		return false
	}
	if c.methods != nil && !slices.Contains(c.methods, h.Value(":method")) {
		return false
	}
	for i := range c.headers {
		if !c.headers[i].holds(h) {
			return false
		}
	}
	return c.serverNames == nil || slices.ContainsFunc(asked, func(p string) bool { return slices.Contains(c.serverNames, p) })
}

// group returns what a group of the expression for the path matches of it.
func (c *condition) group(path string, number int) string {
	m := c.regex.FindStringSubmatchIndex(path)
	if m == nil || m[2*number] < 0 {
		return ""
	}
	return path[m[2*number]:m[2*number+1]]
}

// holds reports whether one of the header's values is as it must be.
func (c *headerCondition) holds(h *filter.Headers) bool {
	for i := range h.Len() {
		if f := h.At(i); f.Name == c.name && c.takes(f.Value) {
			return true
		}
	}
	return false
}

func (c *headerCondition) takes(value string) bool {
	if c.regex != nil {
		return c.regex.MatchString(value)
	}
	return strings.HasPrefix(value, c.prefix) && (len(c.values) == 0 || slices.Contains(c.values, value))
}
