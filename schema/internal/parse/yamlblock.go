package parse

import "github.com/meshc/meshc/schema/tree"

// node parses the node that begins here, where a block collection may begin:
// at the first content of a line or behind a list's dash. parent is the column
// of the collection around it, -1 at the root. Afterwards the next content has
// been sought.
func (q *quick) node(parent, depth int) *tree.Node {
	if depth > maxDepth {
		return nil
	}
	switch q.text[q.at] {
	case '-':
		if q.ends(q.at + 1) {
			return q.list(q.at-q.start, depth)
		}
	case '[', '{', '|', '>':
		return q.value(parent, depth)
	}
	w, ok := q.word(false)
	if !ok {
		return nil
	}
	if q.colon(w) {
		return q.mapping(w, depth)
	}
	return q.scalar(w, parent)
}

// list parses a block list; its first dash is here, in column.
func (q *quick) list(column, depth int) *tree.Node {
	n := q.slab.node(tree.List, q.pos(q.at))
	base := len(q.items)
	for {
		q.at++
		item := q.item(column, depth+1)
		if item == nil {
			return nil
		}
		q.items = append(q.items, item)
		if q.column != column || !q.is(q.at, '-') || !q.ends(q.at+1) {
			break
		}
	}
	if q.column > column {
		return nil
	}
	n.Items = q.keepItems(q.items[base:])
	q.items = q.items[:base]
	return n
}

// item parses what stands behind a dash in column.
func (q *quick) item(column, depth int) *tree.Node {
	dash := q.pos(q.at)
	if !q.atEnd() {
		return q.node(column, depth)
	}
	if depth > maxDepth || !q.nextLine() {
		return nil
	}
	if q.column > column {
		return q.node(column, depth)
	}
	return q.slab.node(tree.Null, dash)
}

// mapping parses a block map whose first key has just been passed, with its colon.
func (q *quick) mapping(key word, depth int) *tree.Node {
	column := key.column
	n := q.slab.node(tree.Map, key.pos)
	base := len(q.fields)
	for {
		f, ok := q.key(key, base)
		if !ok {
			return nil
		}
		if f.Value = q.entry(column, depth+1, f.KeyPos); f.Value == nil {
			return nil
		}
		q.fields = append(q.fields, f)
		if q.column < column {
			break
		}
		if q.column > column || q.is(q.at, '-') && q.ends(q.at+1) {
			return nil
		}
		if key, ok = q.word(false); !ok || !q.colon(key) {
			return nil
		}
	}
	n.Fields = q.keepFields(q.fields[base:])
	q.fields = q.fields[:base]
	return n
}

// entry parses what stands behind a key's colon in a block map in column.
func (q *quick) entry(column, depth int, near tree.Pos) *tree.Node {
	if !q.atEnd() {
		return q.value(column, depth)
	}
	if depth > maxDepth || !q.nextLine() {
		return nil
	}
	switch {
	case q.column > column:
		return q.node(column, depth)
	case q.column == column && q.is(q.at, '-') && q.ends(q.at+1):
		return q.list(column, depth) // its dashes stand in the column of its key
	}
	return q.slab.node(tree.Null, near)
}

// value parses a node that is no block collection.
func (q *quick) value(parent, depth int) *tree.Node {
	if depth > maxDepth {
		return nil
	}
	switch q.text[q.at] {
	case '[', '{':
		n := q.flow(parent, depth)
		if n == nil || !q.nextLine() {
			return nil
		}
		return n
	case '|', '>':
		return q.blockScalar(parent)
	}
	w, ok := q.word(false)
	if !ok {
		return nil
	}
	return q.scalar(w, parent)
}

// key makes an entry of a word that is a key, unless the same key is among the
// entries from base on.
func (q *quick) key(w word, base int) (f tree.Field, ok bool) {
	if !w.quoted {
		kind, _, t, _ := plain(w.text)
		if kind != tree.String || t != nil || w.text == "<<" {
			return f, false
		}
	}
	for i := base; i < len(q.fields); i++ {
		if q.fields[i].Key == w.text {
			return f, false
		}
	}
	return tree.Field{Key: w.text, KeyPos: w.pos}, len(q.fields)-base < maxQuickFields
}

// maxQuickFields is how many entries a map may have, for each new key is
// compared with all those before it.
const maxQuickFields = 1000
