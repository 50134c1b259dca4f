//go:build linux

package behaviour

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Load is a stream of requests that never pauses: for each HTTP address two
// clients on connections that they keep and one that opens a connection for
// each request, and one that opens a TCP connection for each exchange. Each
// waits for the reply before it goes on.
type Load struct {
	network *Network
	stop    chan struct{}
	done    sync.WaitGroup
	clients []*loadClient
	total   atomic.Int64

	mu   sync.Mutex
	lost []string
}

type loadClient struct {
	load    *Load
	kind    string
	address string
	path    string
	// last is the name of the backend that answered last, "" after a loss.
	last atomic.Pointer[string]

	conn net.Conn
	r    *bufio.Reader
	h2   *h2conn // conn, where the kind speaks it
}

// loadPatience is for a reply, and for what is waited for meanwhile. Load goes with
// what is hard on the machine: a guest that moves hundreds of megabytes holds up the
// streams of its worker for half a minute where that has a tenth of a processor.
const loadPatience = 3 * patience

// StartLoad sends TCP to one address, and HTTP for host web to the others,
// which are ADDRESS:PORT or ADDRESS:PORT/PATH. Backends are those of this package.
func (n *Network) StartLoad(tcp string, http ...string) *Load {
	l := &Load{network: n, stop: make(chan struct{})}
	l.start("tcp", tcp, "")
	for _, to := range http {
		address, path, _ := strings.Cut(to, "/")
		for _, kind := range []string{"keep-alive", "keep-alive", "fresh"} {
			l.start(kind, address, "/"+path)
		}
	}
	return l
}

func (l *Load) start(kind, address, path string) {
	c := &loadClient{load: l, kind: kind, address: address, path: path}
	c.last.Store(new(string))
	l.clients = append(l.clients, c)
	l.done.Go(c.run)
}

// Stop ends the load; what was sent is still answered.
func (l *Load) Stop() {
	close(l.stop)
	l.done.Wait()
}

// Total is how many requests were sent so far and have been answered or lost.
func (l *Load) Total() int64 { return l.total.Load() }

// Lost describes the requests that were not answered well, in their order.
func (l *Load) Lost() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.lost...)
}

// mostLost bounds what Lost returns: nobody reads more.
const mostLost = 1000

func (l *Load) lose(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lost) < mostLost {
		l.lost = append(l.lost, what)
	}
}

// AwaitTotal waits until n requests have been sent.
func (l *Load) AwaitTotal(n int64) error {
	return l.await(func() bool { return l.Total() >= n }, func() string {
		return fmt.Sprintf("only %d of %d requests", l.Total(), n)
	})
}

// AwaitBackend waits until every client's last reply came from the backend
// called name: whatever is sent from then on was routed after the change.
func (l *Load) AwaitBackend(name string) error {
	return l.await(func() bool {
		for _, c := range l.clients {
			if *c.last.Load() != name {
				return false
			}
		}
		return true
	}, func() string {
		var at []string
		for _, c := range l.clients {
			at = append(at, fmt.Sprintf("%s to %s%s at %q", c.kind, c.address, c.path, *c.last.Load()))
		}
		return "waiting for " + name + ": " + strings.Join(at, ", ")
	})
}

func (l *Load) await(ok func() bool, state func() string) error {
	for deadline := time.Now().Add(loadPatience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New(state())
		}
	}
	return nil
}

func (c *loadClient) run() {
	defer c.hangUp()
	for {
		select {
		case <-c.load.stop:
			return
		default:
		}
		who, err := c.once()
		if err != nil {
			c.hangUp()
			c.load.lose(fmt.Sprintf("%s to %s%s, after %q: %v", c.kind, c.address, c.path, *c.last.Load(), err))
		}
		c.last.Store(&who)
		c.load.total.Add(1)
	}
}

func (c *loadClient) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn, c.h2 = nil, nil
	}
}

// once sends one request and returns the name of the backend.
func (c *loadClient) once() (string, error) {
	if http2Kinds[c.kind] {
		return c.onceHTTP2()
	}
	if c.conn == nil {
		conn, err := c.load.network.Dial(c.address)
		if err != nil {
			return "", err
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	c.conn.SetDeadline(time.Now().Add(loadPatience))
	if c.kind == "tcp" {
		defer c.hangUp()
		return c.exchange()
	}
	if c.kind == "fresh" {
		defer c.hangUp()
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: web\r\n\r\n", c.path); err != nil {
		return "", err
	}
	m, err := readHead(c.r)
	if err != nil {
		return "", err
	}
	if err := m.readBody(c.r, true, "GET"); err != nil {
		return "", err
	}
	if m.get("connection") == "close" {
		c.hangUp()
	}
	if m.status() != 200 {
		return "", fmt.Errorf("%s %q", m.Start, clip(m.Body))
	}
	return m.get("x-backend"), nil
}

// exchange is one TCP exchange: the backend says who it is, then echoes.
func (c *loadClient) exchange() (string, error) {
	const ping = "ping"
	if _, err := io.WriteString(c.conn, ping); err != nil {
		return "", err
	}
	who, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	echo := make([]byte, len(ping))
	if _, err := io.ReadFull(c.r, echo); err != nil || string(echo) != ping {
		return "", fmt.Errorf("echo %q: %w", echo, err)
	}
	return strings.TrimSuffix(who, "\n"), nil
}
