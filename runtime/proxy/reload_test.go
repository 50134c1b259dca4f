package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// A listener whose protocol changes keeps its address, and what is connected
// to it keeps the protocol it knows.
func TestReloadChangesTheProtocol(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	at := func(protocol snapshot.Protocol) *world {
		w := &world{}
		w.cluster("web", backend(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				close(started)
				<-release
			}
			io.WriteString(w, "web")
		}))
		w.cluster("echo", rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) }))
		w.host("*", "web")
		l := snapshot.Listener{
			Name: "l", Direction: snapshot.Outbound, Protocol: protocol, Address: "127.0.0.1", Targets: targetList([]string{"echo"}),
		}
		if protocol == snapshot.HTTP {
			l.Targets, l.VirtualHosts = snapshot.List[snapshot.Target]{}, snapshot.ListOf(w.vhosts...)
		}
		w.dataplane = append(w.dataplane, l)
		return w
	}
	echoes := func(c *client, text string) {
		t.Helper()
		c.send("%s", text)
		b := make([]byte, len(text))
		if _, err := io.ReadFull(c.r, b); err != nil || string(b) != text {
			t.Errorf("sent %q, got %q, %v", text, b, err)
		}
	}
	p := run(t, at(snapshot.HTTP))
	address := p.address(t, "l")
	idle, busy := dial(t, address), dial(t, address)
	idle.send("GET / HTTP/1.1\nHost: x\n\n")
	idle.response("GET")
	busy.send("GET /slow HTTP/1.1\nHost: x\n\n")
	<-started

	publish(t, p, at(snapshot.TCP))
	if _, err := idle.r.ReadByte(); err != io.EOF {
		t.Errorf("idle connection: %v", err)
	}
	tcp := dial(t, address)
	echoes(tcp, "hello")
	close(release)
	if r, body := busy.response("GET"); r.StatusCode != 200 || body != "web" || !r.Close {
		t.Errorf("request in flight: %d %q, connection: close %v", r.StatusCode, body, r.Close)
	}

	publish(t, p, at(snapshot.HTTP))
	echoes(tcp, "still here")
	c := dial(t, address)
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	if r, body := c.response("GET"); r.StatusCode != 200 || body != "web" || r.Close {
		t.Errorf("new connection: %d %q, connection: close %v", r.StatusCode, body, r.Close)
	}
	draining := func(n int) func() bool {
		return func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.draining) == n
		}
	}
	until(t, "only the socket of the TCP connection is left", draining(1))
	tcp.Close()
	until(t, "it has gone", draining(0))
}

// onPort is a world whose dataplane listens on each address, on one port that
// was free.
func onPort(t *testing.T) func(addresses ...string) *world {
	t.Helper()
	port := freePort(t, "tcp")
	greets := rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) })
	return func(addresses ...string) *world {
		w := &world{}
		w.cluster("echo", greets)
		for _, a := range addresses {
			w.dataplane = append(w.dataplane, snapshot.Listener{
				Name: "on " + a, Direction: snapshot.Outbound, Protocol: snapshot.TCP, Address: a, Port: port,
				Targets: targetList([]string{"echo"}), Sources: snapshot.ListOf("kuma/Dataplane/default/" + a),
			})
		}
		return w
	}
}

func TestReloadMovesBetweenOneAddressAndAll(t *testing.T) {
	at := onPort(t)
	for _, all := range []string{"0.0.0.0", "::"} {
		t.Run(all, func(t *testing.T) {
			p := run(t, at("127.0.0.1"))
			_, port, _ := net.SplitHostPort(p.address(t, "on 127.0.0.1"))
			answers := func(host string) bool {
				c, err := net.Dial("tcp", net.JoinHostPort(host, port))
				if err != nil {
					return false
				}
				defer c.Close()
				io.WriteString(c, "x")
				n, _ := c.Read(make([]byte, 1))
				return n == 1
			}
			kept := dial(t, "127.0.0.1:"+port)
			for i, step := range []struct {
				listen []string
				beyond bool // 127.0.0.3 answers too
			}{
				{[]string{all}, true},
				{[]string{"127.0.0.1", "127.0.0.2"}, false},
				{[]string{all}, true},
				{[]string{"127.0.0.1"}, false},
			} {
				publish(t, p, at(step.listen...))
				if !answers("127.0.0.1") || answers("127.0.0.3") != step.beyond {
					t.Errorf("step %d: not as %v", i, step.listen)
				}
				for _, a := range []string{"127.0.0.1", all} {
					other := New(p.cfg)
					if commit, _, err := other.Prepare(context.Background(), at(a).snapshot()); err == nil {
						commit()
						t.Errorf("step %d: a second process shares the port on %s", i, a)
					}
					other.Shutdown(context.Background())
				}
			}
			kept.send("x")
			if _, err := kept.r.ReadByte(); err != nil {
				t.Errorf("the connection from before: %v", err)
			}
		})
	}
}

func TestErrorsOfAddressesNameBothListeners(t *testing.T) {
	at := onPort(t)
	p := run(t, at("127.0.0.1"))
	next := at("127.0.0.1", "0.0.0.0").snapshot()
	next.Origins = snapshot.ListOf(
		snapshot.Origin{ID: "kuma/Dataplane/default/0.0.0.0", File: "all.yaml", Line: 3, Column: 1},
		snapshot.Origin{ID: "kuma/Dataplane/default/127.0.0.1", File: "one.yaml", Line: 7, Column: 2},
	)
	_, _, err := p.Prepare(context.Background(), next)
	if err == nil || !strings.HasPrefix(err.Error(), "all.yaml:3:1: listener on 0.0.0.0 of default.web: ") ||
		!strings.HasSuffix(err.Error(), ": its port is that of listener on 127.0.0.1 of default.web (one.yaml:7:2); one of them needs another") {
		t.Errorf("one address and all: %v", err)
	}

	next = at("127.0.0.1").snapshot()
	listeners := next.Proxies.At(0).Listeners
	api := listeners.At(0)
	api.Sources = snapshot.ListOf("kuma/Dataplane/default/api", "kuma/TrafficRoute/default/t")
	next = snapshot.Seal(snapshot.Snapshot{
		Proxies: snapshot.ListOf(
			snapshot.Proxy{ID: "default.api", Listeners: snapshot.ListOf(api)},
			snapshot.Proxy{ID: "default.web", Listeners: listeners},
		),
		Origins: snapshot.ListOf(
			snapshot.Origin{ID: "kuma/Dataplane/default/127.0.0.1", File: "web.yaml", Line: 7, Column: 2},
			snapshot.Origin{ID: "kuma/Dataplane/default/api", File: "api.yaml", Line: 9, Column: 1},
		),
	})
	_, _, err = p.Prepare(context.Background(), next)
	if err == nil || !strings.HasPrefix(err.Error(), "web.yaml:7:2: listener on 127.0.0.1 of default.web: ") ||
		!strings.Contains(err.Error(), " is also the address of listener on 127.0.0.1 of default.api (api.yaml:9:1); ") {
		t.Errorf("twice the same: %v", err)
	}
}
