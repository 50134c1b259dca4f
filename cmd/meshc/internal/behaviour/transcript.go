//go:build linux

package behaviour

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience bounds every single wait for something that must come.
const patience = 30 * time.Second

// transcript carries out the steps of a case against one data plane.
type transcript struct {
	c        *Case
	network  *Network
	gateway  string // address of the gateway listener
	backends map[string]*Backend
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
		b := t.backends[s.args[0]]
		b.change(func() { b.replies = append(b.replies, ops) })
		return err
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

// compare holds an expectation against what happened.
func (t *transcript) compare(s step, got string) {
	if t.update != nil {
		t.update(s, got+"\n")
		return
	}
	if want := strings.TrimRight(s.text, "\n"); strings.TrimRight(got, "\n") != want {
		t.report(s, difference(want, strings.TrimRight(got, "\n")))
	}
}

// difference shows two texts line by line.
func difference(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	b.WriteString("  want (-), got (+):\n")
	for i, j := 0, 0; i < len(w) || j < len(g); {
		switch {
		case i < len(w) && j < len(g) && w[i] == g[j]:
			b.WriteString("    " + w[i] + "\n")
			i, j = i+1, j+1
		case i < len(w) && (j >= len(g) || !slices.Contains(g[j:], w[i])):
			b.WriteString("  - " + w[i] + "\n")
			i++
		default:
			b.WriteString("  + " + g[j] + "\n")
			j++
		}
	}
	return b.String()
}

func (t *transcript) target(name string) string {
	if name == "gateway" {
		return t.gateway
	}
	return name
}

// connect opens a connection in place of the one that is open: TARGET
// [http2 | tls OPTION…].
func (t *transcript) connect(args ...string) error {
	t.hangUp()
	t.forget()
	t.opened = args
	return t.open(args)
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

func (t *transcript) repeat(s step) error {
	times, _ := strconv.Atoi(s.args[0])
	how := ""
	if len(s.args) == 2 {
		how = s.args[1]
	}
	if t.opened == nil {
		t.opened = []string{"gateway"}
	}
	t.counts = map[string]int{}
	defer t.forget()
	if t.h2 != nil {
		ops, err := parseWire(s.text)
		if err != nil {
			return err
		}
		return t.repeatHTTP2(times, how, ops)
	}
	data, err := wireBytes(s.text)
	if err != nil {
		return err
	}
	if how == "together" {
		if err := t.together(times, t.target(t.opened[0]), data); err != nil {
			return err
		}
	} else {
		for i := range times {
			if t.conn == nil || how != "" {
				if err := t.connect(t.opened...); err != nil {
					return err
				}
			}
			who, err := once(t.conn, t.r, data, how == "tcp")
			if err != nil {
				return fmt.Errorf("time %d: %w", i+1, err)
			}
			t.counts[who]++
		}
	}
	return nil
}

// forget drops what the backends got and no step has named.
func (t *transcript) forget() {
	for _, b := range t.backends {
		b.forget()
	}
}

// together sends a request on so many connections at once.
func (t *transcript) together(times int, target string, data []byte) error {
	conns := make([]net.Conn, times)
	for i := range conns {
		c, err := t.network.dial(target)
		if err != nil {
			return err
		}
		defer c.Close()
		conns[i] = c
	}
	served, errs := make([]string, times), make([]error, times)
	var done sync.WaitGroup
	for i, c := range conns {
		done.Go(func() { served[i], errs[i] = once(c, bufio.NewReader(c), data, false) })
	}
	done.Wait()
	for _, who := range served {
		t.counts[who]++
	}
	return errors.Join(errs...)
}

// once sends one request and says which backend served it, or else with which
// status it was answered.
func once(c net.Conn, r *bufio.Reader, data []byte, tcp bool) (string, error) {
	if tcp {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(data); err != nil {
			return "", err
		}
		who, err := r.ReadString('\n')
		return strings.TrimSuffix(who, "\n"), err
	}
	m, err := exchange(c, r, data)
	if err != nil {
		return "", err
	}
	return m.who(), nil
}

// exchange sends a request and reads its answer.
func exchange(c net.Conn, r *bufio.Reader, data []byte) (*Message, error) {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(data); err != nil {
		return nil, err
	}
	m, err := readHead(r)
	if err != nil {
		return nil, err
	}
	return m, m.readBody(r, true, "")
}

// metric waits for a metric to have a value; it may be shown with delay.
func (t *transcript) metric(s step) error {
	want := strings.TrimSpace(s.text)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got := "not there"
		if n, there := t.metrics.sum(s.args[0]); there {
			got = strconv.FormatFloat(n, 'f', -1, 64)
		}
		if got == want || time.Now().After(deadline) {
			t.compare(s, got)
			return nil
		}
	}
}

// checkCounts reads lines "NAME[|NAME]… COUNT[..COUNT]"; no other backend may
// have served.
func (t *transcript) checkCounts(s step) error {
	left := map[string]int{}
	for name, n := range t.counts {
		left[name] = n
	}
	for line := range strings.Lines(s.text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 {
			return fmt.Errorf("%q is not NAME COUNT", strings.TrimSpace(line))
		}
		low, high, isRange := strings.Cut(f[1], "..")
		if !isRange {
			high = low
		}
		lo, err1 := strconv.Atoi(low)
		hi, err2 := strconv.Atoi(high)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		sum, servers := 0, 0
		for name := range strings.SplitSeq(f[0], "|") {
			if left[name] > 0 {
				sum, servers = sum+left[name], servers+1
			}
			delete(left, name)
		}
		if sum < lo || sum > hi || servers > 1 {
			t.report(s, fmt.Sprintf("%s: want %s, got %v", f[0], f[1], t.counts))
		}
	}
	if len(left) > 0 {
		t.report(s, fmt.Sprintf("served by others: %v", left))
	}
	return nil
}
