package http2

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/meshc/meshc/runtime/filter"
)

// A request that cannot be sent takes no ID: resetting a stream that the server has not
// heard of would end the connection for all the others on it (RFC 9113, 5.1).
func TestUnsendableRequest(t *testing.T) {
	cn, sn := net.Pipe()
	client := NewClientConn(cn, Limits{})
	over := make(chan struct{})
	go func() { defer close(over); client.Serve() }()
	type seen struct {
		kind http2.FrameType
		id   uint32
	}
	frames := make(chan seen, 16)
	go func() {
		defer close(frames)
		io.ReadFull(sn, make([]byte, len(Preface)))
		fr := http2.NewFramer(io.Discard, sn)
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if id := f.Header().StreamID; id != 0 {
				frames <- seen{f.Header().Type, id}
			}
		}
	}()
	for _, end := range []bool{true, false} {
		s, _ := client.Open()
		h := fields(":method", "GET", ":path", "/", "content-length", "5")
		if !end {
			h = fields(":method", "GET", ":path", "/", "bad header", "")
		}
		if err := s.WriteHeaders(h, end); err == nil {
			t.Fatal("the request is sent")
		}
		s.Close()
	}
	s, _ := client.Open()
	if err := s.WriteHeaders(fields(":method", "GET", ":path", "/"), true); err != nil {
		t.Fatal(err)
	}
	if got := <-frames; got != (seen{http2.FrameHeaders, 1}) {
		t.Errorf("the first frame of a stream is %v on %d", got.kind, got.id)
	}
	s.Close()
	sn.Close()
	await(t, "the connection", over)
	client.clean(t)
}

// listening is an Owner that passes on what it is told.
type listening chan uint64

func (l listening) StreamReset(number uint64, _ error) { l <- number }

// Who takes a stream of a connection that has ended in between is told of it.
func TestAttachedTooLate(t *testing.T) {
	cn, sn := net.Pipe()
	told := make(listening, 2)
	held := make(chan *Stream, 1)
	var server *ServerConn
	server = NewServerConn(sn, nil, Limits{}, func(s *Stream) {
		server.Kill() // as the janitor may, while this runs
		s.Attach(told, 7)
		held <- s
	})
	over := make(chan struct{})
	go func() { defer close(over); server.Serve() }()
	go io.Copy(io.Discard, cn)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	io.WriteString(cn, Preface)
	fr := http2.NewFramer(cn, nil)
	fr.WriteSettings()
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	s := <-held
	await(t, "the connection", over)
	select {
	case n := <-told:
		if n != 7 {
			t.Errorf("told of %d", n)
		}
	default:
		t.Error("nobody was told of the end")
	}
	if len(told) > 0 {
		t.Error("told twice")
	}
	var h filter.Headers
	s.ReadHeaders(&h)
	s.Close()
	server.clean(t)
}
