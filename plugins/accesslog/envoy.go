package accesslog

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshc/meshc/plugins"
)

// serverCluster is the cluster of an Envoy's own bootstrap that leads to
// meshc's xDS address: a logger cannot use one that comes over xDS.
const serverCluster = "meshc"

// serviceMetadata is where a route of the gateway says its service.
const serviceMetadata = "%METADATA(ROUTE:meshc:service)%"

// envoy is Kind.Envoy. Envoy has no logger that writes to TCP: it sends what
// the commands of the format stand for to meshc (Receiver), which writes the line.
func envoy(u plugins.Use) (plugins.Envoy, error) {
	c, f, err := parseConfig(u.Config)
	if err != nil {
		return plugins.Envoy{}, err
	}
	if c.File != "" {
		var text strings.Builder
		for _, p := range f {
			text.WriteString(c.inEnvoy(p))
		}
		text.WriteByte('\n')
		return plugins.Envoy{AccessLog: &filev3.FileAccessLog{
			Path: c.File,
			AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: &corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
					Specifier: &corev3.DataSource_InlineString{InlineString: text.String()},
				}},
			}},
		}}, nil
	}
	common := &grpcv3.CommonGrpcAccessLogConfig{
		LogName: u.Config,
		GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: serverCluster},
		}},
		TransportApiVersion: corev3.ApiVersion_V3,
		BufferFlushInterval: durationpb.New(flushInterval),
	}
	for i, p := range f {
		if p.command != "" {
			common.CustomTags = append(common.CustomTags, &tracingv3.CustomTag{
				Tag: strconv.Itoa(i), Type: &tracingv3.CustomTag_Value{Value: c.inEnvoy(p)},
			})
		}
	}
	if u.TCP {
		return plugins.Envoy{AccessLog: &grpcv3.TcpGrpcAccessLogConfig{CommonConfig: common}}, nil
	}
	return plugins.Envoy{AccessLog: &grpcv3.HttpGrpcAccessLogConfig{CommonConfig: common}}, nil
}

// inEnvoy returns p as Envoy understands it.
func (c *constants) inEnvoy(p part) string {
	if !strings.HasPrefix(p.command, "KUMA_") {
		return p.written()
	}
	if p.command == "KUMA_DESTINATION_SERVICE" && c.Destination == "" {
		return serviceMetadata
	}
	if v, ok := p.render(&entry{Record: nothing, constants: *c}); ok {
		return v
	}
	return absent
}
