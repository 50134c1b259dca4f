package proxy

import (
	"net/url"
	"strings"
	"testing"

	"github.com/meshc/meshc/runtime/filter"
)

func TestCookie(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{"user=1", "1"},
		{"a=b; user=1; user=2", "1"},
		{"a=b;user=\"1\"", "1"},
		{"a=b|user=1", "1"},
		{"users=1; xuser=2; User=3", ""},
		{"user; user=1", "1"},
		{"user= 1 ;user=2", " 1 "},
		{"user=a=b", "a=b"},
		{"user=;user=2", ""},
		{"user=\"", "\""},
	} {
		var h filter.Headers
		for _, f := range strings.Split(c.fields, "|") {
			h.Add("cookie", f)
		}
		if got := cookie(&h, "user"); got != c.want {
			t.Errorf("%q: %q, want %q", c.fields, got, c.want)
		}
	}
}

func TestParameter(t *testing.T) {
	for _, c := range []struct {
		target, want string
		there        bool
	}{
		{"/", "", false},
		{"/?", "", false},
		{"/user=1", "", false},
		{"/?user=1", "1", true},
		{"/?a&user=1&user=2", "1", true},
		{"/?user", "", true},
		{"/?users=1&&user=a=b?c", "a=b?c", true},
		{"/?user=%31", "%31", true},
	} {
		if got, there := parameter(c.target, "user"); got != c.want || there != c.there {
			t.Errorf("%q: %q, %v, want %q, %v", c.target, got, there, c.want, c.there)
		}
	}
}

// FuzzHashKeys holds what is found in a query to what net/url finds there, where
// nothing is escaped.
func FuzzHashKeys(f *testing.F) {
	f.Add("/?a=b&user=1", "user")
	f.Add("a=b; user=\"1\"", "user")
	f.Fuzz(func(t *testing.T, text, name string) {
		var h filter.Headers
		h.Add("cookie", text)
		if v := cookie(&h, name); !strings.Contains(text, v) {
			t.Errorf("%q holds no cookie %q", text, v)
		}
		got, there := parameter(text, name)
		_, query, _ := strings.Cut(text, "?")
		values, err := url.ParseQuery(query)
		if err != nil || strings.ContainsAny(query, "%+;") || strings.ContainsAny(name, "&=") {
			return
		}
		if there && name != "" && (!values.Has(name) || values.Get(name) != got) || !there && values.Has(name) {
			t.Errorf("%q: parameter %q is %q, %v, want %q", text, name, got, there, values[name])
		}
	})
}
