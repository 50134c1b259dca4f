package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"cuelang.org/go/cue/ast"

	"github.com/meshc/meshc/schema/internal/plan"
	"github.com/meshc/meshc/schema/tree"
)

var (
	fuzzFor  = flag.Duration("for", 0, "how long to compare the plan with CUE; a moment if 0")
	fuzzSeed = flag.Uint64("seed", 1, "where the documents of the comparison begin")
)

const (
	// A rule is hit when a document turns on it: one that is accepted, or one
	// that is refused for a single mistake. Every rule must hold in so many
	// documents, and refuse so many.
	wantedHits = 100
	// corpusDir keeps, for each kind, documents that hit every rule, one a line.
	corpusDir = "testdata/differential"
)

// What CUE passes over: rules in Go, and values that count as not written.
var notCUE = regexp.MustCompile(`@(check|zero|null|drop)\([^)]*\)`)

// Limits that CUE would take seconds to reach are lower here, for both.
var hugeLimit = regexp.MustCompile(`MaxItems\([0-9]{2,}\)`)

// pureCUE is the shipped rules without what CUE passes over.
func pureCUE(t testing.TB) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	for p, src := range sources(t) {
		out[p] = &fstest.MapFile{Data: hugeLimit.ReplaceAll(notCUE.ReplaceAll(src, nil), []byte("MaxItems(6)"))}
	}
	return out
}

// TestSameAsCUE makes documents by the rules and changes them at random. It
// wants the plan and CUE to agree on each: the same verdict and, for what is
// accepted, the same value with the same defaults. Documents that hit rules
// that few others have hit are looked for.
func TestSameAsCUE(t *testing.T) {
	fsys := pureCUE(t)
	var comparisons []*comparison
	for i, kind := range slices.Sorted(maps.Keys(documents)) {
		comparisons = append(comparisons, newComparison(t, fsys, kind, uint64(i)))
	}
	each(comparisons, (*comparison).replay)
	if *fuzzFor == 0 {
		each(comparisons, func(c *comparison) { c.run(60) })
	}
	for end := time.Now().Add(*fuzzFor); time.Now().Before(end); {
		// The time is for the kinds whose rules are not all hit, while there are any.
		open := slices.DeleteFunc(slices.Clone(comparisons), (*comparison).complete)
		if len(open) == 0 {
			open = comparisons
		}
		each(open, func(c *comparison) { c.run(500) })
	}
	report := tableOf(comparisons)
	t.Log(report)
	for _, c := range comparisons {
		for _, f := range c.failures {
			t.Error(f)
		}
		for _, o := range c.outcomes {
			if *fuzzFor > 0 && c.hits[o] < wantedHits {
				t.Errorf("#%s: %d documents turn on %s, want %d", c.kind, c.hits[o], o, wantedHits)
			}
		}
		if c.accepted*100 < c.compared*30 {
			t.Errorf("#%s: %d of %d documents are accepted, want 30 in 100", c.kind, c.accepted, c.compared)
		}
		if *update {
			c.keep(t)
		}
	}
}

// What rules cannot say, by their words: no document could show it.
var impossible = []struct{ says, source string }{
	{"test holds", `!~""`},                                  // means never
	{"struct holds", `{id!: !~""`},                          // so this never, either
	{"closed holds", `{id!: !~""`},                          // nor this
	{"written holds", `id!: !~""`},                          // nor this
	{"value holds", `true & false`},                         // means never
	{"value holds", `false) @rule`},                         // its other half
	{"value holds", `"." | =~`},                             // left to the rule before it
	{"written does not", `path: null | !~""`},               // has a default by then
	{"written does not", `client_certificate: null | {id!`}, // likewise
	{"written does not", `hash_fallback: "none" @`},         // likewise
	{"written does not", `hash_fallback: !=`},               // likewise
	{"written does not", `hash_on: "none" @`},               // likewise
	{"written does not", `ports!: [...{`},                   // asked of several ports
	{"written does not", `ports?: [...{`},                   // likewise
	{"list holds", `[_, ...] @path(parent)`},                // asked where there are none
	{"written does not", `externalName!: "" |`},             // the rule before it says that
}

func cannotBe(o plan.Outcome, sources map[string][]byte) bool {
	file, line, column := o.Place()
	text := strings.Split(string(sources[file]), "\n")[line-1]
	return slices.ContainsFunc(impossible, func(i struct{ says, source string }) bool {
		return strings.HasSuffix(o.String(), i.says) && strings.HasPrefix(text[column-1:], i.source)
	})
}

// each runs do for all of cs, as many at once as there are processors.
func each(cs []*comparison, do func(*comparison)) {
	var wg sync.WaitGroup
	next := make(chan *comparison)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for c := range next {
				do(c)
			}
		})
	}
	for _, c := range cs {
		next <- c
	}
	close(next)
	wg.Wait()
}

// comparison compares verdicts about documents of one kind.
type comparison struct {
	kind     string
	plan     *plan.Definition
	cover    *plan.Coverage
	cue      *oracle
	make     maker
	rules    ast.Expr
	pool     []*tree.Node
	seen     map[uint64]bool
	outcomes []plan.Outcome // all that can be
	hits     map[plan.Outcome]int
	examples map[plan.Outcome][]*tree.Node
	rare     []plan.Outcome // with examples, but fewer hits than level
	level    int            // first every rule is to be hit once, then more often

	made, compared, accepted int
	failures                 []string
}

func newComparison(t testing.TB, fsys fs.FS, kind string, n uint64) *comparison {
	t.Helper()
	s, cover, err := plan.CompileCounted(fsys)
	if err != nil {
		t.Fatal(err)
	}
	g := newGrammar(t, fsys)
	c := &comparison{
		kind: kind, plan: definition(t, s, "#"+kind), cover: cover, cue: newOracle(t, fsys),
		make: maker{g, rand.New(rand.NewPCG(*fuzzSeed, n))}, rules: g.names["#"+kind],
		pool:  []*tree.Node{parseYAML(t, documents[kind])},
		level: 1, seen: map[uint64]bool{}, hits: map[plan.Outcome]int{}, examples: map[plan.Outcome][]*tree.Node{},
	}
	c.outcomes = slices.DeleteFunc(cover.Outcomes(c.plan), func(o plan.Outcome) bool { return cannotBe(o, sources(t)) })
	b, err := os.ReadFile(c.corpus())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	c.pool = append(c.pool, ruleExamples(t, kind)...)
	for line := range strings.Lines(string(b)) {
		var v any
		dec := json.NewDecoder(strings.NewReader(line))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatal(c.corpus(), err)
		}
		c.pool = append(c.pool, fromJSON(v))
	}
	return c
}

func (c *comparison) corpus() string { return filepath.Join(corpusDir, c.kind+".jsonl") }

// replay compares the documents that were kept.
func (c *comparison) replay() {
	kept := c.pool
	c.pool = c.pool[:1:1]
	for _, n := range kept {
		c.try(n, true)
	}
}

// run makes documents until so many have been compared.
func (c *comparison) run(count int) {
	c.rare = c.rare[:0]
	for _, o := range c.outcomes {
		if c.hits[o] < c.level && len(c.examples[o]) > 0 {
			c.rare = append(c.rare, o)
		}
	}
	for end, tries := c.compared+count, 0; c.compared < end && len(c.failures) < 5; tries++ {
		before := c.compared
		c.try(c.document(), c.make.chance(1))
		if c.compared > before {
			tries = 0
		}
		if tries > 50 && c.level < wantedHits {
			c.level, tries = min(2*c.level, wantedHits), 0
		}
	}
}

// complete reports whether every rule has been hit often enough.
func (c *comparison) complete() bool {
	return !slices.ContainsFunc(c.outcomes, func(o plan.Outcome) bool { return c.hits[o] < wantedHits })
}

// document makes one, mostly from another that is of interest.
func (c *comparison) document() *tree.Node {
	m := c.make
	rules := []ast.Expr{c.rules}
	var n *tree.Node
	switch {
	case m.chance(5):
		return m.value(c.rules, 0)
	case len(c.rare) > 0 && m.chance(40):
		n = pick(m, c.examples[pick(m, c.rare)])
	default:
		n = pick(m, c.pool)
	}
	for n = m.mutate(n, rules); m.chance(30); {
		n = m.mutate(n, rules)
	}
	return n
}

// try checks n with the plan. It also asks CUE if n hits a rule that few have
// hit, or if always is set, but such that many of the documents are valid ones.
func (c *comparison) try(n *tree.Node, always bool) {
	c.made++
	src := text(n)
	if key := maphash.String(hashSeed, src); c.seen[key] || len(src) > 1<<14 {
		return
	} else {
		c.seen[key] = true
	}
	out, findings := c.plan.Check(n)
	hit := c.cover.Take()
	valid := len(findings) == 0
	if !valid {
		hit = slices.DeleteFunc(hit, func(o plan.Outcome) bool { return len(findings) > 1 || o.Holds && !o.Steers() })
	}
	rare := slices.ContainsFunc(hit, func(o plan.Outcome) bool { return c.hits[o] < c.level })
	if !rare && !always && (!valid || c.accepted*100 > c.compared*35) {
		return
	}
	c.compared++
	if text(n) != src {
		c.fail(src, "Check changed its input to %s", text(n))
	}
	if c.agree(n, src, out, findings) && valid {
		c.accepted++
	}
	for _, o := range hit {
		c.hits[o]++
		if len(c.examples[o]) < 6 {
			c.examples[o] = append(c.examples[o], n)
		}
	}
	if valid && rare && len(c.pool) < 5000 {
		c.pool = append(c.pool, n)
	}
}

var hashSeed = maphash.MakeSeed()

func (c *comparison) fail(src, format string, args ...any) {
	c.failures = append(c.failures, fmt.Sprintf("#%s %s:\n", c.kind, src)+fmt.Sprintf(format, args...))
}

// agree compares the verdicts about n, and what n becomes.
func (c *comparison) agree(n *tree.Node, src string, out *tree.Node, findings []plan.Finding) bool {
	v, err := c.cue.check("#"+c.kind, n)
	if (err == nil) != (len(findings) == 0) {
		c.fail(src, "CUE says %v\nthe plan says %v", err, findings)
		return false
	}
	if err != nil {
		return true
	}
	b, err := v.MarshalJSON()
	if err != nil {
		c.fail(src, "%v", err)
		return false
	}
	var want any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&want); err != nil {
		c.fail(src, "%v", err)
		return false
	}
	if got := exact(plain(out)); !reflect.DeepEqual(got, exact(want)) {
		c.fail(src, "CUE makes of it %v\nthe plan makes of it %v", want, got)
		return false
	}
	return true
}

// exact gives the numbers in v one notation: 1e2 is 100.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := strconv.ParseFloat(v.String(), 64); err == nil && !integer.MatchString(v.String()) {
			return f
		}
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
	}
	return v
}

func text(n *tree.Node) string {
	b, err := json.Marshal(plain(n))
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(b)
}
