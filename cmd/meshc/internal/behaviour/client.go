//go:build linux

package behaviour

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// connect opens a connection in place of the one that is open: TARGET
// [http2 | tls OPTION…].
func (t *transcript) connect(args ...string) error {
	t.hangUp()
	t.forget()
	t.opened = args
	return t.open(args)
}

func (t *transcript) target(name string) string {
	if name == "gateway" {
		return t.gateway
	}
	return name
}

func (t *transcript) send(s step) error {
	data, err := wireBytes(s.text)
	if err != nil {
		return err
	}
	if t.conn == nil {
		if err := t.connect("gateway"); err != nil {
			return err
		}
	}
	t.method = append(t.method, methods(data)...)
	t.conn.SetWriteDeadline(time.Now().Add(patience))
	// A data plane may refuse and close before it has read everything; what
	// it answers is then the next step's to judge.
	if _, err = t.conn.Write(data); err != nil && ended(err) {
		return nil
	}
	return err
}

// methods finds the methods of the requests in data, by their request lines.
func methods(data []byte) []string {
	var found []string
	for line := range bytes.Lines(data) {
		if before, ok := bytes.CutSuffix(line, []byte("\r\n")); ok && bytes.Contains(before, []byte(" HTTP/")) {
			method, _, _ := bytes.Cut(before, []byte(" "))
			found = append(found, string(method))
		}
	}
	return found
}

// answer reads the next response: every 1xx before it, and the rest of one
// whose head was asked for before.
func (t *transcript) answer(s step) error {
	if t.conn == nil {
		return errors.New("no connection is open")
	}
	t.conn.SetReadDeadline(time.Now().Add(patience))
	method := ""
	if len(t.method) > 0 {
		method = t.method[0]
	}
	interim := ""
	if t.reply == nil {
		for {
			m, err := readHead(t.r)
			if err != nil {
				return fmt.Errorf("reading the response: %w", err)
			}
			if code := m.status(); code >= 200 || code == 101 {
				t.reply = m
				break
			}
			interim += t.rules.answer(m) + "\n"
		}
		if len(t.method) > 0 {
			t.method = t.method[1:]
		}
		body, err := t.reply.body(t.r, true, method)
		if err != nil {
			t.report(s, err.Error())
			return err
		}
		t.body = body
		if len(s.args) == 1 {
			head := *t.reply
			head.UntilClose = false // not yet known
			t.compare(s, interim+t.rules.answer(&head))
			return nil
		}
	}
	m := t.reply
	rest, err := io.ReadAll(t.body)
	m.Body = rest
	got := interim + t.rules.answer(m)
	if err != nil {
		got += "cut off\n"
	}
	t.reply, t.body = nil, nil
	t.compare(s, got)
	return nil
}

// read expects exact bytes, of the body being read or of the connection.
func (t *transcript) read(s step) error {
	want, err := wireBytes(s.text)
	if err != nil {
		return err
	}
	if t.conn == nil || s.verb == "body" && t.body == nil {
		return errors.New("there is nothing to read from")
	}
	var from io.Reader = t.r
	if s.verb == "body" {
		from = t.body
	}
	got := make([]byte, len(want))
	t.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := io.ReadFull(from, got)
	if err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("want %d bytes, got %d that begin with %q: %w", len(want), n, clip(got[:n]), err)
	}
	return nil
}

func clip(b []byte) []byte { return b[:min(len(b), longestShown)] }

// closed wants the end of the connection and nothing before it.
func (t *transcript) closed(s step) error {
	if t.conn == nil {
		return errors.New("no connection is open")
	}
	t.conn.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(t.r)
	if err != nil && !ended(err) {
		t.report(s, "it stays open: "+err.Error())
	}
	if len(rest) > 0 {
		t.report(s, fmt.Sprintf("%q came first", clip(rest)))
	}
	t.hangUp()
	return nil
}
