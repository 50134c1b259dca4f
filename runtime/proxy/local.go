package proxy

import (
	"net"

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

// directResponse is an answer of the snapshot to a request as a reply.
func directResponse(a snapshot.Answer, request *filter.Headers) filter.Reply {
	r := filter.Reply{Status: int(a.Status), Body: []byte(a.Body), GRPCStatus: -1, Details: "direct_response"}
	if a.ContentType != "" {
		r.Headers = []filter.Field{{Name: "content-type", Value: a.ContentType}}
	}
	if a.HTTPS {
		host := a.Host
		if host == "" {
			host = request.Value(":authority")
			if i := portOf(host); i >= 0 {
				host = host[:i] + ":443"
			}
		}
		r.Headers = append(r.Headers, filter.Field{Name: "location", Value: "https://" + host + request.Value(":path")})
	}
	return r
}
