package compiler

import (
	"net"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
)

// call is a host:port that filters call over HTTP, and the documents that say so.
type call struct {
	hostPort string
	sources  snapshot.List[string]
}

// callName names the cluster of a host:port that filters call; see
// plugins.CallCluster. No service has an @ in its name.
func callName(hostPort string) string { return "call@" + hostPort }

// uniteCalls returns each cluster that filters call, with all that call it.
func (b *build) uniteCalls() []call {
	var out []call
	at := map[string]int{}
	for _, c := range b.calls {
		i, known := at[c.hostPort]
		if !known {
			at[c.hostPort] = len(out)
			out = append(out, c)
			continue
		}
		ids := append(slices.Clone(out[i].sources.Slice()), c.sources.Slice()...)
		slices.Sort(ids)
		out[i].sources = snapshot.ListOf(slices.Compact(ids)...)
	}
	return out
}

// lowerCall makes the cluster of a host:port.
func lowerCall(name string, c call) *lowered {
	host, port := splitHostPort(c.hostPort)
	out := &lowered{
		cluster: snapshot.Cluster{
			Name: name, Protocol: snapshot.HTTP, Discovery: snapshot.Static, Balancing: snapshot.RoundRobin,
			ConnectTimeout: snapshot.Duration(defaultConnectTimeout), Sources: c.sources,
		},
		endpoints: snapshot.EndpointSet{Name: name, Endpoints: snapshot.ListOf(snapshot.Endpoint{Address: canonicalIP(host), Port: port}), Sources: c.sources},
	}
	if net.ParseIP(host) == nil {
		out.cluster.Discovery = snapshot.DNS
	}
	return out.sealed()
}
