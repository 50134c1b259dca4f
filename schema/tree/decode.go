package tree

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Scalar is implemented by decoded types that read their node by themselves.
type Scalar interface{ DecodeScalar(*Node) error }

// Decode fills the struct that dst points to from n, matching fields by their
// json tags; keys without a field are skipped, absent and null values leave the
// zero value. n has passed its schema, so an error here means that the schema
// and the Go type disagree.
func Decode(n *Node, dst any) error {
	v := reflect.ValueOf(dst).Elem()
	return shapeOf(v.Type()).decode(n, v)
}

// shape is what there is to know about a type before the first value is decoded.
type shape struct {
	scalar bool             // its pointer is a Scalar
	elem   *shape           // of a pointer, slice or map
	fields map[string]field // of a struct, by key
}

// field is a struct's field; the index leads through embedded structs.
type field struct {
	index []int
	shape *shape
}

var (
	shapes     sync.Map // reflect.Type → *shape
	scalarType = reflect.TypeFor[Scalar]()
)

// shapeOf returns the shape of t. A struct may not hold itself.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{scalar: reflect.PointerTo(t).Implements(scalarType)}
	switch {
	case s.scalar:
	case t.Kind() == reflect.Struct:
		s.fields = map[string]field{}
		for _, f := range reflect.VisibleFields(t) {
			if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" {
				s.fields[key] = field{f.Index, shapeOf(f.Type)}
			}
		}
	case t.Kind() == reflect.Pointer, t.Kind() == reflect.Slice, t.Kind() == reflect.Map:
		s.elem = shapeOf(t.Elem())
	}
	shapes.Store(t, s)
	return s
}

func (s *shape) decode(n *Node, v reflect.Value) error {
	if n.Kind == Null {
		return nil
	}
	if s.scalar {
		return v.Addr().Interface().(Scalar).DecodeScalar(n)
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := s.elem.decode(n, p.Elem()); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case reflect.Struct:
		if n.Kind != Map {
			return mismatch(n, v)
		}
		for i := range n.Fields {
			key, value := n.Fields[i].Key, n.Fields[i].Value
			f, ok := s.fields[key]
			if !ok {
				continue
			}
			if err := f.shape.decode(value, v.FieldByIndex(f.index)); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		return nil
	case reflect.Map:
		return s.decodeMap(n, v)
	case reflect.Slice:
		if n.Kind != List {
			return mismatch(n, v)
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items)))
		for i, item := range n.Items {
			if err := s.elem.decode(item, v.Index(i)); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return nil
	}
	return decodeScalar(n, v)
}

func (s *shape) decodeMap(n *Node, v reflect.Value) error {
	if n.Kind != Map {
		return mismatch(n, v)
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Fields))
	for i := range n.Fields {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := s.elem.decode(n.Fields[i].Value, e); err != nil {
			return fmt.Errorf("%s: %w", n.Fields[i].Key, err)
		}
		m.SetMapIndex(reflect.ValueOf(n.Fields[i].Key), e)
	}
	v.Set(m)
	return nil
}

func decodeScalar(n *Node, v reflect.Value) error {
	switch {
	case v.Kind() == reflect.String && n.Kind == String:
		v.SetString(n.Text)
	case v.Kind() == reflect.Bool && n.Kind == Bool:
		v.SetBool(n.Text == "true")
	case v.CanInt() && n.Kind == Int:
		i, err := strconv.ParseInt(n.Text, 10, 64)
		if err != nil || v.OverflowInt(i) {
			return mismatch(n, v)
		}
		v.SetInt(i)
	case v.CanUint() && n.Kind == Int:
		text := n.Text
		if text == "-0" { // JSON may write it so
			text = "0"
		}
		i, err := strconv.ParseUint(text, 10, 64)
		if err != nil || v.OverflowUint(i) {
			return mismatch(n, v)
		}
		v.SetUint(i)
	case v.CanFloat() && (n.Kind == Int || n.Kind == Float):
		f, err := strconv.ParseFloat(n.Text, 64)
		if err != nil {
			return mismatch(n, v)
		}
		v.SetFloat(f)
	default:
		return mismatch(n, v)
	}
	return nil
}

func mismatch(n *Node, v reflect.Value) error {
	return fmt.Errorf("%d:%d: %s %q does not fit %s", n.Pos.Line, n.Pos.Column, n.Kind, n.Text, v.Type())
}
