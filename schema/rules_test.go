package schema_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// rulesDir holds an archive for each topic. A case in it is a rule, with
// documents that keep it and documents that break it:
//
//	-- NAME/ok.yaml --    at least one document; no findings but those of notes
//	-- NAME/notes --      what is said of ok.yaml; may be missing
//	-- NAME/bad.yaml --   broken documents
//	-- NAME/want --       exactly what is said of bad.yaml
//
// The files may as well end in .json, .cue or .yml.
const rulesDir = "testdata/rules"

// ruleCase is one rule of an archive.
type ruleCase struct {
	name        string
	ok, bad     *txtar.File
	notes, want string
}

// finding is a line of want and notes: place, code, class if the rule has one,
// path, what is wrong, and what would be right.
var ruleFinding = regexp.MustCompile(`^\d+:\d+ (warning |note )?MC\d{4}( [A-Z][A-Za-z]+)? .*: .+$`)

// TestRules loads both sides of every rule. MESHC_UPDATE=1 rewrites want and notes.
func TestRules(t *testing.T) {
	for _, path := range ruleArchives(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(strings.TrimSpace(string(archive.Comment))) == 0 {
				t.Error("the archive does not say whose rules it holds")
			}
			cases := ruleCases(t, archive)
			for i := range cases {
				t.Run(cases[i].name, func(t *testing.T) { cases[i].test(t) })
			}
			if update() {
				writeRules(t, path, archive.Comment, cases)
			}
		})
	}
}

func ruleArchives(t *testing.T) []string {
	t.Helper()
	archives, err := filepath.Glob(filepath.Join(rulesDir, "*.txtar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	return archives
}

func update() bool { return os.Getenv("MESHC_UPDATE") != "" }

// ruleCases puts the files of an archive together, and wants both sides of each rule.
func ruleCases(t *testing.T, archive *txtar.Archive) []ruleCase {
	t.Helper()
	var cases []ruleCase
	for i := range archive.Files {
		f := &archive.Files[i]
		name, part, ok := strings.Cut(f.Name, "/")
		if !ok {
			t.Fatalf("%s: want NAME/ok.yaml, NAME/bad.yaml, NAME/want or NAME/notes", f.Name)
		}
		at := slices.IndexFunc(cases, func(c ruleCase) bool { return c.name == name })
		if at < 0 {
			at = len(cases)
			cases = append(cases, ruleCase{name: name})
		}
		c := &cases[at]
		switch stem, _, _ := strings.Cut(part, "."); stem {
		case "ok":
			c.ok = f
		case "bad":
			c.bad = f
		case "notes":
			c.notes = string(f.Data)
		case "want":
			c.want = string(f.Data)
		default:
			t.Fatalf("%s: unknown part", f.Name)
		}
	}
	for _, c := range cases {
		if c.ok == nil || c.bad == nil {
			t.Fatalf("%s: a rule needs an accepted and a refused example", c.name)
		}
	}
	return cases
}

func (c *ruleCase) test(t *testing.T) {
	good := load(c.ok)
	if diag.HasErrors(good.Diagnostics) || len(good.Documents) == 0 || len(good.Documents) != good.Summary.Documents {
		t.Errorf("ok: %d documents of %d:\n%s", len(good.Documents), good.Summary.Documents, ruleFindings(good.Diagnostics))
	}
	bad := load(c.bad)
	if !diag.HasErrors(bad.Diagnostics) && !slices.ContainsFunc(bad.Diagnostics, func(d diag.Diagnostic) bool { return d.Severity == diag.Warning }) {
		t.Errorf("bad: nothing is said against it")
	}
	notes, want := ruleFindings(good.Diagnostics), ruleFindings(bad.Diagnostics)
	if update() {
		c.notes, c.want = notes, want
		return
	}
	if notes != c.notes {
		t.Errorf("ok:\n got\n%swant\n%s", notes, c.notes)
	}
	if want != c.want {
		t.Errorf("bad:\n got\n%swant\n%s", want, c.want)
	}
	for line := range strings.Lines(c.want) {
		if !ruleFinding.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("want: %q is not PLACE CODE [CLASS] PATH: MESSAGE; HINT", line)
		}
	}
}

// load loads one file of an archive.
func load(f *txtar.File) schema.Result {
	return schema.NewLoader().Load(context.Background(), tree(file(filepath.Base(f.Name), string(f.Data))))
}

func ruleFindings(ds []diag.Diagnostic) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintf(&b, "%d:%d ", d.Line, d.Column)
		if d.Severity != diag.Error {
			b.WriteString(d.Severity.String() + " ")
		}
		b.WriteString(d.Code + " ")
		if d.Class != "" {
			b.WriteString(d.Class + " ")
		}
		b.WriteString(d.Path + ": " + d.Message)
		if d.Hint != "" {
			b.WriteString("; " + d.Hint)
		}
		for _, rel := range d.Related {
			fmt.Fprintf(&b, " (%d:%d %s)", rel.Line, rel.Column, rel.Message)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func writeRules(t *testing.T, path string, comment []byte, cases []ruleCase) {
	out := &txtar.Archive{Comment: comment}
	for _, c := range cases {
		out.Files = append(out.Files, *c.ok)
		if c.notes != "" {
			out.Files = append(out.Files, txtar.File{Name: c.name + "/notes", Data: []byte(c.notes)})
		}
		out.Files = append(out.Files, *c.bad, txtar.File{Name: c.name + "/want", Data: []byte(c.want)})
	}
	if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSlicePorts is the rule of ValidateEndpointSlice that takes more text than
// an archive should hold.
func TestSlicePorts(t *testing.T) {
	const limit = 20000
	for count, want := range map[int]string{limit: "", limit + 1: "6:1 MC0308 TooMany ports: has 20001 items, want at most 20000\n"} {
		var b strings.Builder
		b.WriteString("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web}\naddressType: IPv4\nendpoints: []\nports:\n")
		for i := range count {
			fmt.Fprintf(&b, "- {name: p%d}\n", i)
		}
		r := load(&txtar.File{Name: "ports.yaml", Data: []byte(b.String())})
		if got := ruleFindings(r.Diagnostics); got != want {
			t.Errorf("%d ports:\n got %swant %s", count, got, want)
		}
	}
}
