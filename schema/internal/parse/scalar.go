package parse

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"github.com/meshc/meshc/schema/tree"
)

// trap is what YAML 1.1 and 1.2 disagree about in a plain scalar: how meshc
// reads it, and how to write it so that everyone agrees.
type trap struct{ message, hint string }

var (
	yamlFloat   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	yamlHex     = regexp.MustCompile(`^[-+]?0x[0-9a-fA-F_]+$`)
	yamlOctal   = regexp.MustCompile(`^[-+]?0o[0-7_]+$`)
	yamlBinary  = regexp.MustCompile(`^[-+]?0b[01_]+$`)
	yamlGrouped = regexp.MustCompile(`^[-+]?[0-9][0-9_]*$`)
)

// yaml11Bools are the words that YAML 1.1, and so the libraries of Kubernetes
// and Kuma, takes for booleans, and YAML 1.2 for strings.
var yaml11Bools = map[string]bool{}

func init() {
	for _, w := range []string{"y", "n", "yes", "no", "on", "off"} {
		for _, s := range []string{w, strings.ToUpper(w), strings.ToUpper(w[:1]) + w[1:]} {
			yaml11Bools[s] = true
		}
	}
}

// plain reads a scalar without quotes and tag as YAML's core schema does, with
// the octal, binary and grouped integers of YAML 1.1, which is what the
// libraries of Kubernetes read. ok is false for .inf and .nan, which no
// document can hold.
func plain(s string) (kind tree.Kind, text string, t *trap, ok bool) {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return tree.Null, "", nil, true
	case "true", "True", "TRUE":
		return tree.Bool, "true", nil, true
	case "false", "False", "FALSE":
		return tree.Bool, "false", nil, true
	}
	if len(s) <= len("off") && yaml11Bools[s] {
		return tree.String, s, &trap{
			fmt.Sprintf("%s is read as the string %q; YAML 1.1 reads a boolean", s, s),
			fmt.Sprintf("write %q for the string, or true or false", s),
		}, true
	}
	if c := s[0]; c != '+' && c != '-' && c != '.' && (c < '0' || c > '9') {
		return tree.String, s, nil, true
	}
	if strings.EqualFold(strings.TrimLeft(s, "+-"), ".inf") || strings.EqualFold(s, ".nan") {
		return tree.Float, s, nil, false
	}
	return number(s)
}

func number(s string) (kind tree.Kind, text string, t *trap, ok bool) {
	if !numeric(s) {
		return tree.String, s, nil, true
	}
	digits := s
	for digits != "" && (digits[0] == '+' || digits[0] == '-') {
		digits = digits[1:]
	}
	zero := len(digits) > 1 && digits[0] == '0' // as in 010, which may be octal
	switch {
	case !zero && len(s)-len(digits) <= 1 && decimal(digits):
		return tree.Int, integer(s, 10), nil, true
	case yamlHex.MatchString(s) && !strings.Contains(s, "_"):
		return intOrString(s, "0x", 16, false)
	case yamlHex.MatchString(s):
		return intOrString(s, "0x", 16, true)
	case yamlOctal.MatchString(s):
		return intOrString(s, "0o", 8, true)
	case yamlBinary.MatchString(s):
		return intOrString(s, "0b", 2, true)
	case yamlGrouped.MatchString(s) && zero && !strings.ContainsAny(s, "89"):
		return intOrString(s, "", 8, true)
	case yamlGrouped.MatchString(s):
		return intOrString(s, "", 10, true)
	case yamlFloat.MatchString(s):
		return tree.Float, float(s), nil, true
	}
	return tree.String, s, nil, true
}

// decimal reports whether s is digits.
func decimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// numeric reports whether s is made as numbers are. It spares addresses,
// durations and the like the closer look.
func numeric(s string) bool {
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		case c == '+', c == '-', c == '_', c == 'x', c == 'o':
		case c == '.':
			dots++
		default:
			return false
		}
	}
	return dots < 2
}

// intOrString reads s without prefix and underscores in base.
func intOrString(s, prefix string, base int, trapped bool) (tree.Kind, string, *trap, bool) {
	text := integer(strings.ReplaceAll(strings.Replace(s, prefix, "", 1), "_", ""), base)
	if text == "" {
		return tree.String, s, nil, true
	}
	if !trapped {
		return tree.Int, text, nil, true
	}
	return tree.Int, text, &trap{
		fmt.Sprintf("%s is read as the number %s; YAML 1.1 and 1.2 differ here", s, text),
		fmt.Sprintf("write %s for the number or %q for the string", text, s),
	}, true
}

// integer returns s, digits in base with perhaps a sign, in JSON's notation;
// "" where it is none.
func integer(s string, base int) string {
	if base == 10 && s[0] != '+' && s[0] != '-' && (s[0] != '0' || s == "0") {
		return s
	}
	i, ok := new(big.Int).SetString(s, base)
	if !ok {
		return ""
	}
	return i.String()
}

// float returns s, which matches yamlFloat, in JSON's notation.
func float(s string) string {
	sign := ""
	if s[0] == '-' {
		sign = "-"
	}
	s = strings.TrimLeft(s, "+-")
	mantissa, exponent := s, ""
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent = s[:i], s[i:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction == "" && exponent == "" {
		fraction = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction + exponent
}
