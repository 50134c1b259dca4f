package envoy

import (
	"fmt"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// RouteFilter is what a filter that routes may name comes to in Envoy.
type RouteFilter struct {
	Extension string // "" for none
	Tracing   bool   // it is the listener's Tracing
}

// metadataKey is where a route tells access loggers about itself: "service",
// and "filters", the names that it gives.
const metadataKey = "meshc"

// routeFilters turns on in out what r names, and off what it does not.
func routeFilters(out *routev3.Route, r snapshot.Route, perRoute map[string]RouteFilter) error {
	named := map[string]bool{}
	for _, name := range r.Filters.All() {
		f, ok := perRoute[name]
		if !ok {
			return fmt.Errorf("the listener has no filter %q for its routes", name)
		}
		named[name] = true
		if f.Extension == "" {
			continue
		}
		on, err := enabled()
		if err != nil {
			return err
		}
		if out.TypedPerFilterConfig == nil {
			out.TypedPerFilterConfig = map[string]*anypb.Any{}
		}
		out.TypedPerFilterConfig[f.Extension] = on
	}
	for name, f := range perRoute {
		if f.Tracing && !named[name] {
			out.Tracing = &routev3.Tracing{OverallSampling: &typev3.FractionalPercent{}}
		}
	}
	if r.Service == "" {
		return nil
	}
	filters := &structpb.ListValue{}
	for _, name := range r.Filters.All() {
		filters.Values = append(filters.Values, structpb.NewStringValue(name))
	}
	out.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{metadataKey: {Fields: map[string]*structpb.Value{
		"service": structpb.NewStringValue(r.Service),
		"filters": structpb.NewListValue(filters),
	}}}}
	return nil
}

// accessLogs returns the access loggers of a listener. One that is PerRoute
// logs the requests of routes that name it (routeFilters).
func accessLogs(logs []Log) ([]*accesslogv3.AccessLog, error) {
	var out []*accesslogv3.AccessLog
	for _, l := range logs {
		if m, ok := l.Config.(message); ok {
			if _, err := checked(m); err != nil {
				return nil, fmt.Errorf("%s: %w", l.Name, err)
			}
		}
		config, err := Any(l.Config)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		log := &accesslogv3.AccessLog{Name: l.Name, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: config}}
		if l.PerRoute {
			condition, err := pack(&celv3.ExpressionFilter{
				Expression: fmt.Sprintf("%q in xds.route_metadata.filter_metadata[%q][\"filters\"]", l.Name, metadataKey),
			})
			if err != nil {
				return nil, err
			}
			log.Filter = &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
				ExtensionFilter: &accesslogv3.ExtensionFilter{
					Name:       "envoy.access_loggers.extension_filters.cel",
					ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: condition},
				},
			}}
		}
		out = append(out, log)
	}
	return out, nil
}
