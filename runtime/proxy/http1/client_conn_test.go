package http1_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/runtime/proxy/http1"
)

// TestReuse makes many exchanges over one TCP connection, with and without
// bodies, against ServerConn.
func TestReuse(t *testing.T) {
	near, far := tcpPair(t)
	served := make(chan []message, 1)
	go func() {
		got, _ := serve(near, http1.Limits{}, 50)
		served <- got
	}()
	c := http1.NewClientConn(far, http1.Limits{})
	body := bytes.Repeat([]byte("x"), 20_000)
	var want []message
	for i := range 60 {
		h, m := getHeaders("PUT"), message{Headers: ":authority: x\n:path: /\n:method: PUT\n:scheme: http\n"}
		var err error
		switch i % 3 {
		case 0:
			err = c.WriteHeaders(h, false)
			err = errors.Join(err, c.WriteData(body[:10], false), c.WriteData(body, false), c.WriteTrailers(headers("t", "1")))
			m.Body, m.Trailers = string(body[:10])+string(body), "t: 1\n"
		case 1:
			h.Add("content-length", "20000")
			err = errors.Join(c.WriteHeaders(h, false), c.WriteData(body, true))
			m.Headers, m.Body = m.Headers+"content-length: 20000\n", string(body)
		case 2:
			h.Set(":method", "GET")
			err = c.WriteHeaders(h, true)
			m.Headers = strings.Replace(m.Headers, "PUT", "GET", 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readMessage(c, 10); err != nil || got.Headers != ":status: 204\n" {
			t.Fatal(got, err)
		}
		if !c.Reusable() || !c.Next() || !c.Idle() {
			t.Fatal("not reusable")
		}
		want = append(want, m)
	}
	far.CloseWrite()
	if got := <-served; !reflect.DeepEqual(got, want) {
		t.Errorf("%.500v", got)
	}
}

// TestIdle sees what a server does to a connection that waits in a pool.
func TestIdle(t *testing.T) {
	for name, do := range map[string]func(*net.TCPConn) error{
		"closed":      func(c *net.TCPConn) error { return c.Close() },
		"half closed": func(c *net.TCPConn) error { return c.CloseWrite() },
		"talking": func(c *net.TCPConn) error {
			_, err := io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n")
			return err
		},
	} {
		near, far := tcpPair(t)
		c := http1.NewClientConn(near, http1.Limits{})
		if !c.Idle() {
			t.Errorf("%s: not idle before", name)
		}
		if err := do(far); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); c.Idle(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s: still idle", name)
			}
		}
	}
}

// TestStale: what a server did since the last exchange is neither waited on nor
// taken for the answer, and nothing is sent.
func TestStale(t *testing.T) {
	for name, do := range map[string]func(*net.TCPConn) error{
		"half closed": func(c *net.TCPConn) error { return c.CloseWrite() },
		"talking": func(c *net.TCPConn) error {
			_, err := io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
			return err
		},
	} {
		for _, over := range []string{"TCP", "TLS"} {
			t.Run(name+" over "+over, func(t *testing.T) {
				near, far := tcpPair(t)
				var server, client net.Conn = far, near
				if over == "TLS" {
					server, client = tlsPair(t, far, near)
				}
				s, c := http1.NewServerConn(server, http1.Limits{}), http1.NewClientConn(client, http1.Limits{})
				served := make(chan error, 1)
				go func() {
					_, err := s.ReadHeaders(headers())
					served <- errors.Join(err, s.WriteHeaders(headers(":status", "204"), true))
				}()
				if err := c.WriteHeaders(getHeaders("GET"), true); err != nil {
					t.Fatal(err)
				}
				if m, err := readMessage(c, 10); err != nil || m.Headers != ":status: 204\n" || !c.Next() {
					t.Fatal(m, err)
				}
				if err := errors.Join(<-served, do(far)); err != nil {
					t.Fatal(err)
				}
				for deadline := time.Now().Add(time.Minute); c.Idle(); {
					if time.Now().After(deadline) {
						t.Fatal("still idle")
					}
				}
				if err := c.WriteHeaders(getHeaders("GET"), true); err != nil {
					t.Fatal(err)
				}
				if m, err := readMessage(c, 10); err != http1.ErrStale {
					t.Errorf("%v, %v", m, err)
				}
				near.CloseWrite()
				if sent, err := io.ReadAll(far); over == "TCP" && (err != nil || len(sent) > 0) {
					t.Errorf("sent %q, %v", sent, err)
				}
			})
		}
	}
}

// TestFirstAnswerBeforeTheRequest: a server that turns a new connection away
// need not wait for what it would be asked.
func TestFirstAnswerBeforeTheRequest(t *testing.T) {
	near, far := tcpPair(t)
	c := http1.NewClientConn(near, http1.Limits{})
	if _, err := io.WriteString(far, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for c.Idle() {
	}
	if err := c.WriteHeaders(getHeaders("GET"), true); err != nil {
		t.Fatal(err)
	}
	if m, err := readMessage(c, 10); err != nil || m.Headers != ":status: 503\ncontent-length: 0\n" {
		t.Errorf("%v, %v", m, err)
	}
}

// TestIdleTLS asks a TLS connection after an exchange.
func TestIdleTLS(t *testing.T) {
	near, far := tcpPair(t)
	server, client := tlsPair(t, near, far)
	served := make(chan string, 1)
	go func() {
		_, verdict := serve(server, http1.Limits{}, 10)
		served <- verdict
	}()
	c := http1.NewClientConn(client, http1.Limits{})
	for range 3 {
		if err := c.WriteHeaders(getHeaders("GET"), true); err != nil {
			t.Fatal(err)
		}
		if m, err := readMessage(c, 10); err != nil || m.Headers != ":status: 204\n" {
			t.Fatal(m, err)
		}
		if !c.Next() || !c.Idle() {
			t.Fatal("not idle after an exchange")
		}
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if verdict := <-served; verdict != "" {
		t.Error(verdict)
	}
	server.Close()
	for deadline := time.Now().Add(time.Minute); c.Idle(); {
		if time.Now().After(deadline) {
			t.Fatal("still idle")
		}
	}
}

// TestCloseWhileReading: another goroutine gives up the exchange.
func TestCloseWhileReading(t *testing.T) {
	near, far := tcpPair(t)
	c := http1.NewClientConn(near, http1.Limits{})
	if err := errors.Join(c.WriteHeaders(getHeaders("GET"), true), c.Flush()); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := readMessage(c, 10)
		read <- err
	}()
	if _, err := io.ReadFull(far, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestWriteWhileReading sends a body from one goroutine while another waits
// for the response, which the server sends in the middle of it.
func TestWriteWhileReading(t *testing.T) {
	near, far := tcpPair(t)
	s, c := http1.NewServerConn(near, http1.Limits{}), http1.NewClientConn(far, http1.Limits{})
	if err := c.WriteHeaders(getHeaders("PUT"), false); err != nil {
		t.Fatal(err)
	}
	answered, served, sent := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() {
		p := make([]byte, 10)
		_, err := s.ReadHeaders(headers())
		_, _, err2 := s.ReadData(p)
		err = errors.Join(err, err2, s.WriteHeaders(headers(":status", "200"), true))
		for end := false; !end && err == nil; {
			_, end, err = s.ReadData(p)
		}
		served <- err
	}()
	go func() {
		err := c.WriteData([]byte("first"), false)
		<-answered
		sent <- errors.Join(err, c.WriteData([]byte("second"), true))
	}()
	m, err := readMessage(c, 10)
	close(answered)
	if err := errors.Join(err, <-sent, <-served); err != nil || m.Headers != ":status: 200\ncontent-length: 0\n" {
		t.Fatal(m, err)
	}
	if !c.Next() || !s.Next() {
		t.Error("not reusable")
	}
}

// TestRequestLargerThanSocket sends a header section that the socket does not
// take at once.
func TestRequestLargerThanSocket(t *testing.T) {
	near, far := tcpPair(t)
	value := strings.Repeat("v", 12<<20)
	served := make(chan []message, 1)
	go func() {
		got, _ := serve(near, http1.Limits{HeaderBytes: 13 << 20}, 10)
		served <- got
	}()
	c := http1.NewClientConn(far, http1.Limits{})
	h := getHeaders("GET")
	h.Add("a", value)
	if err := c.WriteHeaders(h, true); err != nil {
		t.Fatal(err)
	}
	if m, err := readMessage(c, 10); err != nil || m.Headers != ":status: 204\n" || !c.Next() {
		t.Fatal(m, err)
	}
	far.CloseWrite()
	if got := <-served; len(got) != 1 || !strings.HasSuffix(got[0].Headers, "\na: "+value+"\n") {
		t.Errorf("%.300v", got)
	}
}
