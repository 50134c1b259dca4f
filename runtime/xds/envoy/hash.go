package envoy

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshc/meshc/compiler/snapshot"
)

// hashPolicy says what clusters that choose by hash choose by; the first key that
// a request has is all that counts. It is set on each route, so that routes do not
// depend on how their clusters choose.
func hashPolicy(r snapshot.Route) []*routev3.RouteAction_HashPolicy {
	address := &routev3.RouteAction_HashPolicy_ConnectionProperties_{
		ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
	}
	keys := hashKeys(r)
	if len(keys) == 0 {
		return []*routev3.RouteAction_HashPolicy{{PolicySpecifier: address}}
	}
	out := make([]*routev3.RouteAction_HashPolicy, 0, len(keys))
	for _, k := range keys {
		p := &routev3.RouteAction_HashPolicy{Terminal: true}
		switch {
		case k.ClientIP:
			p.PolicySpecifier = address
		case k.Path || k.Capture != "":
			p.PolicySpecifier = &routev3.RouteAction_HashPolicy_FilterState_{
				FilterState: &routev3.RouteAction_HashPolicy_FilterState{Key: stateOf(k)},
			}
		case k.Header != "":
			p.PolicySpecifier = &routev3.RouteAction_HashPolicy_Header_{
				Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: k.Header},
			}
		case k.Cookie != "":
			p.PolicySpecifier = &routev3.RouteAction_HashPolicy_Cookie_{
				// A Ttl has Envoy set the cookie; that of 0 is one of the client's session.
				Cookie: &routev3.RouteAction_HashPolicy_Cookie{Name: k.Cookie, Path: k.CookiePath, Ttl: durationpb.New(0)},
			}
		case k.Query != "":
			p.PolicySpecifier = &routev3.RouteAction_HashPolicy_QueryParameter_{
				QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: k.Query},
			}
		}
		out = append(out, p)
	}
	return out
}
