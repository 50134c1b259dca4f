//go:build linux

package behaviour

import (
	"bytes"
	"fmt"
	"time"
)

// http2Kinds are the clients that speak HTTP/2: requests, calls of gRPC, and
// calls whose messages come one by one.
var http2Kinds = map[string]bool{"http2": true, "call": true, "stream": true}

// StartLoadHTTP2 sends requests of HTTP/2 and of HTTP/1.1 to one address, and
// calls of gRPC, short ones and streams, to another.
func (n *Network) StartLoadHTTP2(http2, grpc string) *Load {
	l := &Load{network: n, stop: make(chan struct{})}
	for _, kind := range []string{"http2", "http2", "keep-alive"} {
		l.start(kind, http2, "/")
	}
	for _, kind := range []string{"call", "call", "stream", "stream"} {
		l.start(kind, grpc, "/load.Echo/Say")
	}
	return l
}

// onceHTTP2 sends one request and wants its body back. A server that goes away
// may say that it has not looked at it (RFC 9113, 6.8); then it goes to another.
func (c *loadClient) onceHTTP2() (string, error) {
	for {
		if c.h2 != nil && c.h2.leaving() {
			c.hangUp()
		}
		if c.h2 == nil {
			conn, err := c.load.network.Dial(c.address)
			if err != nil {
				return "", err
			}
			c.conn = conn
			if c.h2, err = newH2Client(conn); err != nil {
				return "", err
			}
		}
		s, err := c.h2.open()
		if err != nil {
			return "", err
		}
		sent, err := c.say(s)
		m, waited := s.wait()
		switch {
		case waited == nil && s.refused:
			continue
		case waited != nil:
			return "", waited
		case err != nil && m.Reset == "":
			return "", err
		case m.Reset != "" || m.status() != 200 || !bytes.Equal(m.Body, sent) || m.grpc() && len(m.Trailer) == 0:
			return "", fmt.Errorf("%s", m)
		}
		return m.who(), nil
	}
}

// say sends the request of the client's kind and returns its body.
func (c *loadClient) say(s *h2stream) (sent []byte, err error) {
	head := []Field{{":authority", "web"}}
	if c.kind == "http2" {
		if err := s.sendHead("POST "+c.path+" HTTP/2", head, false); err != nil {
			return nil, err
		}
		sent = []byte("ping")
		return sent, s.sendData(sent, true)
	}
	head = append(head, Field{"content-type", "application/grpc"}, Field{"te", "trailers"})
	if err := s.sendHead("POST "+c.path+" HTTP/2", head, false); err != nil {
		return nil, err
	}
	message := grpcMessage(string(pattern(4096)))
	n := 1
	if c.kind == "stream" {
		n = 20
	}
	for i := range n {
		if i > 0 {
			time.Sleep(time.Millisecond) // a stream is to last, so that it meets reloads
		}
		sent = append(sent, message...)
		if err := s.sendData(message, i == n-1); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// leaving tells whether the server takes no more streams.
func (h *h2conn) leaving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.goneAway || h.ended
}
