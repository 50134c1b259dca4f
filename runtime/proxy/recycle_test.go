package proxy

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

// refusedStream is a stream of HTTP/2 whose request is over the limits.
type refusedStream struct{ serverCodec }

func (refusedStream) ReadHeaders(*filter.Headers) (bool, error) {
	return false, &http1.Error{Status: 431, Reason: "header section over the limit"}
}
func (refusedStream) WriteHeaders(*filter.Headers, bool) error { return nil }
func (refusedStream) CloseAfter()                              {}
func (refusedStream) Next() bool                               { return false }

// That a client has left is told by its connection's reader, which may be late: the lane of
// a request that was refused serves another client's by then.
func TestLateResetOfRefusedStream(t *testing.T) {
	w := &world{}
	w.host("a")
	p := run(t, w)
	var s *socket
	for _, s = range p.sockets {
	}
	m := &http2Session{d: &downstream{proxy: p, socket: s}}
	d := lanes.Get().(*downstream)
	d.session, d.codec, d.proxy, d.socket = m, refusedStream{}, p, s
	number := d.seq.Add(1)
	m.serving.Add(1)
	d.serveStream()
	d.StreamReset(number, errClientGone)
	if cause := d.stream.aborted(); cause != nil {
		t.Errorf("the next stream of the lane is given up: %v", cause)
	}
}

// Once a request is on its way, no callback of a filter that comes late takes its route
// from under it, as in Envoy's router.
func TestRouteClearedWhileTheEndpointIsSought(t *testing.T) {
	address := netip.MustParseAddrPort(named(t, "a"))
	w := &world{}
	w.cluster("a")
	w.clusters[0].Discovery = snapshot.DNS
	w.endpoints[0].Endpoints = snapshot.ListOf(snapshot.Endpoint{Address: "a.example", Port: address.Port()})
	w.host("x", "a")
	var stream filter.Stream
	install := kinds{"k": func(s filter.Stream) filter.HTTP { stream = s; return filter.PassThrough{} }}.install(w, func(string) {})
	p := run(t, w, install, func(c *Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, time.Duration, error) {
			stream.Post(func() {
				stream.ClearRoute()
				stream.Property("xds", "route_name")
				stream.ClearRoute()
			})
			return []netip.Addr{address.Addr()}, time.Hour, nil
		}
	})
	if r, body := get(t, p, "x", "/"); r.StatusCode != 200 || body != "a" {
		t.Errorf("%d %q", r.StatusCode, body)
	}
}

// A connection that ends under an upload is no fault of the request: reading tells, and the
// client is answered. HTTP/2 reports such an end as it met it.
func TestEndUnderAnUpload(t *testing.T) {
	for _, err := range []error{io.ErrUnexpectedEOF, os.NewSyscallError("write", syscall.EPIPE), net.ErrClosed, &http2.Error{Code: http2.CodeCancel}} {
		d := &downstream{}
		d.stream.d = d
		d.stream.uploadFailed(err)
		if cause := d.stream.aborted(); cause != nil {
			t.Errorf("given up for %v", cause)
		}
	}
}

// A connection that is about to be handed to a socket keeps that alive, also where another
// is put in its place meanwhile.
func TestHandOverAmidReloads(t *testing.T) {
	at := func(protocol snapshot.Protocol) *world {
		w := &world{}
		w.cluster("a", nobody)
		w.host("*", "a")
		l := snapshot.Listener{Name: "l", Direction: snapshot.Outbound, Protocol: protocol, Address: "127.0.0.1"}
		if protocol == snapshot.HTTP {
			l.VirtualHosts = snapshot.ListOf(w.vhosts...)
		} else {
			l.Targets = targetList([]string{"a"})
		}
		w.dataplane = append(w.dataplane, l)
		return w
	}
	p := run(t, at(snapshot.HTTP))
	var first *socket
	for _, s := range p.sockets {
		if s.serving.Load().name == "l" {
			first = s
		}
	}
	publish(t, p, at(snapshot.TCP))
	first.hand(func(to *socket) error {
		if to == first {
			t.Error("it is handed to the socket that is gone")
		}
		publish(t, p, at(snapshot.HTTP))
		for range 10_000 {
			p.mu.Lock()
			alive := p.draining[to]
			p.mu.Unlock()
			if !alive {
				t.Fatal("what it is handed to has been left")
			}
			runtime.Gosched()
		}
		to.acquire().gen.release() // would not return
		return nil
	})
}
