package envoy

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	configrbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/meshc/meshc/compiler/snapshot"
)

// accessFilter returns the filter that closes the connections of clients whom
// l does not admit; without a rule that is everybody's.
func accessFilter(l snapshot.Listener) (*listenerv3.Filter, error) {
	rules := &configrbacv3.RBAC{Action: configrbacv3.RBAC_ALLOW, Policies: map[string]*configrbacv3.Policy{}}
	for _, r := range l.Access.Rules.All() {
		p := &configrbacv3.Policy{Permissions: []*configrbacv3.Permission{{Rule: &configrbacv3.Permission_Any{Any: true}}}}
		for _, c := range r.Clients.All() {
			p.Principals = append(p.Principals, principal(c))
		}
		if len(p.Principals) > 0 { // Envoy refuses a policy of nobody
			rules.Policies[r.Name] = p
		}
	}
	config, err := pack(&rbacv3.RBAC{StatPrefix: statPrefix.Replace(l.Name) + "_", Rules: rules})
	if err != nil {
		return nil, err
	}
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.rbac",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config},
	}, nil
}

// principal is a client whose certificate has all of c's URIs.
func principal(c snapshot.Client) *configrbacv3.Principal {
	if c.URIs.Len() == 0 {
		return &configrbacv3.Principal{Identifier: &configrbacv3.Principal_Any{Any: true}}
	}
	var all []*configrbacv3.Principal
	for _, u := range c.URIs.All() {
		all = append(all, &configrbacv3.Principal{Identifier: &configrbacv3.Principal_Authenticated_{
			Authenticated: &configrbacv3.Principal_Authenticated{PrincipalName: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: u},
			}},
		}})
	}
	if len(all) == 1 {
		return all[0]
	}
	return &configrbacv3.Principal{Identifier: &configrbacv3.Principal_AndIds{AndIds: &configrbacv3.Principal_Set{Ids: all}}}
}
