package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// What a server does to a pooled connection is neither waited on nor taken for
// the answer to the next request, whatever the method.
func TestPooledConnectionIsAskedBeforeItIsUsed(t *testing.T) {
	for name, do := range map[string]func(net.Conn){
		"half closed": func(c net.Conn) { c.(*net.TCPConn).CloseWrite() },
		"a 408":       func(c net.Conn) { io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") },
	} {
		for _, request := range []string{
			"GET / HTTP/1.1\nHost: x\n\n",
			"POST / HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
			"PUT / HTTP/1.1\nHost: x\nContent-Length: 2\n\nok",
		} {
			method, _, _ := strings.Cut(request, " ")
			t.Run(name+", "+method, func(t *testing.T) {
				var conns atomic.Int32
				pooled := make(chan struct{})
				w := &world{}
				w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
					first := conns.Add(1) == 1
					for {
						q, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						io.Copy(io.Discard, q.Body)
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
						if first {
							<-pooled
							do(c)
							io.Copy(io.Discard, r)
						}
					}
				}))
				w.host("x", "a")
				p := run(t, w, func(c *Config) { c.tick = time.Hour })
				get(t, p, "x", "/")
				pl := p.current.clusters[0].state.appendPools(nil)[0]
				idle := func(quiet bool) func() bool {
					return func() bool {
						pl.mu.Lock()
						defer pl.mu.Unlock()
						return len(pl.idle) == 1 && pl.idle[0].codec.Idle() == quiet
					}
				}
				until(t, "the connection is pooled", idle(true))
				close(pooled)
				until(t, "it is no longer quiet", idle(false))
				c := dial(t, p.address(t, "gateway"))
				c.send("%s", strings.ReplaceAll(request, "\n", "\r\n"))
				if r, body := c.response(method); r.StatusCode != 200 || body != "ok" || conns.Load() != 2 {
					t.Errorf("%d %q, %d connections", r.StatusCode, body, conns.Load())
				}
			})
		}
	}
}

// endless is a body that the client will not read to its end.
func endless(w http.ResponseWriter, r *http.Request) {
	b := make([]byte, 64<<10)
	for {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

func TestClientThatDoesNotReadIsCutOff(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprint("filtered ", filtered), func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			w := &world{}
			w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				endless(w, r)
			}))
			w.host("x", "a")
			change := func(*Config) {}
			if filtered {
				change = kinds{"k": func(filter.Stream) filter.HTTP { return filter.PassThrough{} }}.install(w, func(string) {})
			}
			p := run(t, w, change, func(c *Config) { c.StreamIdleTimeout = time.Duration(inTime) })
			c := dial(t, p.address(t, "gateway"))
			c.send("GET / HTTP/1.1\nHost: x\n\n")
			<-ended
			until(t, "the connection has been let go", func() bool { return live(p) == 0 })
		})
	}
}

// live returns how many connections the proxy serves.
func live(p *Proxy) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sockets {
		n += s.each(func(connection) {})
	}
	return n
}

func TestIdleTunnelsAreCutOff(t *testing.T) {
	timeout := func(c *Config) { c.StreamIdleTimeout, c.TCPIdleTimeout = time.Duration(inTime), time.Duration(inTime) }
	ended := make(chan struct{}, 1)
	w := &world{}
	w.cluster("tcp", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		io.Copy(io.Discard, r)
		ended <- struct{}{}
	}))
	w.cluster("ws", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		http.ReadRequest(r)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(io.Discard, r)
		ended <- struct{}{}
	}))
	w.tcp("tcp", "tcp")
	w.host("x", "ws")
	p := run(t, w, timeout)
	for _, listener := range []string{"tcp", "gateway"} {
		t.Run(listener, func(t *testing.T) {
			t.Parallel()
			c := dial(t, p.address(t, listener))
			if listener == "gateway" {
				c.send("GET / HTTP/1.1\nHost: x\nConnection: upgrade\nUpgrade: websocket\n\n")
				if r, _ := c.response("GET"); r.StatusCode != 101 {
					t.Fatal(r.Status)
				}
			}
			if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
				t.Errorf("%q, %v", b, err)
			}
			<-ended
		})
	}
	t.Run("filtered TCP", func(t *testing.T) {
		w.filters = []snapshot.Filter{{Kind: "upper"}}
		p := run(t, w, timeout, func(c *Config) {
			c.NewFilter = func(context.Context, snapshot.Filter, bool, string) (filter.Factory, error) {
				return idleFactory{}, nil
			}
		})
		c := dial(t, p.address(t, "tcp"))
		c.send("fills what the filter may hold")
		if b, err := io.ReadAll(c.r); len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
		until(t, "the connection has been let go", func() bool { return live(p) == 0 })
	})
}

// idleFactory makes filters that hold what they get for ever.
type idleFactory struct{}

func (idleFactory) HTTP(filter.Stream) filter.HTTP { return nil }
func (idleFactory) TCP(filter.Conn) filter.TCP     { return holder{} }
func (idleFactory) Close()                         {}

type holder struct{ filter.PassThrough }

func (holder) DownstreamData(*filter.Buffer, bool) filter.DataStatus { return filter.DataStopAndBuffer }

// Being asked what they have moved costs copies nothing, and what moves is not
// idle, however slowly the janitor learns of it.
func TestAskedCopiesLoseNothing(t *testing.T) {
	w := &world{}
	w.cluster("echo", rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) }))
	w.tcp("tcp", "echo")
	p := run(t, w, func(c *Config) { c.tick = time.Hour })
	c := dial(t, p.address(t, "tcp"))
	var tun *tunnel
	until(t, "the connection is there", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, s := range p.sockets {
			s.each(func(c connection) { tun, _ = c.(*tunnel) })
		}
		if tun == nil {
			return false
		}
		tun.mu.Lock()
		defer tun.mu.Unlock()
		return tun.timer != nil
	})
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	go c.Write(sent)
	got := make([]byte, 0, len(sent))
	now, asked := int64(time.Hour), 0
	for piece := make([]byte, 64<<10); len(got) < len(sent); {
		n, err := c.Read(piece)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, piece[:n]...)
		before := tun.watch.asked
		tun.watch.stalled(now, time.Minute)
		if tun.watch.asked != before {
			asked++
		}
		now += int64(time.Minute / 8)
	}
	if !bytes.Equal(got, sent) || asked < 2 {
		t.Errorf("%d of %d bytes, asked %d times", len(got), len(sent), asked)
	}
	// Nothing moves but one byte every three quarters of a timeout.
	tun.watch.since, tun.watch.fresh = now, false // that time was in a hurry
	answered := func() {
		until(t, "the copies have answered", func() bool {
			return tun.watch.flows[0].state.Load() == flowCopies && tun.watch.flows[1].state.Load() == flowCopies
		})
	}
	for i := range 80 {
		now += int64(time.Minute / 8)
		if i%6 == 0 {
			c.Write([]byte("x"))
			c.Read(make([]byte, 1))
		}
		answered()
		for range 2 { // asks, judges
			if tun.watch.stalled(now, time.Minute) {
				t.Fatalf("cut off after %d rounds", i)
			}
			answered()
		}
	}
	for i := 0; !tun.watch.stalled(now, time.Minute); i++ {
		answered()
		if now += int64(time.Minute / 16); i > 2*16+4 {
			t.Fatal("nothing moves, and it goes on")
		}
	}
}

// What cannot write cannot say what it has moved: it gets a timeout of its own.
func TestBlockedCopyIsNotJudgedByWhatItHasNotSaid(t *testing.T) {
	const timeout = time.Minute
	client, src := net.Pipe()
	dst, server := net.Pipe()
	var w watch
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.flows[0].copy(dst, src)
	}()
	answered := func() {
		until(t, "the copy has answered", func() bool { return w.flows[0].state.Load() == flowCopies })
	}
	answered()
	start := int64(time.Hour)
	w.stalled(start, timeout)
	answered()
	w.stalled(start+1, timeout)
	client.Write([]byte("x")) // it has been read, and cannot be written
	now := start + int64(timeout)
	if w.stalled(now, timeout) || w.stalled(now+1, timeout) || w.stalled(now+int64(timeout), timeout) {
		t.Error("cut off while it may have moved")
	}
	server.Read(make([]byte, 1))
	answered()
	if w.stalled(now+int64(timeout)+1, timeout) {
		t.Error("cut off although it has moved")
	}
	client.Write([]byte("x"))
	now += 2 * int64(timeout)
	if w.stalled(now, timeout) || !w.stalled(now+int64(timeout)+1, timeout) {
		t.Error("not cut off once blocked for a timeout")
	}
	src.Close()
	dst.Close()
	<-ended
}

// A client that leaves while it waits for a 100 is no reason to panic.
func TestClientThatLeavesBeforeTheContinue(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{})
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-release
	}))
	w.host("x", "a")
	var log lockedBuffer
	p := run(t, w, func(c *Config) { c.tick, c.Log = time.Hour, slog.New(slog.NewTextHandler(&log, nil)) })
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\n\nPOST / HTTP/1.1\nHost: x\nExpect: 100-continue\nContent-Length: 2\n\nok")
	<-started
	// The response to the GET is answered by a reset, and so the 100 fails.
	c.Close()
	close(release)
	until(t, "the connection has been let go", func() bool { return live(p) == 0 })
	if log.String() != "" {
		t.Errorf("logged: %s", log.String())
	}
}

func TestPoolsOfFormerAddressesAreLetGo(t *testing.T) {
	one := netip.MustParseAddrPort(named(t, "1"))
	var answer atomic.Pointer[[]netip.Addr]
	first, second := []netip.Addr{netip.MustParseAddr("127.0.0.1")}, []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	answer.Store(&first)
	w := &world{}
	w.cluster("a")
	w.clusters[0].Discovery = snapshot.DNS
	w.endpoints[0].Endpoints = snapshot.ListOf(snapshot.Endpoint{Address: "backend.example", Port: one.Port()})
	w.host("x", "a")
	p := run(t, w, func(c *Config) {
		c.tick = time.Hour
		c.Resolve = func(context.Context, string) ([]netip.Addr, time.Duration, error) { return *answer.Load(), 0, nil }
	})
	if _, body := get(t, p, "x", "/"); body != "1" {
		t.Fatal(body)
	}
	c := p.current.clusters[0]
	pools := func() (addresses []netip.Addr) {
		for _, pl := range c.state.appendPools(nil) {
			addresses = append(addresses, pl.address.Addr())
		}
		return addresses
	}
	idle := func(pl *pool) int { pl.mu.Lock(); defer pl.mu.Unlock(); return len(pl.idle) }
	former := c.state.appendPools(nil)[0]
	until(t, "the connection is pooled", func() bool { return idle(former) == 1 })
	later := p.clock.Load() + int64(2*p.cfg.UpstreamIdleTimeout)
	p.sweep(later)
	if idle(former) != 0 || fmt.Sprint(pools()) != fmt.Sprint(first) {
		t.Errorf("the address that serves: %d idle connections, pools %v", idle(former), pools())
	}
	answer.Store(&second)
	p.names.mu.Lock()
	for _, h := range p.names.hosts {
		h.due = time.Time{}
	}
	p.names.mu.Unlock()
	c.dns.last.Store(nil)
	until(t, "the name is resolved again", func() bool { get(t, p, "x", "/"); return len(pools()) == 2 })
	p.sweep(later + 1)
	p.sweep(later + 2 + int64(p.cfg.UpstreamIdleTimeout))
	if fmt.Sprint(pools()) != fmt.Sprint(second) {
		t.Errorf("pools %v", pools())
	}
}

// lockedBuffer is a log that may be written and read at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
