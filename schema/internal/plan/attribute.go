package plan

import (
	"fmt"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"

	"github.com/meshc/meshc/schema/diag"
)

// rule is what the attribute @rule says about the findings of a value:
//
//	@rule(class=Required, text="has no address", hint="add one")
//
// Each key is optional. text completes a sentence that begins with the value,
// missing one that begins with the name of a field that is not there.
type rule struct {
	class, text, hint, missing string
}

// over returns r with what it leaves out taken from below.
func (r *rule) over(below *rule) *rule {
	switch {
	case r == nil:
		return below
	case below == nil:
		return r
	}
	merged := *r
	if merged.class == "" {
		merged.class = below.class
	}
	if merged.text == "" {
		// A hint belongs to its text.
		merged.text = below.text
		if merged.hint == "" {
			merged.hint = below.hint
		}
	}
	return &merged
}

// reporting is how findings about a field and what is in it name their path.
type reporting struct {
	path   string // @path("…") instead of the path so far
	whole  bool   // @path(whole): keys and items inside are not named
	parent bool   // @path(parent): nor is the field itself
}

// attributes are those of one field, definition or struct.
type attributes struct {
	rule   *rule
	how    *reporting
	checks []Check
	// zeroAbsent is @zero(absent): "", 0 and false count as not written.
	zeroAbsent bool
	// nullAbsent is @null(absent): in this kind of document, null counts as not written.
	nullAbsent bool
	// drop is @drop(): the value is left out of the result.
	drop bool
}

func (c *compiler) attributes(attrs []*ast.Attribute) (attributes, error) {
	var out attributes
	for _, a := range attrs {
		name, body := a.Split()
		args, err := arguments(body)
		if err != nil {
			return out, c.errorf(a, "@%s: %v", name, err)
		}
		switch {
		case name == "rule" && len(args) > 0:
			if out.rule, err = ruleOf(args); err != nil {
				return out, c.errorf(a, "@rule: %v", err)
			}
		case name == "check" && len(args) == 1 && args[0].key == "":
			check, ok := Checks[args[0].value]
			if !ok {
				return out, c.errorf(a, "@check: no check is named %q", args[0].value)
			}
			out.checks = append(out.checks, check)
		case name == "path" && len(args) == 1 && args[0].key == "":
			switch args[0].value {
			case "whole":
				out.how = &reporting{whole: true}
			case "parent":
				out.how = &reporting{parent: true}
			default:
				out.how = &reporting{path: args[0].value}
			}
		case name == "zero" && body == "absent":
			out.zeroAbsent = true
		case name == "null" && body == "absent":
			out.nullAbsent = true
		case name == "drop" && body == "":
			out.drop = true
		default:
			return out, c.errorf(a, "unknown attribute %s", a.Text)
		}
	}
	return out, nil
}

func ruleOf(args []argument) (*rule, error) {
	var r rule
	for _, a := range args {
		switch a.key {
		case "class":
			if codeOf[a.value] == "" && a.value != noClass {
				return nil, fmt.Errorf("unknown class %q", a.value)
			}
			r.class = a.value
		case "text":
			r.text = a.value
		case "hint":
			r.hint = a.value
		case "missing":
			r.missing = a.value
		default:
			return nil, fmt.Errorf("unknown key %q", a.key)
		}
	}
	return &r, nil
}

// The Kubernetes error classes and the codes they go with.
var codeOf = map[string]string{
	"Required":     diag.CodeRequired,
	"Invalid":      diag.CodeInvalid,
	"NotSupported": diag.CodeNotSupported,
	"Duplicate":    diag.CodeDuplicate,
	"Forbidden":    diag.CodeForbidden,
	"TooLong":      diag.CodeTooLong,
	"TooMany":      diag.CodeTooLong,
}

var classOf = map[string]string{
	diag.CodeRequired:     "Required",
	diag.CodeInvalid:      "Invalid",
	diag.CodeNotSupported: "NotSupported",
	diag.CodeDuplicate:    "Duplicate",
	diag.CodeForbidden:    "Forbidden",
	diag.CodeTooLong:      "TooLong",
}

// noClass in @rule(class=none): the API server finds this while decoding, before
// there are classes.
const noClass = "none"

type argument struct{ key, value string }

// arguments splits an attribute's body: words and Go-quoted strings, each with
// an optional "key=" before it, separated by commas.
func arguments(body string) ([]argument, error) {
	var out []argument
	for body = strings.TrimSpace(body); body != ""; {
		var a argument
		if i := strings.IndexAny(body, `=,"`); i >= 0 && body[i] == '=' {
			a.key, body = strings.TrimSpace(body[:i]), strings.TrimSpace(body[i+1:])
		}
		if strings.HasPrefix(body, `"`) {
			quoted, err := strconv.QuotedPrefix(body)
			if err != nil {
				return nil, err
			}
			a.value, _ = strconv.Unquote(quoted)
			body = strings.TrimSpace(body[len(quoted):])
		} else {
			i := strings.IndexByte(body+",", ',')
			a.value, body = strings.TrimSpace(body[:i]), body[i:]
		}
		if body != "" && body[0] != ',' {
			return nil, fmt.Errorf("want a comma before %q", body)
		}
		body = strings.TrimSpace(strings.TrimPrefix(body, ","))
		out = append(out, a)
	}
	return out, nil
}
