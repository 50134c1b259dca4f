package diag

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// declaredCodes reads the Code constants from codes.go, by name.
func declaredCodes(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes[spec.Names[0].Name] = value
		return true
	})
	if len(codes) < 30 {
		t.Fatalf("found only %d codes", len(codes))
	}
	return codes
}

func TestCodesAreWellFormedUniqueAndTitled(t *testing.T) {
	form := regexp.MustCompile(`^MC0[0-9]{3}$`)
	names := map[string]string{}
	for name, code := range declaredCodes(t) {
		if !form.MatchString(code) {
			t.Errorf("%s is %q", name, code)
		}
		if other, ok := names[code]; ok {
			t.Errorf("%s and %s are both %s", name, other, code)
		}
		names[code] = name
		if Title(code) == "" {
			t.Errorf("%s (%s) has no title in titles.go", name, code)
		}
	}
	for code := range titles {
		if names[code] == "" {
			t.Errorf("the title of %s belongs to no code", code)
		}
	}
}
