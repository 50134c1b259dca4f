package compiler

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// caller is what the policies of the caller's side are to one proxy in one mesh.
type caller struct {
	mesh                                        string
	at                                          place
	routes, timeouts, retries, checks, breakers outlook
}

// callerOf returns the caller that a proxy with these tag sets is.
func (b *build) callerOf(mesh string, sets ...map[string]string) *caller {
	look := func(kind string) outlook { return b.rules("kuma/"+kind, mesh).of(sets...) }
	return &caller{mesh, b.placeOf(mesh, sets), look("TrafficRoute"), look("Timeout"), look("Retry"), look("HealthCheck"), look("CircuitBreaker")}
}

// passage is how traffic to a service goes on from one caller: where it leads,
// and what acts on it on the way. It is not changed once made.
type passage struct {
	to                    serviceKey       // the service that is asked for
	asked                 []serviceKey     // others that a route names
	own                   *service         // what to stands for; nil where nobody defines it
	route, timeout, retry *schema.Document // those that apply, or nil
	arms                  []arm
	// http are the requests that the route sends elsewhere or changes, in order.
	http []exception
}

// exception is one of a TrafficRoute's conf.http.
type exception struct {
	rule *kuma.HTTPRoute
	arms []arm
}

// everywhere iterates over all that p leads to.
func (p *passage) everywhere() iter.Seq[arm] {
	return func(yield func(arm) bool) {
		for _, a := range p.arms {
			if !yield(a) {
				return
			}
		}
		for _, x := range p.http {
			for _, a := range x.arms {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// eachUse calls f for all that p leads to.
func (p *passage) eachUse(f func(*clusterUse)) {
	for i := range p.arms {
		f(&p.arms[i].clusterUse)
	}
	for i := range p.http {
		for j := range p.http[i].arms {
			f(&p.http[i].arms[j].clusterUse)
		}
	}
}

// nowhere is the passage of listeners that lead to no service.
var nowhere = &passage{}

// arm is one part of a split: a cluster and its weight.
type arm struct {
	clusterUse
	weight uint32
}

// treatment is those policies of the caller's side that say how a cluster is
// spoken to; nil for none.
type treatment struct{ breaker, check, route, timeout *schema.Document }

// suffix names t in the name of a cluster, "" where there is none: by the names
// of policies, so that the cluster stays the same one when they change.
func (t treatment) suffix() string {
	if t == (treatment{}) {
		return ""
	}
	var parts []string
	for _, of := range []struct {
		kind string // sorted
		doc  *schema.Document
	}{{"circuitbreaker", t.breaker}, {"healthcheck", t.check}, {"route", t.route}, {"timeout", t.timeout}} {
		if of.doc != nil {
			parts = append(parts, of.kind+"="+of.doc.Name)
		}
	}
	return "~" + strings.Join(parts, ",")
}

// docs returns the policies of t.
func (t treatment) docs() []*schema.Document {
	return slices.DeleteFunc([]*schema.Document{t.breaker, t.check, t.route, t.timeout}, func(d *schema.Document) bool { return d == nil })
}

// passage returns how traffic goes from c to a destination with tags.
func (b *build) passage(c *caller, tags map[string]string) *passage {
	name := tags[kuma.ServiceTag]
	to := serviceKey{c.mesh, name}
	p := &passage{to: to, own: b.service(to), route: c.routes.winner(name), timeout: c.timeouts.winner(name)}
	var shares *kuma.Shares
	if p.route != nil {
		shares = &p.route.Body.(*kuma.TrafficRoute).Conf.Shares
	}
	p.arms = b.armsOf(c, p, tags, shares)
	if p.route != nil {
		rules := p.route.Body.(*kuma.TrafficRoute).Conf.HTTP
		for i := range rules {
			p.http = append(p.http, exception{&rules[i], b.armsOf(c, p, tags, &rules[i].Shares)})
		}
	}
	if leadsTo(p.route, name) {
		p.retry = c.retries.winner(name)
	}
	return p
}

// armsOf returns where the traffic of p to a destination with tags goes by
// shares, with what c's policies do to each part.
func (b *build) armsOf(c *caller, p *passage, tags map[string]string, shares *kuma.Shares) []arm {
	arms := b.split(p, tags, c.at, shares)
	for i := range arms {
		a := &arms[i]
		t := treatment{breaker: c.breakers.winner(a.service.name), check: c.checks.winner(a.service.name), timeout: p.timeout}
		if balances(p.route) {
			t.route = p.route
		}
		a.clusterUse = newUse(a.service, a.tags, c.at, t)
	}
	return arms
}

// leadsTo reports whether a route sends some of the traffic to a service to that
// service. Only then a Retry for it applies (Kuma's rule).
func leadsTo(route *schema.Document, name string) bool {
	if route == nil {
		return true
	}
	conf := &route.Body.(*kuma.TrafficRoute).Conf
	leads := func(part kuma.Split) bool {
		to := part.Destination[kuma.ServiceTag]
		return to == name || to == "*"
	}
	return slices.ContainsFunc(conf.Arms(), leads) ||
		slices.ContainsFunc(conf.HTTP, func(r kuma.HTTPRoute) bool { return slices.ContainsFunc(r.Arms(), leads) })
}

// split returns where traffic to a destination with tags goes by the shares of a
// route, each part as the service itself has it. A wildcard in a destination of
// the route stands for the value in tags, or for any where there is none, and
// what tags has and the route's destination does not name is added (Kuma's rule);
// without shares all goes to the destination itself. Arms of weight 0 and arms
// whose service nobody defines are left out.
func (b *build) split(p *passage, tags map[string]string, at place, shares *kuma.Shares) []arm {
	if shares == nil && len(tags) == 1 { // nearly all, and quickly done
		if p.own != nil {
			return []arm{{newUse(p.own, b.near(p.own), at, treatment{}), 1}}
		}
		return nil
	}
	var arms []arm
	add := func(destination map[string]string, weight uint32) {
		key := serviceKey{p.to.mesh, destination[kuma.ServiceTag]}
		s := b.service(key)
		if key != p.to {
			p.asked = append(p.asked, key)
		}
		if s == nil || weight == 0 {
			return
		}
		a := arm{newUse(s, b.subset(s, destination), at, treatment{}), weight}
		for i := range arms {
			if arms[i].name == a.name {
				arms[i].weight += weight
				return
			}
		}
		arms = append(arms, a)
	}
	if shares == nil {
		add(tags, 1)
		return arms
	}
	for _, part := range shares.Arms() {
		add(destination(tags, part.Destination), part.Weight)
	}
	return arms
}

// subset returns the tags of the endpoints of s that a destination means; nil
// for all, as nearly always.
func (b *build) subset(s *service, destination map[string]string) map[string]string {
	if _, named := destination[kuma.ServiceTag]; named && len(destination) == 1 {
		return b.near(s)
	}
	out := maps.Clone(destination)
	delete(out, kuma.ServiceTag)
	maps.Copy(out, b.near(s))
	return out
}

// protocol is what p carries: what all the services that it leads to speak, as
// a service's is what all its endpoints speak. unstated is what a service speaks
// whose documents say nothing.
func (p *passage) protocol(unstated string) string {
	out, first := "", true
	for a := range p.everywhere() {
		next := a.service.protocol
		if next == "" {
			next = unstated
		}
		out, first = commonProtocol(out, next, first), false
	}
	return out
}

// routesHTTP reports whether a proxy looks into a protocol; else it carries the bytes.
func routesHTTP(protocol string) bool {
	return protocol == "http" || protocol == "http2" || protocol == "grpc"
}

// listens is the protocol of a listener for what is carried.
func listens(protocol string) snapshot.Protocol {
	if routesHTTP(protocol) {
		return snapshot.HTTP
	}
	return snapshot.TCP
}

// plain reports that nothing applies to p, and all of it goes to its own service.
func (p *passage) plain() bool {
	return p.route == nil && p.timeout == nil && p.retry == nil && len(p.arms) == 1 && p.arms[0].treatment == (treatment{}) && p.arms[0].from == (place{})
}

// policies returns the documents that p rests on, for its Sources.
func (p *passage) policies() []*schema.Document {
	out := slices.DeleteFunc([]*schema.Document{p.route, p.timeout, p.retry}, func(d *schema.Document) bool { return d == nil })
	return out
}

// appendInputs adds what something made from p depends on, for a memo.
func (p *passage) appendInputs(inputs []any) []any {
	inputs = append(inputs, p.own, p.route, p.timeout, p.retry)
	for a := range p.everywhere() {
		inputs = append(inputs, a.service)
		if a.treatment != (treatment{}) {
			inputs = append(inputs, a.treatment)
		}
		if a.from != (place{}) {
			inputs = append(inputs, a.from)
		}
	}
	return inputs
}

// lower sets what t says of a cluster that speaks protocol.
func (t treatment) lower(c *snapshot.Cluster, protocol string) {
	if t.timeout != nil {
		lowerTimeout(c, t.timeout.Body.(*kuma.Timeout), protocol)
	}
	if t.route != nil {
		lowerBalancing(c, t.route.Body.(*kuma.TrafficRoute).Conf.LoadBalancer)
	}
	if t.check != nil {
		lowerHealthCheck(c, t.check.Body.(*kuma.HealthCheck), protocol)
	}
	if t.breaker != nil {
		lowerCircuitBreaker(c, t.breaker.Body.(*kuma.CircuitBreaker))
	}
}
