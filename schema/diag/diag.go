// Package diag says what is wrong with a user's input: where, under which
// stable code, why, and what would be right. Findings are made by schema and
// compiler and printed by the writers of this package; the two never mix.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity ranks a finding.
type Severity uint8

// The severities. An error stops a build; a warning stops it only under
// --strict; a note never does.
const (
	Error Severity = iota
	Warning
	Note
)

// String returns the word that every output format uses.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "note"
}

// MarshalText writes the severity as its word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Place is a position in an input file. Line and Column count from 1 and
// Column counts characters; 0 means that the place is the file as a whole.
type Place struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String returns file:line:col, shorter where line or column is unknown.
func (p Place) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Related is a second place that took part in a finding, such as the other
// definition of a name.
type Related struct {
	Place
	Message string `json:"message"`
}

// Diagnostic is one finding.
type Diagnostic struct {
	// Code is stable: "MC0301". See codes.go.
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Place
	// Path is the field in the dialect's own words: "spec.ports[0].port".
	Path string `json:"path"`
	// Message is what is wrong; Hint is what would be right, or empty.
	Message string    `json:"message"`
	Hint    string    `json:"hint"`
	Related []Related `json:"related"`
	// Missing is the name of what is not there, in findings that say so of one
	// thing. Like Class, it is not written.
	Missing string `json:"-"`
	// Class is the Kubernetes error class (Required, Invalid, NotSupported,
	// Duplicate, Forbidden, TooLong, TooMany) where the rule has one. It is
	// for tests and REST; the writers leave it out.
	Class string `json:"-"`
}

// Summary counts what one run saw.
type Summary struct {
	Files     int `json:"files"`
	Documents int `json:"documents"`
	// Ignored counts documents of kinds that meshc leaves out.
	Ignored  int `json:"ignored"`
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
}

// Sort orders findings by file, line, column, code and path, so that output
// does not depend on the order in which passes ran.
func Sort(ds []Diagnostic) {
	byPointer := make([]*Diagnostic, len(ds)) // findings are large to move about
	for i := range ds {
		byPointer[i] = &ds[i]
	}
	if slices.IsSortedFunc(byPointer, compare) {
		return
	}
	slices.SortStableFunc(byPointer, compare)
	sorted := make([]Diagnostic, len(ds))
	for i, d := range byPointer {
		sorted[i] = *d
	}
	copy(ds, sorted)
}

func compare(a, b *Diagnostic) int {
	if c := strings.Compare(a.File, b.File); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
		cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message),
	)
}

// HasErrors reports whether any finding is an error.
func HasErrors(ds []Diagnostic) bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Count adds the findings' severities to s.
func (s *Summary) Count(ds []Diagnostic) {
	for _, d := range ds {
		switch d.Severity {
		case Error:
			s.Errors++
		case Warning:
			s.Warnings++
		}
	}
}
