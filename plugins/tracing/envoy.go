package tracing

import (
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/plugins"
)

// envoy is Kind.Envoy.
func envoy(u plugins.Use) (plugins.Envoy, error) {
	c, to, err := parse(u.Config)
	if err != nil {
		return plugins.Envoy{}, err
	}
	z := &tracev3.ZipkinConfig{
		CollectorCluster: plugins.CallCluster(to.Host), CollectorEndpoint: to.RequestURI(), CollectorHostname: to.Host,
		TraceId_128Bit: c.Long, SharedSpanContext: wrapperspb.Bool(c.Shared),
		CollectorEndpointVersion: tracev3.ZipkinConfig_HTTP_JSON,
		TraceContextOption:       tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION,
	}
	if c.Proto {
		z.CollectorEndpointVersion = tracev3.ZipkinConfig_HTTP_PROTO
	}
	typed, err := anypb.New(z)
	if err != nil {
		return plugins.Envoy{}, err
	}
	return plugins.Envoy{Tracing: &hcmv3.HttpConnectionManager_Tracing{
		// What overall sampling leaves out Envoy still counts as decided.
		RandomSampling:  &typev3.Percent{Value: float64(c.PerMillion) * 100 / whole},
		OverallSampling: &typev3.Percent{Value: 100},
		Provider:        &tracev3.Tracing_Http{Name: "envoy.tracers.zipkin", ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: typed}},
	}}, nil
}
