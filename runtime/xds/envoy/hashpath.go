package envoy

import (
	"regexp"
	"regexp/syntax"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	headertometadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_to_metadata/v3"
	setfilterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Envoy hashes the :path that the upstream gets. So filters keep what came of it,
// on routes that hash it: a part of it as metadata, and that, or all, as a state.
const (
	captureFilter = "meshc.capture"
	stateFilter   = "meshc.path"
)

// stateOf names the state that a key is kept as.
func stateOf(k snapshot.HashKey) string {
	if k.Path {
		return stateFilter
	}
	return captureFilter + "." + k.Capture
}

// hashKeys returns the keys that requests of r can have.
func hashKeys(r snapshot.Route) []snapshot.HashKey {
	return slices.DeleteFunc(r.Hash.Slice(), func(k snapshot.HashKey) bool {
		if k.Capture == "" {
			return false
		}
		path, err := regexp.Compile(r.PathRegex)
		return err != nil || path.SubexpIndex(k.Capture) < 0 // routeMatch refuses what is none
	})
}

// partOf returns the expression for all of the :path that r matches, the first and
// only group of which is what k captures.
func partOf(r snapshot.Route, k snapshot.HashKey) (string, error) {
	target, err := snapshot.TargetRegex(r.PathRegex)
	if err != nil {
		return "", err
	}
	tree, err := syntax.Parse("^"+target+"$", syntax.Perl)
	if err != nil {
		return "", err
	}
	var edit func(*syntax.Regexp)
	edit = func(t *syntax.Regexp) {
		if t.Op == syntax.OpCapture && t.Name != k.Capture {
			t.Op = syntax.OpConcat
		}
		for _, sub := range t.Sub {
			edit(sub)
		}
	}
	edit(tree)
	return tree.String(), nil
}

// pathKeepers are the filters of l that keep paths. They do nothing but on routes
// that say so.
func pathKeepers(l snapshot.Listener) (out []*hcmv3.HttpFilter, err error) {
	paths, captures := false, false
	for _, h := range l.VirtualHosts.All() {
		for _, r := range h.Routes.All() {
			for _, k := range r.Hash.All() {
				paths, captures = paths || k.Path, captures || k.Capture != ""
			}
		}
	}
	add := func(name string, m message) {
		config, failed := pack(m)
		if failed != nil {
			err = failed
		}
		out = append(out, &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config}})
	}
	if captures {
		add(captureFilter, &headertometadatav3.Config{})
	}
	if captures || paths {
		add(stateFilter, &setfilterstatev3.Config{})
	}
	return out, err
}

// keepPath has the filters keep what r hashes of the path of requests that take
// out, its form.
func keepPath(out *routev3.Route, r snapshot.Route) error {
	var states setfilterstatev3.Config
	var parts headertometadatav3.Config
	for _, k := range hashKeys(r) {
		switch {
		case k.Path:
			states.OnRequestHeaders = append(states.OnRequestHeaders, state(stateOf(k), "%PATH(NQ:PATH)%"))
		case k.Capture != "":
			part, err := partOf(r, k)
			if err != nil {
				return err
			}
			parts.RequestRules = append(parts.RequestRules, &headertometadatav3.Config_Rule{
				Header: ":path",
				OnHeaderPresent: &headertometadatav3.Config_KeyValuePair{
					MetadataNamespace: captureFilter, Key: k.Capture,
					RegexValueRewrite: &matcherv3.RegexMatchAndSubstitute{Pattern: regexMatcher(part), Substitution: `\1`},
				},
			})
			states.OnRequestHeaders = append(states.OnRequestHeaders, state(stateOf(k), "%DYNAMIC_METADATA("+captureFilter+":"+k.Capture+")%"))
		}
	}
	if len(states.OnRequestHeaders) == 0 {
		return nil
	}
	if out.TypedPerFilterConfig == nil {
		out.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	config, err := pack(&states)
	if err != nil {
		return err
	}
	out.TypedPerFilterConfig[stateFilter] = config
	if len(parts.RequestRules) == 0 {
		return nil
	}
	if config, err = pack(&parts); err != nil {
		return err
	}
	out.TypedPerFilterConfig[captureFilter] = config
	return nil
}

// state keeps what a format makes of a request, unless that is empty.
func state(key, format string) *filterstatev3.FilterStateValue {
	return &filterstatev3.FilterStateValue{
		Key:        &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: key},
		FactoryKey: "envoy.hashable_string",
		Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: format},
			}},
			OmitEmptyValues: true,
		}},
		SkipIfEmpty: true,
	}
}
