//go:build linux

package behaviour

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strconv"
	"time"
)

// patience bounds every single wait for something that must come.
const patience = time.Minute

// transcript carries out the steps of a case against one data plane.
type transcript struct {
	c        *Case
	network  *Network
	gateway  string // address of the gateway listener
	backends map[string]*Backend
	names    *names // nil where the case has none
	rules    *Rules
	metrics  metrics
	logs     string         // folder of the logs
	logged   map[string]int // lines that were expected, by log
	// report takes each step that did not go as written; update, when set,
	// takes what really happened instead.
	report func(s step, problem string)
	update func(s step, got string)

	plane  string // its name
	dir    string // of the input tree
	certs  *certificates
	opened []string // how the connection was opened last: TARGET [http2 | tls OPTION…]
	conn   net.Conn
	r      *bufio.Reader
	// Of a connection of HTTP/2: itself, its last stream, those whose answer is due.
	h2         *h2conn
	latest     *h2stream
	unanswered []*h2stream

	method []string  // of requests not yet answered
	reply  *Message  // whose body is being read
	body   io.Reader // the rest of it
	counts map[string]int
	lot    step // the repeat that counts are of
}

func (t *transcript) run() {
	defer t.hangUp()
	for _, s := range t.c.steps {
		if s.only != "" && s.only != t.plane {
			continue
		}
		if err := t.step(s); err != nil {
			t.report(s, err.Error())
			return
		}
	}
}

func (t *transcript) hangUp() {
	if t.conn != nil {
		t.conn.Close()
	}
	t.conn, t.r, t.method, t.reply, t.body = nil, nil, nil, nil, nil
	t.h2, t.latest, t.unanswered = nil, nil, nil
}

// step returns an error where going on makes no sense; an expectation that is
// not met is only reported.
func (t *transcript) step(s step) error {
	if t.h2 != nil {
		if mine, err := t.stepHTTP2(s); mine {
			return err
		}
	}
	switch s.verb {
	case "reply":
		ops, err := parseWire(s.text)
		times := 1
		if len(s.args) == 2 {
			times, _ = strconv.Atoi(s.args[1])
		}
		b := t.backends[s.args[0]]
		b.change(func() { b.replies = append(b.replies, slices.Repeat([][]operation{ops}, times)...) })
		return err
	case "down":
		t.backends[s.args[0]].down()
	case "up":
		return t.backends[s.args[0]].up()
	case "resolve":
		return t.names.learn(s.text)
	case "connect":
		return t.connect(s.args...)
	case "send":
		return t.send(s)
	case "half-close":
		return t.conn.(interface{ CloseWrite() error }).CloseWrite()
	case "receive":
		b := t.backends[s.args[0]]
		queue := &b.whole
		if len(s.args) == 2 {
			queue = &b.heads
		}
		got, err := b.next(queue, time.Now().Add(patience))
		if err != nil {
			return err
		}
		t.compare(s, got)
	case "silent":
		b := t.backends[s.args[0]]
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.whole) > 0 {
			t.report(s, "it received:\n"+b.whole[0])
		}
	case "release":
		t.backends[s.args[0]].gate <- struct{}{}
	case "answer":
		return t.answer(s)
	case "body", "read":
		return t.read(s)
	case "closed":
		return t.closed(s)
	case "repeat":
		return t.repeat(s)
	case "counts":
		return t.checkCounts(s)
	case "until":
		return t.until(s)
	case "peer":
		return t.peer(s)
	case "edit":
		return t.edit(s)
	case "certify":
		return t.certify(s)
	case "diagnostics":
		return t.diagnostics(s)
	case "snapshots":
		return t.snapshots(s)
	case "refused":
		return t.refused(s)
	case "metric":
		return t.metric(s)
	case "scrape":
		return t.scrape(s)
	case "datagram":
		return t.datagram(s)
	case "logged":
		t.log(s)
	}
	return nil
}

// forget drops what the backends got and no step has named.
func (t *transcript) forget() {
	for _, b := range t.backends {
		b.forget()
	}
}
