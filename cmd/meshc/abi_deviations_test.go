//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// abiDifference is one call that ended otherwise in the two data planes.
type abiDifference struct {
	where       string // "scenario callback#n"
	call        string
	envoy, ours string // what was answered; "nothing" where there was no such line
}

func (d abiDifference) String() string {
	return d.where + " | " + d.call + " | " + d.envoy + " | " + d.ours
}

// abiDeviations is deviations.txt: differences that are meant.
type abiDeviations []*abiDeviation

type abiDeviation struct {
	text                     string
	where, call, envoy, ours *regexp.Regexp
	used                     bool
}

// readABIDeviations reads lines "WHERE | CALL | ENVOY | OURS | REASON", in
// which * stands for any text, and comments that begin with #.
func readABIDeviations(path string) (abiDeviations, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all abiDeviations
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, " | ")
		if len(f) != 5 || strings.TrimSpace(f[4]) == "" {
			return nil, fmt.Errorf("%s: %q is not WHERE | CALL | ENVOY | OURS | REASON", path, line)
		}
		glob := func(s string) *regexp.Regexp {
			return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(s)), `\*`, ".*") + "$")
		}
		all = append(all, &abiDeviation{line, glob(f[0]), glob(f[1]), glob(f[2]), glob(f[3]), false})
	}
	return all, nil
}

// allow reports whether a line is for d.
func (a abiDeviations) allow(d abiDifference) bool {
	for _, l := range a {
		if l.where.MatchString(d.where) && l.call.MatchString(d.call) && l.envoy.MatchString(d.envoy) && l.ours.MatchString(d.ours) {
			l.used = true
			return true
		}
	}
	return false
}

// unused returns the lines that have allowed nothing.
func (a abiDeviations) unused() []string {
	var out []string
	for _, l := range a {
		if !l.used {
			out = append(out, l.text)
		}
	}
	return out
}

// abiDifferences compares two traces, line by line within each callback.
func abiDifferences(envoy, ours map[string][]string) []abiDifference {
	keys := map[string]bool{}
	for k := range envoy {
		keys[k] = true
	}
	for k := range ours {
		keys[k] = true
	}
	var sorted []string
	for k := range keys {
		sorted = append(sorted, k)
	}
	slices.Sort(sorted)
	var all []abiDifference
	for _, k := range sorted {
		all = append(all, abiCompare(k, envoy[k], ours[k])...)
	}
	return all
}

// abiCompare pairs the lines about the same calls, in order.
func abiCompare(where string, envoy, ours []string) []abiDifference {
	split := func(lines []string) (calls, answers []string) {
		for _, l := range lines {
			call, answer, found := strings.Cut(l, " -> ")
			if !found {
				answer = "told"
			}
			calls, answers = append(calls, call), append(answers, answer)
		}
		return calls, answers
	}
	callsE, answersE := split(envoy)
	callsO, answersO := split(ours)
	// The longest common subsequence of calls, from the end.
	longest := make([][]int, len(callsE)+1)
	for i := range longest {
		longest[i] = make([]int, len(callsO)+1)
	}
	for i := len(callsE) - 1; i >= 0; i-- {
		for j := len(callsO) - 1; j >= 0; j-- {
			if callsE[i] == callsO[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	var all []abiDifference
	i, j := 0, 0
	for i < len(callsE) || j < len(callsO) {
		switch {
		case i < len(callsE) && j < len(callsO) && callsE[i] == callsO[j]:
			if answersE[i] != answersO[j] {
				all = append(all, abiDifference{where, callsE[i], answersE[i], answersO[j]})
			}
			i, j = i+1, j+1
		case j == len(callsO) || i < len(callsE) && longest[i+1][j] >= longest[i][j+1]:
			all = append(all, abiDifference{where, callsE[i], answersE[i], "nothing"})
			i++
		default:
			all = append(all, abiDifference{where, callsO[j], "nothing", answersO[j]})
			j++
		}
	}
	return all
}

// TestABIDeviations holds the comparison itself to what it should find.
func TestABIDeviations(t *testing.T) {
	envoy := map[string][]string{"s a#1": {"()", "f(1) -> 0 x", "g() -> 2", "returns 0"}, "s b#1": {"()"}}
	ours := map[string][]string{"s a#1": {"()", "f(1) -> 0 y", "h() -> 0", "returns 0"}}
	var got []string
	found := abiDifferences(envoy, ours)
	for _, d := range found {
		got = append(got, d.String())
	}
	want := []string{"s a#1 | f(1) | 0 x | 0 y", "s a#1 | g() | 2 | nothing", "s a#1 | h() | nothing | 0", "s b#1 | () | told | nothing"}
	if !slices.Equal(got, want) {
		t.Errorf("differences:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	path := filepath.Join(t.TempDir(), "deviations.txt")
	text := "# comment\ns * | f(*) | 0 * | 0 y | a reason\n* | z() | * | * | of no use\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := readABIDeviations(path)
	if err != nil {
		t.Fatal(err)
	}
	var allowed []bool
	for _, d := range found {
		allowed = append(allowed, list.allow(d))
	}
	if !slices.Equal(allowed, []bool{true, false, false, false}) {
		t.Errorf("allowed: %v", allowed)
	}
	if unused := list.unused(); len(unused) != 1 || !strings.Contains(unused[0], "z()") {
		t.Errorf("unused: %q", unused)
	}
	if err := os.WriteFile(path, []byte("* | f() | 0 | 1 |\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readABIDeviations(path); err == nil {
		t.Error("a line without a reason is taken")
	}
}
