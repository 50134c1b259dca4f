//go:build linux

package behaviour

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// serveHTTP2 answers the requests of one connection, each when it is whole or,
// if its reply begins with @before-body, when its head has come.
func (b *Backend) serveHTTP2(c net.Conn) {
	replies := map[*h2stream][]operation{}
	early := func(s *h2stream) bool { return len(replies[s]) > 0 && replies[s][0].directive == "before-body" }
	h, err := newH2(c, false, func(s *h2stream, what event) {
		switch what {
		case headCame:
			head := s.m
			head.Body, head.Trailer, head.Reset = nil, nil, ""
			b.change(func() {
				b.served++
				b.heads = append(b.heads, b.allow.request(&head))
				if len(b.replies) > 0 {
					replies[s], b.replies = b.replies[0], b.replies[1:]
				}
			})
			if ops := replies[s]; early(s) {
				b.done.Go(func() { b.playHTTP2(s, ops[1:]) })
			}
		case endCame:
			text, ops := b.allow.request(&s.m), replies[s]
			b.change(func() { b.whole = append(b.whole, text) })
			if early(s) {
				return
			}
			if ops == nil {
				ops = b.echoHTTP2(s)
			}
			b.done.Go(func() { b.playHTTP2(s, ops) })
		case resetCame:
			m := &s.m
			if s.whole { // the rest was told of
				m = &Message{Reset: s.reset}
			}
			b.change(func() { b.whole = append(b.whole, b.allow.request(m)) })
		}
	})
	if err != nil {
		if errors.Is(err, io.EOF) { // nothing came at all
			return
		}
		b.change(func() { b.whole = append(b.whole, "refused: "+err.Error()+"\n") })
		return
	}
	h.serve()
}

// playHTTP2 sends a reply; the stream or the connection may end meanwhile.
func (b *Backend) playHTTP2(s *h2stream, ops []operation) {
	if err := s.play(ops, b.hold); err != nil {
		s.conn.c.Close()
	}
}

// echoHTTP2 says who this is, and sends back the body.
func (b *Backend) echoHTTP2(s *h2stream) []operation {
	line := func(text string) operation { return operation{data: []byte(text + "\r\n"), line: true} }
	ops := []operation{line("HTTP/2 200"), line("x-backend: " + b.Name)}
	if peer := seen(s.conn.c); peer != "" {
		ops = append(ops, line("x-tls: "+peer))
	}
	body := operation{data: s.m.Body}
	if b.kind == "grpc" {
		if len(body.data) == 0 {
			body.data = grpcMessage(b.Name)
		}
		return append(ops, line("content-type: application/grpc"), line(""), body,
			operation{directive: "trailer", data: []byte("grpc-status: 0")})
	}
	if len(body.data) == 0 {
		body.data = []byte(b.Name + "\n")
	}
	return append(ops, line("content-length: "+strconv.Itoa(len(body.data))), line(""), body)
}

// who is the name of the backend that gave an answer, or else its status;
// "grpc-N" where gRPC's own status says that it failed.
func (m *Message) who() string {
	if code := m.get("grpc-status"); code != "" && code != "0" {
		return "grpc-" + code
	}
	for _, f := range m.Trailer {
		if f.Name == "grpc-status" && f.Value != "0" {
			return "grpc-" + f.Value
		}
	}
	if who := m.get("x-backend"); who != "" && m.status() == 200 {
		return who
	}
	return fmt.Sprint(m.status())
}
