package schema

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// redacted stands for a secret wherever a document is shown.
const redacted = "[redacted]"

// redact returns n, a document of kind k, as anybody may see it.
func (k *kind) redact(n *tree.Node) *tree.Node {
	for _, paths := range [][][]string{k.secrets, k.private} {
		for _, p := range paths {
			n = rewrite(n, p, hide)
		}
	}
	for _, p := range k.urls {
		n = rewrite(n, p, hideUserinfo)
	}
	if k.raw != nil {
		n = rewrite(n, k.raw, func(v *tree.Node) *tree.Node {
			if v.Kind != tree.String {
				return v
			}
			text, _ := redactRaw(v.Text)
			return withText(v, text)
		})
	}
	return n
}

// hide returns n with all its scalars replaced; its keys stay.
func hide(n *tree.Node) *tree.Node {
	out := *n
	switch n.Kind {
	case tree.Null:
		return n // nothing to hide
	case tree.List:
		out.Items = make([]*tree.Node, len(n.Items))
		for i, item := range n.Items {
			out.Items[i] = hide(item)
		}
	case tree.Map:
		out.Fields = slices.Clone(n.Fields)
		for i := range out.Fields {
			out.Fields[i].Value = hide(out.Fields[i].Value)
		}
	default:
		out.Kind, out.Text = tree.String, redacted
	}
	return &out
}

func hideUserinfo(n *tree.Node) *tree.Node {
	if n.Kind != tree.String {
		return n
	}
	return withText(n, diag.WithoutUserinfo(n.Text))
}

// withText returns the string n with another text; n itself where it is the same.
func withText(n *tree.Node, text string) *tree.Node {
	if text == n.Text {
		return n
	}
	out := *n
	out.Text = text
	return &out
}

// exposure is how a field stands to the leaves that nobody is to see.
type exposure int

const (
	harmless exposure = iota
	above             // a secret may stand in it
	secret            // it is one, or is inside one
)

// exposed returns how a field path as findings have it stands to paths.
func exposed(paths [][]string, path string) exposure {
	most := harmless
	for _, p := range paths {
		most = max(most, expose(p, path))
	}
	return most
}

func expose(pattern []string, path string) exposure {
	for _, step := range pattern {
		if path == "" {
			return above
		}
		first, rest := firstStep(path)
		if step != "*" && step != first {
			return harmless
		}
		path = rest
	}
	return secret
}

// firstStep takes the first key or index off a field path.
func firstStep(path string) (first, rest string) {
	if strings.HasPrefix(path, "[") {
		first, rest, _ = strings.Cut(path[1:], "]")
		return first, strings.TrimPrefix(rest, ".")
	}
	i := strings.IndexAny(path, ".[")
	switch {
	case i < 0:
		return path, ""
	case path[i] == '.':
		return path[:i], path[i+1:]
	}
	return path[:i], path[i:]
}

// dotted returns paths that are written with dots.
func dotted(paths ...string) [][]string {
	out := make([][]string, len(paths))
	for i, p := range paths {
		out[i] = strings.Split(p, ".")
	}
	return out
}

// headerName matches what may be the name of a header (RFC 9110, section 5.6.2).
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// withoutValue returns message with other words for the value that it quotes.
// One that is in word is quoted still: it is nothing but a name.
func withoutValue(message string, word *regexp.Regexp) string {
	quote, err := strconv.QuotedPrefix(message)
	rest := strings.TrimPrefix(message[len(quote):], "…")
	if value, _ := strconv.Unquote(quote); err == nil && word != nil && word.MatchString(value) {
		return message
	}
	switch {
	case strings.Contains(rest, `"`):
		return hidden + " does not fit"
	case err != nil:
		return message
	}
	return hidden + rest
}

// unquote takes the value out of a finding about how a document of this kind is
// written, where that may be a secret.
func unquote(kind string, p *diag.Diagnostic) {
	for first, rest := firstStep(p.Path); first != ""; first, rest = firstStep(rest) {
		if !diag.IsSecretKeyIn(kind, strings.Trim(first, `"`)) {
			continue
		}
		if p.Code == diag.CodeYAMLTrap {
			p.Message, p.Hint = hidden+" is read in two ways; YAML 1.1 and 1.2 differ here", quoteIt
		}
		if before, _, ok := strings.Cut(p.Message, " tag "); ok { // !abc is a tag, and a password
			p.Message, p.Hint = before+" tag", quoteIt
		}
		return
	}
}
