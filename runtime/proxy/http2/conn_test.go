package http2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/meshc/meshc/runtime/filter"
)

// pair returns both ends of a connection over TCP.
func pair(t testing.TB) (client, server net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// echo serves a stream: it sends back the headers that begin with x-, the body
// and the trailers.
func echo(s *Stream) {
	var h, trailers filter.Headers
	end, err := s.ReadHeaders(&h)
	var body []byte
	for b := make([]byte, 1000); err == nil && !end; {
		var n int
		n, end, err = s.ReadData(b)
		body = append(body, b[:n]...)
	}
	if err != nil {
		s.Close()
		return
	}
	s.ReadTrailers(&trailers)
	answer := fields(":status", "200")
	for i := range h.Len() {
		if f := h.At(i); strings.HasPrefix(f.Name, "x-") {
			answer.Add(f.Name, f.Value)
		}
	}
	if s.WriteHeaders(answer, false) != nil || s.WriteData(body, false) != nil || s.WriteTrailers(&trailers) != nil {
		s.Close()
		return
	}
	s.Next()
}

func fields(list ...string) *filter.Headers {
	h := &filter.Headers{}
	for i := 0; i < len(list); i += 2 {
		h.Add(list[i], list[i+1])
	}
	return h
}

// served is a server connection with the streams that it has begun.
type served struct {
	*ServerConn
	streams sync.WaitGroup
	done    chan struct{}
}

// serve serves nc by f.
func serve(nc net.Conn, l Limits, f func(*Stream)) *served {
	s := &served{done: make(chan struct{})}
	s.ServerConn = NewServerConn(nc, nil, l, func(st *Stream) { s.streams.Go(func() { f(st) }) })
	go func() {
		defer close(s.done)
		s.Serve()
		s.streams.Wait()
	}()
	return s
}

// clean reports what a connection holds that has ended.
func (c *conn) clean(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active != 0 || len(c.streams) != 0 || len(c.out.blocked) != 0 || len(c.lost) != 0 {
		t.Errorf("left: %d streams, %d on the wire, %d blocked, %d losses", c.active, len(c.streams), len(c.out.blocked), len(c.lost))
	}
}

func await(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s does not end", what)
	}
}

func TestRoundTrip(t *testing.T) {
	cn, sn := pair(t)
	server := serve(sn, Limits{}, echo)
	client := NewClientConn(cn, Limits{})
	over := make(chan struct{})
	go func() { defer close(over); client.Serve() }()
	body := bytes.Repeat([]byte("0123456789"), 100_000) // more than all windows
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 3 { // the third comes from the table
				s, _ := client.Open()
				sent := fields(":method", "POST", ":path", "/", ":authority", "a", "x-n", fmt.Sprint(i), "x-same", "same", "cookie", "a", "connection", "close", "te", "gzip, trailers")
				written := make(chan struct{})
				go func() {
					defer close(written)
					s.WriteHeaders(sent, false)
					s.WriteData(body, false)
					s.WriteTrailers(fields("x-after", "late"))
				}()
				var h, trailers filter.Headers
				if _, err := s.ReadHeaders(&h); err != nil {
					t.Error(err)
					return
				}
				var got []byte
				for b, end := make([]byte, 8<<10), false; !end; {
					n, last, err := s.ReadData(b)
					if err != nil {
						t.Error(err)
						return
					}
					got, end = append(got, b[:n]...), last
				}
				s.ReadTrailers(&trailers)
				if !bytes.Equal(got, body) || h.Value("x-n") != fmt.Sprint(i) || h.Value("x-same") != "same" || trailers.Value("x-after") != "late" {
					t.Errorf("%d: %d bytes, %v, %v", i, len(got), h, trailers)
				}
				<-written
				s.Next()
			}
		})
	}
	wg.Wait()
	server.Drain()
	await(t, "the server", server.done)
	await(t, "the client", over)
	server.clean(t)
	client.clean(t)
}

// A stream that is held when its connection is drained can yet begin.
func TestDrainWithHeldStream(t *testing.T) {
	cn, sn := pair(t)
	server := serve(sn, Limits{}, echo)
	client := NewClientConn(cn, Limits{})
	over := make(chan struct{})
	go func() { defer close(over); client.Serve() }()
	s, _ := client.Open()
	client.Drain()
	if other, _ := client.Open(); other != nil {
		t.Error("a stream was opened after Drain")
	}
	if err := s.WriteHeaders(fields(":method", "GET", ":path", "/", ":authority", "a"), true); err != nil {
		t.Fatal(err)
	}
	var h filter.Headers
	if _, err := s.ReadHeaders(&h); err != nil || h.Value(":status") != "200" {
		t.Fatal(h, err)
	}
	s.Close()
	await(t, "the client", over)
	await(t, "the server", server.done)
	client.clean(t)
}

// A server that falls silent is asked, and given up.
func TestSilentServer(t *testing.T) {
	cn, sn := pair(t)
	client := NewClientConn(cn, Limits{})
	over := make(chan struct{})
	go func() { defer close(over); client.Serve() }()
	s, _ := client.Open()
	if err := s.WriteHeaders(fields(":method", "GET", ":path", "/"), true); err != nil {
		t.Fatal(err)
	}
	start := client.clock.Load()
	tick := func(after time.Duration) { client.Tick(start+int64(after), time.Hour, time.Hour) }
	tick(askAfter + time.Second)
	io.ReadFull(sn, make([]byte, len(Preface)))
	for fr := http2.NewFramer(io.Discard, sn); ; {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatalf("no PING: %v", err)
		}
		if _, ok := f.(*http2.PingFrame); ok {
			break
		}
	}
	tick(askAfter + answerTime + 3*time.Second)
	var h filter.Headers
	_, err := s.ReadHeaders(&h)
	var e *Error
	if !errors.As(err, &e) || e.Remote || e.Unprocessed || e.Code != CodeNo {
		t.Errorf("the stream ended by %v", err)
	}
	s.Close()
	await(t, "the client", over)
	client.clean(t)
}

// The table holds what repeats, and never a secret. Fields that fall into one place
// push each other out, by a seed that differs in each process: some of many stay.
func TestIndexing(t *testing.T) {
	var e encoder
	e.init()
	h := fields(":method", "GET", ":path", "/", "authorization", "secret", "x-request-id", "")
	for i := range 8 {
		h.Add(fmt.Sprint("x-same-", i), "a-value-that-repeats")
	}
	sizes := []int{}
	for i := range 4 {
		h.Set("x-request-id", fmt.Sprint("unique-", i))
		sizes = append(sizes, len(e.encode(h, false, "http")))
	}
	if sizes[2] > sizes[0]-2*15 || sizes[3] > sizes[0]-2*15 {
		t.Errorf("sizes %v", sizes)
	}
	for _, kept := range e.kept {
		if kept.Name == "authorization" || kept.Name == "x-request-id" {
			t.Errorf("%s is in the table", kept.Name)
		}
	}
}

// frames are seeds: what a peer may send, malformed or not.
func frames(request bool) [][]byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	encode := func(list ...string) []byte {
		block.Reset()
		for i := 0; i < len(list); i += 2 {
			enc.WriteField(hpack.HeaderField{Name: list[i], Value: list[i+1]})
		}
		return slices.Clone(block.Bytes())
	}
	head := encode(":status", "200", "content-length", "4")
	if request {
		head = encode(":method", "POST", ":scheme", "http", ":path", "/x", ":authority", "a", "content-length", "4", "cookie", "a", "cookie", "b", "expect", "100-continue")
	}
	trailers := encode("x-after", "late")
	write := func(f func(fr *http2.Framer)) []byte {
		var b bytes.Buffer
		fr := http2.NewFramer(&b, nil)
		fr.AllowIllegalWrites = true
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		f(fr)
		return b.Bytes()
	}
	headers := func(fr *http2.Framer, id uint32, end bool) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true, EndStream: end})
	}
	return [][]byte{
		write(func(fr *http2.Framer) {
			headers(fr, 1, false)
			fr.WriteData(1, false, []byte("bo"))
			fr.WriteDataPadded(1, false, []byte("dy"), make([]byte, 5))
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: trailers, EndHeaders: true, EndStream: true})
			fr.WriteWindowUpdate(1, 100)
			fr.WriteWindowUpdate(0, 100)
		}),
		write(func(fr *http2.Framer) {
			headers(fr, 1, true)
			headers(fr, 3, false)
			fr.WriteRSTStream(3, http2.ErrCodeCancel)
			fr.WritePing(false, [8]byte{})
			fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
			fr.WriteSettingsAck()
			fr.WriteData(3, true, []byte("late"))
			fr.WriteGoAway(1, http2.ErrCodeNo, nil)
		}),
		write(func(fr *http2.Framer) {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head[:3]})
			fr.WriteContinuation(1, true, head[3:])
			fr.WriteData(1, true, []byte("four"))
			fr.WriteData(1, true, []byte("more"))
			fr.WritePriority(5, http2.PriorityParam{StreamDep: 1})
			fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
			fr.WriteRawFrame(0xfe, 0, 7, []byte("?"))
		}),
	}
}

// The end of a header block for a stream that was given up goes nowhere, and not to
// the stream of another connection that has its place and its number.
func TestLateBlock(t *testing.T) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	enc.WriteField(hpack.HeaderField{Name: "x-from", Value: "first"})
	for again := true; again; {
		cn, sn := net.Pipe()
		first := NewClientConn(cn, Limits{})
		done := make(chan struct{})
		go func() { defer close(done); first.Serve() }()
		go io.Copy(io.Discard, sn)
		s, _ := first.Open()
		if err := s.WriteHeaders(fields(":method", "GET", ":path", "/"), true); err != nil {
			t.Fatal(err)
		}
		fr := http2.NewFramer(sn, nil)
		fr.WriteSettings()
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes()[:1], EndStream: true})
		var rest bytes.Buffer
		http2.NewFramer(&rest, nil).WriteContinuation(1, true, block.Bytes()[1:])
		sn.Write(rest.Bytes()[:9]) // whoever reads this has dealt with what came before
		s.Close()

		cn2, sn2 := net.Pipe()
		second := NewClientConn(cn2, Limits{})
		done2 := make(chan struct{})
		go func() { defer close(done2); second.Serve() }()
		go io.Copy(io.Discard, sn2)
		s2, _ := second.Open()
		again = s2 != s // the pool may forget
		if err := s2.WriteHeaders(fields(":method", "GET", ":path", "/"), true); err != nil {
			t.Fatal(err)
		}
		sn.Write(rest.Bytes()[9:])
		sn.Close()
		await(t, "the first connection", done)

		fr = http2.NewFramer(sn2, nil)
		fr.WriteSettings()
		block2 := bytes.NewBuffer(nil)
		hpack.NewEncoder(block2).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block2.Bytes(), EndHeaders: true, EndStream: true})
		var h filter.Headers
		_, err := s2.ReadHeaders(&h)
		if status, _ := h.Get(":status"); err != nil || status != "204" || h.Len() != 1 {
			t.Errorf("the second got %s with %d headers, %v", status, h.Len(), err)
		}
		s2.Next()
		sn2.Close()
		await(t, "the second connection", done2)
	}
}

// Whatever a client sends, its connection ends and leaves nothing behind.
func FuzzServer(f *testing.F) {
	for _, seed := range frames(true) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cn, sn := net.Pipe()
		server := serve(sn, Limits{Streams: 4, BodyBytes: 1 << 20}, echo)
		go io.Copy(io.Discard, cn)
		cn.SetWriteDeadline(time.Now().Add(time.Minute))
		io.WriteString(cn, Preface)
		cn.Write(data)
		cn.Close()
		await(t, "the connection", server.done)
		server.clean(t)
	})
}

// Whatever a server sends, streams end and leave nothing behind.
func FuzzClient(f *testing.F) {
	for _, seed := range frames(false) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cn, sn := net.Pipe()
		client := NewClientConn(cn, Limits{})
		over := make(chan struct{})
		var wg sync.WaitGroup
		go func() {
			client.Serve()
			wg.Wait()
			close(over)
		}()
		go io.Copy(io.Discard, sn)
		for range 2 {
			s, _ := client.Open()
			if s == nil {
				t.Fatal("no stream")
			}
			wg.Add(1)
			sent := s.WriteHeaders(fields(":method", "POST", ":path", "/"), false) == nil
			go func() {
				defer wg.Done()
				defer s.Close()
				if !sent || s.WriteData(make([]byte, 1000), true) != nil {
					return
				}
				var h filter.Headers
				end, err := s.ReadHeaders(&h)
				for b := make([]byte, 100); err == nil && !end; {
					_, end, err = s.ReadData(b)
				}
			}()
		}
		sn.SetWriteDeadline(time.Now().Add(time.Minute))
		sn.Write(data)
		sn.Close()
		await(t, "the connection", over)
		client.clean(t)
	})
}
