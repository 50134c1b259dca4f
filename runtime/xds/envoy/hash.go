package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// hashPolicy says what clusters that choose by hash choose by; the first key that
// a request has is all that counts. It is set on each route, so that routes do not
// depend on how their clusters choose.
func hashPolicy(keys snapshot.List[snapshot.HashKey]) []*routev3.RouteAction_HashPolicy {
	address := &routev3.RouteAction_HashPolicy_ConnectionProperties_{
		ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
	}
	if keys.Len() == 0 {
		return []*routev3.RouteAction_HashPolicy{{PolicySpecifier: address}}
	}
	out := make([]*routev3.RouteAction_HashPolicy, 0, keys.Len())
	for _, k := range keys.All() {
		p := &routev3.RouteAction_HashPolicy{Terminal: true}
		switch {
		case k.ClientIP:
			p.PolicySpecifier = address
		case k.Path:
			p.PolicySpecifier = &routev3.RouteAction_HashPolicy_FilterState_{
				FilterState: &routev3.RouteAction_HashPolicy_FilterState{Key: pathState},
			}
		case k.Header != "":
			p.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{
				Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: k.Header},
			}
		case k.Cookie != "":
			p.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{
				// A Ttl has Envoy set the cookie; that of 0 is one of the client's session.
				Cookie: &routev3.RouteAction_HashPolicy_Cookie{Name: k.Cookie, Path: k.CookiePath, Ttl: durationpb.New(0)},
			}
		case k.Query != "":
			p.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{
				QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: k.Query},
			}
		}
		out = append(out, p)
	}
	return out
}

// Envoy hashes the :path that the upstream gets. So a filter keeps what came, on
// routes that hash it.
const (
	pathFilter = "meshc.path"
	pathState  = "meshc.path"
)

func byPath(r snapshot.Route) bool {
	for _, k := range r.Hash.All() {
		if k.Path {
			return true
		}
	}
	return false
}

func hashesPath(l snapshot.Listener) bool {
	for _, h := range l.VirtualHosts.All() {
		for _, r := range h.Routes.All() {
			if byPath(r) {
				return true
			}
		}
	}
	return false
}

// pathKeeper is the filter, which does nothing unless its route says so.
func pathKeeper() (*hcmv3.HttpFilter, error) {
	nothing, err := pack(&setfilterstatev3.Config{})
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpFilter{Name: pathFilter, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: nothing}}, nil
}

// keepPath has the filter keep the path of requests that take out, the form of r.
func keepPath(out *routev3.Route, r snapshot.Route) error {
	if !byPath(r) {
		return nil
	}
	config, err := pack(&setfilterstatev3.Config{OnRequestHeaders: []*filterstatev3.FilterStateValue{{
		Key:        &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: pathState},
		FactoryKey: "envoy.hashable_string",
		Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "%PATH(NQ:PATH)%"},
			}},
		}},
	}}})
	if err != nil {
		return err
	}
	if out.TypedPerFilterConfig == nil {
		out.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	out.TypedPerFilterConfig[pathFilter] = config
	return nil
}
