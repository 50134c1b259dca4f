package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TrialListener is the name of the trial listener. No other has a slash in it.
const TrialListener = "meshc/trial"

// Trial returns a listener that nobody can reach, with all filters of a proxy.
// An Envoy that has it has tried them: a listener whose filter turns out to be
// bad would serve nothing but errors.
func Trial(http, tcp []Use) (*listenerv3.Listener, error) {
	var chain []*listenerv3.Filter
	for _, u := range tcp {
		chain = append(chain, networkFilter(u))
	}
	filters, err := httpFilters(http)
	if err != nil {
		return nil, err
	}
	manager, err := pack(&hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{}},
		StatPrefix:     statPrefix.Replace(TrialListener),
		HttpFilters:    filters,
	})
	if err != nil {
		return nil, err
	}
	chain = append(chain, &listenerv3.Filter{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
	})
	return checked(&listenerv3.Listener{
		Name: TrialListener,
		// Port 0 collides with nothing, and is not bound.
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{},
		}}},
		BindToPort:   wrapperspb.Bool(false),
		FilterChains: []*listenerv3.FilterChain{{Filters: chain}},
	})
}
