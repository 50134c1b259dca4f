package foreign

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/meshc/meshc/runtime/filter"
)

// attributes are the names that an expression begins with.
type attributes struct{ env Env }

func (a attributes) Parent() interpreter.Activation { return nil }

// ResolveName is also asked for "request.path" as one name, which is none here.
func (a attributes) ResolveName(name string) (any, bool) {
	if strings.Contains(name, ".") {
		return nil, false
	}
	value := object{a.env, []string{name}}.resolve()
	return value, value != nil
}

// object is an attribute that has attributes, as request or request.headers.
// Its own are asked for one by one.
type object struct {
	env  Env
	path []string
}

var objectRoots = map[string]bool{"request": true, "response": true, "connection": true, "source": true, "destination": true,
	"upstream": true, "metadata": true, "filter_state": true, "upstream_filter_state": true, "node": true, "xds": true}

// whole says whether the path is that of an object, of those that Envoy has.
func (o object) whole() bool {
	p := o.path
	switch {
	case len(p) == 1:
		return objectRoots[p[0]]
	case p[0] == "request" || p[0] == "response":
		return len(p) == 2 && o.ofHeaders()
	case p[0] == "metadata":
		return len(p) <= 3 && p[1] == "filter_metadata"
	case p[0] == "xds" && strings.HasSuffix(p[1], "_metadata"):
		return len(p) == 2 || len(p) <= 4 && p[2] == "filter_metadata"
	}
	return false
}

func (o object) ofHeaders() bool {
	return len(o.path) == 2 && (o.path[1] == "headers" || o.path[1] == "trailers")
}

// resolve is the value at the path: the object itself, what it is when it has
// no attributes, or nil.
func (o object) resolve() ref.Val {
	if o.whole() {
		return o
	}
	v, ok := o.env.Property(o.path...)
	if !ok {
		return nil
	}
	switch v := v.(type) {
	case string:
		return types.String(v)
	case []byte:
		return types.Bytes(v)
	case bool:
		return types.Bool(v)
	case int64:
		return types.Int(v)
	case uint64:
		return types.Uint(v)
	case float64:
		return types.Double(v)
	case time.Time:
		return types.Timestamp{Time: v}
	case time.Duration:
		return types.Duration{Duration: v}
	case *filter.Headers:
		return o
	}
	return types.NewErr("%s has no value", strings.Join(o.path, "."))
}

func (o object) headers() (*filter.Headers, bool) {
	v, ok := o.env.Property(o.path...)
	headers, isHeaders := v.(*filter.Headers)
	return headers, ok && isHeaders
}

// child is the attribute of a name; header names are in lower case.
func (o object) child(name ref.Val) ref.Val {
	s, ok := name.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(name)
	}
	key := string(s)
	if o.ofHeaders() {
		key = strings.ToLower(key)
	}
	path := append(append(make([]string, 0, len(o.path)+1), o.path...), key)
	return object{o.env, path}.resolve()
}

// Get is the attribute of a name, or an error.
func (o object) Get(name ref.Val) ref.Val {
	if v := o.child(name); v != nil {
		return v
	}
	return types.NewErr("no such key: %v", name.Value())
}

// IsSet says whether there is an attribute of a name: CEL's has().
func (o object) IsSet(name ref.Val) ref.Val {
	v := o.child(name)
	if types.IsUnknownOrError(v) {
		return v
	}
	return types.Bool(v != nil)
}

// Contains is CEL's in.
func (o object) Contains(name ref.Val) ref.Val { return o.IsSet(name) }

// ConvertToNative is not possible: an object is no value of Go.
func (o object) ConvertToNative(reflect.Type) (any, error) {
	return nil, errors.New("an attribute object has no native form")
}

// ConvertToType is not possible: an object is of no type of CEL.
func (o object) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("no such conversion to %s", t.TypeName())
}

// Equal is an error: attribute objects are not compared.
func (o object) Equal(ref.Val) ref.Val { return types.NewErr("no such overload") }

// Type is a map's.
func (o object) Type() ref.Type { return types.MapType }

// Value is the object itself.
func (o object) Value() any { return o }
