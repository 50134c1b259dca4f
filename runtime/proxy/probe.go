package proxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// checkAgent is the user-agent of a check; Envoy's, since backends know it.
const checkAgent = "Envoy/HC"

// checkRequest makes the headers of the request of a check.
func checkRequest(s snapshot.HTTPCheck, host string) *filter.Headers {
	h := &filter.Headers{}
	h.Add(":method", "GET")
	h.Add(":scheme", "http")
	h.Add(":path", s.Path)
	h.Add(":authority", host)
	h.Add("user-agent", checkAgent)
	for _, name := range s.Headers.Remove.All() {
		h.Remove(name)
	}
	for _, f := range s.Headers.Set.All() {
		if f.Name == "host" {
			f.Name = ":authority"
		}
		h.Set(f.Name, f.Value)
	}
	for _, f := range s.Headers.Add.All() {
		h.Add(f.Name, f.Value)
	}
	return h
}

// expected returns an error where status is not one that means health.
func expected(s snapshot.HTTPCheck, status int) error {
	good := status == 200
	if s.Failures.Len() > 0 {
		good = status >= 100 && status < 600 && !slices.Contains(s.Failures.Slice(), uint32(status))
	}
	if s.Statuses.Len() > 0 {
		good = slices.Contains(s.Statuses.Slice(), uint32(status))
	}
	if !good {
		return fmt.Errorf("status %d", status)
	}
	return nil
}

// httpProber checks over HTTP/1.1.
type httpProber struct {
	spec  snapshot.HTTPCheck
	fresh bool
	dial  dialer
	conn  *http1.ClientConn // nil between connections
}

func newHTTPProber(s snapshot.HealthCheck) func(dialer) prober {
	return func(dial dialer) prober { return &httpProber{spec: s.HTTP, fresh: s.Fresh, dial: dial} }
}

func (p *httpProber) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

func (p *httpProber) probe(ctx context.Context, host string) error {
	if p.conn != nil && !p.conn.Idle() {
		p.close()
	}
	if p.conn == nil {
		nc, err := p.dial(ctx)
		if err != nil {
			return err
		}
		p.conn = http1.NewClientConn(nc, http1.Limits{})
	}
	release := context.AfterFunc(ctx, p.conn.Abort)
	status, err := p.exchange(host)
	if !release() || err != nil || p.fresh || !p.conn.Next() {
		p.close()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return expected(p.spec, status)
}

// exchange sends the request and reads the whole response.
func (p *httpProber) exchange(host string) (status int, err error) {
	if err := p.conn.WriteHeaders(checkRequest(p.spec, host), true); err != nil {
		return 0, err
	}
	var response filter.Headers
	end, err := p.conn.ReadHeaders(&response)
	if err != nil {
		return 0, err
	}
	status, err = strconv.Atoi(response.Value(":status"))
	if err != nil {
		return 0, err
	}
	b := takeBuffer()
	defer b.release()
	for !end {
		if _, end, err = p.conn.ReadData(b.all[:]); err != nil {
			return 0, err
		}
		if end {
			err = p.conn.ReadTrailers(&filter.Headers{})
		}
	}
	return status, err
}

// http2Prober checks over HTTP/2, with prior knowledge.
type http2Prober struct {
	spec      snapshot.HTTPCheck
	fresh     bool
	transport *http.Transport
}

func newHTTP2Prober(s snapshot.HealthCheck) func(dialer) prober {
	return func(dial dialer) prober {
		t := &http.Transport{
			DisableCompression: true, Protocols: new(http.Protocols),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		}
		t.Protocols.SetUnencryptedHTTP2(true)
		return &http2Prober{s.HTTP, s.Fresh, t}
	}
}

func (p *http2Prober) close() { p.transport.CloseIdleConnections() }

func (p *http2Prober) probe(ctx context.Context, host string) error {
	h := checkRequest(p.spec, host)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://check"+h.Value(":path"), nil)
	if err != nil {
		return err
	}
	r.Host = h.Value(":authority")
	r.Header["User-Agent"] = nil // which keeps Go from adding its own
	for i := range h.Len() {
		if f := h.At(i); f.Name[0] != ':' {
			r.Header.Add(f.Name, f.Value)
		}
	}
	if p.fresh {
		defer p.close()
	}
	response, err := p.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	return expected(p.spec, response.StatusCode)
}

// tcpProber checks that a connection opens, and what is answered on it.
type tcpProber struct {
	dial    dialer
	fresh   bool
	send    []byte
	receive [][]byte
	conn    net.Conn // nil between connections
}

func newTCPProber(s snapshot.HealthCheck) (func(dialer) prober, error) {
	send, err := base64.StdEncoding.DecodeString(s.Send)
	if err != nil {
		return nil, fmt.Errorf("what a health check sends: %w", err)
	}
	receive := make([][]byte, s.Receive.Len())
	for i, block := range s.Receive.All() {
		if receive[i], err = base64.StdEncoding.DecodeString(block); err != nil {
			return nil, fmt.Errorf("what a health check awaits: %w", err)
		}
	}
	return func(dial dialer) prober { return &tcpProber{dial: dial, fresh: s.Fresh, send: send, receive: receive} }, nil
}

func (p *tcpProber) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// maxAnswer bounds the answer to a TCP check, in bytes.
const maxAnswer = 64 << 10

var errAnswer = errors.New("the answer does not hold what it should")

// probe is content with a connection where nothing is awaited, and then sends
// nothing, as in Envoy.
func (p *tcpProber) probe(ctx context.Context, _ string) error {
	kept := p.conn != nil
	for {
		if p.conn == nil {
			var err error
			if p.conn, err = p.dial(ctx); err != nil {
				return err
			}
		}
		if len(p.receive) == 0 {
			p.close()
			return nil
		}
		conn := p.conn
		release := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
		err := p.exchange()
		if !release() || err != nil || p.fresh {
			p.close()
		}
		if err == nil || ctx.Err() != nil || !kept || err == errAnswer {
			return err
		}
		kept = false // the server may have closed it since the last check
	}
}

func (p *tcpProber) exchange() error {
	if _, err := p.conn.Write(p.send); err != nil {
		return err
	}
	var answer []byte
	b := takeBuffer()
	defer b.release()
	for len(answer) < maxAnswer {
		n, err := p.conn.Read(b.all[:])
		answer = append(answer, b.all[:n]...)
		if holds(answer, p.receive) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errAnswer
}

// holds reports whether b has the blocks, each after the one before.
func holds(b []byte, blocks [][]byte) bool {
	for _, block := range blocks {
		i := bytes.Index(b, block)
		if i < 0 {
			return false
		}
		b = b[i+len(block):]
	}
	return true
}
