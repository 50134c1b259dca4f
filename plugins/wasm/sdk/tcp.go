package sdk

import "github.com/meshc/meshc/plugins/wasm/sdk/internal/host"

// TCPFilter is what happens to one connection. Embed PassThrough and write the
// methods that matter. Downstream is the side that connected.
type TCPFilter interface {
	Connected() Action
	// Downstream sees what the client sent, Upstream what the service sent. After
	// Pause the next call sees all of it so far. end says that the side sends no
	// more.
	Downstream(data Body, end bool) Action
	Upstream(data Body, end bool) Action
	DownstreamClosed(by Peer)
	UpstreamClosed(by Peer)
	// Done is called once, at the end.
	Done()
}

// Peer says who closed a connection.
type Peer int32

const (
	UnknownPeer Peer = 0
	Local       Peer = 1 // the proxy
	Remote      Peer = 2 // the other end
)

// Conn is one TCP connection. It may be copied and kept; once the connection is
// gone, its methods do nothing.
type Conn struct{ Context }

// Continue lets data of the client go on that was paused.
func (c Conn) Continue() error { return c.resume(host.Downstream) }

// Close closes the client's connection.
func (c Conn) Close() error { return c.close(host.Downstream) }

// CloseUpstream closes the connection to the service.
func (c Conn) CloseUpstream() error { return c.close(host.Upstream) }

func (c Conn) close(side int32) error {
	if !c.effective() {
		return BadArgument
	}
	return check(host.CloseStream(side))
}
