package envoy

import (
	"slices"
	"strings"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	ipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/ip/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

const (
	// nobody is the chain that closes what its clients may not use. No chain of
	// the snapshot has a slash in front.
	nobody = "/nobody"
	// serverNameState is where routes find the server name of their connection.
	serverNameState = "meshc.server_name"
)

// chains fills in how out parts the connections of l.
func chains(out *listenerv3.Listener, l snapshot.Listener, a Attached) error {
	inspector, err := pack(&inspectorv3.TlsInspector{})
	if err != nil {
		return err
	}
	out.ListenerFilters = []*listenerv3.ListenerFilter{{
		Name:       "envoy.filters.listener.tls_inspector",
		ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: inspector},
	}}
	out.ListenerFiltersTimeout = durationpb.New(handshakeTimeout)
	var http []*listenerv3.Filter // the same for all chains
	if l.Protocol == snapshot.HTTP {
		state, err := keepServerName()
		if err != nil {
			return err
		}
		manager, err := connectionManager(l, a)
		if err != nil {
			return err
		}
		http = []*listenerv3.Filter{state, manager}
	}
	for _, c := range l.Chains.All() {
		chain := &listenerv3.FilterChain{Name: c.Name, Filters: http}
		if c.Protocol == snapshot.TCP {
			own := l
			own.Targets, own.IdleTimeout, own.ConnectAttempts = c.Targets, c.IdleTimeout, c.ConnectAttempts
			tcp, err := tcpProxy(own, nil)
			if err != nil {
				return err
			}
			chain.Filters = []*listenerv3.Filter{tcp}
		}
		if c.Certificates.Len() > 0 {
			if chain.TransportSocket, err = servingSocket(c); err != nil {
				return err
			}
			chain.TransportSocketConnectTimeout = durationpb.New(handshakeTimeout)
		}
		out.FilterChains = append(out.FilterChains, chain)
	}
	if Guarded(l) {
		l.Targets = snapshot.List[snapshot.Target]{}
		tcp, err := tcpProxy(l, nil)
		if err != nil {
			return err
		}
		out.FilterChains = append(out.FilterChains, &listenerv3.FilterChain{Name: nobody, Filters: []*listenerv3.Filter{tcp}})
	}
	out.FilterChainMatcher, err = byServerName(l.Chains)
	return err
}

// Guarded reports whether a chain of l is not for everybody.
func Guarded(l snapshot.Listener) bool {
	return slices.ContainsFunc(l.Chains.Slice(), func(c snapshot.Chain) bool { return c.SourceRanges.Len() > 0 })
}

// ChainSecrets are those of c's certificates.
func ChainSecrets(c snapshot.Chain) []Secret {
	var out []Secret
	for _, x := range c.Certificates.All() {
		out = append(out, Secret{Name: "certificate/" + x.Cert + "+" + x.Key, Cert: x.Cert, Key: x.Key})
	}
	return out
}

// servingSocket ends TLS with the certificates of c.
func servingSocket(c snapshot.Chain) (*corev3.TransportSocket, error) {
	common := &tlsv3.CommonTlsContext{TlsParams: tlsVersions()}
	if c.Protocol == snapshot.HTTP {
		common.AlpnProtocols = []string{"h2", "http/1.1"}
	}
	for _, s := range ChainSecrets(c) {
		common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, &tlsv3.SdsSecretConfig{Name: s.Name, SdsConfig: overADS()})
	}
	return overTLS(&tlsv3.DownstreamTlsContext{CommonTlsContext: common})
}

// keepServerName keeps the server name that the client asked for, for routes,
// which cannot see it otherwise.
func keepServerName() (*listenerv3.Filter, error) {
	config, err := pack(&setstatev3.Config{OnNewConnection: []*statev3.FilterStateValue{{
		Key:        &statev3.FilterStateValue_ObjectKey{ObjectKey: serverNameState},
		FactoryKey: "envoy.string",
		Value: &statev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "%REQUESTED_SERVER_NAME%"},
			}},
		}},
	}}})
	if err != nil {
		return nil, err
	}
	return &listenerv3.Filter{Name: "envoy.filters.network.set_filter_state", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config}}, nil
}

// byServerName finds the chain for a connection. Envoy's own matching of server
// names has no star at the end, and one at the start stands for any labels.
func byServerName(chains snapshot.List[snapshot.Chain]) (*xdsmatcherv3.Matcher, error) {
	name, err := pack(&networkv3.ServerNameInput{})
	if err != nil {
		return nil, err
	}
	input := &xdscorev3.TypedExtensionConfig{Name: "envoy.matching.inputs.server_name", TypedConfig: name}
	exact := map[string]*xdsmatcherv3.Matcher_OnMatch{}
	var stars []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher // those at the start come first
	var trailing []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher
	var otherwise *xdsmatcherv3.Matcher_OnMatch // what is left
	for _, c := range chains.All() {
		take, err := toChain(c)
		if err != nil {
			return nil, err
		}
		for _, pattern := range c.ServerNames.All() {
			if pattern == snapshot.AnyServerName {
				otherwise = take
				continue
			}
			if !strings.Contains(pattern, "*") {
				exact[pattern] = take
				continue
			}
			star := &xdsmatcherv3.Matcher_MatcherList_FieldMatcher{
				Predicate: where(input, &xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_SafeRegex{
					SafeRegex: &xdsmatcherv3.RegexMatcher{
						EngineType: &xdsmatcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcherv3.RegexMatcher_GoogleRE2{}},
						Regex:      snapshot.ServerNameRegex(pattern),
					},
				}}),
				OnMatch: take,
			}
			if strings.HasPrefix(pattern, "*") {
				stars = append(stars, star)
			} else {
				trailing = append(trailing, star)
			}
		}
	}
	if stars = append(stars, trailing...); len(stars) > 0 {
		otherwise = deeper(&xdsmatcherv3.Matcher{
			MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{Matchers: stars}},
			OnNoMatch:   otherwise,
		})
	}
	if len(exact) == 0 {
		if otherwise.GetMatcher() != nil {
			return otherwise.GetMatcher(), nil
		}
		exact["/"] = otherwise // a map may not be empty; no server name is like this
	}
	return &xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
			Input:    input,
			TreeType: &xdsmatcherv3.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &xdsmatcherv3.Matcher_MatcherTree_MatchMap{Map: exact}},
		}},
		OnNoMatch: otherwise,
	}, nil
}

// toChain gives a connection to c, if its client may use it.
func toChain(c snapshot.Chain) (*xdsmatcherv3.Matcher_OnMatch, error) {
	to := func(name string) (*xdsmatcherv3.Matcher_OnMatch, error) {
		action, err := Any(wrapperspb.String(name))
		return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
			Action: &xdscorev3.TypedExtensionConfig{Name: "filter-chain-name", TypedConfig: action},
		}}, err
	}
	take, err := to(c.Name)
	if err != nil || c.SourceRanges.Len() == 0 {
		return take, err
	}
	ranges, err := sourceRanges(c.SourceRanges)
	if err != nil {
		return nil, err
	}
	within, err := pack(&ipv3.Ip{CidrRanges: ranges, StatPrefix: statPrefix.Replace(c.Name)})
	if err != nil {
		return nil, err
	}
	source, err := pack(&networkv3.DirectSourceIPInput{})
	if err != nil {
		return nil, err
	}
	refuse, err := to(nobody)
	if err != nil {
		return nil, err
	}
	return deeper(&xdsmatcherv3.Matcher{
		MatcherType: &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{
			Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{{
				Predicate: &xdsmatcherv3.Matcher_MatcherList_Predicate{MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
					SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
						Input: &xdscorev3.TypedExtensionConfig{Name: "envoy.matching.inputs.direct_source_ip", TypedConfig: source},
						Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{
							CustomMatch: &xdscorev3.TypedExtensionConfig{Name: "envoy.matching.matchers.ip", TypedConfig: within},
						},
					},
				}},
				OnMatch: take,
			}},
		}},
		OnNoMatch: refuse,
	}), nil
}

func deeper(m *xdsmatcherv3.Matcher) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Matcher{Matcher: m}}
}
