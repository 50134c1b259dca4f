//go:build !race

package proxy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// wire is one end of a connection of HTTP/2 that allocates nothing for a frame.
type wire struct {
	nc  net.Conn
	r   *bufio.Reader
	out []byte
	buf [16 << 10]byte
}

func newWire(nc net.Conn) *wire { return &wire{nc: nc, r: bufio.NewReaderSize(nc, 64<<10)} }

// frame appends a frame to what is to be sent.
func (w *wire) frame(t http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	n := len(payload)
	w.out = append(w.out, byte(n>>16), byte(n>>8), byte(n), byte(t), byte(flags))
	w.out = append(binary.BigEndian.AppendUint32(w.out, id), payload...)
}

func (w *wire) flush() error {
	_, err := w.nc.Write(w.out)
	w.out = w.out[:0]
	return err
}

// next reads a frame; its payload is valid until the next.
func (w *wire) next() (t http2.FrameType, flags http2.Flags, id uint32, payload []byte, err error) {
	head := w.buf[:9]
	if _, err = io.ReadFull(w.r, head); err != nil {
		return
	}
	n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	t, flags, id = http2.FrameType(head[3]), http2.Flags(head[4]), binary.BigEndian.Uint32(head[5:])
	payload = w.buf[:n]
	_, err = io.ReadFull(w.r, payload)
	return
}

// plainBlock is a header block that uses no table.
func plainBlock(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for i := 0; i < len(fields); i += 2 {
		e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// fixedHTTP2Backend answers each request alike and allocates nothing for it.
func fixedHTTP2Backend(t testing.TB, headers, body []byte) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	serve := func(nc net.Conn) {
		defer nc.Close()
		w := newWire(nc)
		io.ReadFull(w.r, w.buf[:len(http2.ClientPreface)])
		w.frame(http2.FrameSettings, 0, 0, nil)
		w.frame(http2.FrameWindowUpdate, 0, 0, []byte{0x7f, 0, 0, 0}) // for all there is to come
		for {
			t, flags, id, payload, err := w.next()
			switch {
			case err != nil:
				return
			case t == http2.FrameSettings && flags == 0:
				w.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
			case t == http2.FramePing && flags == 0:
				w.frame(http2.FramePing, http2.FlagPingAck, 0, payload)
			case (t == http2.FrameHeaders || t == http2.FrameData) && flags&http2.FlagDataEndStream != 0:
				w.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, headers)
				w.frame(http2.FrameData, http2.FlagDataEndStream, id, body)
			}
			if w.r.Buffered() == 0 && w.flush() != nil {
				return
			}
		}
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(nc)
		}
	}()
	return ln.Addr().String()
}

// exchangeHTTP2 returns a function that sends streams requests at once on a kept
// connection to a gateway, and reads the responses.
func exchangeHTTP2(t testing.TB, h2 bool, streams int, body string) func() {
	w := &world{}
	answer := []byte(strings.Repeat("x", 100))
	if h2 {
		w.h2cluster("a", fixedHTTP2Backend(t, plainBlock(":status", "200", "content-type", "text/plain", "content-length", "100"), answer))
	} else {
		end := "\r\n\r\n"
		if body != "" {
			end = body
		}
		w.cluster("a", fixedBackend(t, end, hundred+string(answer)))
		w.host("a", "a")
	}
	p := run(t, w)
	nc, err := net.Dial("tcp", p.address(t, "gateway"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := newWire(nc)
	fields := []string{":method", "GET", ":scheme", "http", ":path", "/path?query", ":authority", "a", "user-agent", "test", "accept", "*/*"}
	if body != "" {
		fields[1] = "POST"
		fields = append(fields, "content-length", fmt.Sprint(len(body)))
	}
	request, content := plainBlock(fields...), []byte(body)
	c.out = append(c.out, http2.ClientPreface...)
	c.frame(http2.FrameSettings, 0, 0, nil)
	c.frame(http2.FrameWindowUpdate, 0, 0, []byte{0x7f, 0, 0, 0})
	id := uint32(1)
	return func() {
		for range streams {
			if body == "" {
				c.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, id, request)
			} else {
				c.frame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, request)
				c.frame(http2.FrameData, http2.FlagDataEndStream, id, content)
			}
			id += 2
		}
		if err := c.flush(); err != nil {
			t.Fatal(err)
		}
		for left := streams; left > 0; {
			kind, flags, _, _, err := c.next()
			switch {
			case err != nil || kind == http2.FrameRSTStream || kind == http2.FrameGoAway:
				t.Fatalf("%v, %v", kind, err)
			case kind == http2.FrameData && flags&http2.FlagDataEndStream != 0:
				left--
			}
		}
	}
}

var http2Exchanges = []struct {
	name    string
	h2      bool // upstream
	streams int
	body    string
	allocs  float64 // at most, of one request
}{
	{"GET to HTTP1", false, 1, "", 8},
	{"POST 1 KB to HTTP1", false, 1, strings.Repeat("z", 1000), 11},
	{"GET to HTTP2", true, 1, "", 15},
	{"POST 1 KB to HTTP2", true, 1, strings.Repeat("z", 1000), 17},
	{"50 GETs at once to HTTP2", true, 50, "", 15},
}

// What a request of HTTP/2 allocates: the strings of its header fields, the
// library's frames, and a goroutine.
func TestHTTP2AllocationsPerRequest(t *testing.T) {
	for _, c := range http2Exchanges {
		t.Run(c.name, func(t *testing.T) {
			once := exchangeHTTP2(t, c.h2, c.streams, c.body)
			for range 10 {
				once()
			}
			if n := testing.AllocsPerRun(200, once) / float64(c.streams); n > c.allocs {
				t.Errorf("%v allocations a request", n)
			} else {
				t.Logf("%v allocations a request", n)
			}
		})
	}
}

func BenchmarkHTTP2(b *testing.B) {
	for _, c := range http2Exchanges {
		b.Run(strings.ReplaceAll(c.name, " ", ""), func(b *testing.B) {
			once := exchangeHTTP2(b, c.h2, c.streams, c.body)
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.streams), "ns/request")
		})
	}
}
