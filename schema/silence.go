package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/parse"
	"github.com/meshc/meshc/schema/tree"
)

// SilenceAnnotation holds the codes, separated by commas or blanks, that are
// silenced on a Kubernetes object.
const SilenceAnnotation = "meshc.dev/ignore"

// Silence silences the warnings and notes of one code in one document.
type Silence struct {
	Code  string
	Place diag.Place // of the comment or annotation
	in    extent     // of the document, in Place.File
}

// silence collects the silences of the document n in the extent.
func (r *reader) silence(n *tree.Node, in extent) {
	if f := n.Get("metadata").Get("annotations").Field(SilenceAnnotation); f != nil && f.Value.Kind == tree.String {
		codes := strings.FieldsFunc(f.Value.Text, func(c rune) bool { return c == ',' || c == ' ' })
		for _, code := range codes {
			r.out.silences = append(r.out.silences, r.newSilence(code, f.KeyPos, in))
		}
	}
	var mine []parse.Silence
	r.silences = slices.DeleteFunc(slices.Clone(r.silences), func(s parse.Silence) bool {
		if in.holds(s.Near) {
			mine = append(mine, s)
		}
		return in.holds(s.Near)
	})
	r.claim(mine, in)
}

func (r *reader) claim(ss []parse.Silence, in extent) {
	for _, s := range ss {
		r.out.silences = append(r.out.silences, r.newSilence(s.Code, s.Pos, in))
	}
}

func (r *reader) newSilence(code string, pos tree.Pos, in extent) Silence {
	return Silence{Code: code, Place: diag.Place{File: r.file.Shown, Line: pos.Line, Column: pos.Column}, in: in}
}

// ApplySilences returns the findings that are not silenced. Errors cannot be.
// Call it once, with the findings of all stages. A silence that silenced
// nothing is a warning of its own, unless there are errors: then later stages
// have not had their say.
func ApplySilences(silences []Silence, ds []diag.Diagnostic) []diag.Diagnostic {
	if len(silences) == 0 {
		return ds
	}
	used := make([]bool, len(silences))
	type target struct{ file, code string }
	of := map[target][]int{} // indices of silences
	for i, s := range silences {
		of[target{s.Place.File, s.Code}] = append(of[target{s.Place.File, s.Code}], i)
	}
	out := make([]diag.Diagnostic, 0, len(ds))
	for _, d := range ds {
		silenced := false
		for _, i := range of[target{d.File, d.Code}] {
			if d.Severity != diag.Error && silences[i].in.holds(place(d)) {
				used[i], silenced = true, true
			}
		}
		if !silenced {
			out = append(out, d)
		}
	}
	if diag.HasErrors(ds) {
		return out
	}
	for i, s := range silences {
		if used[i] {
			continue
		}
		message := fmt.Sprintf("nothing here is reported as %s", s.Code)
		if s.Code == "" {
			message = "this comment names no code"
		}
		out = append(out, diag.Diagnostic{
			Code: diag.CodeIdleSilence, Severity: diag.Warning, Place: s.Place,
			Message: message, Hint: "remove the silence",
		})
	}
	diag.Sort(out)
	return out
}
