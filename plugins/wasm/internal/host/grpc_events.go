package host

import (
	"errors"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// grpcEvents hears of a gRPC stream, in other goroutines, and tells the guest.
type grpcEvents struct {
	instance *Instance
	token    uint32
	unary    bool
	request  []byte // of a unary call
	timeout  time.Duration
	cluster  string
	open     filter.GRPCRequest
	over     chan struct{} // closed when nobody wants messages any more
}

// earlySend is what a guest does to a stream before its cluster is there.
type earlySend struct {
	message    []byte
	end, close bool
}

// start opens the stream, or has it opened when its cluster is there.
func (e *grpcEvents) start(c *call, until time.Time) error {
	i := e.instance
	stream, err := i.config.Caller.OpenGRPC(e.cluster, e.open, e)
	if errors.Is(err, filter.ErrNoCluster) {
		if time.Now().After(until) {
			i.grpcClosed(e.token, grpcUnavailable, "no such cluster")
			return nil
		}
		t := time.AfterFunc(retryEvery, func() {
			i.post(func() {
				if i.calls[e.token] != c {
					return
				}
				if err := e.start(c, until); err != nil {
					i.grpcClosed(e.token, grpcUnavailable, err.Error())
				}
			})
		})
		c.cancel, c.stream = func() { t.Stop() }, nil
		return nil
	}
	if err != nil {
		return err
	}
	c.cancel, c.stream = nil, stream
	if e.unary {
		stream.Send(e.request, true)
		e.request = nil
	}
	for _, s := range c.early {
		if s.close {
			stream.Close()
		} else {
			stream.Send(s.message, s.end)
		}
	}
	c.early = nil
	return nil
}

// tell runs f for the call in its instance, if it is still wanted.
func (e *grpcEvents) tell(f func(*call)) {
	i := e.instance
	i.post(func() {
		if c, wanted := i.wanted(e.token); wanted {
			f(c)
		}
	})
}

// InitialMetadata is part of filter.GRPCEvents, as are the methods that follow.
// Like Envoy, a unary call hears only of its answer.
func (e *grpcEvents) InitialMetadata(h *filter.Headers) {
	if e.unary {
		return
	}
	e.tell(func(c *call) {
		c.root.initialMetadata = h
		c.root.tell(onGRPCInitialMetadata, e.token, h.Len())
		c.root.initialMetadata = nil
	})
}

// Message is a message from the service. It returns when the guest has taken
// it, so that whoever reads the stream reads no faster than the guest. It does
// not wait for a guest that is in no worker, since that may never be.
func (e *grpcEvents) Message(message []byte) {
	held := e.instance.config.Held
	if !held.hold(len(message)) {
		e.tell(e.overrun)
		return
	}
	message = append([]byte(nil), message...)
	taken := make(chan struct{})
	soon := e.instance.deliver(len(message), func() {
		defer close(taken)
		c, wanted := e.instance.wanted(e.token)
		switch {
		case !wanted:
		case !e.unary:
			c.root.receive(e.token, message)
		case !held.hold(len(message)): // until the call is closed
			e.overrun(c)
		default:
			c.held += len(message)
			c.unary, c.got = message, true
		}
	})
	if !soon {
		return
	}
	select {
	case <-taken:
	case <-e.over:
	}
}

// overrun ends a stream that has brought more than there is room for.
func (e *grpcEvents) overrun(c *call) {
	c.stop()
	e.instance.grpcClosed(e.token, grpcExhausted, "no room for a message")
}

// TrailingMetadata comes before Closed.
func (e *grpcEvents) TrailingMetadata(h *filter.Headers) {
	if e.unary {
		return
	}
	e.tell(func(c *call) {
		c.root.trailingMetadata = h
		c.root.tell(onGRPCTrailingMetadata, e.token, h.Len())
		c.root.trailingMetadata = nil
	})
}

// Closed is the end of the stream.
func (e *grpcEvents) Closed(status int, message string) {
	i := e.instance
	i.post(func() {
		c, wanted := i.wanted(e.token)
		if !wanted {
			i.forget(e.token)
			return
		}
		if e.unary && status == 0 {
			if c.got {
				i.forget(e.token)
				c.root.receive(e.token, c.unary)
				return
			}
			status = grpcInternal
		}
		i.grpcClosed(e.token, status, message)
	})
}

func (i *Instance) grpcClosed(token uint32, status int, message string) {
	c, wanted := i.wanted(token)
	if wanted {
		c.root.statusCode, c.root.statusMessage = uint32(status), message
		c.root.tell(onGRPCClose, token, status) // which may still send and cancel
		c.root.statusMessage = ""               // the code stays, as in Envoy
	}
	i.forget(token)
}

// tell calls an export that gets the root, a token and a number.
func (r *Root) tell(which callback, token uint32, n int) {
	f := &r.instance.on[which]
	if f.fn == nil {
		return
	}
	f.stack[0], f.stack[1], f.stack[2] = uint64(r.id), uint64(token), uint64(uint32(n))
	r.instance.call(&r.Context, f)
}

func (r *Root) receive(token uint32, message []byte) {
	if r.message = message; message == nil {
		r.message = []byte{} // which the guest may write to
	}
	r.tell(onGRPCReceive, token, len(message))
	r.message = nil
}
