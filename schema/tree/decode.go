package tree

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"
)

// Scalar is implemented by decoded types that take any scalar node.
type Scalar interface{ DecodeScalar(*Node) error }

// Decode fills the struct that dst points to from n, matching fields by their
// json tags; keys without a field are skipped, absent and null values leave the
// zero value. n has passed its schema, so an error here means that the schema
// and the Go type disagree.
func Decode(n *Node, dst any) error {
	return decode(n, reflect.ValueOf(dst).Elem())
}

func decode(n *Node, v reflect.Value) error {
	if n == nil || n.Kind == Null {
		return nil
	}
	if s, ok := v.Addr().Interface().(Scalar); ok {
		return s.DecodeScalar(n)
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := decode(n, p.Elem()); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case reflect.Struct:
		if n.Kind != Map {
			return mismatch(n, v)
		}
		for i := range v.NumField() {
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if err := decode(n.Get(key), v.Field(i)); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		return nil
	case reflect.Map:
		if n.Kind != Map {
			return mismatch(n, v)
		}
		m := reflect.MakeMapWithSize(v.Type(), len(n.Fields))
		for _, f := range n.Fields {
			e := reflect.New(v.Type().Elem()).Elem()
			if err := decode(f.Value, e); err != nil {
				return fmt.Errorf("%s: %w", f.Key, err)
			}
			m.SetMapIndex(reflect.ValueOf(f.Key), e)
		}
		v.Set(m)
		return nil
	case reflect.Slice:
		if n.Kind != List {
			return mismatch(n, v)
		}
		s := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
		for i, item := range n.Items {
			if err := decode(item, s.Index(i)); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		v.Set(s)
		return nil
	}
	return decodeScalar(n, v)
}

func decodeScalar(n *Node, v reflect.Value) error {
	switch {
	case v.Kind() == reflect.String && n.Kind == String:
		v.SetString(n.Text)
	case v.Kind() == reflect.Bool && n.Kind == Bool:
		v.SetBool(n.Text == "true")
	case v.CanInt() && n.Kind == Int:
		i, ok := new(big.Int).SetString(n.Text, 10)
		if !ok || !i.IsInt64() || v.OverflowInt(i.Int64()) {
			return mismatch(n, v)
		}
		v.SetInt(i.Int64())
	case v.CanUint() && n.Kind == Int:
		i, ok := new(big.Int).SetString(n.Text, 10)
		if !ok || !i.IsUint64() || v.OverflowUint(i.Uint64()) {
			return mismatch(n, v)
		}
		v.SetUint(i.Uint64())
	case v.CanFloat() && (n.Kind == Int || n.Kind == Float):
		f, _, err := big.ParseFloat(n.Text, 10, 64, big.ToNearestEven)
		if err != nil {
			return err
		}
		x, _ := f.Float64()
		v.SetFloat(x)
	default:
		return mismatch(n, v)
	}
	return nil
}

func mismatch(n *Node, v reflect.Value) error {
	return fmt.Errorf("%d:%d: %s %q does not fit %s", n.Pos.Line, n.Pos.Column, n.Kind, n.Text, v.Type())
}
