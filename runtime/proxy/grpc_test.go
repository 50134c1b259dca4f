package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/meshc/meshc/runtime/filter"
)

// A server may be done with a call and take no more of it, without a word on that: the
// call is over.
func TestGRPCAnsweredWhileSending(t *testing.T) {
	w := &world{}
	w.cluster("g", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		io.ReadFull(r, make([]byte, len(http2.ClientPreface)))
		fr := http2.NewFramer(c, r)
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if f, ok := f.(*http2.HeadersFrame); ok {
				block.Reset()
				enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
				enc.WriteField(hpack.HeaderField{Name: "grpc-status", Value: "0"})
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
			}
		}
	}))
	w.clusters[0].HTTP2 = true
	p := callRig(t, w)
	e := grpcEvents{make(chan string, 10)}
	s, err := p.OpenGRPC("g", filter.GRPCRequest{Service: "s.S", Method: "M"}, e)
	if err != nil {
		t.Fatal(err)
	}
	s.Send(make([]byte, 1<<20), true) // more than may be sent before the settings are known
	e.wants(t, "initial  ", "trailing 0", "closed 0 via_upstream")
}
