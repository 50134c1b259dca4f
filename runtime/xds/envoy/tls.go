package envoy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// tlsSocket is the name of Envoy's TLS.
const tlsSocket = "envoy.transport_sockets.tls"

// overTLS returns the socket that speaks TLS as context says.
func overTLS(context message) (*corev3.TransportSocket, error) {
	config, err := pack(context)
	if err != nil {
		return nil, err
	}
	return &corev3.TransportSocket{
		Name:       tlsSocket,
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: config},
	}, nil
}

// transportSockets returns how each of c's endpoints is spoken to that names a
// Transport; the others are spoken to in the clear.
func transportSockets(c snapshot.Cluster) ([]*clusterv3.Cluster_TransportSocketMatch, error) {
	var out []*clusterv3.Cluster_TransportSocketMatch
	for _, t := range c.Transports.All() {
		context, err := upstreamTLS(t)
		if err != nil {
			return nil, fmt.Errorf("transport %q: %w", t.Name, err)
		}
		socket, err := overTLS(context)
		if err != nil {
			return nil, fmt.Errorf("transport %q: %w", t.Name, err)
		}
		out = append(out, &clusterv3.Cluster_TransportSocketMatch{
			Name:            t.Name,
			Match:           transportLabels(t.Name),
			TransportSocket: socket,
		})
	}
	return out, nil
}

// handshakeTimeout is how long a client may take to its end: that of the
// built-in proxy, where Envoy would wait for ever.
const handshakeTimeout = 10 * time.Second

func upstreamTLS(t snapshot.Transport) (*tlsv3.UpstreamTlsContext, error) {
	common := &tlsv3.CommonTlsContext{TlsParams: tlsVersions(), AlpnProtocols: t.ALPN.Slice()}
	for _, s := range TransportSecrets(t) {
		ask := &tlsv3.SdsSecretConfig{Name: s.Name, SdsConfig: overADS()}
		if s.Certificate() {
			common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, ask)
			continue
		}
		var names []*tlsv3.SubjectAltNameMatcher
		if t.Mesh == "" {
			names = append(names, serverName(t.Host))
		}
		for _, p := range t.Peers.All() {
			names = append(names, exactly(p))
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("nothing says whose certificate the server shows")
		}
		common.ValidationContextType = combined(ask, names)
	}
	return &tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: t.SNI}, nil
}

// downstreamSocket is that of l, which speaks the TLS of a mesh: both sides
// show certificates.
func downstreamSocket(l snapshot.Listener) (*corev3.TransportSocket, error) {
	common := &tlsv3.CommonTlsContext{TlsParams: tlsVersions()}
	if l.Protocol == snapshot.HTTP {
		common.AlpnProtocols = []string{"h2", "http/1.1"}
	}
	for _, s := range MeshSecrets(l.TLS) {
		ask := &tlsv3.SdsSecretConfig{Name: s.Name, SdsConfig: overADS()}
		if s.Certificate() {
			common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, ask)
		} else {
			common.ValidationContextType = combined(ask, peers(l))
		}
	}
	return overTLS(&tlsv3.DownstreamTlsContext{
		CommonTlsContext:         common,
		RequireClientCertificate: wrapperspb.Bool(true),
	})
}

// peers are the names of which a client of l must have one for the handshake.
//
// Whom l admits is a matter of its access filter. But that looks when the
// client has said something, and a server that speaks first, as databases do,
// would have spoken by then. So the handshake itself asks for one of the URIs
// that a client must have to be admitted.
func peers(l snapshot.Listener) []*tlsv3.SubjectAltNameMatcher {
	all := []*tlsv3.SubjectAltNameMatcher{ofMesh(l.TLS)}
	if !l.Access.Enforced {
		return all
	}
	seen := map[string]bool{}
	var some []*tlsv3.SubjectAltNameMatcher
	for _, r := range l.Access.Rules.All() {
		for _, c := range r.Clients.All() {
			if c.URIs.Len() == 0 {
				return all
			}
			name := c.URIs.At(0)
			for _, u := range c.URIs.All() {
				if strings.HasPrefix(u, "spiffe:") {
					name = u
				}
			}
			if !seen[name] {
				seen[name] = true
				some = append(some, exactly(name))
			}
		}
	}
	if len(some) == 0 {
		return []*tlsv3.SubjectAltNameMatcher{exactly("spiffe://" + l.TLS + "/")} // nobody's
	}
	return some
}

// tlsVersions are those of the built-in proxy; Envoy's own clients stop at 1.2.
func tlsVersions() *tlsv3.TlsParameters {
	return &tlsv3.TlsParameters{
		TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2,
		TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
	}
}

// combined takes the roots over SDS, and the names from here.
func combined(roots *tlsv3.SdsSecretConfig, names []*tlsv3.SubjectAltNameMatcher) *tlsv3.CommonTlsContext_CombinedValidationContext {
	return &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: names},
			ValidationContextSdsSecretConfig: roots,
		},
	}
}

func uri(m *matcherv3.StringMatcher) *tlsv3.SubjectAltNameMatcher {
	return &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: m}
}

func exactly(name string) *tlsv3.SubjectAltNameMatcher {
	return uri(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: name}})
}

// ofMesh is met by whoever belongs to the mesh.
func ofMesh(mesh string) *tlsv3.SubjectAltNameMatcher {
	return uri(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + mesh + "/"}})
}

// serverName is met by a certificate for host. An exact DNS name is compared
// as RFC 6125 says, wildcards of the certificate included.
func serverName(host string) *tlsv3.SubjectAltNameMatcher {
	kind := tlsv3.SubjectAltNameMatcher_DNS
	if _, err := netip.ParseAddr(host); err == nil {
		kind = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
	}
	return &tlsv3.SubjectAltNameMatcher{
		SanType: kind,
		Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: host}},
	}
}
