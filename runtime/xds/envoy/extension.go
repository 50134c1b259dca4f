package envoy

import (
	"errors"
	"fmt"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	actionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// Use is one place of a listener where a filter runs.
type Use struct {
	// Name is that of the extension, and of the listener's filter.
	Name string
	// Type is the type URL of the kind's own message.
	Type string
	// PerRoute says that the filter runs only for routes that enable it.
	PerRoute bool
}

// Log is an access logger of a listener.
type Log struct {
	// Name is what a route calls it by (snapshot.Filter.Ref).
	Name string
	// Config is its typed_config.
	Config proto.Message
	// PerRoute says that it logs only what goes by routes that name it.
	PerRoute bool
}

// Attached is what the filters of a listener come to in it, in their order.
type Attached struct {
	Uses    []Use
	Logs    []Log
	Tracing *hcmv3.HttpConnectionManager_Tracing // nil for none
}

// matcherType is what an extension may hold in place of its kind's message.
var matcherType = typeURL(&matchingv3.ExtensionWithMatcher{})

// ExtensionName returns the name of f's extension in one proxy: uses of one
// document are the same in all its listeners of one protocol.
func ExtensionName(f snapshot.Filter, tcp bool) string {
	if tcp {
		return f.Kind + "-tcp/" + f.Name
	}
	return f.Kind + "/" + f.Name
}

// Extension returns the ECDS resource of f, of which config is the kind's own
// message, and the type URL of config.
func Extension(f snapshot.Filter, tcp bool, config proto.Message) (e *corev3.TypedExtensionConfig, typ string, err error) {
	if m, ok := config.(message); ok {
		if _, err := checked(m); err != nil {
			return nil, "", err
		}
	}
	e = &corev3.TypedExtensionConfig{Name: ExtensionName(f, tcp)}
	if e.TypedConfig, err = Any(config); err != nil {
		return nil, "", err
	}
	typ = e.TypedConfig.TypeUrl
	matched := f.Match.PathPrefix != "" || f.Match.Methods.Len() > 0
	if tcp && (matched || f.PerRoute) {
		return nil, "", errors.New("a connection has no path, method or route that a filter could be chosen by")
	}
	if matched {
		m, err := whereMatched(e, f.Match)
		if err != nil {
			return nil, "", err
		}
		if e.TypedConfig, err = pack(m); err != nil {
			return nil, "", err
		}
	}
	e, err = checked(e)
	return e, typ, err
}

// whereMatched returns e as one that passes by the requests that do not match.
func whereMatched(e *corev3.TypedExtensionConfig, m snapshot.FilterMatch) (*matchingv3.ExtensionWithMatcher, error) {
	var all []*xdsmatcherv3.Matcher_MatcherList_Predicate
	if m.PathPrefix != "" {
		p, err := requestHeader(":path", &xdsmatcherv3.StringMatcher{
			MatchPattern: &xdsmatcherv3.StringMatcher_Prefix{Prefix: m.PathPrefix},
		})
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	var methods []*xdsmatcherv3.Matcher_MatcherList_Predicate
	for _, method := range m.Methods.All() {
		p, err := requestHeader(":method", &xdsmatcherv3.StringMatcher{
			MatchPattern: &xdsmatcherv3.StringMatcher_Exact{Exact: method},
		})
		if err != nil {
			return nil, err
		}
		methods = append(methods, p)
	}
	switch len(methods) {
	case 0:
	case 1:
		all = append(all, methods[0])
	default:
		all = append(all, &xdsmatcherv3.Matcher_MatcherList_Predicate{
			MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_OrMatcher{
				OrMatcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_PredicateList{Predicate: methods},
			},
		})
	}
	met := all[0]
	if len(all) > 1 {
		met = &xdsmatcherv3.Matcher_MatcherList_Predicate{
			MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_AndMatcher{
				AndMatcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_PredicateList{Predicate: all},
			},
		}
	}
	skip, err := pack(&actionv3.SkipFilter{})
	if err != nil {
		return nil, err
	}
	return &matchingv3.ExtensionWithMatcher{
		ExtensionConfig: e,
		XdsMatcher: &xdsmatcherv3.Matcher{MatcherType: &xdsmatcherv3.Matcher_MatcherList_{
			MatcherList: &xdsmatcherv3.Matcher_MatcherList{Matchers: []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher{{
				Predicate: &xdsmatcherv3.Matcher_MatcherList_Predicate{
					MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_NotMatcher{NotMatcher: met},
				},
				OnMatch: &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
					Action: &xdscorev3.TypedExtensionConfig{Name: "skip", TypedConfig: skip},
				}},
			}}},
		}},
	}, nil
}

func requestHeader(name string, value *xdsmatcherv3.StringMatcher) (*xdsmatcherv3.Matcher_MatcherList_Predicate, error) {
	input, err := pack(&matcherv3.HttpRequestHeaderMatchInput{HeaderName: name})
	if err != nil {
		return nil, err
	}
	return where(&xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: input}, value), nil
}

// where is met where an input has a value.
func where(input *xdscorev3.TypedExtensionConfig, value *xdsmatcherv3.StringMatcher) *xdsmatcherv3.Matcher_MatcherList_Predicate {
	return &xdsmatcherv3.Matcher_MatcherList_Predicate{
		MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
			SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
				Input:   input,
				Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: value},
			},
		},
	}
}

// discovery returns where a listener's filter finds its configuration. For
// HTTP both forms of an extension are allowed, so that a condition that comes
// or goes changes the extension alone.
func (u Use) discovery(tcp bool) *corev3.ExtensionConfigSource {
	types := []string{u.Type}
	if !tcp {
		types = append(types, matcherType)
	}
	return &corev3.ExtensionConfigSource{ConfigSource: awaited(), TypeUrls: types}
}

// enabled is what a route says of a filter that is disabled by default. An
// Any without a type means: with the configuration that the filter has.
func enabled() (*anypb.Any, error) {
	return pack(&routev3.FilterConfig{Config: &anypb.Any{}})
}

func typeURL(m proto.Message) string {
	return fmt.Sprintf("type.googleapis.com/%s", m.ProtoReflect().Descriptor().FullName())
}
