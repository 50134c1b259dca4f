package parse

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/token"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// report adds findings, each once: CUE passes a mistake on to all that refers
// to the place.
func (c *cueParser) report(problems []CUEProblem) {
	for _, p := range problems {
		if !slices.ContainsFunc(c.problems, func(o CUEProblem) bool {
			return o.File == p.File && o.Place == p.Place && o.Path == p.Path && o.Message == p.Message
		}) {
			c.problems = append(c.problems, p)
		}
	}
}

// doubt gives each problem to the one of docs that it is in, and returns the
// others.
func doubt(docs []CUEDocument, problems []CUEProblem) (others []CUEProblem) {
	for _, p := range problems {
		i := slices.IndexFunc(docs, func(d CUEDocument) bool {
			rest, ok := strings.CutPrefix(p.Path, diag.Path(d.path...))
			return len(docs) == 1 || ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
		})
		if i < 0 {
			others = append(others, p)
		} else {
			docs[i].Doubts = append(docs[i].Doubts, p)
		}
	}
	return others
}

// errors returns the errors that err holds, each at the first place of it that
// is in one of the files. CUE tells one mistake several times, once for each
// way in which the value could have been right; the reader gets it once.
func (c *cueParser) errors(err error) []CUEProblem {
	var out []CUEProblem
	var implied []CUEProblem // errors of fields that nobody wrote, and that follow from others
	for _, e := range errors.Errors(err) {
		p, placed := c.problem(e)
		if strings.HasSuffix(p.Message, "errors in empty disjunction:") {
			continue
		}
		if _, written := c.places[cueKey(cueSteps(e.Path()))]; !placed && !written && strings.HasPrefix(p.Message, incomplete) {
			implied = append(implied, p)
			continue
		}
		same := slices.IndexFunc(out, func(o CUEProblem) bool {
			return p.Path != "" && o.Path == p.Path || strings.HasPrefix(p.Message, "imported and not used") && o.File == p.File && o.Place == p.Place
		})
		switch {
		case same < 0:
			out = append(out, p)
		case placed && strings.HasPrefix(out[same].Message, "conflicting values"):
			out[same] = p
		}
	}
	if len(out) == 0 {
		out = implied
	}
	if len(out) == 0 && err != nil {
		p, _ := c.problem(errors.Promote(err, ""))
		out = append(out, p)
	}
	return out
}

// problem words an error. placed says that CUE gave it a place in the files.
func (c *cueParser) problem(e errors.Error) (p CUEProblem, placed bool) {
	message := strings.ReplaceAll(e.Error(), c.dir+string(filepath.Separator), "")
	message = strings.TrimPrefix(message, strings.Join(e.Path(), ".")+": ")
	steps := cueSteps(e.Path())
	p = CUEProblem{Diagnostic: problem(diag.Error, diag.CodeCUE, tree.Pos{Line: 1, Column: 1}, steps, message, "")}
	if p.Path == "" {
		p.Code = diag.CodeSyntax
	}
	ruled := false
	var others []diag.Place
	for _, pos := range append([]token.Pos{e.Position()}, e.InputPositions()...) {
		file, at, ok := c.pos(pos)
		place := diag.Place{Line: at.Line, Column: at.Column}
		switch {
		case !ok && isRule(pos):
			ruled = true
		case !ok && pos.IsValid() && filepath.IsAbs(pos.Filename()):
			others = append(others, c.other(pos))
		case !ok:
		case !placed:
			p.File, p.Place, placed = file, place, true
		case file == p.File && place != p.Place:
			p.Related = append(p.Related, tookPart(place))
		}
	}
	secret := quotedSecret.MatchString(message) || slices.ContainsFunc(steps, func(step any) bool {
		name, ok := step.(string)
		return ok && diag.IsSecretKey(strings.TrimLeft(name, "_#"))
	})
	if !placed || secret { // something is missing, or written in a rule: what is around it?
		if file, place, ok := c.around(steps); ok {
			p.File, p.Place = file, place
		} else if !placed && len(others) > 0 {
			p.Place, others = others[0], others[1:]
		}
	}
	for _, place := range others {
		if !slices.ContainsFunc(p.Related, func(r diag.Related) bool { return r.Place == place }) && place != p.Place {
			p.Related = append(p.Related, tookPart(place))
		}
	}
	c.word(&p, ruled, secret)
	return p, placed
}

func tookPart(place diag.Place) diag.Related {
	return diag.Related{Place: place, Message: "this took part"}
}

const incomplete = "incomplete value "

var (
	foundToken   = regexp.MustCompile(`(?s)found '(STRING|IDENT|INT|FLOAT|INTERPOLATION|ATTRIBUTE)' .*`)
	noPackage    = regexp.MustCompile(`(?s)import failed: .*cannot find package "([^"]*)".*`)
	importFailed = regexp.MustCompile(`(?s)^.*import failed: (\S+:\d+:\d+: )?`)
	quotedSecret = regexp.MustCompile(`//\S*@|PRIVATE KEY`) // in a URL, or as PEM
	wrongForm    = regexp.MustCompile(`(?s)^invalid value (.*) \(out of bound [=!]~.*\)$`)
)

// word puts CUE's message into words for who wrote the document. ruled says that
// a rule of meshc's took part, and secret that what CUE may quote is one.
func (c *cueParser) word(p *CUEProblem, ruled, secret bool) {
	switch m := p.Message; {
	case secret && strings.ContainsAny(m, "\"'`0123456789"):
		p.Message = "the value does not fit"
		if strings.HasPrefix(m, "conflicting values") {
			p.Message = "conflicting values"
		}
	case foundToken.MatchString(m): // the token itself may be a secret, which is not closed
		p.Message = foundToken.ReplaceAllStringFunc(m, func(found string) string {
			word := map[string]string{"STRING": "a string", "IDENT": "a name", "INT": "a number", "FLOAT": "a number"}
			kind := foundToken.FindStringSubmatch(found)[1]
			if word[kind] == "" {
				return "found something else"
			}
			return "found " + word[kind]
		})
	case noPackage.MatchString(m):
		name := noPackage.FindStringSubmatch(m)[1]
		p.Code, p.Path, p.Message = diag.CodeCUE, "", fmt.Sprintf("cannot find the package %q", name)
		if diag.Nearest(name, []string{CUEModule}) != "" {
			p.Hint = fmt.Sprintf("did you mean %q?", CUEModule)
		}
	case strings.Contains(m, "import failed: "):
		p.Code, p.Path, p.Message = diag.CodeCUE, "", importFailed.ReplaceAllString(m, "import failed: ")
	case strings.HasPrefix(m, "builtin package "):
		p.Code, p.Hint = diag.CodeCUE, "a package of CUE's own has no dot in its path, as list and strings; all others begin with a domain"
	case ruled && wrongForm.MatchString(m):
		p.Message = wrongForm.ReplaceAllString(m, "$1 is not of the form that this field has")
	case strings.HasPrefix(m, incomplete):
		p.Hint = "give it a value, or a default"
	case strings.Contains(m, "module.cue") || strings.Contains(m, "module file"):
		c.blameModule(p)
	}
}

// cueSteps returns a path of CUE's as the other paths here: with indices, and
// names without quotes.
func cueSteps(path []string) []any {
	var out []any
	for _, step := range path {
		if i, err := strconv.Atoi(step); err == nil {
			out = append(out, i)
		} else if name, err := strconv.Unquote(step); err == nil {
			out = append(out, name)
		} else {
			out = append(out, step)
		}
	}
	return out
}
