package plan

import (
	"strconv"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// presence says whether a field must be there.
type presence uint8

const (
	regular  presence = iota // must be there or have a default
	optional                 // ?
	required                 // !
)

// field is a declared field.
type field struct {
	name     string
	bit      uint64 // keyBit(name)
	presence presence
	value    constraint
	attributes
	seen *tally
}

func (f *field) apply(r *run, e int) {
	n, i := r.envs[e].node, 0
	for i < len(n.Fields) && n.Fields[i].Key != f.name {
		i++
	}
	if !f.seen.note(i < len(n.Fields)) {
		if f.presence == regular && r.faults.doubt(n, f.name) == "" {
			r.setDefault(e, f)
		}
		return
	}
	r.know(e, i)
	x := n.Fields[i]
	switch {
	case f.drop, x.Value.Kind == tree.Null && r.nullAbsent && !f.value.kinds().has(tree.Null):
		r.remove(e, i)
		if !f.drop && f.presence == regular {
			r.setDefault(e, f)
		}
		return
	case f.isAbsent(x.Value):
		if f.presence == regular {
			if d := f.value.fill(r, e); d != nil {
				r.remove(e, i)
				r.setDefault(e, f)
			}
		}
		return
	}
	r.enterKey(x.Key, x.KeyPos, f.how)
	v := f.value.check(r, e, x.Value)
	r.leave()
	if v != x.Value {
		r.own(e).Fields[i].Value = v
	}
}

// setDefault gives an absent field its default, if it has one.
func (r *run) setDefault(e int, f *field) {
	r.doubt = ""
	d := f.value.fill(r, e)
	if d == nil {
		return
	}
	pos := r.inside()
	r.enterKey(f.name, pos, f.how)
	defer r.leave()
	before, unreadable := len(r.findings), isUnreadable(r.doubt)
	d = f.value.check(r, e, d)
	if unreadable { // what it was copied from is the mistake
		r.findings = r.findings[:before]
	}
	n := r.own(e)
	r.know(e, len(n.Fields))
	r.envs[e].keys |= f.bit
	n.Fields = append(n.Fields, tree.Field{Key: f.name, KeyPos: pos, Value: d})
}

// copiesDoubt reports whether the default of f would be a copy of what is
// misspelt or of a wrong type.
func (r *run) copiesDoubt(e int, f *field) bool {
	if r.faults == nil {
		return false
	}
	r.doubt = ""
	f.value.fill(r, e)
	return isUnreadable(r.doubt)
}

// finish reports that f is missing, and runs its checks on the value with all
// its defaults.
func (f *field) finish(r *run, e int) {
	n := r.envs[e].node
	x := n.Field(f.name)
	if x == nil || f.presence != optional && f.isAbsent(x.Value) {
		if f.presence != optional && r.faults.doubt(n, f.name) == "" && !r.copiesDoubt(e, f) {
			r.missing(f, x)
		}
		return
	}
	if len(f.checks) > 0 && !f.isAbsent(x.Value) {
		r.enterKey(f.name, x.KeyPos, f.how)
		r.runChecks(f.checks, x.Value, f.rule)
		r.leave()
	}
}

// missing reports that f is not there, or holds a zero that counts as that.
func (r *run) missing(f *field, x *tree.Field) {
	pos := r.inside()
	if x != nil {
		pos = x.Value.Pos
	}
	r.enterKey(f.name, pos, f.how)
	var rl *rule
	message := "missing required field " + strconv.Quote(f.name)
	if x != nil && !x.Value.Default {
		message = f.name + " is required, and " + show(x.Value) + " counts as not set"
	}
	if f.rule != nil {
		rl = &rule{class: f.rule.class, hint: f.rule.hint}
		if f.rule.missing != "" {
			rl.hint, message = "", f.name+" "+f.rule.missing
		}
	}
	r.add(Finding{Code: diag.CodeRequired, Message: message, Pos: pos}, rl)
	r.leave()
}

// isAlways reports whether f has a default that is always there.
func (f *field) isAlways() bool {
	d := standing(f.value)
	return f.presence == regular && !f.drop && d != nil && !(f.zeroAbsent && isZero(d))
}

// standing is the scalar that is the default of c, whatever the document, or nil.
func standing(c constraint) *tree.Node {
	switch c := c.(type) {
	case *scalarLiteral:
		return c.node
	case *scalarDisj:
		return standing(&c.disj)
	case *disj:
		for _, a := range c.arms {
			if a.marked {
				return standing(a.constraint)
			}
		}
	case *basic:
		if c.set == kindSet(tree.Null) {
			return &tree.Node{Kind: tree.Null}
		}
	}
	return nil
}

// isAbsent reports whether n counts as not written.
func (f *field) isAbsent(n *tree.Node) bool {
	return f.zeroAbsent && isZero(n) && f.value.kinds().has(n.Kind)
}

func isZero(n *tree.Node) bool {
	switch n.Kind {
	case tree.String:
		return n.Text == ""
	case tree.Int:
		return n.Text == "0" || n.Text == "-0"
	case tree.Bool:
		return n.Text == "false"
	}
	return false
}
