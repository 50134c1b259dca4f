package compiler

import (
	"cmp"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// Kuma makes a policy timeout-all for every mesh, which is implied here. Of what
// it says, the rest is what the snapshot means by a zero: TCP and HTTP idle 1h,
// gRPC streams idle 5m.
const (
	defaultConnectTimeout = 5 * time.Second
	defaultRequestTimeout = 15 * time.Second
)

// unsetConnectTimeout counts where a Timeout applies that names none: it does
// not fall back to timeout-all.
const unsetConnectTimeout = 10 * time.Second

// lowerTimeouts sets the timeouts of a route for p, which carries protocol.
func (p *passage) lowerTimeouts(r *snapshot.Route, protocol string) {
	switch {
	case p.timeout != nil:
		conf := &p.timeout.Body.(*kuma.Timeout).Conf
		r.Timeout = snapshot.Duration(conf.HTTP.RequestTimeout) // of gRPC, too (Kuma's rule)
		if protocol == "grpc" {
			r.IdleTimeout = snapshot.Duration(conf.GRPC.StreamIdleTimeout)
		}
	case p.own != nil && p.own.dialect == schema.Kong:
		// Kong bounds the time between two reads, and not the whole.
		read, write := kongTimeouts(p.own.doc)
		r.IdleTimeout = snapshot.Duration(max(read, write))
		if read < write {
			r.ReadTimeout = snapshot.Duration(read)
		}
	default:
		r.Timeout = snapshot.Duration(defaultRequestTimeout)
	}
}

// lowerTimeout sets the timeouts of a cluster that speaks protocol.
func lowerTimeout(c *snapshot.Cluster, t *kuma.Timeout, protocol string) {
	c.WriteTimeout = 0
	c.ConnectTimeout = snapshot.Duration(cmp.Or(time.Duration(t.Conf.ConnectTimeout), unsetConnectTimeout))
	switch {
	case protocol == "grpc":
		c.MaxDuration = snapshot.Duration(t.Conf.GRPC.MaxStreamDuration)
	case c.Protocol == snapshot.HTTP:
		c.IdleTimeout = snapshot.Duration(t.Conf.HTTP.IdleTimeout)
	}
}

// tcpIdle is the idle timeout of a TCP listener.
func tcpIdle(timeout *schema.Document) snapshot.Duration {
	if timeout == nil {
		return 0
	}
	return snapshot.Duration(timeout.Body.(*kuma.Timeout).Conf.TCP.IdleTimeout)
}
