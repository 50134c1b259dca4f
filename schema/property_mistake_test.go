package schema_test

import (
	"regexp"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	values "github.com/meshc/meshc/schema/tree"
)

// mistake is a change at one place of a document.
type mistake struct {
	kind string
	path []any // keys and indices
	make func(n *values.Node, path []any) *values.Node
	// at is where the finding points: the key or item at path, its value, what
	// is around it, or the key as it stands there again.
	at   string
	as   string // the last key as it is misspelt
	code string // of the finding, if only one is right
}

func (m mistake) String() string { return m.kind + " at " + diag.Path(m.path...) }

// isTold reports whether m is a mistake by itself. A value may be as good as
// the one that it replaces, and something elsewhere rely on that one.
func (m mistake) isTold(root *values.Node, got []diag.Diagnostic) bool {
	pos, _ := m.place(root)
	return slices.ContainsFunc(got, func(d diag.Diagnostic) bool {
		if m.code != "" {
			return d.Code == m.code && d.Line == pos.Line
		}
		return d.Line == pos.Line || d.Code == diag.CodeType
	})
}

// steering are the fields on which it depends what others beside them may be:
// with such a field wrong, nothing is said about those.
var steering = []struct {
	field *regexp.Regexp // kind and path
	depth int            // how much of the path what depends on it shares
}{
	{regexp.MustCompile(`^Service spec\.(type|clusterIP|externalIPs|sessionAffinity|externalTrafficPolicy)`), 0},
	{regexp.MustCompile(`^Service metadata\.annotations`), 0}, // some are about the spec
	{regexp.MustCompile(`^Service metadata\.ownerReferences\[\d+\]`), 3},
	{regexp.MustCompile(`^EndpointSlice addressType`), 0},
	{regexp.MustCompile(`^KongUpstream upstreams\[\d+\]\.(algorithm|hash_on|hash_fallback)$`), 2},
	{regexp.MustCompile(`^WasmPlugin conf\.protocol`), 1},
	{regexp.MustCompile(`^KongRoute routes\[\d+\]\.(protocols|methods|hosts|paths|headers|snis|sources|destinations|strip_path|expression)`), 2},
	{regexp.MustCompile(`^Mesh \w+\.backends\[\d+\]\.type`), 3},
	{regexp.MustCompile(`^Mesh \w+\.(enabledBackend|defaultBackend|backends\[\d+\]\.name)`), 1},
	{regexp.MustCompile(`^Endpoints subsets\[\d+\]\.(addresses|notReadyAddresses)$`), 2},
	{regexp.MustCompile(`^Dataplane networking\.(ingress|gateway|inbound)$`), 1},
	{regexp.MustCompile(`^Dataplane networking\.ingress\.public`), 2},
	{regexp.MustCompile(`^ExternalService networking\.tls\.client`), 2},
	{regexp.MustCompile(`^(Global)?Secret (data|file|env)`), 0},
	{regexp.MustCompile(`^(FaultInjection|Retry) conf`), 1}, // what says nothing must have company
}

// section is what m lies in and may have an effect on.
func (m mistake) section(kind string) []any {
	if m.code == diag.CodeDuplicate {
		return m.list() // the other one is in there
	}
	at := kind + " " + diag.Path(m.path...)
	for _, s := range steering {
		if s.field.MatchString(at) {
			return m.path[:s.depth]
		}
	}
	return m.path
}

// touches reports whether one of two mistakes lies in the other's section, or
// one adds to a map what the other has taken out of it, which may be all.
func touches(kind string, a, b mistake) bool {
	if a.code != b.code && a.code != "" && b.code != "" && len(a.path) == len(b.path) && startsWith(a.path, b.path[:len(b.path)-1]) {
		return true
	}
	return startsWith(a.path, b.section(kind)) || startsWith(b.path, a.section(kind))
}

func startsWith(path, with []any) bool {
	return len(path) >= len(with) && slices.Equal(path[:len(with)], with)
}

// list is the path of the list that m lies in.
func (m mistake) list() []any {
	i := len(m.path) - 1
	for ; i > 0; i-- {
		if _, isIndex := m.path[i].(int); isIndex {
			break
		}
	}
	return m.path[:i]
}

func (m mistake) place(root *values.Node) (values.Pos, string) {
	n, pos := root, root.Pos
	around := pos
	path := m.path
	if m.as != "" {
		path = append(slices.Clone(path[:len(path)-1]), m.as)
	}
	for i, step := range path {
		around = pos
		switch step := step.(type) {
		case string:
			if f := n.Field(step); f != nil {
				for j := range n.Fields {
					if m.at == "again" && i == len(path)-1 && n.Fields[j].Key == step {
						f = &n.Fields[j]
					}
				}
				pos, n = f.KeyPos, f.Value
			}
		case int:
			n = n.At(step)
			pos = n.Pos
		}
	}
	switch {
	case m.at == "around":
		return around, diag.Path(path...)
	case m.at == "value" && n.Kind != values.Map && n.Kind != values.List:
		pos = n.Pos
	}
	return pos, diag.Path(path...)
}

// Values that are wrong in most places.
var wrong = []*values.Node{
	{Kind: values.Int, Text: "7"}, {Kind: values.Int, Text: "-7"}, {Kind: values.Int, Text: "99999999999"}, {Kind: values.Bool, Text: "true"},
	{Kind: values.String, Text: "~ wrong ~"}, {Kind: values.String, Text: ""},
	{Kind: values.List}, {Kind: values.Map},
}

// mistakesIn lists changes that may be mistakes, in every part of root.
func mistakesIn(root *values.Node) []mistake {
	var out []mistake
	var walk func(n *values.Node, path []any)
	walk = func(n *values.Node, path []any) {
		if len(path) > 0 {
			for _, v := range wrong {
				if v.Kind != n.Kind || v.Text != n.Text {
					out = append(out, mistake{v.Kind.String() + " " + v.Text, path, replaceWith(v), "value", "", ""})
				}
			}
		}
		for i, item := range n.Items {
			walk(item, append(slices.Clip(path), i))
			out = append(out, repeated(n, path, i)...)
		}
		if n.Kind == values.Map {
			out = append(out, mistake{"an unknown field", append(slices.Clip(path), "xyzzy"), addField, "key", "", diag.CodeUnknownField})
		}
		for _, f := range n.Fields {
			inner := append(slices.Clip(path), f.Key)
			if len(path) == 0 && isMark[f.Key] {
				continue // it says what the document is
			}
			walk(f.Value, inner)
			out = append(out, mistake{"the key again", inner, repeatField, "again", "", diag.CodeDuplicateKey})
			out = append(out, mistake{"no field", inner, withoutField, "around", "", diag.CodeRequired})
			if near := f.Key + "z"; len(f.Key) > 3 && !strings.Contains(f.Key, "/") {
				out = append(out, mistake{"misspelt", inner, renameTo(near), "key", near, diag.CodeUnknownField})
			}
		}
	}
	walk(root, nil)
	return out
}

// repeated are the mistakes of an item of list that is there again, where items
// are not to be: as it is, or under the name of the first.
func repeated(list *values.Node, path []any, i int) []mistake {
	item, at := list.Items[i], slices.Clip(path)
	switch name := item.Get("name"); {
	case item.Kind != values.Map:
		return []mistake{{"an item again", append(at, len(list.Items)), appendItem(item), "value", "", diag.CodeDuplicate}}
	case name == nil:
		return nil
	case i > 0 && list.Items[0].Get("name") != nil:
		return []mistake{{"the name of another", append(at, i, "name"), replaceWith(list.Items[0].Get("name")), "value", "", diag.CodeDuplicate}}
	default:
		add := appendItem(item)
		return []mistake{{"an item again", append(at, len(list.Items), "name"), func(n *values.Node, path []any) *values.Node {
			return add(n, path[:len(path)-1])
		}, "value", "", diag.CodeDuplicate}}
	}
}

func appendItem(item *values.Node) func(*values.Node, []any) *values.Node {
	return func(n *values.Node, path []any) *values.Node {
		return change(n, path, func(n *values.Node, _ any) { n.Items = append(n.Items, item) })
	}
}

func repeatField(n *values.Node, path []any) *values.Node {
	return change(n, path, func(n *values.Node, last any) { n.Fields = append(n.Fields, *n.Field(last.(string))) })
}

var isMark = map[string]bool{"apiVersion": true, "kind": true, "type": true, "_format_version": true, "services": true, "host": true, "url": true}

// change returns a copy of n in which do has changed what lies at path.
func change(n *values.Node, path []any, do func(n *values.Node, last any)) *values.Node {
	out := *n
	out.Fields, out.Items = slices.Clone(n.Fields), slices.Clone(n.Items)
	if len(path) == 1 {
		do(&out, path[0])
		return &out
	}
	switch step := path[0].(type) {
	case string:
		f := out.Field(step)
		f.Value = change(f.Value, path[1:], do)
	case int:
		out.Items[step] = change(out.Items[step], path[1:], do)
	}
	return &out
}

func replaceWith(v *values.Node) func(*values.Node, []any) *values.Node {
	return func(n *values.Node, path []any) *values.Node {
		return change(n, path, func(n *values.Node, last any) {
			switch last := last.(type) {
			case string:
				n.Field(last).Value = v
			case int:
				n.Items[last] = v
			}
		})
	}
}

func addField(n *values.Node, path []any) *values.Node {
	return change(n, path, func(n *values.Node, last any) {
		n.Fields = append(n.Fields, values.Field{Key: last.(string), Value: &values.Node{Kind: values.String, Text: "x"}})
	})
}

func withoutField(n *values.Node, path []any) *values.Node {
	return change(n, path, func(n *values.Node, last any) {
		n.Fields = slices.DeleteFunc(n.Fields, func(f values.Field) bool { return f.Key == last })
	})
}

func renameTo(as string) func(*values.Node, []any) *values.Node {
	return func(n *values.Node, path []any) *values.Node {
		return change(n, path, func(n *values.Node, last any) { n.Field(last.(string)).Key = as })
	}
}

// exceptions are mistakes with more than one finding, and why.
var exceptions = []struct {
	at     *regexp.Regexp // kind, what is done, and path
	reason string
}{
	{regexp.MustCompile(`^Service .* at spec\.ports\[\d+\]\.port$`), "the API server also reports targetPort, which defaults to port"},
	{regexp.MustCompile(`^Service .* at spec\.clusterIPs\[0\]$`), "the API server reports that it is no address, and that it is not clusterIP"},
	{regexp.MustCompile(`^Service misspelt at spec\.loadBalancerSourceRanges$`), "the annotation of that name counts where the field is not set"},
	{regexp.MustCompile(`^Service an item again at spec\.ports\[\d+\]\.name$`), "the API server reports the name, the port and the node port"},
	{regexp.MustCompile(`^Service an item again at spec\.topologyKeys\[\d+\]$`), "the API server also reports what stands behind *"},
	{regexp.MustCompile(`^Mesh no field at mtls\.backends\[\d+\]\.conf$`), "Kuma reports what must be in it: cert and key"},
	{regexp.MustCompile(`^TrafficRoute (an unknown field|misspelt) at conf\.loadBalancer\.\w+$`), "whatever stands there is one way more than may be named"},
	{regexp.MustCompile(`^KongConsumer .* at consumers\[\d+\]\.vendor_badges$`), "what is no list is no plugin's entities, but a field that nobody knows, told of at its key"},
}

func (m mistake) isException(kind string) bool {
	at := kind + " " + m.String()
	return slices.ContainsFunc(exceptions, func(e struct {
		at     *regexp.Regexp
		reason string
	}) bool {
		return e.at.MatchString(at)
	})
}
