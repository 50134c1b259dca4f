package plan_test

import (
	"bytes"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	rules "github.com/meshc/meshc/schema/cue"
	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

// kongLists are the lists of Kong's entities, by the key that holds them.
var kongLists = map[string]string{
	"services": "#KongService", "routes": "#KongRoute", "upstreams": "#KongUpstream", "targets": "#KongTarget",
	"certificates": "#KongCertificate", "snis": "#KongSNI", "ca_certificates": "#KongCACertificate",
	"plugins": "#KongPlugin", "consumers": "#KongConsumer", "consumer_groups": "#KongConsumerGroup",
}

// TestEveryRuleIsBroken wants each rule of the definitions that have archives in
// testdata/rules to be broken by a document there, whose archive has the message
// and the place. A rule that no document can break is one too many.
func TestEveryRuleIsBroken(t *testing.T) {
	s, cover, err := plan.CompileCounted(rules.FS)
	if err != nil {
		t.Fatal(err)
	}
	broken, checked := map[plan.Outcome]bool{}, map[string]bool{}
	check := func(name string, n *tree.Node) {
		d := definition(t, s, name)
		checked[name] = true
		if _, findings := d.Check(n); len(findings) == 0 {
			cover.Take()
			return
		}
		for _, o := range cover.Take() {
			broken[o] = true
		}
	}
	for _, n := range written(t) {
		name := definitionOf(n)
		if name == "" {
			eachKongEntity(n, check)
		} else if _, ok := s.Definition(name); ok { // the archives misspell kinds, too
			check(name, n)
		}
	}
	src := sources(t)
	for _, name := range slices.Sorted(maps.Keys(checked)) {
		for _, o := range cover.Outcomes(definition(t, s, name)) {
			if !broken[o] && hasMessage(src, o) {
				t.Errorf("%s: %v, and no document in testdata/rules shows it", name, o)
				broken[o] = true // a rule of several definitions is named once
			}
		}
	}
}

// hasMessage reports whether a mistake against the rule of o has a message of
// its own. That of a wrong type or an unknown field is the same everywhere, and
// TestSameAsCUE breaks each of those rules.
func hasMessage(src map[string][]byte, o plan.Outcome) bool {
	if o.Holds {
		return false
	}
	file, line, column, what := o.At()
	text := string(bytes.Split(src[file], []byte("\n"))[line-1])
	rule := text[column-1:]
	switch what {
	case "written":
		return requiredField.MatchString(rule) && !strings.HasPrefix(rule, "type!:") // else it is of no kind
	case "test":
		// Where "" counts as not written, it is missing before it is empty.
		return !strings.HasPrefix(rule, `!=""`) || !strings.Contains(text, "@zero(absent)")
	case "one of":
		return !strings.HasPrefix(rule, "*port | _") // a default, and anything else
	case "size":
		return !strings.HasPrefix(rule, "list.MaxItems(20000)") // too long for an archive: schema_test.TestSlicePorts
	case "range", "unique", "never", "same":
		return true
	}
	return false
}

var requiredField = regexp.MustCompile(`^[^\s:]+!:`)

// definitionOf is the definition for a document that says what it is or is a
// Service of Kong by itself, and "" for a file of Kong.
func definitionOf(n *tree.Node) string {
	switch {
	case n.Get("kind").Str() != "":
		return "#" + n.Get("kind").Str()
	case n.Get("type").Str() != "":
		return "#" + n.Get("type").Str()
	case n.Field("host") != nil || n.Field("url") != nil:
		return "#KongService"
	}
	return ""
}

// eachKongEntity calls check with each entity in the lists of n and below.
func eachKongEntity(n *tree.Node, check func(string, *tree.Node)) {
	for key, name := range kongLists {
		list := n.Get(key)
		for i := 0; list.At(i) != nil; i++ {
			check(name, list.At(i))
			eachKongEntity(list.At(i), check)
		}
	}
}

// written returns the documents of all archives in testdata/rules.
func written(t *testing.T) []*tree.Node {
	t.Helper()
	archives, err := filepath.Glob("../../testdata/rules/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	var out []*tree.Node
	for _, path := range archives {
		a, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			var docs []parse.Document
			switch filepath.Ext(f.Name) {
			case ".yaml":
				docs, _ = parse.YAML(f.Data)
			case ".cue":
				dir := t.TempDir()
				evaluated, problems := parse.CUE(dir, []parse.CUEFile{{Path: filepath.Join(dir, "a.cue"), Data: f.Data}}, rules.FS)
				if len(problems) > 0 {
					t.Fatalf("%s: %s: %v", path, f.Name, problems)
				}
				for _, d := range evaluated {
					docs = append(docs, d.Document)
				}
			}
			for _, d := range docs {
				if d.Root.Kind == tree.Map {
					out = append(out, d.Root)
				}
			}
		}
	}
	return out
}
