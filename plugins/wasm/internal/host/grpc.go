package host

import (
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// Numbers of gRPC's own statuses.
const (
	grpcExhausted   = 8
	grpcInternal    = 13
	grpcUnavailable = 14
)

// maxMessages bounds what a guest may make of a gRPC message, in bytes.
const maxMessages = 16 << 20

// grpcCluster returns the cluster that a service argument names: its bare
// name, or that in the bytes of an envoy.config.core.v3.GrpcService. A name that
// is not known comes with BadArgument.
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
		return string(name), abi.BadArgument
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
		if s == abi.BadArgument {
			i.granted(r, cluster)
		}
		return s
	}
	i.spend(heavyCost)
	fields := i.headersOf(metadata)
	c := i.newCall(r, len(events.request)+len(metadata))
	if c == nil {
		return abi.InternalFailure
	}
	c.over = make(chan struct{})
	events.over = c.over
	events.instance, events.cluster = i, cluster
	events.open = filter.GRPCRequest{
		Service: string([]byte(name)), Method: string([]byte(method)),
		Metadata: fields, Timeout: events.timeout, Proxy: i.current.proxy(),
	}
	if events.unary {
		events.token = i.token(&i.lastGRPC, 1)
	} else {
		events.token = i.token(&i.lastStream, 2)
	}
	i.calls[events.token] = c
	if err := events.start(c, time.Now().Add(retryFor)); err != nil {
		i.forget(events.token)
		return abi.BadArgument
	}
	return i.answer32(result, events.token)
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
	end := uint32(p[3]) != 0
	switch {
	case c.stream == nil: // the cluster is not there yet
		if !i.hold(len(message) + earlySize) {
			return abi.InternalFailure
		}
		c.held += len(message) + earlySize
		c.early = append(c.early, earlySend{message: append([]byte(nil), message...), end: end})
	case !i.mayWait(c, len(message)):
		return abi.InternalFailure
	default:
		c.stream.Send(append([]byte(nil), message...), end)
	}
	return abi.Ok
}

// earlySize is what a message that is kept takes besides its bytes.
const earlySize = 64

// mayWait reports whether n more bytes may wait to be sent on a stream.
func (i *Instance) mayWait(c *call, n int) bool {
	i.askWaiting(c)
	if !i.hold(n) {
		return false
	}
	c.waiting += n
	return true
}

// askWaiting gives back what has been sent of a stream since it was last asked.
func (i *Instance) askWaiting(c *call) {
	if c.stream == nil {
		return
	}
	waiting := min(c.stream.Waiting(), c.waiting)
	i.config.Held.hold(waiting - c.waiting)
	c.waiting = waiting
}

// hold takes n bytes of the account. Where there is no room, all streams are
// asked for what they have sent.
func (i *Instance) hold(n int) bool {
	if i.config.Held.hold(n) {
		return true
	}
	i.spend(heavyCost + callCost*len(i.calls))
	for _, c := range i.calls {
		i.askWaiting(c)
	}
	return i.config.Held.hold(n)
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
		} else if n := len(c.early); n == 0 || !c.early[n-1].close {
			c.early = append(c.early, earlySend{close: true})
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
	i.forget(token)
	return abi.Ok
}
