// Package envoy says in Envoy's words what a snapshot says in meshc's: one
// file a resource, plain functions, no I/O. Every message is checked against
// Envoy's own field rules before it is returned, for Envoy answers a message
// that breaks one by refusing the whole response without naming the resource.
//
// What the snapshot leaves open is set so that Envoy behaves like a plain,
// strict HTTP/1.1 proxy; RATIONALE.md of package xds gives the reasons.
package envoy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// message is a proto with the checks that protoc-gen-validate made for it.
type message interface {
	proto.Message
	ValidateAll() error
}

// checked returns m, or what is wrong with it.
func checked[M message](m M) (M, error) {
	if err := m.ValidateAll(); err != nil {
		var none M
		return none, fmt.Errorf("Envoy would refuse it: %w", err)
	}
	return m, nil
}

// pack checks m and wraps it. The checks of an outer message do not see into
// an Any, so each message is checked where it is wrapped.
func pack(m message) (*anypb.Any, error) {
	if _, err := checked(m); err != nil {
		return nil, err
	}
	return Any(m)
}

// Any wraps m so that equal messages give equal bytes.
func Any(m proto.Message) (*anypb.Any, error) {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, err
	}
	return a, nil
}

// overADS points to the stream that the resource itself came on.
func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}

// awaited is overADS for what a listener is nothing without: it waits for as long
// as it takes. After the 15 s that are usual it would serve without routes and
// without its plugins, and compiling a few plugins makes Envoy deaf for longer.
func awaited() *corev3.ConfigSource {
	source := overADS()
	source.InitialFetchTimeout = &durationpb.Duration{}
	return source
}

func socketAddress(host string, port uint16) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		// Go's listener on [::] takes IPv4 too; so does Envoy with this.
		Ipv4Compat: host == "::",
	}}}
}
