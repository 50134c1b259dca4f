package http1_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

const get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n"

// exchange reads one request from raw and writes the response with respond. It
// returns what was written, and what Next said.
func exchange(t *testing.T, raw string, respond func(s *http1.ServerConn) error) (wire string, reuse bool, c *script) {
	t.Helper()
	c = &script{in: raw}
	s := http1.NewServerConn(c, http1.Limits{})
	if _, err := readMessage(s, 100); err != nil {
		t.Fatal(err)
	}
	if err := respond(s); err != nil {
		t.Fatal(err)
	}
	return c.out.String(), s.Next(), c
}

func respond(h *filter.Headers, body ...string) func(*http1.ServerConn) error {
	return func(s *http1.ServerConn) error {
		if err := s.WriteHeaders(h, len(body) == 0); err != nil {
			return err
		}
		for i, p := range body {
			if err := s.WriteData([]byte(p), i == len(body)-1); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestResponsesWritten(t *testing.T) {
	const head = "HEAD / HTTP/1.1\r\nhost: x\r\n\r\n"
	const old = "GET / HTTP/1.0\r\n\r\n"
	const oldKept = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"
	const last = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
	for _, test := range []struct {
		name, raw string
		respond   func(*http1.ServerConn) error
		want      string
		writes    int
		reuse     bool
	}{
		{"no body", get, respond(headers(":status", "200", "a", "b")), "HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 0\r\n\r\n", 1, true},
		{"status without a phrase", get, respond(headers(":status", "299")), "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n", 1, true},
		{"length", get, respond(headers(":status", "200", "content-length", "3"), "abc"), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", 1, true},
		{"length in pieces", get, respond(headers(":status", "200", "content-length", "3"), "a", "bc", ""), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", 2, true},
		{"chunks", get, respond(headers(":status", "200"), "0123456789abcdef", "", "b"), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n1\r\nb\r\n0\r\n\r\n", 2, true},
		{"empty body of no known length", get, respond(headers(":status", "200"), ""), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 1, true},
		{"204", get, respond(headers(":status", "204", "content-length", "0")), "HTTP/1.1 204 No Content\r\n\r\n", 1, true},
		{"304", get, respond(headers(":status", "304", "content-length", "9")), "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 1, true},
		{"body of a 304", get, respond(headers(":status", "304"), "abc"), "HTTP/1.1 304 Not Modified\r\n\r\n", 1, true},
		{"HEAD", head, respond(headers(":status", "200", "content-length", "9")), "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", 1, true},
		{"HEAD of no known length", head, respond(headers(":status", "200")), "HTTP/1.1 200 OK\r\n\r\n", 1, true},
		{"body for HEAD", head, respond(headers(":status", "200", "content-length", "3"), "abc"), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", 1, true},
		{"fields of the connection", get, respond(headers(":status", "200", "connection", "close", "keep-alive", "1", "upgrade", "a", "transfer-encoding", "gzip")), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 1, true},
		{"HTTP/1.0", old, respond(headers(":status", "200"), "abc"), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc", 1, false},
		{"HTTP/1.0 kept", oldKept, respond(headers(":status", "200", "content-length", "3"), "abc"), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc", 1, true},
		{"HTTP/1.0 not to be kept", oldKept, respond(headers(":status", "200"), "abc"), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc", 1, false},
		{"client closes", last, respond(headers(":status", "200")), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 1, false},
		{"we close", get, func(s *http1.ServerConn) error {
			s.CloseAfter()
			return respond(headers(":status", "200"))(s)
		}, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", 1, false},
		{"response not ended", get, func(s *http1.ServerConn) error {
			if err := s.WriteHeaders(headers(":status", "200"), false); err != nil {
				return err
			}
			return s.Flush()
		}, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 1, false},
		{"trailers", get, func(s *http1.ServerConn) error {
			if err := s.WriteHeaders(headers(":status", "200"), false); err != nil {
				return err
			}
			if err := s.WriteData([]byte("abc"), false); err != nil {
				return err
			}
			return s.WriteTrailers(headers("a", "b", "content-length", "7"))
		}, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n", 2, true},
		{"trailers without chunks", get, func(s *http1.ServerConn) error {
			if err := s.WriteHeaders(headers(":status", "200", "content-length", "1"), false); err != nil {
				return err
			}
			if err := s.WriteData([]byte("a"), false); err != nil {
				return err
			}
			return s.WriteTrailers(headers("a", "b"))
		}, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", 1, true},
		{"103", get, func(s *http1.ServerConn) error {
			if err := s.WriteInformational(headers(":status", "103", "link", "a")); err != nil {
				return err
			}
			return respond(headers(":status", "204"))(s)
		}, "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 2, true},
		{"103 for HTTP/1.0, 100 unasked", oldKept, func(s *http1.ServerConn) error {
			if err := errors.Join(s.WriteInformational(headers(":status", "103")), s.WriteInformational(headers(":status", "100"))); err != nil {
				return err
			}
			return respond(headers(":status", "204"))(s)
		}, "HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n\r\n", 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			wire, reuse, c := exchange(t, test.raw, test.respond)
			if wire != test.want {
				t.Errorf("wrote %q\n want %q", wire, test.want)
			}
			if c.writes != test.writes {
				t.Errorf("%d writes, want %d", c.writes, test.writes)
			}
			if reuse != test.reuse {
				t.Errorf("Next is %v", reuse)
			}
		})
	}
}

// TestResponsesNotWritten wants messages that would break the wire refused,
// and nothing of them sent.
func TestResponsesNotWritten(t *testing.T) {
	for _, test := range []struct {
		name string
		h    *filter.Headers
		end  bool
	}{
		{"line break in a value", headers(":status", "200", "a", "b\r\nc: d"), true},
		{"line feed in a value", headers(":status", "200", "a", "b\nc"), true},
		{"NUL in a value", headers(":status", "200", "a", "\x00"), true},
		{"line break in a name", headers(":status", "200", "a\r\nb", "c"), true},
		{"colon in a name", headers(":status", "200", "a:b", "c"), true},
		{"no name", headers(":status", "200", "", "c"), true},
		{"no status", headers("a", "b"), true},
		{"status with a line break", headers(":status", "200 OK\r\na: b"), true},
		{"short status", headers(":status", "20"), true},
		{"interim status", headers(":status", "103"), true},
		{"101 unasked", headers(":status", "101"), true},
		{"two lengths", headers(":status", "200", "content-length", "1", "content-length", "1"), false},
		{"bad length", headers(":status", "200", "content-length", "1x"), false},
		{"length without a body", headers(":status", "200", "content-length", "1"), true},
	} {
		c := &script{in: get}
		s := http1.NewServerConn(c, http1.Limits{})
		if _, err := readMessage(s, 100); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteHeaders(test.h, test.end); err == nil || c.out.Len() > 0 {
			t.Errorf("%s: %v, wrote %q", test.name, err, c.out.String())
		}
		// The caller can still answer something else.
		if err := s.WriteHeaders(headers(":status", "500"), true); err != nil || !s.Next() {
			t.Errorf("%s: no answer possible: %v", test.name, err)
		}
	}
}

func TestBodyMustFitLength(t *testing.T) {
	for _, body := range [][]string{{"ab"}, {"a", "b", ""}, {"abcd"}, {"abc", "d"}} {
		c := &script{in: get + get}
		s := http1.NewServerConn(c, http1.Limits{})
		if _, err := readMessage(s, 100); err != nil {
			t.Fatal(err)
		}
		if err := respond(headers(":status", "200", "content-length", "3"), body...)(s); err == nil {
			t.Errorf("%q written with content-length 3", body)
		}
		if s.Next() {
			t.Errorf("%q: the connection lives on", body)
		}
	}
}

// TestAnswerAfterRefusal answers a request that could not be parsed.
func TestAnswerAfterRefusal(t *testing.T) {
	for _, raw := range []string{"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/3.0\r\n\r\n", "\x16\x03"} {
		c := &script{in: raw + get}
		s := http1.NewServerConn(c, http1.Limits{})
		var e *http1.Error
		if _, err := s.ReadHeaders(headers()); !errors.As(err, &e) {
			t.Fatalf("%q: %v", raw, err)
		}
		if err := respond(headers(":status", "400", "content-length", "2"), "no")(s); err != nil {
			t.Fatal(err)
		}
		if want := "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"; c.out.String() != want || s.Next() {
			t.Errorf("%q", c.out.String())
		}
	}
}

func TestExpectContinue(t *testing.T) {
	const raw = "PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-Continue\r\ncontent-length: 3\r\n\r\n"
	const final = "HTTP/1.1 204 No Content\r\n\r\n"
	const interim = "HTTP/1.1 100 Continue\r\n\r\n"
	p := make([]byte, 10)
	answer := func(s *http1.ServerConn) error { return s.WriteHeaders(headers(":status", "204"), true) }
	for _, test := range []struct {
		name, raw string
		do        func(s *http1.ServerConn) error
		want      string
		reuse     bool
	}{
		{"reading sends it once", raw + "abc", func(s *http1.ServerConn) error {
			for range 3 {
				if _, _, err := s.ReadData(p[:1]); err != nil {
					return err
				}
			}
			// What an upstream says comes too late.
			return errors.Join(s.WriteInformational(headers(":status", "100")), answer(s))
		}, interim + final, true},
		{"forwarded", raw + "abc", func(s *http1.ServerConn) error {
			if err := s.WriteInformational(headers(":status", "100")); err != nil {
				return err
			}
			_, _, err := s.ReadData(p)
			return errors.Join(err, answer(s))
		}, interim + final, true},
		{"none after the response", raw + "abc", func(s *http1.ServerConn) error {
			err := answer(s)
			_, _, err2 := s.ReadData(p)
			return errors.Join(err, err2)
		}, final, true},
		// The client may or may not send its body now.
		{"body not wanted", raw + get, answer, final, false},
	} {
		c := &script{in: test.raw}
		s := http1.NewServerConn(c, http1.Limits{})
		var h filter.Headers
		if _, err := s.ReadHeaders(&h); err != nil || !s.ExpectContinue() || h.Value("expect") != "100-Continue" {
			t.Fatal(err, s.ExpectContinue())
		}
		if err := test.do(s); err != nil {
			t.Fatal(test.name, err)
		}
		if reuse := s.Next(); c.out.String() != test.want || reuse != test.reuse {
			t.Errorf("%s: wrote %q, Next is %v", test.name, c.out.String(), reuse)
		}
	}
	// Nobody waits where there is no body.
	s := http1.NewServerConn(&script{in: strings.Replace(raw, ": 3", ": 0", 1)}, http1.Limits{})
	if end, err := s.ReadHeaders(headers()); !end || err != nil || s.ExpectContinue() {
		t.Error(end, err, s.ExpectContinue())
	}
}

// TestUnreadBodyIsDrained answers before the body was read; the next request
// is found behind it, or the connection closes where that is too far.
func TestUnreadBodyIsDrained(t *testing.T) {
	for _, test := range []struct {
		name, raw string
		reuse     bool
	}{
		{"length", "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n" + strings.Repeat("a", 1000), true},
		{"chunks", chunkedPost("3\r\nabc\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n"), true},
		{"too long", "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n" + strings.Repeat("a", 1001), false},
		{"malformed", chunkedPost("x\r\n"), false},
	} {
		s := http1.NewServerConn(&script{in: test.raw + get}, http1.Limits{DrainBytes: 1000})
		var h filter.Headers
		if _, err := s.ReadHeaders(&h); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteHeaders(headers(":status", "204"), true); err != nil {
			t.Fatal(err)
		}
		if reuse := s.Next(); reuse != test.reuse {
			t.Errorf("%s: Next is %v", test.name, reuse)
		} else if reuse {
			if _, err := s.ReadHeaders(&h); err != nil || h.Value(":method") != "GET" {
				t.Errorf("%s: %v, %s", test.name, err, show(&h))
			}
		}
	}
}
