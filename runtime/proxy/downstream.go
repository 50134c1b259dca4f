package proxy

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// What a downstream connection is doing, for the janitor and for draining.
const (
	phaseIdle        uint32 = iota // between two requests
	phaseHeaders                   // a request has begun to arrive
	phaseBusy                      // its headers are here, its body is not
	phaseWaiting                   // the request is here, the response is not done
	phaseTunnel                    // upgraded to another protocol
	phaseMultiplexed               // its streams are downstreams of their own
	phaseClosed
)

// downstream is an accepted HTTP connection, or one stream of a connection of
// HTTP/2. One goroutine serves it; the stream, with all its buffers, is used again
// for each request.
type downstream struct {
	proxy  *Proxy
	socket *socket
	nc     net.Conn
	codec  serverCodec
	id     uint64
	remote netip.AddrPort
	local  netip.AddrPort
	client uint64 // what ClientIP balancing knows the client by
	sni    string // the server name that the client asked for, in lower case
	// asked are the patterns that stand for sni.
	asked []string

	phase atomic.Uint32
	// leaving says that the connection takes no other request, as all of a socket
	// that drains.
	leaving atomic.Bool
	since   atomic.Int64  // of the phase, or of the last sign of life in it
	seq     atomic.Uint64 // of the stream, so that nobody ends the one after it

	tunnel  watch         // of what it was upgraded to
	session *http2Session // of HTTP/2 that this is one stream of, or nil
	// multiplexed is what the connection became when its client spoke HTTP/2.
	multiplexed atomic.Pointer[http2Session]
	stream      stream
	interim     func(*filter.Headers) // stream.interim
}

func newDownstream(s *socket, nc net.Conn) *downstream {
	d := &downstream{
		proxy: s.proxy, socket: s, nc: nc, codec: http1.NewServerConn(nc, s.proxy.cfg.Limits),
		id: s.proxy.lastID.Add(1), remote: addressOf(nc.RemoteAddr()), local: addressOf(nc.LocalAddr()),
	}
	d.client, d.sni = clientHash(d.remote.Addr()), serverName(nc)
	d.asked = snapshot.ServerNamePatterns(d.sni)
	d.since.Store(d.proxy.clock.Load())
	d.stream.d = d
	d.stream.pumped = make(chan struct{}, 1)
	d.interim = d.stream.informational
	return d
}

// alive notes a sign of life.
func (d *downstream) alive() { d.since.Store(d.proxy.clock.Load()) }

func (d *downstream) enter(phase uint32) {
	d.alive()
	d.phase.Store(phase)
}

func (d *downstream) serve() {
	s := &d.stream
	defer d.codec.Close()
	defer s.stopTimer()
	for first := true; ; first = false {
		d.enter(phaseIdle)
		// Either this sees draining, or drain sees the idle connection.
		if d.ending() && d.codec.Buffered() == 0 {
			if _, waiting := peek(d.nc); !waiting {
				return
			}
		}
		if err := d.codec.Wait(); err != nil {
			return
		}
		d.alive()
		if !d.phase.CompareAndSwap(phaseIdle, phaseHeaders) {
			return
		}
		end, err := d.codec.ReadHeaders(&s.request)
		if first && errors.Is(err, http1.ErrHTTP2) {
			d.multiplex()
			return
		}
		if err != nil {
			d.refuse(err)
			return
		}
		d.seq.Add(1)
		if !s.serve(end) || !d.codec.Next() {
			return
		}
	}
}

// refuse answers a request that the codec would not take; it has no headers
// that could be trusted, so no filter sees it.
func (d *downstream) refuse(err error) {
	var e *http1.Error
	if !errors.As(err, &e) {
		return
	}
	var h filter.Headers
	h.Add(":status", strconv.Itoa(e.Status))
	h.Add("content-length", "0")
	h.Add("date", d.proxy.date())
	d.codec.CloseAfter()
	if d.codec.WriteHeaders(&h, true) != nil {
		return
	}
	l := d.socket.acquire()
	l.meter.done(e.Status, 0, 0, 0)
	l.gen.release()
	d.proxy.log.Debug("request refused", "remote", d.remote, slog.String("reason", e.Reason))
}

// past is a deadline that has always gone by.
var past = time.Unix(1, 0)

// ending reports whether the connection takes no other request than what has
// begun to arrive.
func (d *downstream) ending() bool { return d.leaving.Load() || d.socket.draining.Load() }

func (d *downstream) from() net.Conn { return d.nc }

func (d *downstream) drain() {
	d.leaving.Store(true)
	if m := d.multiplexed.Load(); m != nil {
		m.conn.Drain()
		return
	}
	if d.phase.Load() != phaseIdle {
		return
	}
	// A request that is on its way in is answered yet.
	if _, waiting := peek(d.nc); !waiting && d.phase.CompareAndSwap(phaseIdle, phaseClosed) {
		d.nc.SetReadDeadline(past)
	}
}

func (d *downstream) kill() {
	if m := d.multiplexed.Load(); m != nil {
		m.conn.Kill()
		return
	}
	d.stream.abort(d.seq.Load(), errKilled)
	hangUp(d.nc)
}

// gone reports whether the client has left while it waits for a response.
func (d *downstream) gone() bool {
	if d.session != nil {
		return false // its reader notices
	}
	// Nobody reads from the client now, so nobody else would notice.
	gone, _ := peek(d.nc)
	return gone
}

func (d *downstream) check(now int64) {
	seq := d.seq.Load()
	phase := d.phase.Load()
	waited := time.Duration(now - d.since.Load())
	cfg := &d.proxy.cfg
	switch phase {
	case phaseIdle:
		if waited > cfg.IdleTimeout {
			d.drain()
		}
	case phaseHeaders:
		if waited > cfg.HeaderTimeout {
			d.nc.SetReadDeadline(past)
		}
	case phaseWaiting:
		if d.gone() {
			d.stream.abort(seq, errClientGone)
		}
	case phaseMultiplexed:
		d.multiplexed.Load().check(now)
	}
}
