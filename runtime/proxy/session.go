package proxy

import (
	"crypto/tls"
	"errors"
	"sync"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
	"github.com/meshc/meshc/runtime/proxy/http2"
)

// http2Session is a downstream connection that speaks HTTP/2. Each of its streams
// has a downstream of its own, whose codec is the stream.
type http2Session struct {
	d       *downstream // the connection
	conn    *http2.ServerConn
	scheme  string
	serving sync.WaitGroup
}

// preludeLength is how much of the connection preface the HTTP/1 codec has taken
// for a request.
const preludeLength = len("PRI * HTTP/2.0\r\n\r\n")

// multiplex goes on in HTTP/2, which the client has turned out to speak: by its
// preface, over TLS too, whatever was negotiated.
func (d *downstream) multiplex() {
	nc, rest := d.codec.Hijack()
	m := &http2Session{d: d, scheme: "http"}
	if _, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		m.scheme = "https"
	}
	received := append([]byte(http2.Preface[:preludeLength]), rest...)
	m.conn = http2.NewServerConn(nc, received, http2Limits(d.proxy.cfg.Limits), m.begin)
	d.multiplexed.Store(m)
	d.phase.Store(phaseMultiplexed)
	if d.ending() {
		m.conn.Drain()
	}
	m.conn.Serve()
	m.serving.Wait()
}

func http2Limits(l http1.Limits) http2.Limits {
	return http2.Limits{HeaderBytes: l.HeaderBytes, HeaderCount: l.HeaderCount, BodyBytes: l.BodyBytes}
}

// check is called at every tick of the janitor.
func (m *http2Session) check(now int64) {
	cfg := &m.d.proxy.cfg
	m.conn.Tick(now, cfg.IdleTimeout, cfg.StreamIdleTimeout)
}

// lanes are downstreams that serve no stream just now, with their storage.
var lanes = sync.Pool{New: func() any {
	d := &downstream{}
	d.stream.d = d
	d.stream.pumped = make(chan struct{}, 1)
	d.interim = d.stream.informational
	return d
}}

// begin serves a request that has come.
func (m *http2Session) begin(s *http2.Stream) {
	d := lanes.Get().(*downstream)
	c := m.d
	d.session, d.codec = m, s
	d.proxy, d.socket, d.nc, d.id = c.proxy, c.socket, c.nc, c.id
	d.remote, d.local, d.client, d.sni, d.asked = c.remote, c.local, c.client, c.sni, c.asked
	d.enter(phaseBusy)
	s.Attach(d, d.seq.Add(1))
	m.serving.Add(1)
	go d.serveStream()
}

// StreamReset is part of http2.Owner.
func (d *downstream) StreamReset(number uint64, err error) { d.stream.abort(number, gone(err)) }

// gone is why a client is there no more: its reset of the stream, where err is
// that, or else the end of the connection.
func gone(err error) error {
	if e, ok := errors.AsType[*http2.Error](err); ok && e.Remote {
		return e
	}
	return errClientGone
}

// left reports whether cause is that the client left, in one way or the other.
func left(cause error) bool {
	_, reset := cause.(*http2.Error)
	return reset || cause == errClientGone
}

// serveStream serves the one request of a stream.
func (d *downstream) serveStream() {
	m := d.session
	defer m.serving.Done()
	end, err := d.codec.ReadHeaders(&d.stream.request)
	complete := false
	if err != nil {
		d.refuse(err)
		d.stream.reset() // the client's reset may still be on its way here
		complete = true
	} else {
		complete = d.stream.serve(end)
	}
	if complete {
		d.codec.Next()
	} else {
		d.codec.Close()
	}
	d.session, d.codec, d.nc, d.socket = nil, nil, nil, nil
	lanes.Put(d)
}

// scheme is the one that a request with headers h was received by.
func (d *downstream) scheme(h *filter.Headers) string {
	if d.session != nil {
		return d.session.scheme // its client may say what it likes
	}
	return h.Value(":scheme")
}
