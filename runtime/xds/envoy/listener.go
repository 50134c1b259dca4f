package envoy

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	xffv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Envoy's defaults, said aloud because the built-in proxy keeps to the same.
const (
	// streamIdleTimeout ends a request on which nothing moves, upgraded or not.
	streamIdleTimeout = 5 * time.Minute
	// tcpIdleTimeout ends a TCP connection on which nothing moves.
	tcpIdleTimeout = time.Hour
	// maxStreams is how many requests one HTTP/2 connection may have open.
	maxStreams = 1024

	// bufferLimit is filter.DefaultBufferLimit and, on connections that speak
	// HTTP/1, Envoy's default.
	bufferLimit = 1 << 20
)

// Gateway is where the gateway's listeners bind.
type Gateway struct {
	Addr netip.AddrPort
	// TLSAddr is that of the one for TLS, which an Envoy does not get where it
	// is not valid.
	TLSAddr netip.AddrPort
}

// Listener returns the LDS resource of l. gateway is where the gateway's
// listeners bind; others say it themselves. HTTP routes come over
// RDS under the listener's name, and the configurations of the filters, which a
// names in l's order, over ECDS.
func Listener(l snapshot.Listener, gateway Gateway, a Attached) (*listenerv3.Listener, error) {
	address, err := bindAddress(l, gateway)
	if err != nil {
		return nil, err
	}
	out := &listenerv3.Listener{
		Name:             l.Name,
		Address:          address,
		TrafficDirection: trafficDirection(l.Direction),
	}
	if l.IfLocal {
		// Envoy may run on another machine than we do. An address that is not
		// its own it can bind like this, and nobody gets there.
		out.Freebind = wrapperspb.Bool(true)
	}
	if l.Protocol == snapshot.UDP {
		filter, err := udpProxy(l)
		if err != nil {
			return nil, err
		}
		address.GetSocketAddress().Protocol = corev3.SocketAddress_UDP
		out.UdpListenerConfig = &listenerv3.UdpListenerConfig{}
		out.ListenerFilters = []*listenerv3.ListenerFilter{filter}
		return checked(out)
	}
	if l.Chains.Len() > 0 {
		if err := chains(out, l, a); err != nil {
			return nil, err
		}
		return checked(out)
	}
	chain, err := filterChain(l, a)
	if err != nil {
		return nil, err
	}
	out.FilterChains = []*listenerv3.FilterChain{chain}
	return checked(out)
}

// filterChain returns what happens to the connections of l.
func filterChain(l snapshot.Listener, a Attached) (*listenerv3.FilterChain, error) {
	out := &listenerv3.FilterChain{}
	ranges, err := sourceRanges(l.SourceRanges)
	if err != nil {
		return nil, err
	}
	if len(ranges) > 0 {
		// What no chain matches is closed.
		out.FilterChainMatch = &listenerv3.FilterChainMatch{DirectSourcePrefixRanges: ranges}
	}
	if l.TLS != "" {
		if out.TransportSocket, err = downstreamSocket(l); err != nil {
			return nil, err
		}
		out.TransportSocketConnectTimeout = durationpb.New(handshakeTimeout)
		if l.Access.Enforced {
			access, err := accessFilter(l)
			if err != nil {
				return nil, err
			}
			out.Filters = append(out.Filters, access)
		}
	}
	var last *listenerv3.Filter
	switch l.Protocol {
	case snapshot.HTTP:
		last, err = connectionManager(l, a)
	case snapshot.TCP:
		for _, u := range a.Uses {
			out.Filters = append(out.Filters, networkFilter(u))
		}
		last, err = tcpProxy(l, a.Logs)
	default:
		err = fmt.Errorf("protocol %q has no form in Envoy", l.Protocol)
	}
	if err != nil {
		return nil, err
	}
	out.Filters = append(out.Filters, last)
	return out, nil
}

// ParseGatewayAddr reads HOST:PORT. HOST is an IP literal, "localhost", or
// empty for every address of the machine.
func ParseGatewayAddr(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gateway address %q is not HOST:PORT: %w", s, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gateway address %q: port must be 0 to 65535", s)
	}
	switch host {
	case "":
		host = "::"
	case "localhost":
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gateway address %q: host must be an IP address", s)
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}

func bindAddress(l snapshot.Listener, gateway Gateway) (*corev3.Address, error) {
	if l.Direction == snapshot.Gateway && l.Address == "" {
		at := gateway.Addr
		if l.Name == snapshot.GatewayTLS {
			at = gateway.TLSAddr
		} else if l.Port != 0 {
			at = netip.AddrPortFrom(at.Addr(), l.Port)
		}
		return socketAddress(at.Addr().String(), at.Port()), nil
	}
	if _, err := netip.ParseAddr(l.Address); err != nil {
		return nil, fmt.Errorf("address %q is not an IP address", l.Address)
	}
	if l.Port == 0 {
		return nil, fmt.Errorf("port must be 1 to 65535, not 0")
	}
	return socketAddress(l.Address, l.Port), nil
}

func trafficDirection(d snapshot.Direction) corev3.TrafficDirection {
	switch d {
	case snapshot.Inbound:
		return corev3.TrafficDirection_INBOUND
	case snapshot.Outbound:
		return corev3.TrafficDirection_OUTBOUND
	default:
		return corev3.TrafficDirection_UNSPECIFIED
	}
}

// statPrefix makes a listener's name fit for a metric.
var statPrefix = strings.NewReplacer(":", "_", ".", "_", "/", "_", "[", "_", "]", "_")

// httpFilters returns the filters of uses, and the router behind them.
func httpFilters(uses []Use) ([]*hcmv3.HttpFilter, error) {
	router, err := pack(&routerv3.Router{SuppressEnvoyHeaders: true})
	if err != nil {
		return nil, err
	}
	out := make([]*hcmv3.HttpFilter, 0, len(uses)+1)
	for _, u := range uses {
		out = append(out, &hcmv3.HttpFilter{
			Name:       u.Name,
			ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: u.discovery(false)},
			Disabled:   u.PerRoute,
		})
	}
	return append(out, &hcmv3.HttpFilter{
		Name:       "envoy.filters.http.router",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router},
	}), nil
}

func networkFilter(u Use) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name:       u.Name,
		ConfigType: &listenerv3.Filter_ConfigDiscovery{ConfigDiscovery: u.discovery(true)},
	}
}

func connectionManager(l snapshot.Listener, a Attached) (*listenerv3.Filter, error) {
	filters, err := httpFilters(a.Uses)
	if err != nil {
		return nil, err
	}
	keepers, err := pathKeepers(l)
	if err != nil {
		return nil, err
	}
	filters = slices.Insert(filters, len(filters)-1, keepers...) // before the router
	logs, err := accessLogs(a.Logs)
	if err != nil {
		return nil, err
	}
	peerOnly, err := pack(neverTrustForwardedFor())
	if err != nil {
		return nil, err
	}
	config, err := pack(&hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource:    awaited(),
			RouteConfigName: l.Name,
		}},
		CodecType:   hcmv3.HttpConnectionManager_AUTO,
		StatPrefix:  statPrefix.Replace(l.Name),
		HttpFilters: filters,
		AccessLog:   logs,
		Tracing:     a.Tracing,
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{
			AcceptHttp_10:  true,
			EnableTrailers: true,
		},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams: wrapperspb.UInt32(maxStreams),
			// It is what may be kept of a body as well, for another try or a filter
			// that wants all of it: as much as on HTTP/1, and in the built-in proxy.
			InitialStreamWindowSize: wrapperspb.UInt32(bufferLimit),
		},
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_ALLOW,
		},
		ServerHeaderTransformation: hcmv3.HttpConnectionManager_PASS_THROUGH,
		UseRemoteAddress:           wrapperspb.Bool(false),
		SkipXffAppend:              true,
		OriginalIpDetectionExtensions: []*corev3.TypedExtensionConfig{{
			Name:        "envoy.http.original_ip_detection.xff",
			TypedConfig: peerOnly,
		}},
		NormalizePath:                wrapperspb.Bool(false),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
		StreamIdleTimeout:            durationpb.New(streamIdleTimeout),
		UpgradeConfigs:               []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
	})
	if err != nil {
		return nil, err
	}
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config},
	}, nil
}

// neverTrustForwardedFor keeps a client from choosing the address that it is
// balanced by: without use_remote_address Envoy believes x-forwarded-for, and
// with it Envoy adds headers of its own. No request passes so many proxies.
func neverTrustForwardedFor() *xffv3.XffConfig {
	return &xffv3.XffConfig{
		XffNumTrustedHops: math.MaxUint32,
		SkipXffAppend:     wrapperspb.Bool(true),
	}
}

func tcpProxy(l snapshot.Listener, logs []Log) (*listenerv3.Filter, error) {
	loggers, err := accessLogs(logs)
	if err != nil {
		return nil, err
	}
	idle := tcpIdleTimeout
	if l.IdleTimeout > 0 {
		idle = time.Duration(l.IdleTimeout)
	}
	p := &tcpv3.TcpProxy{
		AccessLog:   loggers,
		StatPrefix:  statPrefix.Replace(l.Name),
		IdleTimeout: durationpb.New(idle),
		HashPolicy: []*typev3.HashPolicy{{
			PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}},
		}},
	}
	if l.ConnectAttempts > 0 {
		p.MaxConnectAttempts = wrapperspb.UInt32(l.ConnectAttempts)
	}
	switch l.Targets.Len() {
	case 0:
		p.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: NoEndpoints}
	case 1:
		p.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: l.Targets.At(0).Cluster}
	default:
		if err := checkWeights(l.Targets); err != nil {
			return nil, err
		}
		w := &tcpv3.TcpProxy_WeightedCluster{}
		for _, t := range l.Targets.All() {
			w.Clusters = append(w.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{Name: t.Cluster, Weight: t.Weight})
		}
		p.ClusterSpecifier = &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: w}
	}
	config, err := pack(p)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.tcp_proxy",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config},
	}, nil
}
