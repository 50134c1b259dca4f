//go:build linux

package behaviour

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// speak notes, before this side says it, that it is the last.
func (s *h2stream) speak(last bool) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.said = s.said || last
	if s.said && s.ended {
		delete(s.conn.streams, s.id)
	}
}

// sendHead sends a head or, where first is "", trailers. first is the start line.
func (s *h2stream) sendHead(first string, fields []Field, end bool) error {
	h := s.conn
	s.speak(end)
	return h.write(func() error {
		h.register(s)
		h.encoded.Reset()
		put := func(name, value string) { h.fields.WriteField(hpack.HeaderField{Name: name, Value: value}) }
		if method, rest, ok := strings.Cut(first, " "); ok && method == "HTTP/2" {
			put(":status", rest)
		} else if ok {
			put(":method", method)
			put(":path", strings.TrimSuffix(rest, " HTTP/2"))
			if !slices.ContainsFunc(fields, func(f Field) bool { return f.Name == ":scheme" }) {
				put(":scheme", "http")
			}
		}
		for _, f := range fields {
			put(f.Name, f.Value)
		}
		return h.framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: s.id, BlockFragment: h.encoded.Bytes(), EndHeaders: true, EndStream: end,
		})
	})
}

// sendData sends bytes as the windows allow.
func (s *h2stream) sendData(data []byte, end bool) error {
	h := s.conn
	for {
		n := 0
		err := h.await(func() bool {
			n = int(min(h.window, s.window, int64(len(data)), 16384))
			if n < 0 || n == 0 && len(data) > 0 && s.reset == "" {
				return false
			}
			h.window, s.window = h.window-int64(n), s.window-int64(n)
			return true
		})
		if err != nil {
			return err
		}
		if n == 0 && len(data) > 0 {
			return fmt.Errorf("the stream was ended: %s", s.reset)
		}
		piece := data[:n]
		data = data[n:]
		s.speak(end && len(data) == 0)
		if err := h.write(func() error { return h.framer.WriteData(s.id, end && len(data) == 0, piece) }); err != nil {
			return err
		}
		if len(data) == 0 {
			return nil
		}
	}
}

// play sends what a section says: heads, data, trailers. The last of these ends
// the stream, unless a directive follows it. hold waits as a directive says.
func (s *h2stream) play(ops []operation, hold func(operation) error) error {
	for len(ops) > 0 {
		op := ops[0]
		ops = ops[1:]
		var err error
		switch {
		case op.line:
			start := strings.TrimSuffix(string(op.data), "\r\n")
			var fields []Field
			for len(ops) > 0 && ops[0].line {
				line := strings.TrimSuffix(string(ops[0].data), "\r\n")
				ops = ops[1:]
				if line == "" {
					break
				}
				f, err := h2Field(line)
				if err != nil {
					return err
				}
				fields = append(fields, f)
			}
			err = s.sendHead(start, fields, len(ops) == 0)
		case op.directive == "trailer":
			var fields []Field
			for more := true; more; {
				f, err := h2Field(string(op.data))
				if err != nil {
					return err
				}
				fields = append(fields, f)
				if more = len(ops) > 0 && ops[0].directive == "trailer"; more {
					op, ops = ops[0], ops[1:]
				}
			}
			err = s.sendHead("", fields, true)
		case op.directive == "" || op.directive == "message":
			err = s.sendData(op.data, len(ops) == 0)
		case op.directive == "gate" || op.directive == "await":
			err = hold(op)
		case op.directive == "reset":
			err = s.cancel(string(op.data))
		case op.directive == "close":
			err = errClose
		case op.directive == "goaway":
			err = s.conn.write(func() error { return s.conn.framer.WriteGoAway(s.id, http2.ErrCodeNo, nil) })
		case op.directive != "open":
			err = fmt.Errorf("@%s means nothing in HTTP/2", op.directive)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// h2Field reads NAME: VALUE, where the name may be a pseudo header's.
func h2Field(line string) (Field, error) {
	at := strings.Index(line[min(len(line), 1):], ":") + 1
	if at < 1 {
		return Field{}, fmt.Errorf("not a field line: %q", line)
	}
	return Field{line[:at], strings.TrimSpace(line[at+1:])}, nil
}

// cancel resets the stream; no name is CANCEL's.
func (s *h2stream) cancel(name string) error {
	code := http2.ErrCodeCancel
	for c := http2.ErrCodeNo; c <= http2.ErrCodeHTTP11Required; c++ {
		if c.String() == name {
			code = c
		}
	}
	s.speak(true)
	s.conn.change(func() {
		if s.conn.client && !s.ended { // nothing more is told to who does not listen
			s.ended, s.reset = true, "reset here"
			s.conn.active--
		}
	})
	return s.conn.write(func() error { return s.conn.framer.WriteRSTStream(s.id, code) })
}
