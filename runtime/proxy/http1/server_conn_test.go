package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

func TestUpgradeAndConnect(t *testing.T) {
	const fields = "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n"
	near, far := tcpPair(t)
	s := http1.NewServerConn(near, http1.Limits{})
	io.WriteString(far, "GET /chat HTTP/1.1\r\nhost: x\r\n"+fields+"sec-websocket-key: k\r\n\r\nearly")
	var h filter.Headers
	end, err := s.ReadHeaders(&h)
	if err != nil || !end || s.Upgrade() != "websocket" || h.Value("sec-websocket-key") != "k" || h.Value("upgrade") != "" {
		t.Fatal(end, err, s.Upgrade(), show(&h))
	}
	s.SetUpgrade("websocket")
	if err := s.WriteHeaders(headers(":status", "101", "a", "b"), false); err != nil {
		t.Fatal(err)
	}
	c, early := s.Hijack()
	if c != net.Conn(near) || string(early) != "early" || s.Next() {
		t.Errorf("hijacked %v with %q", c, early)
	}
	if _, err := s.ReadHeaders(&h); err == nil {
		t.Error("a hijacked connection is read")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	io.WriteString(c, "raw") // still open: it is not the codec's any more
	near.CloseWrite()
	wire, _ := io.ReadAll(far)
	if want := "HTTP/1.1 101 Switching Protocols\r\na: b\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nraw"; string(wire) != want {
		t.Errorf("%q", wire)
	}

	for _, raw := range []string{
		"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n\r\n",                                           // not named
		"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\r\n",                                          // nothing named
		"GET / HTTP/1.0\r\nhost: x\r\n" + fields + "\r\n",                                                   // too old
		"POST / HTTP/1.1\r\nhost: x\r\n" + fields + "content-length: 1\r\n\r\na",                            // with a body
		"POST / HTTP/1.1\r\nhost: x\r\n" + fields + "transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", // with a body
	} {
		s := http1.NewServerConn(&script{in: raw}, http1.Limits{})
		if _, err := s.ReadHeaders(&h); err != nil || s.Upgrade() != "" {
			t.Errorf("%q: %v, %q", raw, err, s.Upgrade())
		}
	}

	cs := &script{in: "CONNECT y:443 HTTP/1.1\r\nhost: x\r\n\r\nhello"}
	s = http1.NewServerConn(cs, http1.Limits{})
	if end, err := s.ReadHeaders(&h); !end || err != nil || s.Buffered() != 5 {
		t.Fatal(end, err, s.Buffered())
	}
	if err := s.WriteHeaders(headers(":status", "200"), true); err != nil || cs.out.String() != "HTTP/1.1 200 OK\r\n\r\n" {
		t.Errorf("%v, %q", err, cs.out.String())
	}
	if _, early := s.Hijack(); string(early) != "hello" {
		t.Errorf("%q", early)
	}
}

// TestHalfClose closes the client's side in the same segment as its requests.
func TestHalfClose(t *testing.T) {
	near, far := tcpPair(t)
	io.WriteString(far, get+get)
	far.CloseWrite()
	got, verdict := serve(near, http1.Limits{}, 100)
	near.Close()
	wire, err := io.ReadAll(far)
	if len(got) != 2 || verdict != "" || err != nil || strings.Count(string(wire), "HTTP/1.1 204") != 2 {
		t.Errorf("%v, %q, %q, %v", got, verdict, wire, err)
	}
}

// TestPipelinedSegments sends each request while the one before is being
// served, in segments of their own.
func TestPipelinedSegments(t *testing.T) {
	near, far := tcpPair(t)
	s := http1.NewServerConn(near, http1.Limits{})
	var h filter.Headers
	for range 100 {
		io.WriteString(far, get[:9])
		if err := s.Wait(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(far, get[9:])
		if _, err := s.ReadHeaders(&h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(far, get)
		if err := s.WriteHeaders(headers(":status", "204"), true); err != nil || !s.Next() {
			t.Fatal(err)
		}
		if _, err := s.ReadHeaders(&h); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteHeaders(headers(":status", "204"), true); err != nil || !s.Next() {
			t.Fatal(err)
		}
	}
}

// TestDeadlines: a passed deadline is the connection's own error between
// requests, and the client's mistake inside one.
func TestDeadlines(t *testing.T) {
	for _, test := range []struct {
		sent   string
		status int
	}{{"", 0}, {"GET / HT", 408}, {"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nab", 408}} {
		near, far := tcpPair(t)
		io.WriteString(far, test.sent)
		s := http1.NewServerConn(near, http1.Limits{})
		if test.sent != "" {
			if err := s.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		near.SetReadDeadline(time.Now().Add(-time.Second))
		_, err := readMessage(s, 2)
		var e *http1.Error
		if errors.As(err, &e); !errors.Is(err, os.ErrDeadlineExceeded) || (e != nil) != (test.status != 0) || e != nil && e.Status != test.status {
			t.Errorf("%q: %v", test.sent, err)
		}
	}
}

// TestCloseLetsResponseArrive closes while the client still sends; a reset
// would take the response away from it.
func TestCloseLetsResponseArrive(t *testing.T) {
	near, far := tcpPair(t)
	s := http1.NewServerConn(near, http1.Limits{})
	sent := make(chan error, 1)
	io.WriteString(far, "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n")
	if _, err := s.ReadHeaders(headers()); err != nil {
		t.Fatal(err)
	}
	s.CloseAfter()
	if err := s.WriteHeaders(headers(":status", "413"), true); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := far.Write(make([]byte, 100_000))
		sent <- errors.Join(err, far.CloseWrite())
	}()
	if s.Next() {
		t.Error("the connection lives on")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	wire, err := io.ReadAll(far)
	if err != nil || !strings.HasPrefix(string(wire), "HTTP/1.1 413 ") {
		t.Errorf("%q, %v", wire, err)
	}
}

// TestLargeResponses compares what net/http understands, over TCP and TLS.
func TestLargeResponses(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for _, secure := range []bool{false, true} {
		for _, h := range []*filter.Headers{
			headers(":status", "200", "content-length", "320000"),
			headers(":status", "200"),
		} {
			near, far := tcpPair(t)
			var server, client net.Conn = near, far
			if secure {
				server, client = tlsPair(t, near, far)
			}
			s := http1.NewServerConn(server, http1.Limits{})
			done := make(chan error, 1)
			go func() {
				done <- func() error {
					var in filter.Headers
					if _, err := s.ReadHeaders(&in); err != nil {
						return err
					}
					if want := map[bool]string{false: "http", true: "https"}[secure]; in.Value(":scheme") != want {
						return errors.New(in.Value(":scheme"))
					}
					if err := s.WriteHeaders(h, false); err != nil {
						return err
					}
					for i := 0; i < len(body); i += 64000 {
						if err := s.WriteData(body[i:i+64000], i+64000 == len(body)); err != nil {
							return err
						}
					}
					return nil
				}()
			}()
			io.WriteString(client, get)
			r, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("TLS %v: %d bytes, %v", secure, len(got), err)
			}
			if err := <-done; err != nil || !s.Next() {
				t.Error(err)
			}
		}
	}
}

// TestStringsLiveUntilNext keeps headers and trailers while other connections
// use the same pools.
func TestStringsLiveUntilNext(t *testing.T) {
	churn := func() {
		for range 3 {
			serve(&script{in: strings.Repeat("PUT /other HTTP/1.1\r\nhost: other\r\nother: other\r\ncontent-length: 2\r\n\r\nab", 4), step: 100}, http1.Limits{}, 10)
		}
	}
	for _, size := range []int{10, 5_000, 50_000} {
		value := strings.Repeat("v", size)
		near, far := tcpPair(t)
		go func() {
			io.WriteString(far, strings.Replace(chunkedPost(""), "\r\n\r\n", "\r\na: "+value+"\r\n\r\n", 1))
			for range 100 {
				io.WriteString(far, "1f4\r\n"+strings.Repeat("b", 500)+"\r\n")
			}
			io.WriteString(far, "0\r\nt: "+value+"\r\n\r\n"+get)
		}()
		s := http1.NewServerConn(near, http1.Limits{})
		var h, trailers filter.Headers
		if _, err := s.ReadHeaders(&h); err != nil {
			t.Fatal(err)
		}
		for p, end := make([]byte, 700), false; !end; {
			var err error
			if _, end, err = s.ReadData(p); err != nil {
				t.Fatal(err)
			}
			churn()
		}
		if err := s.ReadTrailers(&trailers); err != nil {
			t.Fatal(err)
		}
		churn()
		wantHeaders := ":authority: x\n:path: /\n:method: POST\n:scheme: http\na: " + value + "\n"
		check := func(when string) {
			if show(&h) != wantHeaders || trailers.Len() > 0 && show(&trailers) != "t: "+value+"\n" {
				t.Errorf("%d bytes, %s: %.300q, %.100q", size, when, show(&h), show(&trailers))
			}
		}
		check("before Next")
		if err := s.WriteHeaders(headers(":status", "204"), true); err != nil || !s.Next() {
			t.Fatal(err)
		}
		if _, err := s.ReadHeaders(&h); err != nil {
			t.Fatal(err)
		}
		trailers.Reset()
		wantHeaders = ":authority: x\n:path: /\n:method: GET\n:scheme: http\n"
		churn()
		check("of the next request")
		s.Close()
		churn()
		check("after Close")
	}
}
