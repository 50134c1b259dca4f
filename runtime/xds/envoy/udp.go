package envoy

import (
	"fmt"
	"net/netip"
	"time"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	udpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	ipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/ip/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// udpIdleTimeout ends a client's session on which nothing moves.
const udpIdleTimeout = time.Minute

// udpProxy returns the filter that carries the datagrams of l.
func udpProxy(l snapshot.Listener) (*listenerv3.ListenerFilter, error) {
	to := &udpv3.Route{Cluster: NoEndpoints}
	switch l.Targets.Len() {
	case 0:
	case 1:
		to.Cluster = l.Targets.At(0).Cluster
	default:
		return nil, fmt.Errorf("Envoy sends the datagrams of a listener to one cluster, not to %d", l.Targets.Len())
	}
	route, err := pack(to)
	if err != nil {
		return nil, err
	}
	forward := &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
		Action: &xdscorev3.TypedExtensionConfig{Name: "route", TypedConfig: route},
	}}
	// What matches nothing is dropped.
	matcher := &xdsmatcherv3.Matcher{OnNoMatch: forward}
	if l.SourceRanges.Len() > 0 {
		if matcher, err = fromRanges(l, forward); err != nil {
			return nil, err
		}
	}
	config, err := pack(&udpv3.UdpProxyConfig{
		StatPrefix:     statPrefix.Replace(l.Name),
		IdleTimeout:    durationpb.New(udpIdleTimeout),
		RouteSpecifier: &udpv3.UdpProxyConfig_Matcher{Matcher: matcher},
		HashPolicies: []*udpv3.UdpProxyConfig_HashPolicy{{
			PolicySpecifier: &udpv3.UdpProxyConfig_HashPolicy_SourceIp{SourceIp: true},
		}},
	})
	if err != nil {
		return nil, err
	}
	return &listenerv3.ListenerFilter{
		Name:       "envoy.filters.udp_listener.udp_proxy",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: config},
	}, nil
}

// fromRanges does then for clients in l's SourceRanges.
func fromRanges(l snapshot.Listener, then *xdsmatcherv3.Matcher_OnMatch) (*xdsmatcherv3.Matcher, error) {
	ranges, err := sourceRanges(l.SourceRanges)
	if err != nil {
		return nil, err
	}
	input, err := pack(&networkv3.SourceIPInput{})
	if err != nil {
		return nil, err
	}
	in, err := pack(&ipv3.Ip{CidrRanges: ranges, StatPrefix: statPrefix.Replace(l.Name)})
	if err != nil {
		return nil, err
	}
	return &xdsmatcherv3.Matcher{MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{
		Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{{
			Predicate: &xdsmatcherv3.Matcher_MatcherList_Predicate{
				MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
					SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
						Input: &xdscorev3.TypedExtensionConfig{Name: "source-ip", TypedConfig: input},
						Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{
							CustomMatch: &xdscorev3.TypedExtensionConfig{Name: "ranges", TypedConfig: in},
						},
					},
				},
			},
			OnMatch: then,
		}},
	}}}, nil
}

// sourceRanges returns whose clients l takes; none means everybody's.
func sourceRanges(of snapshot.List[string]) ([]*corev3.CidrRange, error) {
	var out []*corev3.CidrRange
	for _, r := range of.All() {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			return nil, fmt.Errorf("source range %q is not a CIDR", r)
		}
		out = append(out, &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))})
	}
	return out, nil
}
