package xds_test

import (
	"errors"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds"
)

// attach makes access loggers and tracing of filters: of kind "log" a file
// that is Config, of kind "als" what goes to the xDS server, of kind "trace"
// what goes to cluster Config. Others are textFilter's.
func attach(f snapshot.Filter, tcp bool, blob string) (xds.Filter, error) {
	switch f.Kind {
	case "log":
		return xds.Filter{AccessLog: &filev3.FileAccessLog{
			Path: f.Config,
			AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
					Specifier: &corev3.DataSource_InlineString{InlineString: f.Name + " %REQ(:PATH)% %METADATA(ROUTE:meshc:service)%\n"},
				}},
			}},
		}}, nil
	case "als":
		common := &grpcv3.CommonGrpcAccessLogConfig{
			LogName: f.Config, TransportApiVersion: corev3.ApiVersion_V3,
			GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "meshc"}}},
		}
		if tcp {
			return xds.Filter{AccessLog: &grpcv3.TcpGrpcAccessLogConfig{CommonConfig: common}}, nil
		}
		return xds.Filter{AccessLog: &grpcv3.HttpGrpcAccessLogConfig{CommonConfig: common}}, nil
	case "trace":
		if tcp {
			return xds.Filter{}, errors.New("bytes are not traced")
		}
		config, err := anypb.New(&tracev3.ZipkinConfig{
			CollectorCluster: f.Config, CollectorEndpoint: "/api/v2/spans", CollectorHostname: "zipkin",
			CollectorEndpointVersion: tracev3.ZipkinConfig_HTTP_JSON,
		})
		return xds.Filter{Tracing: &hcmv3.HttpConnectionManager_Tracing{
			OverallSampling: &typev3.Percent{Value: 100},
			Provider:        &tracev3.Tracing_Http{Name: "envoy.tracers.zipkin", ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: config}},
		}}, err
	}
	return textFilter(f, tcp, blob)
}

// use is a filter of a kind that attach knows.
func use(kind, name, config string, perRoute bool) snapshot.Filter {
	return snapshot.Filter{Kind: kind, Name: name, Config: config, PerRoute: perRoute}
}

// attached is a proxy and a gateway whose requests are logged and traced. The
// gateway's routes differ: each of its logs and the tracing are for one.
func attached(http, tcp uint16, app, zipkin snapshot.Endpoint, log string) snapshot.Snapshot {
	trace := use("trace", "m/zipkin", "zipkin", false)
	trace.Clusters = snapshot.ListOf("zipkin")
	routed := trace
	routed.PerRoute = true
	logged, other := host("logged", []string{"logged"}, "/", "app"), host("other", []string{"other"}, "/", "app")
	for h, filters := range map[*snapshot.VirtualHost][]string{
		&logged: {"log/m/one", "trace/m/zipkin"},
		&other:  {"log/m/two"},
	} {
		r := h.Routes.At(0)
		r.Service, r.Filters = h.Name, snapshot.ListOf(filters...)
		plain := r
		plain.Name, plain.Filters = "plain", snapshot.List[string]{}
		r.PathPrefix = "/on"
		h.Routes = snapshot.ListOf(r, plain)
	}
	g := gateway()
	l := g.Listeners.At(0)
	l.VirtualHosts = snapshot.ListOf(logged, other)
	g.Listeners = snapshot.ListOf(with(l, use("log", "m/one", log, true), use("log", "m/two", log, true), routed))
	return world([]service{
		{name: "app", endpoints: []snapshot.Endpoint{app}},
		{name: "zipkin", endpoints: []snapshot.Endpoint{zipkin}},
	}, g, proxy("default.web",
		with(outbound(http, host("app", []string{"*"}, "/", "app")), use("log", "m/file", log, false), use("als", "m/tcp", "the name", false), trace),
		with(outboundTCP(tcp, "app"), use("als", "m/tcp", "the name", false)),
	))
}
