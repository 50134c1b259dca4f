package parse

import "github.com/meshc/meshc/schema/tree"

// flow parses the list in brackets or the map in braces that begins here, in
// one line or several, and stops behind it. parent is the column of the block
// collection around it.
func (q *quick) flow(parent, depth int) *tree.Node {
	if depth > maxDepth {
		return nil
	}
	isMap := q.text[q.at] == '{'
	n := q.slab.node(tree.List, q.pos(q.at))
	fields, items := len(q.fields), len(q.items)
	q.at++
	for {
		if !q.flowGap() {
			return nil
		}
		if c := q.text[q.at]; c == ']' || c == '}' {
			if (c == '}') != isMap {
				return nil
			}
			q.at++
			break
		}
		if isMap {
			f, ok := q.flowField(parent, depth, fields)
			if !ok {
				return nil
			}
			q.fields = append(q.fields, f)
		} else {
			item := q.flowValue(parent, depth+1)
			if item == nil {
				return nil
			}
			q.items = append(q.items, item)
		}
		if !q.flowGap() {
			return nil
		}
		switch q.text[q.at] {
		case ',':
			q.at++
		case ']', '}':
		default:
			return nil
		}
	}
	if isMap {
		n.Kind = tree.Map
		n.Fields = q.keepFields(q.fields[fields:])
		q.fields = q.fields[:fields]
		return n
	}
	n.Items = q.keepItems(q.items[items:])
	q.items = q.items[:items]
	return n
}

// flowGap passes blanks, comments and line ends inside a flow collection, up to
// its next content.
func (q *quick) flowGap() bool {
	q.blanks()
	if q.at < len(q.text) && q.text[q.at] != '\n' && q.text[q.at] != '#' {
		return true
	}
	return q.nextLine() && q.column >= 0
}

// flowField parses one entry of a map in braces whose entries are those from
// base on. Its colon is in the line of its key.
func (q *quick) flowField(parent, depth, base int) (f tree.Field, ok bool) {
	w, ok := q.word(true)
	if !ok {
		return f, false
	}
	if f, ok = q.key(w, base); !ok {
		return f, false
	}
	q.blanks()
	if !q.is(q.at, ':') || q.line != w.pos.Line || q.at-q.start <= parent || !w.quoted && !q.ends(q.at+1) {
		return f, false
	}
	q.at++
	if !q.flowGap() {
		return f, false
	}
	f.Value = q.flowValue(parent, depth+1)
	return f, f.Value != nil
}

// flowValue parses a value in a flow collection.
func (q *quick) flowValue(parent, depth int) *tree.Node {
	if depth > maxDepth {
		return nil
	}
	if c := q.text[q.at]; c == '[' || c == '{' {
		return q.flow(parent, depth)
	}
	w, ok := q.word(true)
	if !ok {
		return nil
	}
	if !w.quoted {
		return q.plain(w.text, w.pos)
	}
	n := q.slab.node(tree.String, w.pos)
	n.Text = w.text
	return n
}
