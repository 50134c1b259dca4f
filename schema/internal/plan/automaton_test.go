package plan

import (
	"regexp"
	"testing"
)

// Patterns as rules have them, and some that look at the anchors.
var patterns = []string{
	`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`,
	`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,6}[A-Za-z0-9])?$`,
	`^(?i)([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9_.]{0,6}[a-z0-9])?$`,
	`^[^/]{5,}/`, `--`, `[a-z]`, ``, `^`, `$`, `^$`, `a$`, `a|^b|c$`, `(^a|b$)*`, `^.{1,3}\.?$`, `a^`, `$a`, `(a|ab)(c|bcd)$`,
	`^[^\x00-\x1f\x7f,/]+$`, `^([^%]|%[0-9A-Fa-f]{2})*$`, `x*`, `^(?:a*)*b`, `\.$|^-`,
}

func checkAutomaton(t *testing.T, pattern, s string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	if got, want := newMatcher(re).match(s), re.MatchString(s); got != want {
		t.Errorf("%q matches %q: %v, package regexp says %v", pattern, s, got, want)
	}
}

func TestAutomaton(t *testing.T) {
	texts := []string{"", "a", "b", "ab", "ba", "abcd", "a-", "-a", "a--b", "a/b", "a/b/c", "a.b/c", "A/b", "Ab/C_d", "%2f", "%2", "a.", "ü", "aü/", "12345/", "123456/x", "\n", "x\n", "c\n"}
	for _, p := range patterns {
		if compileAutomaton(p) == nil {
			t.Errorf("%q did not fit in an automaton", p)
		}
		for _, s := range texts {
			checkAutomaton(t, p, s)
		}
	}
}

func TestAutomatonLeavesToRegexp(t *testing.T) {
	for _, p := range []string{`\bx`, `(?m)^a$`, `[ab]*a[ab]{20}`} {
		if compileAutomaton(p) != nil {
			t.Errorf("%q: want no automaton", p)
		}
		for _, s := range []string{"x", "yx", "b\na\nb", "abababababababababababab"} {
			checkAutomaton(t, p, s)
		}
	}
}

func FuzzAutomaton(f *testing.F) {
	f.Add(0, "abc")
	f.Add(1, "a.b/c_d")
	f.Add(12, "ab")
	f.Fuzz(func(t *testing.T, i int, s string) {
		checkAutomaton(t, patterns[uint(i)%uint(len(patterns))], s)
	})
}
