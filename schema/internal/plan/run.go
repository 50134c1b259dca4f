package plan

import (
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// run is the state of checking one document. It is reused between documents of
// one kind.
type run struct {
	slab       slab
	path       []segment
	envs       []env
	findings   []Finding
	nullAbsent bool
	faults     faults // of the run before; nil in a first one
	doubt      string // the code of one that the expression being evaluated looked at
	// What a Go rule calls, and the value and rule that its report is about.
	report      func(Fault)
	checked     *tree.Node
	checkedRule *rule
}

func newRun() *run {
	r := new(run)
	r.report = r.addFault
	return r
}

// segment is one step from a value to a value inside it.
type segment struct {
	key    string
	index  int // of a list item; then key is empty
	keyPos tree.Pos
	how    *reporting // of a field; may be nil
}

func (r *run) reset(n *tree.Node, nullAbsent bool) {
	r.path, r.envs, r.findings = r.path[:0], r.envs[:0], nil
	r.path = append(r.path, segment{keyPos: n.Pos})
	r.nullAbsent, r.faults = nullAbsent, nil
}

// release lets go of the document.
func (r *run) release() {
	clear(r.path[:cap(r.path)])
	clear(r.envs[:cap(r.envs)])
	r.findings, r.faults, r.checked = nil, nil, nil
	r.slab.reset()
}

func (r *run) enterKey(key string, pos tree.Pos, how *reporting) {
	r.path = append(r.path, segment{key: key, index: -1, keyPos: pos, how: how})
}

func (r *run) enterItem(i int, pos tree.Pos) {
	r.path = append(r.path, segment{index: i, keyPos: pos})
}

func (r *run) leave() { r.path = r.path[:len(r.path)-1] }

// inside is the place for what is missing from the value being checked: the key
// of a map entry, the start of anything else.
func (r *run) inside() tree.Pos { return r.path[len(r.path)-1].keyPos }

// place is where to point for n, the value being checked: at a scalar itself,
// at the key of a map or list.
func (r *run) place(n *tree.Node) tree.Pos {
	if n.Kind == tree.Map || n.Kind == tree.List || n.Default {
		return r.inside()
	}
	return n.Pos
}

// fail reports that n, the value being checked, breaks a rule. The rule's own
// attributes, if any, come before code's class and message.
func (r *run) fail(n *tree.Node, code, message string, rl *rule) {
	f := Finding{Code: code, Message: message, Pos: r.place(n)}
	if rl != nil && rl.text != "" {
		f.Message = r.subject(n) + " " + rl.text
	}
	if isUnfilled(n) {
		f.Hint = unfilledHint
	}
	r.add(f, rl)
}

// subject is what a message calls n: its value, or its name where it has no short value.
func (r *run) subject(n *tree.Node) string {
	if s := show(n); s != "" && n.Default {
		return s + " (the default)"
	} else if s != "" {
		return s
	}
	if s := r.path[len(r.path)-1]; s.key != "" {
		return s.key
	}
	return "this " + n.Kind.String()
}

// add completes a finding about the value being checked with the path and rl.
func (r *run) add(f Finding, rl *rule) {
	f.Path = r.render()
	if inner := r.hiddenKey(); inner != "" && !strings.HasPrefix(f.Message, inner) {
		f.Message = inner + ": " + f.Message
	}
	if rl != nil && f.Hint == "" {
		f.Hint = rl.hint
	}
	if f.Code != diag.CodeType && f.Code != diag.CodeUnknownField && f.Class == "" {
		f.Class = classOf[f.Code]
		switch {
		case rl != nil && rl.class == noClass:
			f.Class = ""
		case rl != nil && rl.class != "":
			f.Class = rl.class
			if f.Code != diag.CodeRequired {
				f.Code = codeOf[rl.class]
			}
		}
	}
	r.findings = append(r.findings, f)
}

// render writes the path: its last override, and what follows that.
func (r *run) render() string {
	var parts []any
	prefix := ""
	for _, s := range r.path[1:] {
		if s.how != nil && s.how.parent {
			break
		}
		switch {
		case s.how != nil && s.how.path != "":
			prefix, parts = s.how.path, parts[:0]
		case s.key == "" && s.index >= 0:
			parts = append(parts, s.index)
		default:
			parts = append(parts, s.key)
		}
		if s.how != nil && s.how.whole {
			break
		}
	}
	rest := diag.Path(parts...)
	if prefix != "" && rest != "" && rest[0] != '[' {
		return prefix + "." + rest
	}
	return prefix + rest
}

// hiddenKey is what render left out below a field that is reported as a whole.
func (r *run) hiddenKey() string {
	for i, s := range r.path {
		if s.how == nil || !s.how.whole {
			continue
		}
		var b strings.Builder
		for _, s := range r.path[i+1:] {
			if s.key == "" && s.index >= 0 {
				b.WriteString("[" + strconv.Itoa(s.index) + "]")
				continue
			}
			b.WriteString(strconv.Quote(s.key))
		}
		return b.String()
	}
	return ""
}

// try runs check and takes back its findings. It returns check's result, and
// the findings it made.
func (r *run) try(c constraint, e int, n *tree.Node) (*tree.Node, []Finding) {
	before := r.findings
	r.findings = nil
	out := c.check(r, e, n)
	made := r.findings
	r.findings = before
	return out, made
}
