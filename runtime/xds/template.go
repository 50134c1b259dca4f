package xds

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// rawOf returns the raw resources of p by kind, each sorted by name, and where
// each was written.
func rawOf(p snapshot.Proxy) (out [kinds][]*resource, err error) {
	for _, raw := range p.Raw.All() {
		k, r, err := rawResource(raw.JSON)
		if err != nil {
			return out, fmt.Errorf("proxy %s: a raw resource: %w", p.ID, err)
		}
		r.sources = raw.Sources
		// The later of two with one name counts.
		out[k] = slices.DeleteFunc(out[k], func(o *resource) bool { return o.name == r.name })
		out[k] = append(out[k], r)
	}
	for k := range out {
		slices.SortFunc(out[k], func(a, b *resource) int { return strings.Compare(a.name, b.name) })
	}
	return out, nil
}

// rawResource reads one. No error quotes anything of it, for it may hold keys.
func rawResource(json string) (kind, *resource, error) {
	wrapped := &anypb.Any{}
	if protojson.Unmarshal([]byte(json), wrapped) != nil {
		return 0, nil, fmt.Errorf("it cannot be read")
	}
	k, ok := kindOf(wrapped.TypeUrl)
	if !ok {
		return 0, nil, fmt.Errorf("nobody asks an xDS server like this one for %s", wrapped.TypeUrl)
	}
	m, err := wrapped.UnmarshalNew()
	if err != nil {
		return 0, nil, fmt.Errorf("it cannot be read")
	}
	name := ""
	switch m := m.(type) {
	case *endpointv3.ClusterLoadAssignment:
		name = m.ClusterName
	case interface{ GetName() string }:
		name = m.GetName()
	}
	r, err := encode(k, name, rawAsks(m), m)
	if err == nil && k == secret {
		r = newResource(k, name, hiddenVersion(wrapped.Value), wrapped.Value)
	}
	return k, r, err
}

// rawAsks returns what a client asks for over ADS because of m, as far as it
// matters to whom else waits: a cluster's endpoints, a listener's routes.
func rawAsks(m proto.Message) []reference {
	overADS := func(c *corev3.ConfigSource) bool { return c.GetAds() != nil }
	var out []reference
	switch m := m.(type) {
	case *clusterv3.Cluster:
		if e := m.GetEdsClusterConfig(); m.GetType() == clusterv3.Cluster_EDS && overADS(e.GetEdsConfig()) {
			out = append(out, reference{endpoint, cmp.Or(e.GetServiceName(), m.GetName())})
		}
	case *listenerv3.Listener:
		for _, chain := range m.GetFilterChains() {
			for _, f := range chain.GetFilters() {
				hcm := &hcmv3.HttpConnectionManager{}
				if f.GetTypedConfig().UnmarshalTo(hcm) == nil && overADS(hcm.GetRds().GetConfigSource()) {
					out = append(out, reference{route, hcm.GetRds().GetRouteConfigName()})
				}
			}
		}
	}
	return out
}

// overlaid returns what is generated, with raw resources in the place of those
// that have their names. Both are sorted by name.
func overlaid(generated, raw []*resource) []*resource {
	if len(raw) == 0 {
		return generated
	}
	out := slices.Clone(raw)
	for _, r := range generated {
		if find(raw, r.name) == nil {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *resource) int { return strings.Compare(a.name, b.name) })
	return out
}
