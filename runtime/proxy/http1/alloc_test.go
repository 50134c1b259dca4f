//go:build !race

// The race detector empties pools at random, so allocations are counted
// without it.

package http1_test

import (
	"testing"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// pair is both sides of one connection, with a server that answers every
// request with body.
type pair struct {
	client *http1.ClientConn
	h      filter.Headers
	p      []byte
	served chan struct{}
	close  func()
}

func newPair(t testing.TB, body []byte) *pair {
	near, far := tcpPair(t)
	p := &pair{client: http1.NewClientConn(far, http1.Limits{}), p: make([]byte, 32<<10), served: make(chan struct{})}
	p.close = func() { far.CloseWrite(); <-p.served }
	go func() {
		defer close(p.served)
		s := http1.NewServerConn(near, http1.Limits{})
		var h filter.Headers
		buf := make([]byte, 32<<10)
		for {
			end, err := s.ReadHeaders(&h)
			for !end && err == nil {
				_, end, err = s.ReadData(buf)
			}
			if err != nil {
				return
			}
			h.Reset()
			h.Add(":status", "200")
			h.Add("content-type", "text/plain")
			if len(body) == 0 {
				h.Add("content-length", "0")
			}
			if s.WriteHeaders(&h, len(body) == 0) != nil {
				return
			}
			if len(body) > 0 && s.WriteData(body, true) != nil || !s.Next() {
				return
			}
		}
	}()
	return p
}

func (p *pair) exchange(t testing.TB, body []byte) {
	p.h.Reset()
	p.h.Add(":method", "GET")
	p.h.Add(":path", "/a/b/c?d=e")
	p.h.Add(":authority", "web.shop.svc.cluster.local:80")
	p.h.Add("user-agent", "test/1.0 (a fairly usual length of it)")
	p.h.Add("accept", "*/*")
	p.h.Add("x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e")
	if err := p.client.WriteHeaders(&p.h, len(body) == 0); err != nil {
		t.Fatal(err)
	}
	if len(body) > 0 {
		if err := p.client.WriteData(body, true); err != nil {
			t.Fatal(err)
		}
	}
	end, err := p.client.ReadHeaders(&p.h)
	for !end && err == nil {
		_, end, err = p.client.ReadData(p.p)
	}
	if err != nil || !p.client.Next() {
		t.Fatal(err)
	}
}

func TestExchangeDoesNotAllocate(t *testing.T) {
	for name, size := range map[string]int{"no body": 0, "small chunk": 100, "large chunk": 40_000} {
		body := make([]byte, size)
		p := newPair(t, body)
		p.exchange(t, body)
		if n := testing.AllocsPerRun(500, func() { p.exchange(t, body) }); n != 0 {
			t.Errorf("%s: %v allocations an exchange", name, n)
		}
		if n := testing.AllocsPerRun(500, func() { p.client.Idle() }); n != 0 {
			t.Errorf("%v allocations to ask whether a connection is idle", n)
		}
		p.close()
	}
}

// BenchmarkExchange is one request and response over loopback TCP: four
// system calls, and the codec twice on each side.
func BenchmarkExchange(b *testing.B) {
	for name, size := range map[string]int{"GET": 0, "POST16K": 16 << 10} {
		b.Run(name, func(b *testing.B) {
			body := make([]byte, size)
			p := newPair(b, body)
			b.ReportAllocs()
			for b.Loop() {
				p.exchange(b, body)
			}
			b.StopTimer()
			p.close()
		})
	}
}

// endless is a connection on which the same bytes arrive again and again.
type endless struct {
	script
	message string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.in == "" {
		e.in = e.message
	}
	return e.script.Read(p)
}

func (*endless) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkParseAndWrite is the codec alone: a request read and a response
// written, without system calls.
func BenchmarkParseAndWrite(b *testing.B) {
	s := http1.NewServerConn(&endless{message: "GET /a/b/c?d=e HTTP/1.1\r\nHost: web.shop.svc.cluster.local:80\r\n" +
		"User-Agent: test/1.0 (a fairly usual length of it)\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n" +
		"X-Request-Id: 0f8fad5b-d9cb-469f-a165-70867728950e\r\nConnection: keep-alive\r\n\r\n"}, http1.Limits{})
	var in filter.Headers
	out := headers(":status", "200", "content-type", "text/plain; charset=utf-8", "content-length", "100",
		"server", "test", "date", "Thu, 01 Jan 1970 00:00:00 GMT")
	body := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.ReadHeaders(&in); err != nil {
			b.Fatal(err)
		}
		if s.WriteHeaders(out, false) != nil || s.WriteData(body, true) != nil || !s.Next() {
			b.Fatal("not served")
		}
	}
}
