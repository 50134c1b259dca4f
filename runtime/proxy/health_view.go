package proxy

import (
	"slices"
	"time"
)

// ClusterHealth is what the proxy knows of the endpoints of a cluster.
type ClusterHealth struct {
	Cluster string `json:"cluster"`
	Service string `json:"service"`
	// Proxy is the one whose certificate is shown on the connections, where one is.
	Proxy string `json:"proxy,omitempty"`
	// Panic says that so few are healthy that health is not looked at.
	Panic     bool             `json:"panic"`
	Active    int64            `json:"active"` // requests in flight
	Endpoints []EndpointHealth `json:"endpoints"`
}

// EndpointHealth is what the proxy knows of one endpoint.
type EndpointHealth struct {
	Address string `json:"address"` // IP:PORT
	Host    string `json:"host,omitempty"`
	Healthy bool   `json:"healthy"`
	// FailedChecks are the active checks that it does not pass: "http PATH" or "tcp".
	FailedChecks []string `json:"failedChecks,omitempty"`
	// EjectedUntil is when outlier detection lets it in again at the earliest,
	// which looks once in its interval; zero where it is not ejected.
	EjectedUntil time.Time `json:"ejectedUntil,omitzero"`
	Active       int64     `json:"active"` // requests and TCP connections in flight
}

// Health returns what is known of the endpoints of all clusters that serve,
// sorted by cluster and proxy. Names that are not resolved yet have none.
func (p *Proxy) Health() []ClusterHealth {
	out := []ClusterHealth{}
	gen := p.serving.Load()
	if gen == nil {
		return out
	}
	for _, c := range gen.clusters {
		h := ClusterHealth{Cluster: c.name, Service: c.service, Proxy: c.owner, Endpoints: []EndpointHealth{}, Active: c.state.load.requests.now.Load()}
		for _, e := range c.known() {
			h.Endpoints = append(h.Endpoints, c.healthOf(e))
		}
		h.Panic = c.panics()
		out = append(out, h)
	}
	return out
}

func (c *cluster) healthOf(e *endpoint) EndpointHealth {
	h := EndpointHealth{
		Address: e.pool.text, Host: e.hostname, Healthy: e.standing.healthy(), Active: e.standing.active.Load(),
		EjectedUntil: c.state.detector.until(c, e.standing),
	}
	for i := range c.checks {
		if !e.standing.has(firstCheck << i) {
			continue
		}
		kind := "tcp"
		if path := c.checks[i].HTTP.Path; path != "" {
			kind = "http " + path
		}
		h.FailedChecks = append(h.FailedChecks, kind)
	}
	return h
}

// panics reports whether endpoints of c are chosen though they are not healthy,
// or none is, because too few are.
func (c *cluster) panics() bool {
	m := &c.members
	if c.dns != nil {
		last := c.dns.last.Load()
		if last == nil {
			return false
		}
		m = last.members
	}
	if len(m.endpoints) == 0 {
		return false
	}
	chosen := m.view(c).endpoints
	return len(chosen) == 0 && c.balancing.failOnPanic && c.balancing.panic > 0 ||
		slices.ContainsFunc(chosen, func(e *endpoint) bool { return !e.standing.healthy() })
}
