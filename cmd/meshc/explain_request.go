package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// requestAnswer is what a request meets, as the JSON of explain --host.
type requestAnswer struct {
	Proxy       string       `json:"proxy"`
	Listener    *placed      `json:"listener,omitempty"` // nothing below it where no listener takes the request
	VirtualHost *placed      `json:"virtualHost,omitempty"`
	Route       *placed      `json:"route,omitempty"`
	Policies    []choiceJSON `json:"policies,omitempty"`
	Targets     []targetJSON `json:"targets,omitempty"`
	// Answer is what the client gets where the request goes nowhere.
	Answer string `json:"answer,omitempty"`

	choices []compiler.Choice
}

// placed is something of the snapshot, and where it comes from.
type placed struct {
	Name   string       `json:"name"`
	Places []diag.Place `json:"places"`
}

type choiceJSON struct {
	Kind    string       `json:"kind"`
	Applied []policyJSON `json:"applied"`
	Lost    []lostJSON   `json:"lost,omitempty"`
}

type lostJSON struct {
	policyJSON
	Why string `json:"why"`
}

type targetJSON struct {
	placed
	Weight    uint32         `json:"weight"`
	Endpoints []endpointJSON `json:"endpoints"`
}

type endpointJSON struct {
	Address string `json:"address"` // HOST:PORT
	Weight  uint32 `json:"weight,omitempty"`
	// Permissions are the TrafficPermissions that admit the proxy there, where
	// mTLS asks for one, and Refused says that none does.
	Permissions []string `json:"permissions,omitempty"`
	Refused     bool     `json:"refused,omitempty"`
}

// asker answers for one request.
type asker struct {
	snap      snapshot.Snapshot
	documents map[string]*schema.Document // by ID
	explainer *compiler.Explainer
	headers   filter.Headers
}

// requestOf returns the request that the flags describe.
func requestOf(c *cli.Context) (h filter.Headers, err error) {
	path := c.String("path")
	if !strings.HasPrefix(path, "/") {
		return h, failed("--path %q does not begin with /", path)
	}
	h.Add(":method", c.String("method"))
	h.Add(":scheme", "http")
	h.Add(":authority", c.String("host"))
	h.Add(":path", path)
	for _, line := range c.StringSlice("header") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return h, failed("--header %q is not NAME: VALUE", line)
		}
		h.Add(strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value))
	}
	return h, nil
}

// answer says what the request meets at a proxy.
func (a *asker) answer(proxyID string) (out requestAnswer, err error) {
	out.Proxy = proxyID
	l, ok := a.listener(proxyID)
	if !ok {
		out.Answer = "no outbound of the dataplane is for this host: name the service or the ADDRESS:PORT of one"
		return out, nil
	}
	out.Listener = a.placed(l.Name, l.Sources)
	if l.Protocol == snapshot.TCP {
		a.policies(&out, proxyID, l, "")
		a.targets(&out, proxyID, l.Targets)
		return out, nil
	}
	host, route, err := proxy.Lookup(l, &a.headers)
	if err != nil {
		return out, err
	}
	if host < 0 {
		out.Answer = "404: no virtual host has this host"
		return out, nil
	}
	vh := l.VirtualHosts.At(host)
	out.VirtualHost = a.placed(vh.Name, vh.Sources)
	if route < 0 {
		out.Answer = "404: no route of the virtual host matches"
		return out, nil
	}
	r := vh.Routes.At(route)
	out.Route = a.placed(r.Name, vh.Sources)
	a.policies(&out, proxyID, l, r.Name)
	a.targets(&out, proxyID, r.Targets)
	return out, nil
}

// listener returns the listener of a proxy that the request is for: the
// gateway's, or the one of a dataplane whose address or service is its host.
func (a *asker) listener(proxyID string) (snapshot.Listener, bool) {
	host := a.headers.Value(":authority")
	for _, p := range a.snap.Proxies.All() {
		if p.ID != proxyID {
			continue
		}
		for _, l := range p.Listeners.All() {
			switch {
			case l.Direction == snapshot.Gateway,
				net.JoinHostPort(l.Address, strconv.Itoa(int(l.Port))) == host,
				l.Direction == snapshot.Outbound && (l.Service == host || l.Service+".mesh" == host):
				return l, true
			}
		}
	}
	return snapshot.Listener{}, false
}

// policies fills in what applies to the request, and why.
func (a *asker) policies(out *requestAnswer, proxyID string, l snapshot.Listener, route string) {
	if l.Direction == snapshot.Gateway {
		if mesh, service, ok := a.explainer.Service(route); ok {
			out.choices = a.explainer.Gateway(mesh, service)
		}
	} else if p, ok := a.explainer.Proxy(proxyID); ok {
		address := net.JoinHostPort(l.Address, strconv.Itoa(int(l.Port)))
		for _, in := range p.Inbounds {
			if in.Address == address {
				out.choices = in.Choices
			}
		}
		for _, o := range p.Outbounds {
			if o.Address == address {
				whole, _ := targetsOf(o.Split)
				out.choices = append(append(o.Choices, whole...), p.Choices...)
			}
		}
	}
	for _, c := range out.choices {
		j := choiceJSON{Kind: c.Kind}
		for _, d := range c.Applied {
			j.Applied = append(j.Applied, policyOf(d))
		}
		for _, l := range c.Lost {
			j.Lost = append(j.Lost, lostJSON{policyOf(l.Policy), l.Why})
		}
		out.Policies = append(out.Policies, j)
	}
}

// targets fills in where the request goes.
func (a *asker) targets(out *requestAnswer, proxyID string, targets snapshot.List[snapshot.Target]) {
	clusters, sets := map[string]snapshot.Cluster{}, map[string]snapshot.EndpointSet{}
	for _, c := range a.snap.Clusters.All() {
		clusters[c.Name] = c
	}
	for _, s := range a.snap.Endpoints.All() {
		sets[s.Name] = s
	}
	all, refused := 0, 0
	for _, t := range targets.All() {
		set := sets[clusters[t.Cluster].EndpointsName()]
		j := targetJSON{placed: *a.placed(t.Cluster, set.Sources), Weight: t.Weight, Endpoints: []endpointJSON{}}
		for _, e := range set.Endpoints.All() {
			to := endpointJSON{Address: net.JoinHostPort(e.Address, strconv.Itoa(int(e.Port))), Weight: e.Weight}
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
	}
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

func (a *asker) placed(name string, sources snapshot.List[string]) *placed {
	p := &placed{Name: name, Places: []diag.Place{}}
	for _, id := range sources.All() {
		if d := a.documents[id]; d != nil {
			p.Places = append(p.Places, placeOf(d))
		}
	}
	return p
}

// write writes the answer for a reader.
func (r *requestAnswer) write(w *strings.Builder) {
	line := func(what string, p *placed) {
		if p == nil {
			return
		}
		fmt.Fprintf(w, "%-13s %s", what, p.Name)
		for i, place := range p.Places {
			if i == maxPlaces {
				fmt.Fprintf(w, "  and %d more", len(p.Places)-i)
				break
			}
			fmt.Fprintf(w, "  %s", place)
		}
		w.WriteByte('\n')
	}
	line("proxy", &placed{Name: r.Proxy})
	line("listener", r.Listener)
	line("virtual host", r.VirtualHost)
	line("route", r.Route)
	if len(r.choices) > 0 {
		w.WriteString("policies\n")
		writeChoices(w, "  ", r.choices)
	}
	var sum uint64
	for _, t := range r.Targets {
		sum += uint64(t.Weight)
	}
	for _, t := range r.Targets {
		line("cluster", &t.placed)
		if len(r.Targets) > 1 {
			fmt.Fprintf(w, "  gets %s\n", percent(uint64(t.Weight), sum))
		}
		for i, e := range t.Endpoints {
			if i == maxEndpoints {
				fmt.Fprintf(w, "  and %d more endpoints\n", len(t.Endpoints)-i)
				break
			}
			fmt.Fprintf(w, "  endpoint %s", e.Address)
			if e.Refused {
				w.WriteString("  refuses: no TrafficPermission admits this proxy")
			} else if len(e.Permissions) > 0 {
				fmt.Fprintf(w, "  admits, by TrafficPermission %s", strings.Join(e.Permissions, ", "))
			}
			w.WriteByte('\n')
		}
		if len(t.Endpoints) == 0 {
			w.WriteString("  no endpoint: 503\n")
		}
	}
	if r.Answer != "" {
		fmt.Fprintf(w, "%-13s %s\n", "answer", r.Answer)
	}
}

// What a reader is shown at most of a long list; JSON has all.
const (
	maxPlaces    = 3
	maxEndpoints = 10
)
