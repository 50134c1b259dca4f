// Package raw checks resources of Envoy that a user has written as they are:
// whether Envoy knows their type and fields, and its own rules about values.
package raw

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// Check checks one resource, given as JSON with an @type. For each mistake it
// calls report with where it is: the offset in bytes into the JSON, or, where
// that is negative, the path to the field (names as in Go, indices).
func Check(json string, report func(offset int, path []any, message string)) {
	var wrapped anypb.Any
	if err := protojson.Unmarshal([]byte(json), &wrapped); err != nil {
		offset, message := placed(json, err)
		report(offset, nil, message)
		return
	}
	m, err := wrapped.UnmarshalNew()
	if err != nil { // what has just been made
		report(0, nil, err.Error())
		return
	}
	switch m.(type) {
	case *clusterv3.Cluster, *endpointv3.ClusterLoadAssignment, *listenerv3.Listener, *routev3.RouteConfiguration,
		*tlsv3.Secret, *corev3.TypedExtensionConfig:
	default:
		report(-1, []any{"@type"}, fmt.Sprintf("%s is no resource of its own: a resource is a Cluster, ClusterLoadAssignment, Listener, RouteConfiguration or Secret", m.ProtoReflect().Descriptor().Name()))
		return
	}
	if _, named := m.(interface{ GetName() string }); named && name(m) == "" {
		report(-1, nil, "the resource has no name, by which Envoy would know it")
	}
	validate(m, nil, report)
}

func name(m proto.Message) string { return m.(interface{ GetName() string }).GetName() }

var (
	position = regexp.MustCompile(`\(line 1:(\d+)\): `)
	unknown  = regexp.MustCompile(`^unable to resolve ("[^"]*").*$`)
	field    = regexp.MustCompile(`^(unknown field|duplicate field|duplicate|missing|error parsing) "`)
	value    = regexp.MustCompile(`^(@?[^":]*[^": ]).*$`)
)

// placed takes the place out of an error of protojson. Of the text it keeps the
// names of fields and types, and never a value, which may be a private key.
func placed(json string, err error) (offset int, message string) {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	text = strings.TrimPrefix(text, "proto: ")
	offset = -1
	if m := position.FindStringSubmatchIndex(text); m != nil {
		column, _ := strconv.Atoi(text[m[2]:m[3]])
		offset, text = min(column-1, len(json)), text[:m[0]]+text[m[1]:]
	}
	switch {
	case unknown.MatchString(text):
		return offset, unknown.ReplaceAllString(text, "no type of Envoy that meshc knows is named $1")
	case field.MatchString(text):
		return offset, text
	case strings.HasPrefix(text, "syntax error"): // the JSON is ours, so it is not the syntax
		return offset, "a value of this type cannot stand here"
	}
	return offset, value.ReplaceAllString(text, "$1")
}

// The errors of protoc-gen-validate.
type (
	validator  interface{ ValidateAll() error }
	violations interface{ AllErrors() []error }
	violation  interface {
		error
		Field() string
		Reason() string
		Cause() error
	}
)

// validate reports the violations of Envoy's rules in m, which lies at path,
// and in the messages in its Anys, into which the rules do not look.
func validate(m proto.Message, path []any, report func(int, []any, string)) {
	if v, ok := m.(validator); ok {
		if err := v.ValidateAll(); err != nil {
			violated(err, path, report)
		}
	}
	eachAny(m.ProtoReflect(), path, func(a *anypb.Any, at []any) {
		inner, err := a.UnmarshalNew()
		if err != nil {
			report(-1, at, fmt.Sprintf("what is in here cannot be read: %v", err))
			return
		}
		validate(inner, at, report)
	})
}

// violated reports every violation at the bottom of err.
func violated(err error, path []any, report func(int, []any, string)) {
	if all, ok := err.(violations); ok {
		for _, e := range all.AllErrors() {
			violated(e, path, report)
		}
		return
	}
	v, ok := err.(violation)
	if !ok {
		report(-1, path, "breaks a rule of Envoy's")
		return
	}
	path = append(path[:len(path):len(path)], steps(v.Field())...)
	if cause := v.Cause(); cause != nil {
		if _, deeper := errors.AsType[violation](cause); deeper || isViolations(cause) {
			violated(cause, path, report)
			return
		}
	}
	report(-1, path, v.Reason())
}

func isViolations(err error) bool {
	_, ok := err.(violations)
	return ok
}

// steps takes a field of a violation apart: Endpoints[0] or Metadata[key].
func steps(field string) []any {
	name, index, indexed := strings.Cut(strings.TrimSuffix(field, "]"), "[")
	if !indexed {
		return []any{name}
	}
	if i, err := strconv.Atoi(index); err == nil {
		return []any{name, i}
	}
	return []any{name, index}
}

// eachAny calls f for the outermost Anys in m, with their paths.
func eachAny(m protoreflect.Message, path []any, f func(*anypb.Any, []any)) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		f(a, path)
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		at := append(path[:len(path):len(path)], string(field.Name()))
		switch {
		case field.IsMap():
			if field.MapValue().Message() == nil {
				break
			}
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				eachAny(v.Message(), append(at[:len(at):len(at)], k.String()), f)
				return true
			})
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				eachAny(v.List().Get(i).Message(), append(at[:len(at):len(at)], i), f)
			}
		default:
			eachAny(v.Message(), at, f)
		}
		return true
	})
}
