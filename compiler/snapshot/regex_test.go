package snapshot_test

import (
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

func TestParseRegex(t *testing.T) {
	for _, c := range []struct {
		expr, text string
		want       bool
	}{
		{`/a|/b`, "/b", true},
		{`/a|/b`, "/bc", false}, // all of the text
		{`/a`, "/a\n", false},
		{`(?i)/A`, "/a", true},
		{`/\d{2,3}`, "/1234", false},
	} {
		re, err := snapshot.ParseRegex(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		if re.MatchString(c.text) != c.want {
			t.Errorf("%q matches %q: %t", c.expr, c.text, !c.want)
		}
	}
	for expr, want := range map[string]string{
		`/a)(?:b`:                    "unexpected )",
		`(?=x)`:                      "(?=",
		`(a)\1`:                      `\1`,
		`(?:\pL{1,100}){1,100}`:      "invalid repeat count",
		strings.Repeat("a", 10_001):  "too large",
		`[` + strings.Repeat("a", 9): "missing closing ]",
	} {
		if _, err := snapshot.ParseRegex(expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", expr, err, want)
		}
	}
}

func TestPathRewrite(t *testing.T) {
	for _, c := range []struct{ regex, substitution, path, want string }{
		{`^/foo/?`, `/`, "/foo/bar", "/bar"},
		{`^/foo/?`, `/`, "/foo", "/"},
		{`^/foo/?`, `/`, "/foobar", "/bar"},
		{`^/`, `/api/`, "/foo//foo/", "/api/foo//foo/"},
		{`^.*`, `/$1\\`, "/foo", `/$1\`},
		{`^/(\w+)/(?P<rest>.*)`, `/\2/\1\0`, "/a/b", "/b/a/a/b"},
		{`^/nothing`, `/`, "/foo", "/foo"},
		{`^`, `/api`, "/foo", "/api/foo"},
	} {
		re, substitution, err := snapshot.PathRewrite{Regex: c.regex, Substitution: c.substitution}.Parse()
		if err != nil {
			t.Fatal(err)
		}
		if got := re.ReplaceAllString(c.path, substitution); got != c.want {
			t.Errorf("%q by %q makes %q of %q, want %q", c.regex, c.substitution, got, c.path, c.want)
		}
	}
	for _, c := range []struct{ regex, substitution, want string }{
		{`/foo`, ``, "does not begin with ^"},
		{`^a|b`, ``, "does not begin with ^"},
		{`(?m)^a`, ``, "does not begin with ^"},
		{``, `x`, "does not begin with ^"},
		{`^(`, ``, "missing closing )"},
		{`^(a)`, `\2`, "1 groups"},
		{`^a`, `\n`, "backslash"},
		{`^a`, `\`, "backslash"},
	} {
		if _, _, err := (snapshot.PathRewrite{Regex: c.regex, Substitution: c.substitution}).Parse(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q by %q: error %v, want one with %q", c.regex, c.substitution, err, c.want)
		}
	}
}

func TestTargetRegex(t *testing.T) {
	paths := []string{"/", "/a", "/a/b", "/ab", "/a/", "/users/7/x", "/b\n"}
	for _, expr := range []string{
		"/a", "/a.*", "/a.*$", "^/a/?$", "/(a|a/b$)", "/[^/]+", "/[0-9?]*a", `/\S*`, `/users/(?P<id>\d+)/.*`, `(?i)/A(?:/B)?`, `/a\?`, `.*`, `/a\b.*`, `(?s).*`, "/[?]", "/(x?|a)",
	} {
		want, err := snapshot.ParseRegex(expr)
		if err != nil {
			t.Fatal(err)
		}
		text, err := snapshot.TargetRegex(expr)
		if err != nil {
			t.Fatal(err)
		}
		got, err := snapshot.ParseRegex(text)
		if err != nil {
			t.Fatalf("%s became %s: %v", expr, text, err)
		}
		for _, path := range paths {
			for _, query := range []string{"", "?", "?q=/a/b", "?/a?x"} {
				if g, w := got.MatchString(path+query), want.MatchString(path); g != w {
					t.Errorf("%s, as %s, matches %q: %v, want %v", expr, text, path+query, g, w)
				}
			}
		}
	}
	if _, err := snapshot.TargetRegex("("); err == nil {
		t.Error("a parenthesis that nothing closes is taken")
	}
}
