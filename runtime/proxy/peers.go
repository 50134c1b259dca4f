package proxy

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// peers are what is known of a stream's or tunnel's connections.
type peers struct {
	l             *listener
	arm           *arm
	endpoint      *endpoint
	id            uint64
	remote, local netip.AddrPort
	down          net.Conn
	up            net.Conn      // nil without one
	ready         time.Duration // from the choice of endpoint to its connection, or to knowing that there is none
	unconnected   string        // why there is none
	tries         int           // of a stream
	sni           string        // likewise
}

func (c peers) property(path []string) (filter.Value, bool) {
	if len(path) == 0 {
		return nil, false
	}
	if len(path) == 1 {
		switch path[0] {
		case "connection_id":
			return c.id, true
		case "metadata": // no filter here sets any
			return []byte{}, true
		case "upstream_filter_state":
			return filter.Object{}, c.up != nil
		}
		return nil, false
	}
	name := path[0] + "." + path[1]
	if len(path) > 2 && name != "xds.node" && !strings.HasSuffix(name, "metadata") {
		return nil, false
	}
	switch name {
	case "metadata.filter_metadata":
		return &filter.Headers{}, len(path) == 2
	case "source.address":
		return c.remote.String(), true
	case "source.port":
		return int64(c.remote.Port()), true
	case "destination.address":
		return c.local.String(), true
	case "destination.port":
		return int64(c.local.Port()), true
	case "connection.id":
		return c.id, true
	case "connection.mtls":
		_, ok := tlsProperty(c.down, "sha256_peer_certificate_digest")
		return ok, true
	case "connection.requested_server_name":
		if c.l.chains == nil {
			return "", true // Envoy knows it from its inspector, which only those listeners have
		}
		return c.sni, true
	case "upstream.address":
		if c.endpoint != nil {
			return c.endpoint.pool.text, true
		}
	case "upstream.port":
		if c.endpoint != nil {
			return int64(c.endpoint.pool.address.Port()), true
		}
	case "upstream.local_address":
		if c.up != nil {
			return addressOf(c.up.LocalAddr()).String(), true
		}
	case "upstream.transport_failure_reason":
		return c.unconnected, c.endpoint != nil
	case "upstream.locality":
		return "", c.endpoint != nil
	case "upstream.num_endpoints":
		if c.arm != nil {
			return uint64(len(c.arm.cluster.known())), true
		}
	case "upstream.request_attempt_count":
		if c.tries == 0 && c.endpoint != nil {
			return uint64(1), true // of a tunnel
		}
		return uint64(c.tries), true // one that found no endpoint counts
	case "upstream.cx_pool_ready_duration":
		return c.ready, c.up != nil || c.ready > 0
	case "xds.node":
		if len(path) == 3 && path[2] == "id" {
			return c.l.proxy, true
		}
	case "xds.cluster_name":
		if c.arm != nil {
			return c.arm.cluster.name, true
		}
	case "xds.cluster_metadata":
		return metadata(path, c.arm != nil)
	case "xds.upstream_host_metadata", "xds.upstream_host_locality_metadata":
		return filter.Object{}, c.endpoint != nil && len(path) == 2
	case "xds.listener_metadata":
		return metadata(path, true)
	case "xds.filter_chain_name":
		return "", true
	case "xds.listener_direction":
		// envoy.config.core.v3.TrafficDirection
		switch c.l.direction {
		case snapshot.Inbound:
			return int64(1), true
		case snapshot.Outbound:
			return int64(2), true
		}
		return int64(0), true
	}
	switch {
	case len(path) > 2:
	case path[0] == "connection":
		return tlsProperty(c.down, path[1])
	case path[0] == "upstream":
		return tlsProperty(c.up, path[1])
	}
	return nil, false
}

// Property answers for a TCP connection.
func (t *tunnel) Property(path []string) (filter.Value, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(path) == 2 {
		switch path[0] + "." + path[1] {
		case "request.time":
			return t.start, true
		case "request.headers", "response.headers", "response.trailers":
			return &filter.Headers{}, true
		case "response.flags":
			return int64(0), true
		case "upstream.transport_failure_reason":
			return "", true
		case "request.size", "request.total_size":
			return sizes(path[1], t.watch.flows[filter.Request].moved.Load(), nil, nil)
		case "response.size", "response.total_size":
			return sizes(path[1], t.f.chain.Passed(filter.Response), nil, nil)
		}
	}
	c := peers{l: t.l, endpoint: t.endpoint, id: t.id, remote: t.remote, local: t.local, down: t.nc, up: t.up, ready: t.ready}
	if t.endpoint != nil {
		c.arm = t.arm
	}
	return c.property(path)
}
