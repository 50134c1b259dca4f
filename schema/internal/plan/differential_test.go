package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

// What CUE passes over: rules in Go, and values that count as not written.
var notCUE = regexp.MustCompile(`@(check|zero|null|drop)\([^)]*\)`)

// pureCUE is the shipped rules without what CUE passes over.
func pureCUE(t testing.TB) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	for p, src := range sources(t) {
		out[p] = &fstest.MapFile{Data: notCUE.ReplaceAll(src, nil)}
	}
	return out
}

// TestSameAsCUE changes documents at random and wants the plan and CUE to agree
// on each: the same verdict, and for what is accepted the same defaults.
func TestSameAsCUE(t *testing.T) {
	const perKind = 300
	fsys := pureCUE(t)
	s, err := plan.Compile(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range slices.Sorted(maps.Keys(documents)) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			o := newOracle(t, fsys)
			base := parseYAML(t, documents[kind])
			m := mutator{rand.New(rand.NewPCG(1, uint64(len(kind)))), words(t)}
			accepted := 0
			for range perKind {
				n := base
				for n = m.mutate(n); m.IntN(4) == 0; {
					n = m.mutate(n)
				}
				if sameAsCUE(t, o, definition(t, s, "#"+kind), "#"+kind, n) {
					accepted++
				}
			}
			if accepted < perKind/20 || accepted > perKind*19/20 {
				t.Errorf("%d of %d documents are accepted: the mutations say little", accepted, perKind)
			}
		})
	}
}

// sameAsCUE compares one verdict and reports whether it is that n is valid.
func sameAsCUE(t *testing.T, o *oracle, d *plan.Definition, name string, n *tree.Node) bool {
	t.Helper()
	before := text(n)
	out, findings := d.Check(n)
	if text(n) != before {
		t.Fatalf("Check changed its input %s", before)
	}
	v, err := o.check(name, n)
	if (err == nil) != (len(findings) == 0) {
		t.Errorf("%s %s:\nCUE says %v\nthe plan says %v", name, before, err, findings)
		return false
	}
	if err != nil {
		return false
	}
	b, err := v.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var want any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	if got := plain(out); !reflect.DeepEqual(got, want) {
		t.Errorf("%s %s:\nCUE fills in %v\nthe plan fills in %v", name, before, want, got)
	}
	return true
}

func text(n *tree.Node) string {
	b, err := json.Marshal(plain(n))
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b)
}

// mutator changes documents.
type mutator struct {
	*rand.Rand
	words []string
}

// Values that rules draw lines at.
var edges = []string{
	"", "a", "A", "-a", "a-", "a.b", "a/b", "10.0.0.1", "127.0.0.1", "fe80::1", "None", "NodePort", "LoadBalancer", "ExternalName",
	"ClientIP", "Local", "Cluster", "UDP", "tcp", "http", "grpc", "https", "kafka", "example.com", "example.com.", "/x", "x y", "*", "80",
	"10s", "0s", "-5s", "1h30m", ".5s", "10", "50 mbps", "mbps", "dGVzdAo=", "dGVzdAo", "unavailable", "default-proxy", "/envoy.api.v2.Cluster",
}

var numbers = []int{-1, 0, 1, 80, 100, 101, 299, 500, 600, 65535, 65536, 86400, 86401, 1 << 40}

// Keys of the rules, so that ones that the document lacks are tried as well.
var ruleKeys = regexp.MustCompile(`(?m)\b([a-z][A-Za-z_]*)[?!]?:`)

func words(t testing.TB) []string {
	found := map[string]bool{"bogus": true}
	for _, src := range sources(t) {
		for _, m := range ruleKeys.FindAllSubmatch(src, -1) {
			found[string(m[1])] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// mutate returns a copy of n with one change somewhere in it.
func (m mutator) mutate(n *tree.Node) *tree.Node {
	out := *n
	switch {
	case n.Kind == tree.Map && len(n.Fields) > 0:
		out.Fields = slices.Clone(n.Fields)
		i := m.IntN(len(out.Fields))
		switch m.IntN(12) {
		case 0:
			out.Fields = slices.Delete(out.Fields, i, i+1)
		case 1, 2:
			if key := m.words[m.IntN(len(m.words))]; n.Get(key) == nil {
				out.Fields = append(out.Fields, tree.Field{Key: key, Value: m.value(2)})
			}
		case 3:
			out.Fields[i].Value = m.value(2)
		default:
			out.Fields[i].Value = m.mutate(out.Fields[i].Value)
		}
	case n.Kind == tree.List && len(n.Items) > 0:
		out.Items = slices.Clone(n.Items)
		i := m.IntN(len(out.Items))
		switch m.IntN(8) {
		case 0:
			out.Items = slices.Delete(out.Items, i, i+1)
		case 1:
			out.Items = append(out.Items, out.Items[i])
		default:
			out.Items[i] = m.mutate(out.Items[i])
		}
	default:
		if m.IntN(3) == 0 {
			return m.value(1)
		}
		return m.scalar(n.Kind)
	}
	return &out
}

func (m mutator) scalar(k tree.Kind) *tree.Node {
	switch k {
	case tree.Int:
		return &tree.Node{Kind: tree.Int, Text: strconv.Itoa(numbers[m.IntN(len(numbers))])}
	case tree.Bool:
		return &tree.Node{Kind: tree.Bool, Text: strconv.FormatBool(m.IntN(2) == 0)}
	}
	return &tree.Node{Kind: tree.String, Text: edges[m.IntN(len(edges))]}
}

func (m mutator) value(depth int) *tree.Node {
	switch k := m.IntN(8); {
	case k < 3:
		return m.scalar(tree.String)
	case k == 3:
		return m.scalar(tree.Int)
	case k == 4:
		return m.scalar(tree.Bool)
	case k == 5 && depth > 0:
		return &tree.Node{Kind: tree.List, Items: []*tree.Node{m.value(depth - 1)}}
	case k == 6 && depth > 0:
		return &tree.Node{Kind: tree.Map, Fields: []tree.Field{{Key: m.words[m.IntN(len(m.words))], Value: m.value(depth - 1)}}}
	case k == 7:
		return &tree.Node{Kind: tree.Float, Text: "0.5"}
	}
	return &tree.Node{Kind: tree.Null}
}
