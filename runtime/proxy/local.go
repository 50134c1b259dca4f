package proxy

import (
	"net"
	"net/netip"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// isLocal reports whether address is one of the machine's, as of this
// generation: whether it can be bound, for interfaces may have whole ranges. An
// address that comes later is found with the next snapshot.
func isLocal(address string) bool {
	pc, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
	if err != nil {
		return false
	}
	pc.Close()
	return true
}

// directResponse is an answer of the snapshot as a reply.
func directResponse(a snapshot.Answer) filter.Reply {
	r := filter.Reply{Status: int(a.Status), Body: []byte(a.Body), GRPCStatus: -1, Details: "direct_response"}
	if a.ContentType != "" {
		r.Headers = []filter.Field{{Name: "content-type", Value: a.ContentType}}
	}
	return r
}

// admits reports whether a client at ip may connect to l.
func (l *listener) admits(ip netip.Addr) bool {
	for _, r := range l.ranges {
		if r.Contains(ip) {
			return true
		}
	}
	return len(l.ranges) == 0
}
