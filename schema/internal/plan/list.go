package plan

import (
	"fmt"
	"slices"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// list is [A, B, ...T]: items of known rules, then any number that satisfy rest.
type list struct {
	first []constraint
	rest  constraint // nil: no more items
	rule  *rule
	seen  *tally
}

func (l *list) kinds() kinds { return kindSet(tree.List) }

func (l *list) fill(r *run, e int) *tree.Node {
	out := r.slab.node(tree.Node{Kind: tree.List, Pos: r.inside(), Default: true})
	for _, c := range l.first {
		n := c.fill(r, e)
		if n == nil {
			return nil
		}
		out.Items = append(out.Items, n)
	}
	return out
}

func (l *list) check(r *run, e int, n *tree.Node) *tree.Node {
	fits := n.Kind == tree.List && len(n.Items) >= len(l.first) && (l.rest != nil || len(n.Items) == len(l.first))
	l.seen.note(fits)
	if n.Kind != tree.List {
		r.wrongType(n, l.kinds(), l)
		return n
	}
	if len(n.Items) < len(l.first) {
		r.fail(n, diag.CodeInvalid, fmt.Sprintf("has %s, want at least %d", plural(len(n.Items), "item"), len(l.first)), l.rule)
	}
	if l.rest == nil && len(n.Items) > len(l.first) {
		r.fail(n, diag.CodeTooLong, fmt.Sprintf("has %s, want %d", plural(len(n.Items), "item"), len(l.first)), l.rule)
	}
	out := n
	for i, item := range n.Items {
		c := l.rest
		if i < len(l.first) {
			c = l.first[i]
		}
		if c == nil {
			break
		}
		item = r.present(item, c)
		r.enterItem(i, item.Pos)
		checked := c.check(r, e, item)
		r.leave()
		if checked != n.Items[i] {
			if out == n {
				out = r.slab.node(*n)
				out.Items = slices.Clone(n.Items)
			}
			out.Items[i] = checked
		}
	}
	return out
}

// present reads a null list item or map value as the API server does where null
// counts as not written: as the zero value of its type.
func (r *run) present(n *tree.Node, c constraint) *tree.Node {
	if n.Kind != tree.Null || !r.nullAbsent {
		return n
	}
	zero := tree.Node{Pos: n.Pos, Default: true}
	switch set := c.kinds(); {
	case set.has(tree.Null):
		return n
	case set.has(tree.String):
		zero.Kind = tree.String
	case set.has(tree.Map):
		zero.Kind = tree.Map
	default:
		return n
	}
	return r.slab.node(zero)
}

// size is list.MinItems and list.MaxItems, or struct.MinFields and
// struct.MaxFields.
type size struct {
	of              tree.Kind // List or Map
	atLeast, atMost int       // atMost < 0: no limit
	rule            *rule
	seen            *tally
}

func (s *size) kinds() kinds              { return kindSet(s.of) }
func (s *size) fill(*run, int) *tree.Node { return nil }

func (s *size) check(r *run, _ int, n *tree.Node) *tree.Node {
	count, word := len(n.Items), "item"
	if s.of == tree.Map {
		count, word = len(n.Fields), "field"
	}
	s.seen.note(count >= s.atLeast && (s.atMost < 0 || count <= s.atMost))
	switch {
	case n.Kind != s.of:
		r.wrongType(n, s.kinds())
	case count < s.atLeast:
		r.fail(n, diag.CodeInvalid, fmt.Sprintf("has %s, want at least %d", plural(count, word), s.atLeast), s.rule)
	case s.atMost >= 0 && count > s.atMost:
		r.fail(n, diag.CodeTooLong, fmt.Sprintf("has %s, want at most %d", plural(count, word), s.atMost), s.rule.over(&rule{class: "TooMany"}))
	}
	return n
}

// unique is list.UniqueItems: each later one of two equal items is reported.
type unique struct {
	rule *rule
	seen *tally
}

func (u *unique) kinds() kinds              { return kindSet(tree.List) }
func (u *unique) fill(*run, int) *tree.Node { return nil }

func (u *unique) check(r *run, _ int, n *tree.Node) *tree.Node {
	if n.Kind != tree.List {
		r.wrongType(n, u.kinds())
		return n
	}
	if len(n.Items) < 2 {
		u.seen.note(true)
		return n
	}
	// Scalars by hash, for lists can be long; the rest are few.
	seen := make(map[[2]string]int, len(n.Items))
	for i, item := range n.Items {
		first := -1
		if show(item) != "" {
			key := [2]string{item.Kind.String(), item.Text}
			if j, ok := seen[key]; ok {
				first = j
			} else {
				seen[key] = i
			}
		} else {
			for j := range i {
				if equal(item, n.Items[j]) {
					first = j
					break
				}
			}
		}
		if first < 0 {
			u.seen.note(true)
			continue
		}
		u.seen.note(false)
		r.enterItem(i, item.Pos)
		r.add(duplicate(show(item), r.place(item), n.Items[first].Pos), u.rule)
		r.leave()
	}
	return n
}

// duplicate is the finding that what, at pos, stood at first already.
func duplicate(what string, pos, first tree.Pos) Finding {
	if what == "" {
		what = "this item"
	}
	return Finding{
		Code: diag.CodeDuplicate, Message: what + " is there twice", Pos: pos,
		Related: []Related{{first, "first here"}},
	}
}
