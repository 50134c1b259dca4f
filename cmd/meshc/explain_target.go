package main

import (
	"net"
	"slices"
	"strconv"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/diag"
)

// targets fills in where the request goes.
func (a *asker) targets(out *requestAnswer, proxyID string, l snapshot.Listener, targets snapshot.List[snapshot.Target], hash snapshot.List[snapshot.HashKey]) {
	clusters, sets := map[string]snapshot.Cluster{}, map[string]snapshot.EndpointSet{}
	for _, c := range a.snap.Clusters.All() {
		clusters[c.Name] = c
	}
	for _, s := range a.snap.Endpoints.All() {
		sets[s.Name] = s
	}
	all, refused := 0, 0
	shares := a.shares(proxyID, l, targets)
	_, each := targetsOf(slices.Values(shares))
	for i, t := range targets.All() {
		set := sets[clusters[t.Cluster].EndpointsName()]
		switch clusters[t.Cluster].Balancing {
		case snapshot.RingHash, snapshot.Maglev, snapshot.ClientIP:
			out.Hash = keyNames(hash)
		}
		from := set.Sources
		if l.Direction == snapshot.Inbound {
			from = l.Sources // the application beside the proxy; clusters of such are shared
		}
		j := targetJSON{placed: *a.placed(t.Cluster, from), Weight: t.Weight, Endpoints: []endpointJSON{}}
		if each {
			j.choices = shares[i].Choices
			j.Policies = reasonsOf(j.choices)
		}
		for _, e := range set.Endpoints.All() {
			to := endpointJSON{Address: net.JoinHostPort(e.Address, strconv.Itoa(int(e.Port))), Weight: e.Weight, Priority: e.Priority, Place: a.endpointPlace(set, e)}
			if d, zone := a.explainer.Ingress(e.Address, e.Port); d != nil && to.Place == nil {
				at := placeOf(d)
				to.Place, to.Zone = &at, &zone
			}
			if mesh := meshOf(clusters[t.Cluster], e); mesh != "" {
				to.Permissions, to.Refused = a.admitted(proxyID, mesh, e)
			}
			if to.Refused {
				refused++
			}
			all++
			j.Endpoints = append(j.Endpoints, to)
		}
		out.Targets = append(out.Targets, j)
	}
	if all > 0 && refused == all {
		out.Answer = "refused: no TrafficPermission at its destination admits " + proxyID
	}
	if len(out.Targets) == 0 {
		out.Answer = "503: nothing is behind it"
		if l.Protocol != snapshot.HTTP {
			out.Answer = "closed: nothing is behind it"
		}
	}
}

// keyNames names what endpoints are chosen by.
func keyNames(hash snapshot.List[snapshot.HashKey]) []string {
	var out []string
	for _, k := range hash.All() {
		switch {
		case k.Header != "":
			out = append(out, "header "+k.Header)
		case k.Capture != "":
			out = append(out, "part "+k.Capture+" of the path")
		case k.Query != "":
			out = append(out, "query parameter "+k.Query)
		case k.Cookie != "":
			return append(out, "cookie "+k.Cookie+", which is set where it is missing")
		case k.Path:
			return append(out, "path")
		default:
			return append(out, "client address")
		}
	}
	if len(out) == 0 {
		return []string{"client address"}
	}
	return append(out, "chance")
}

// meshOf returns the mesh whose certificates are shown at an endpoint of c, or "".
func meshOf(c snapshot.Cluster, e snapshot.Endpoint) string {
	for _, t := range c.Transports.All() {
		if t.Name == e.Transport {
			return t.Mesh
		}
	}
	return ""
}

// admitted returns the permissions by which the inbound at e admits a proxy, and
// whether it refuses it.
func (a *asker) admitted(proxyID, mesh string, e snapshot.Endpoint) (names []string, refused bool) {
	own := map[string]bool{}
	var access snapshot.Access
	for _, p := range a.snap.Proxies.All() {
		for _, id := range p.Identities.All() {
			if p.ID == proxyID && id.Mesh == mesh {
				for _, uri := range id.URIs.All() {
					own[uri] = true
				}
			}
		}
		for _, l := range p.Listeners.All() {
			if l.Direction == snapshot.Inbound && l.TLS == mesh && l.Address == e.Address && l.Port == e.Port {
				access = l.Access
			}
		}
	}
	if !access.Enforced {
		return nil, false
	}
	for _, r := range access.Rules.All() {
		if slices.ContainsFunc(r.Clients.Slice(), func(c snapshot.Client) bool {
			return !slices.ContainsFunc(c.URIs.Slice(), func(uri string) bool { return !own[uri] })
		}) {
			names = append(names, r.Name)
		}
	}
	return names, len(names) == 0
}

// endpointPlace is where a document defines an endpoint of a set, or nil.
func (a *asker) endpointPlace(set snapshot.EndpointSet, e snapshot.Endpoint) *diag.Place {
	for _, id := range set.Sources.All() {
		if d := a.documents[id]; d != nil {
			if at, ok := compiler.EndpointPlace(d, e); ok {
				return &at
			}
		}
	}
	return nil
}

func (a *asker) placed(name string, sources snapshot.List[string]) *placed {
	p := &placed{Name: name, Places: []diag.Place{}}
	for _, id := range sources.All() {
		if d := a.documents[id]; d != nil {
			p.Places = append(p.Places, placeOf(d))
		}
	}
	return p
}
