package schema_test

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/parse"
	values "github.com/meshc/meshc/schema/tree"
)

var (
	mistakesTried = flag.Int("mistakes", 25, "how many single mistakes to make in each document")
	mistakesSeed  = flag.Uint64("mistakes.seed", 1, "which ones")
)

// TestOneMistakeOneFinding takes the accepted documents of testdata/rules. A
// mistake made in one gets exactly one finding, at its place; and so do up to
// seven that have nothing to do with one another.
func TestOneMistakeOneFinding(t *testing.T) {
	alone, together, kinds := map[string]int{}, 0, map[string]bool{}
	for _, base := range validDocuments(t) {
		for _, kind := range base.kinds {
			kinds[kind] = true
		}
		// A case that is added changes nothing for the others.
		name := fnv.New64a()
		name.Write([]byte(base.String()))
		rnd := rand.New(rand.NewPCG(*mistakesSeed, name.Sum64()))
		all := mistakesIn(base.root)
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var told []mistake // those that are mistakes
		for i, m := range all {
			if i >= *mistakesTried && m.code != diag.CodeDuplicate { // of which there are few
				continue
			}
			if m.isException(base.kind) {
				continue
			}
			switch errs := check(t, base, m); {
			case len(errs) == 1:
				alone[m.kind]++
				told = append(told, m)
			case len(errs) > 1:
				t.Errorf("%s: %s: one mistake, %d findings:\n%s", base, m, len(errs), strings.Join(errs, "\n"))
			}
		}
		for range 4 {
			if ms := independent(rnd, base.kind, told); len(ms) > 1 {
				together++
				check(t, base, ms...)
			}
		}
	}
	t.Logf("%d kinds, single mistakes %v, %d times several at once", len(kinds), alone, together)
	for _, repeated := range []string{"an item again", "the name of another", "the key again"} {
		if alone[repeated] == 0 {
			t.Errorf("%s: never told", repeated)
		}
	}
	for _, kind := range []string{
		"Service", "Endpoints", "EndpointSlice", "Mesh", "Dataplane", "ExternalService", "Zone", "Secret", "GlobalSecret", "TrafficRoute",
		"TrafficPermission", "TrafficLog", "TrafficTrace", "HealthCheck", "FaultInjection", "Retry", "Timeout", "CircuitBreaker", "ProxyTemplate",
		"WasmPlugin", "KongService", "KongRoute", "KongUpstream", "KongTarget", "KongCertificate", "KongSNI", "KongCACertificate",
		"KongPlugin", "KongConsumer", "KongConsumerGroup",
	} {
		if !kinds[kind] {
			t.Errorf("no valid document of kind %s", kind)
		}
	}
}

// base is a valid document.
type base struct {
	from  string
	kind  string   // of the first document in it
	kinds []string // of all: a file of Kong holds many
	root  *values.Node
}

func (b base) String() string { return b.from + " " + b.kind }

func validDocuments(t *testing.T) []base {
	t.Helper()
	var out []base
	for _, path := range ruleArchives(t) {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if !strings.HasSuffix(f.Name, "/ok.yaml") {
				continue
			}
			docs, _ := parse.YAML(f.Data)
			for _, d := range docs {
				_, result := loadTree(d.Root)
				if diag.HasErrors(result.Diagnostics) || len(result.Documents) == 0 {
					continue
				}
				var kinds []string
				for _, d := range result.Documents {
					if d.Dialect == schema.Kong {
						kinds = append(kinds, "Kong"+d.Kind)
					} else {
						kinds = append(kinds, d.Kind)
					}
				}
				out = append(out, base{filepath.Base(path) + " " + f.Name, kinds[0], kinds, d.Root})
			}
		}
	}
	return out
}

// loadTree writes root as YAML and loads it. It returns root with its places.
func loadTree(root *values.Node) (*values.Node, schema.Result) {
	w := &writer{line: 1, column: 1}
	placed := w.node(root, 0)
	return placed, load(&txtar.File{Name: "x.yaml", Data: []byte(w.String())})
}

// check makes mistakes in b and wants a finding for each, at its place. It
// returns the findings; none for a single one that is no mistake.
func check(t *testing.T, b base, ms ...mistake) []string {
	t.Helper()
	root := b.root
	for _, m := range ms {
		root = m.make(root, m.path)
	}
	placed, result := loadTree(root)
	var got []diag.Diagnostic
	var words, want []string
	for _, d := range result.Diagnostics {
		if d.Severity == diag.Error {
			got = append(got, d)
			words = append(words, fmt.Sprintf("%d:%d %s %s: %s", d.Line, d.Column, d.Code, d.Path, d.Message))
		}
	}
	if len(ms) == 1 && ms[0].code != diag.CodeDuplicateKey && !ms[0].isTold(placed, got) {
		return nil
	}
	if len(ms) == 1 && len(got) != 1 {
		return words
	}
	// An exact path first, so that no other mistake takes its finding.
	left := ms
	for _, fits := range []func(got, want string) bool{func(a, b string) bool { return a == b }, related} {
		var rest []mistake
		for _, m := range left {
			pos, path := m.place(placed)
			i := slices.IndexFunc(got, func(d diag.Diagnostic) bool {
				return d.Line == pos.Line && d.Column == pos.Column && fits(plainPath(d.Path), plainPath(path))
			})
			if i < 0 {
				rest = append(rest, m)
				continue
			}
			got = slices.Delete(got, i, i+1)
		}
		left = rest
	}
	for _, m := range ms {
		pos, path := m.place(placed)
		want = append(want, fmt.Sprintf("%d:%d %s: %s", pos.Line, pos.Column, path, m.kind))
	}
	if len(got)+len(left) > 0 {
		t.Errorf("%s:\ngot\n%s\nwant\n%s", b, strings.Join(words, "\n"), strings.Join(want, "\n"))
	}
	return words
}

// plainPath writes every key of a path in one way, and as it stands in the file
// where a dialect calls it something else.
func plainPath(path string) string {
	path = dialectPath.ReplaceAllString(kongPath.ReplaceAllString(path, ""), "$1.$2")
	return strings.NewReplacer(`["`, ".", `"]`, "", "availableService[", "availableServices[", ".config", ".conf",
		"LoadBalancerSourceRanges", "loadBalancerSourceRanges", "kuma.io/", "").Replace(path)
}

// What is wrong with an entity of Kong is told with the path inside it.
var kongPath = regexp.MustCompile(`^((services|routes|upstreams|targets|certificates|snis|ca_certificates|plugins|consumers|consumer_groups)\[\d+\]\.)+`)

// The API server names neither the owner nor quotes the annotation.
var dialectPath = regexp.MustCompile(`(ownerReferences|annotations)(?:\[[0-9]+\]|\[([^"\]]+)\])\.?`)

// related are paths of which one lies in the other, and those of two fields
// beside one another: where one of two is wanted, either may be called missing.
func related(a, b string) bool {
	parent := b[:max(0, strings.LastIndexByte(b, '.'))]
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) || strings.HasPrefix(a, parent)
}

// independent picks up to seven mistakes that do not touch one another.
func independent(rnd *rand.Rand, kind string, from []mistake) []mistake {
	var out []mistake
	for _, i := range rnd.Perm(len(from)) {
		m := from[i]
		if len(out) < 7 && !slices.ContainsFunc(out, func(o mistake) bool { return touches(kind, m, o) }) {
			out = append(out, m)
		}
	}
	return out
}
