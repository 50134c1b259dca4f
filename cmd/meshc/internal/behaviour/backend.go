//go:build linux

package behaviour

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Backend is a server that keeps what it received. Its HTTP is read by
// message.go alone, so nothing is made tidy on the way.
type Backend struct {
	Name string
	kind string
	ln   net.Listener
	open func() (net.Listener, error) // where ln was; nil of datagrams
	done sync.WaitGroup
	gate chan struct{}
	over chan struct{} // closed by Close

	mu      sync.Mutex
	changed chan struct{} // closed and made anew with each change
	heads   []string
	whole   []string
	lines   []string // of the kind lines
	replies [][]operation
	conns   map[net.Conn]bool
	lowered bool // by down
	served  int  // requests or, for tcp, connections
	allow   *Rules
	quiet   bool
	once    bool // it closes after each of its own answers
}

// StartBackend listens on address. allow may be nil.
func (n *Network) StartBackend(name, address, kind string, allow *Rules) (*Backend, error) {
	return n.startBackend(declaration{name: name, address: address, kind: kind}, nil, allow)
}

func (n *Network) startBackend(d declaration, certs *certificates, allow *Rules) (*Backend, error) {
	if d.kind == "udp" {
		return n.startDatagrams(d.name, d.address)
	}
	b := &Backend{
		Name: d.name, kind: d.kind, allow: allow, once: d.tls["requests"] == "1",
		gate: make(chan struct{}, 16), over: make(chan struct{}), changed: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	address := d.address
	b.open = func() (net.Listener, error) {
		ln, err := n.Listen(address)
		if err != nil {
			return nil, fmt.Errorf("backend %s: %w", d.name, err)
		}
		address = ln.Addr().String() // the same the next time
		return d.tls.secured(ln, certs, d.kind), nil
	}
	return b, b.up()
}

// up listens and serves.
func (b *Backend) up() error {
	ln, err := b.open()
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.ln, b.lowered = ln, false
	b.mu.Unlock()
	b.done.Go(func() { b.accept(ln) })
	return nil
}

// down refuses connections until up, and cuts those that are open.
func (b *Backend) down() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lowered = true
	b.ln.Close()
	for c := range b.conns {
		c.Close()
	}
}

// Close ends the listener and all connections and waits for their goroutines.
func (b *Backend) Close() {
	b.down()
	close(b.gate)
	close(b.over)
	b.done.Wait()
}

// Quiet makes the backend only count what it receives, and no longer keep it.
func (b *Backend) Quiet() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quiet = true
}

// Served is how many requests (tcp: connections) have arrived so far.
func (b *Backend) Served() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.served
}

func (b *Backend) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		if b.lowered {
			b.mu.Unlock()
			c.Close()
			return
		}
		b.conns[c] = true
		b.mu.Unlock()
		b.done.Go(func() {
			defer func() {
				b.mu.Lock()
				delete(b.conns, c)
				b.mu.Unlock()
				c.Close()
			}()
			if t, ok := c.(*tls.Conn); ok && t.Handshake() != nil {
				return
			}
			b.serve(c)
		})
	}
}

// serve speaks what the backend is for on one connection.
func (b *Backend) serve(c net.Conn) {
	switch b.kind {
	case "tcp":
		b.serveTCP(c)
	case "lines":
		b.keepLines(c)
	case "spans":
		b.collect(c)
	case "http2", "grpc":
		b.serveHTTP2(c)
	default:
		r := bufio.NewReaderSize(c, 64<<10)
		for b.serveHTTP(c, r) == nil {
		}
	}
}

func (b *Backend) serveTCP(c net.Conn) {
	b.change(func() { b.served++ })
	greeting := b.Name
	if s := seen(c); s != "" {
		greeting += " " + s
	}
	if _, err := io.WriteString(c, greeting+"\n"); err != nil {
		return
	}
	var got bytes.Buffer
	_, err := io.Copy(c, io.TeeReader(c, &got))
	text := fmt.Sprintf("%q\n", got.Bytes())
	if err != nil && !errors.Is(err, net.ErrClosed) {
		text += "reset\n"
	}
	b.change(func() { b.whole = append(b.whole, text) })
}

var errClose = errors.New("the connection ends here")

// serveHTTP answers one request; an error ends the connection.
func (b *Backend) serveHTTP(c net.Conn, r *bufio.Reader) error {
	m, err := readHead(r)
	if errors.Is(err, io.EOF) && m == nil {
		return err
	}
	if err != nil {
		b.change(func() { b.whole = append(b.whole, "refused: "+err.Error()+"\n") })
		return err
	}
	head := b.allow.request(m)
	var reply []operation
	b.change(func() {
		b.served++
		b.heads = append(b.heads, head)
		if len(b.replies) > 0 {
			reply, b.replies = b.replies[0], b.replies[1:]
		}
	})
	early := len(reply) > 0 && reply[0].directive == "before-body"
	if early {
		if err := b.play(c, r, reply[1:]); err != nil {
			return err
		}
	} else if m.get("expect") == "100-continue" {
		if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return err
		}
	}
	method, _, _ := strings.Cut(m.Start, " ")
	err = m.readBody(r, false, method)
	text := b.allow.request(m)
	if err != nil {
		text += "cut off\n"
	}
	b.change(func() { b.whole = append(b.whole, text) })
	switch {
	case err != nil || early:
		return err
	case reply != nil:
		return b.play(c, r, reply)
	}
	return b.echo(c, m, method)
}

// echo sends back who this is, what it saw of TLS, and the body.
func (b *Backend) echo(c net.Conn, m *Message, method string) error {
	body := m.Body
	if len(body) == 0 {
		body = []byte(b.Name + "\n")
	}
	out := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nx-backend: %s\r\n", b.Name)
	if s := seen(c); s != "" {
		out = fmt.Appendf(out, "x-tls: %s\r\n", s)
	}
	if b.once {
		out = append(out, "connection: close\r\n"...)
	}
	out = fmt.Appendf(out, "content-length: %d\r\n\r\n", len(body))
	if method != "HEAD" {
		out = append(out, body...)
	}
	if _, err := c.Write(out); err != nil || !b.once {
		return err
	}
	return errClose
}

// play sends a scripted reply.
func (b *Backend) play(c net.Conn, r *bufio.Reader, reply []operation) error {
	for _, op := range reply {
		switch op.directive {
		case "":
			if _, err := c.Write(op.data); err != nil {
				return err
			}
		case "gate", "await":
			if err := b.hold(op); err != nil {
				return err
			}
		case "echo":
			if _, err := io.Copy(c, r); err != nil {
				return err
			}
			return errClose
		case "close":
			return errClose
		case "reset":
			if t, ok := c.(*tls.Conn); ok {
				c = t.NetConn()
			}
			if err := c.(*net.TCPConn).SetLinger(0); err != nil {
				return err
			}
			return errClose
		}
	}
	return nil
}

// hold waits as a directive says: for the gate, or until so many requests have come.
func (b *Backend) hold(op operation) error {
	if op.directive == "gate" {
		if _, ok := <-b.gate; !ok {
			return errClose
		}
		return nil
	}
	all, err := strconv.Atoi(string(op.data))
	for err == nil {
		b.mu.Lock()
		there, changed := b.served, b.changed
		b.mu.Unlock()
		if there >= all {
			return nil
		}
		select {
		case <-changed:
		case <-b.over:
			return errClose
		}
	}
	return err
}

func (b *Backend) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	if b.quiet {
		b.heads, b.whole = nil, nil
		return
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// next waits for the oldest text of a queue and takes it.
func (b *Backend) next(queue *[]string, deadline time.Time) (string, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		b.mu.Lock()
		if len(*queue) > 0 {
			text := (*queue)[0]
			*queue = (*queue)[1:]
			b.mu.Unlock()
			return text, nil
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			return "", fmt.Errorf("backend %s received nothing", b.Name)
		}
	}
}

// forget drops what nobody has asked for.
func (b *Backend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heads, b.whole = nil, nil
}
