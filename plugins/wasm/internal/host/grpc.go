package host

import (
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Numbers of gRPC's own statuses.
const (
	grpcInternal    = 13
	grpcUnavailable = 14
)

// maxMessages bounds what waits for a guest of one gRPC stream, in bytes.
const maxMessages = 16 << 20

// grpcCluster returns the cluster that a service argument names: its bare
// name, or that in the bytes of an envoy.config.core.v3.GrpcService.
func grpcCluster(service []byte, known map[string]bool) (string, abi.Status) {
	if name := strings.TrimSpace(string(service)); known[name] {
		return name, abi.Ok
	}
	const envoyGRPC, clusterName = 1, 1 // field numbers
	inner, ok := protoField(service, envoyGRPC)
	if !ok {
		return "", abi.ParseFailure
	}
	name, ok := protoField(inner, clusterName)
	if !ok {
		return "", abi.ParseFailure
	}
	if !known[string(name)] {
		return "", abi.BadArgument
	}
	return string(name), abi.Ok
}

// protoField returns the last value of a length-delimited field, or false when
// b is no message. A field that is not there is empty.
func protoField(b []byte, number protowire.Number) (value []byte, ok bool) {
	for len(b) > 0 {
		n, sort, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil, false
		}
		b = b[size:]
		if n == number && sort == protowire.BytesType {
			if value, size = protowire.ConsumeBytes(b); size < 0 {
				return nil, false
			}
		} else if size = protowire.ConsumeFieldValue(n, sort, b); size < 0 {
			return nil, false
		}
		b = b[size:]
	}
	return value, true
}

func grpcCall(i *Instance, p []uint64) abi.Status {
	message, ok := i.bytes(p[8], p[9])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	if int32(p[10]) < 0 {
		return abi.BadArgument
	}
	timeout := time.Duration(uint32(p[10])) * time.Millisecond
	return i.openGRPC(p, &grpcEvents{unary: true, request: append([]byte(nil), message...), timeout: timeout}, p[11])
}

func grpcStream(i *Instance, p []uint64) abi.Status {
	return i.openGRPC(p, &grpcEvents{}, p[8])
}

func (i *Instance) openGRPC(p []uint64, events *grpcEvents, result uint64) abi.Status {
	service, ok := i.bytes(p[0], p[1])
	name, ok2 := i.text(p[2], p[3])
	method, ok3 := i.text(p[4], p[5])
	metadata, ok4 := i.bytes(p[6], p[7])
	if !ok || !ok2 || !ok3 || !ok4 {
		return abi.InvalidMemoryAccess
	}
	if s := i.answer32(result, 0); s != abi.Ok {
		return s
	}
	r := i.current.root
	if r == nil {
		return abi.BadArgument
	}
	cluster, s := grpcCluster(service, r.plugin.Clusters)
	if s != abi.Ok {
		return s
	}
	if len(i.calls) >= maxCalls {
		return abi.InternalFailure
	}
	events.instance, events.cluster = i, cluster
	events.open = filter.GRPCRequest{
		Service: string([]byte(name)), Method: string([]byte(method)),
		Metadata: headersOf(metadata), Timeout: events.timeout,
	}
	if events.unary {
		events.token = i.token(&i.lastGRPC, 1)
	} else {
		events.token = i.token(&i.lastStream, 2)
	}
	c := &call{root: r}
	i.calls[events.token] = c
	if !i.check {
		if err := events.start(c, time.Now().Add(retryFor)); err != nil {
			delete(i.calls, events.token)
			return abi.BadArgument
		}
	}
	return i.answer32(result, events.token)
}

// grpcEvents hears of a gRPC stream, in other goroutines, and tells the guest.
type grpcEvents struct {
	instance *Instance
	token    uint32
	unary    bool
	request  []byte // of a unary call
	timeout  time.Duration
	cluster  string
	open     filter.GRPCRequest
	early    []earlyMessage // sent before the cluster was there
}

type earlyMessage struct {
	message []byte
	end     bool
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

// Message is a message from the service.
func (e *grpcEvents) Message(message []byte) {
	message = append([]byte(nil), message...)
	e.tell(func(c *call) {
		if e.unary {
			c.unary, c.got = message, true
			return
		}
		c.root.receive(e.token, message)
	})
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
			delete(i.calls, e.token)
			return
		}
		if e.unary && status == 0 {
			if c.got {
				delete(i.calls, e.token)
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
	delete(i.calls, token)
	if wanted {
		c.root.statusCode, c.root.statusMessage = uint32(status), message
		c.root.tell(onGRPCClose, token, status)
		c.root.statusMessage = "" // the code stays, as in Envoy
	}
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
	r.message = message
	r.tell(onGRPCReceive, token, len(message))
	r.message = nil
}

const (
	sortMask   = 3
	unarySort  = 1
	streamSort = 2
)

func grpcSend(i *Instance, p []uint64) abi.Status {
	message, ok := i.bytes(p[1], p[2])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	if uint32(p[0])&sortMask != streamSort {
		return abi.BadArgument
	}
	c := i.calls[uint32(p[0])]
	if c == nil {
		return abi.NotFound
	}
	if c.stream != nil {
		c.stream.Send(append([]byte(nil), message...), uint32(p[3]) != 0)
	}
	return abi.Ok
}

// grpcClose closes the sending side of a stream, and ends a call.
func grpcClose(i *Instance, p []uint64) abi.Status {
	token := uint32(p[0])
	if token&sortMask == streamSort {
		c := i.calls[token]
		if c == nil {
			return abi.NotFound
		}
		if c.stream != nil {
			c.stream.Close()
		}
		return abi.Ok
	}
	return grpcCancel(i, p)
}

func grpcCancel(i *Instance, p []uint64) abi.Status {
	token := uint32(p[0])
	if s := token & sortMask; s != unarySort && s != streamSort {
		return abi.BadArgument
	}
	c := i.calls[token]
	if c == nil {
		return abi.NotFound
	}
	c.stop()
	delete(i.calls, token)
	return abi.Ok
}
