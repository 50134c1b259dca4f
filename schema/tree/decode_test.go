package tree

import (
	"reflect"
	"strings"
	"testing"
)

type base struct {
	Name string `json:"name"`
}

type upper string

func (u *upper) DecodeScalar(n *Node) error {
	*u = upper(strings.ToUpper(n.Text))
	return nil
}

type target struct {
	base
	On      bool              `json:"on"`
	Port    int32             `json:"port"`
	Weight  *uint32           `json:"weight,omitempty"`
	Ratio   float64           `json:"ratio"`
	Labels  map[string]string `json:"labels"`
	Inner   []base            `json:"inner"`
	Upper   upper             `json:"upper"`
	Unnamed string
}

func scalar(k Kind, text string) *Node { return &Node{Kind: k, Text: text} }

func mapOf(fields ...Field) *Node { return &Node{Kind: Map, Fields: fields} }

func TestDecode(t *testing.T) {
	n := mapOf(
		Field{Key: "name", Value: scalar(String, "a")},
		Field{Key: "on", Value: scalar(Bool, "true")},
		Field{Key: "port", Value: scalar(Int, "-0")},
		Field{Key: "weight", Value: scalar(Int, "-0")},
		Field{Key: "ratio", Value: scalar(Int, "3")},
		Field{Key: "labels", Value: mapOf(Field{Key: "x", Value: scalar(String, "y")}, Field{Key: "z", Value: scalar(Null, "")})},
		Field{Key: "inner", Value: &Node{Kind: List, Items: []*Node{mapOf(Field{Key: "name", Value: scalar(String, "b")}), scalar(Null, "")}}},
		Field{Key: "upper", Value: scalar(Int, "0x1f")},
		Field{Key: "Unnamed", Value: scalar(String, "not by its Go name")},
		Field{Key: "unknown", Value: scalar(String, "skipped")},
	)
	var got target
	if err := Decode(n, &got); err != nil {
		t.Fatal(err)
	}
	want := target{
		base: base{"a"}, On: true, Weight: new(uint32), Ratio: 3, Labels: map[string]string{"x": "y", "z": ""},
		Inner: []base{{"b"}, {}}, Upper: "0X1F",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestDecodeMismatch(t *testing.T) {
	for _, c := range []struct {
		key   string
		value *Node
		want  string
	}{
		{"name", scalar(Int, "1"), `name: 0:0: integer "1" does not fit string`},
		{"port", scalar(Int, "2147483648"), `port: 0:0: integer "2147483648" does not fit int32`},
		{"port", scalar(Float, "1.5"), `port: 0:0: number "1.5" does not fit int32`},
		{"weight", scalar(Int, "-1"), `weight: 0:0: integer "-1" does not fit uint32`},
		{"ratio", scalar(Float, "1e999"), `ratio: 0:0: number "1e999" does not fit float64`},
		{"labels", scalar(String, "x"), `labels: 0:0: string "x" does not fit map[string]string`},
		{"inner", &Node{Kind: List, Items: []*Node{scalar(String, "x")}}, `inner: [0]: 0:0: string "x" does not fit tree.base`},
	} {
		err := Decode(mapOf(Field{Key: c.key, Value: c.value}), new(target))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.key, err, c.want)
		}
	}
}
