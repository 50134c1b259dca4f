package xds

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped here
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// response is one answer of either protocol. It is put on the wire from the
// resources' shared bytes: nothing is marshalled or copied for a client.
type response struct {
	kind      kind
	typeURL   string
	delta     bool
	nonce     string
	version   string
	resources []*resource
	removed   []string // delta only

	// changed is what the client had not been offered before; of a
	// state-of-the-world response, a part of resources.
	changed []*resource
	late    bool // the barrier no longer waits for its ACK
}

// Field numbers of DiscoveryResponse and DeltaDiscoveryResponse.
const (
	responseVersion = 1
	responseTypeURL = 4
	responseNonce   = 5
	responseRemoved = 6
)

// encode returns the wire form of r.
func (r *response) encode() mem.BufferSlice {
	var head []byte
	head = appendString(head, responseVersion, r.version)
	head = appendString(head, responseTypeURL, r.typeURL)
	head = appendString(head, responseNonce, r.nonce)
	for _, name := range r.removed {
		head = appendString(head, responseRemoved, name)
	}
	out := make(mem.BufferSlice, 0, 1+2*len(r.resources))
	out = append(out, mem.SliceBuffer(head))
	for _, res := range r.resources {
		frame := res.sotw
		if r.delta {
			frame = res.delta
		}
		out = append(out, mem.SliceBuffer(frame), mem.SliceBuffer(res.any))
	}
	return out
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

// codec is gRPC's protobuf codec, except that a response goes out as it is.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal returns the bytes of v.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(mem.BufferSlice); ok {
		return b, nil
	}
	return c.CodecV2.Marshal(v)
}
