package xds_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// service is one cluster of a test's world.
type service struct {
	name      string
	endpoints []snapshot.Endpoint
	timeout   time.Duration // 0 means one second
	tcp       bool
	clientIP  bool
	dns       bool
	http2     bool
	more      func(*snapshot.Cluster) // what is beside these
}

func at(address string, port uint16) snapshot.Endpoint {
	return snapshot.Endpoint{Address: address, Port: port}
}

// world returns a sealed snapshot of proxies and the services they name. Each
// service comes from document svc/NAME in NAME.yaml, line 3.
func world(services []service, proxies ...snapshot.Proxy) snapshot.Snapshot {
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b service) int { return strings.Compare(a.name, b.name) })
	slices.SortFunc(proxies, func(a, b snapshot.Proxy) int { return strings.Compare(a.ID, b.ID) })
	var clusters []snapshot.Cluster
	var sets []snapshot.EndpointSet
	var origins []snapshot.Origin
	for _, s := range services {
		c := snapshot.Cluster{
			Name: s.name, Service: s.name, Protocol: snapshot.HTTP, Discovery: snapshot.Static,
			Balancing: snapshot.RoundRobin, ConnectTimeout: snapshot.Duration(time.Second),
			Sources: snapshot.ListOf("svc/" + s.name),
		}
		if s.timeout != 0 {
			c.ConnectTimeout = snapshot.Duration(s.timeout)
		}
		if s.tcp {
			c.Protocol = snapshot.TCP
		}
		if s.clientIP {
			c.Balancing = snapshot.ClientIP
		}
		c.HTTP2 = s.http2
		if s.dns {
			c.Discovery = snapshot.DNS
		}
		if s.more != nil {
			s.more(&c)
		}
		clusters = append(clusters, c)
		if c.Endpoints == "" {
			sets = append(sets, snapshot.EndpointSet{Name: s.name, Endpoints: snapshot.ListOf(s.endpoints...), Sources: c.Sources})
		}
		origins = append(origins, snapshot.Origin{ID: "svc/" + s.name, File: s.name + ".yaml", Line: 3, Column: 1})
	}
	return snapshot.Seal(snapshot.Snapshot{
		Proxies: snapshot.ListOf(proxies...), Clusters: snapshot.ListOf(clusters...),
		Endpoints: snapshot.ListOf(sets...), Origins: snapshot.ListOf(origins...),
	})
}

// gateway returns the gateway proxy with one virtual host a service, whose
// name is its domain.
func gateway(services ...string) snapshot.Proxy {
	var hosts []snapshot.VirtualHost
	for _, s := range services {
		hosts = append(hosts, host(s, []string{s}, "/", s))
	}
	return proxy(snapshot.GatewayID, snapshot.Listener{
		Name: "gateway", Direction: snapshot.Gateway, Protocol: snapshot.HTTP, VirtualHosts: snapshot.ListOf(hosts...),
	})
}

// host returns a virtual host with one route that splits evenly. Its source
// is that of the first cluster.
func host(name string, domains []string, prefix string, clusters ...string) snapshot.VirtualHost {
	h := snapshot.VirtualHost{
		Name: name, Domains: snapshot.ListOf(domains...),
		Routes: snapshot.ListOf(snapshot.Route{Name: name, PathPrefix: prefix, Targets: targets(clusters...)}),
	}
	if len(clusters) > 0 {
		h.Sources = snapshot.ListOf("svc/" + clusters[0])
	}
	return h
}

func targets(clusters ...string) snapshot.List[snapshot.Target] {
	var out []snapshot.Target
	for _, c := range clusters {
		out = append(out, snapshot.Target{Cluster: c, Weight: 1})
	}
	return snapshot.ListOf(out...)
}

func proxy(id string, listeners ...snapshot.Listener) snapshot.Proxy {
	slices.SortFunc(listeners, func(a, b snapshot.Listener) int { return strings.Compare(a.Name, b.Name) })
	return snapshot.Proxy{ID: id, Listeners: snapshot.ListOf(listeners...)}
}

// outbound returns an HTTP listener of a dataplane.
func outbound(port uint16, hosts ...snapshot.VirtualHost) snapshot.Listener {
	return snapshot.Listener{
		Name: fmt.Sprintf("outbound:127.0.0.1:%d", port), Direction: snapshot.Outbound, Protocol: snapshot.HTTP,
		Address: "127.0.0.1", Port: port, VirtualHosts: snapshot.ListOf(hosts...),
	}
}

// outboundTCP returns a TCP listener of a dataplane.
func outboundTCP(port uint16, clusters ...string) snapshot.Listener {
	return snapshot.Listener{
		Name: fmt.Sprintf("outbound:127.0.0.1:%d", port), Direction: snapshot.Outbound, Protocol: snapshot.TCP,
		Address: "127.0.0.1", Port: port, Targets: targets(clusters...),
	}
}
