package schema

import (
	"strings"

	"github.com/meshc/meshc/schema/tree"
)

// redacted stands for a secret wherever a document is shown.
const redacted = "[redacted]"

// redact returns n with the leaves at paths replaced.
func redact(n *tree.Node, paths [][]string) *tree.Node {
	for _, p := range paths {
		n = rewrite(n, p, func(v *tree.Node) *tree.Node {
			if v.Kind == tree.Null {
				return v // nothing to hide
			}
			return &tree.Node{Kind: tree.String, Text: redacted, Pos: v.Pos, Default: v.Default}
		})
	}
	return n
}

// isSecret reports whether a field path as findings have it leads to one of paths.
func isSecret(paths [][]string, path string) bool {
	for _, p := range paths {
		if matches(p, path) {
			return true
		}
	}
	return false
}

func matches(pattern []string, path string) bool {
	for _, step := range pattern {
		if step == "*" {
			if !strings.HasPrefix(path, "[") {
				return false
			}
			_, rest, _ := strings.Cut(path, "]")
			path = rest
			continue
		}
		rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "."), step)
		if !ok {
			return false
		}
		path = rest
	}
	return path == ""
}
