package main

import (
	"slices"
	"testing"

	"github.com/meshc/meshc/schema/diag"
)

// TestNews: a warning is shown when it appears, and again when it was gone in
// between; an error at every load that it spoils; a note never.
func TestNews(t *testing.T) {
	finding := func(s diag.Severity, message string, line int) diag.Diagnostic {
		return diag.Diagnostic{Code: "MC0407", Severity: s, Message: message, Place: diag.Place{File: "a.yaml", Line: line}}
	}
	old, moved, other := finding(diag.Warning, "old", 1), finding(diag.Warning, "old", 9), finding(diag.Warning, "other", 1)
	wrong, note := finding(diag.Error, "wrong", 1), finding(diag.Note, "note", 1)
	var r reloader
	for i, load := range []struct{ has, shows []diag.Diagnostic }{
		{[]diag.Diagnostic{old, note}, []diag.Diagnostic{old}},
		{[]diag.Diagnostic{moved, other}, []diag.Diagnostic{other}},
		{[]diag.Diagnostic{old, wrong}, []diag.Diagnostic{wrong}},
		{[]diag.Diagnostic{wrong}, []diag.Diagnostic{wrong}},
		{[]diag.Diagnostic{old}, []diag.Diagnostic{old}},
	} {
		got := r.news(load.has)
		if !slices.EqualFunc(got, load.shows, func(a, b diag.Diagnostic) bool { return a.Message == b.Message && a.Line == b.Line }) {
			t.Errorf("load %d: got %v, want %v", i, got, load.shows)
		}
	}
}
