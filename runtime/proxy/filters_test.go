package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// scripted is a filter made of functions; the stream is theirs.
type scripted struct {
	filter.PassThrough
	filter.Stream
	onRequest  func(s filter.Stream, h *filter.Headers, end bool) filter.HeadersStatus
	onBody     func(s filter.Stream, b *filter.Buffer, end bool) filter.DataStatus
	onResponse func(s filter.Stream, h *filter.Headers, end bool) filter.HeadersStatus
	onReply    func(s filter.Stream, b *filter.Buffer, end bool) filter.DataStatus
	onLog      func(r *filter.Record)
}

func (f scripted) RequestHeaders(h *filter.Headers, end bool) filter.HeadersStatus {
	if f.onRequest == nil {
		return filter.HeadersContinue
	}
	return f.onRequest(f.Stream, h, end)
}

func (f scripted) RequestData(b *filter.Buffer, end bool) filter.DataStatus {
	if f.onBody == nil {
		return filter.DataContinue
	}
	return f.onBody(f.Stream, b, end)
}

func (f scripted) ResponseHeaders(h *filter.Headers, end bool) filter.HeadersStatus {
	if f.onResponse == nil {
		return filter.HeadersContinue
	}
	return f.onResponse(f.Stream, h, end)
}

func (f scripted) ResponseData(b *filter.Buffer, end bool) filter.DataStatus {
	if f.onReply == nil {
		return filter.DataContinue
	}
	return f.onReply(f.Stream, b, end)
}

func (f scripted) Log(r *filter.Record) {
	if f.onLog != nil {
		f.onLog(r)
	}
}

// filtered runs a proxy with one filter before an echo backend, at host x.
func filtered(t *testing.T, f scripted, change ...func(*Config)) *Proxy {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Path", r.URL.Path)
		w.Header().Set("Mark", r.Header.Get("Mark"))
		for b := make([]byte, 64<<10); ; {
			n, err := r.Body.Read(b)
			if n > 0 {
				w.Write(b[:n])
				w.(http.Flusher).Flush()
			}
			if err != nil {
				return
			}
		}
	}))
	w.host("x", "a")
	w.host("y", "a")
	install := kinds{"k": func(s filter.Stream) filter.HTTP { g := f; g.Stream = s; return g }}.install(w, func(string) {})
	return run(t, w, append(change, install)...)
}

func post(t *testing.T, p *Proxy, body string) (*http.Response, string) {
	t.Helper()
	c := dial(t, p.address(t, "gateway"))
	c.send("POST /p HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n")
	if body != "" {
		c.send("%x\n%s\n", len(body), body)
	}
	c.send("0\n\n")
	return c.response("POST")
}

func TestFilterChangesRequestAndResponse(t *testing.T) {
	records := make(chan filter.Record, 1)
	p := filtered(t, scripted{
		onRequest: func(s filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
			h.Set("mark", "1")
			h.Set(":path", "/other")
			return filter.HeadersContinue
		},
		onBody: func(_ filter.Stream, b *filter.Buffer, end bool) filter.DataStatus {
			if end {
				b.Replace(0, b.Len(), []byte("instead"))
				return filter.DataContinue
			}
			return filter.DataStopAndBuffer
		},
		onResponse: func(_ filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
			h.Remove("content-length")
			h.Add("seen", "yes")
			return filter.HeadersContinue
		},
		onReply: func(_ filter.Stream, b *filter.Buffer, end bool) filter.DataStatus {
			if end {
				b.Append([]byte("!"))
			}
			return filter.DataContinue
		},
		onLog: func(r *filter.Record) { records <- *r },
	})
	r, body := post(t, p, "body")
	if body != "instead!" || r.Header.Get("Path") != "/other" || r.Header.Get("Mark") != "1" || r.Header.Get("Seen") != "yes" {
		t.Errorf("%q %v", body, r.Header)
	}
	rec := <-records
	if rec.Status != 200 || rec.BytesReceived != 4 || rec.BytesSent != 8 || rec.Cluster != "a" || rec.Route != "r x" || rec.Upstream == "" {
		t.Errorf("record %+v", rec)
	}
}

func TestFilterReplies(t *testing.T) {
	for phase, f := range map[string]scripted{
		"request headers": {onRequest: func(s filter.Stream, _ *filter.Headers, _ bool) filter.HeadersStatus {
			s.Reply(filter.Reply{Status: 403, Body: []byte("no"), GRPCStatus: -1})
			return filter.HeadersContinue
		}},
		"request data": {onBody: func(s filter.Stream, _ *filter.Buffer, _ bool) filter.DataStatus {
			s.Reply(filter.Reply{Status: 403, Body: []byte("no"), GRPCStatus: -1})
			return filter.DataContinue
		}},
		"response headers": {onResponse: func(s filter.Stream, _ *filter.Headers, _ bool) filter.HeadersStatus {
			s.Reply(filter.Reply{Status: 403, Body: []byte("no"), GRPCStatus: -1})
			return filter.HeadersContinue
		}},
		"paused, from another goroutine": {onRequest: func(s filter.Stream, _ *filter.Headers, _ bool) filter.HeadersStatus {
			go s.Post(func() { s.Reply(filter.Reply{Status: 403, Body: []byte("no"), GRPCStatus: -1}) })
			return filter.HeadersStopAll
		}},
	} {
		t.Run(phase, func(t *testing.T) {
			p := filtered(t, f)
			for range 20 {
				if r, body := post(t, p, "body"); r.StatusCode != 403 || body != "no" {
					t.Fatalf("%d %q", r.StatusCode, body)
				}
			}
		})
	}
}

func TestFilterPausesAndContinues(t *testing.T) {
	again := func(d filter.Direction, status filter.HeadersStatus) func(filter.Stream, *filter.Headers, bool) filter.HeadersStatus {
		return func(s filter.Stream, _ *filter.Headers, _ bool) filter.HeadersStatus {
			go s.Continue(d)
			return status
		}
	}
	hold := func(d filter.Direction) func(filter.Stream, *filter.Buffer, bool) filter.DataStatus {
		return func(s filter.Stream, _ *filter.Buffer, _ bool) filter.DataStatus {
			go s.Continue(d)
			return filter.DataStopAndWatermark
		}
	}
	for name, f := range map[string]scripted{
		"headers":      {onRequest: again(filter.Request, filter.HeadersStop), onResponse: again(filter.Response, filter.HeadersStop)},
		"all":          {onRequest: again(filter.Request, filter.HeadersStopAll), onResponse: again(filter.Response, filter.HeadersStopAll)},
		"data":         {onBody: hold(filter.Request), onReply: hold(filter.Response)},
		"all and data": {onRequest: again(filter.Request, filter.HeadersStopAll), onBody: hold(filter.Request), onResponse: again(filter.Response, filter.HeadersStopAll), onReply: hold(filter.Response)},
	} {
		t.Run(name, func(t *testing.T) {
			p := filtered(t, f, func(c *Config) { c.BufferLimit = 1000 })
			for _, size := range []int{0, 10, 200_000} {
				sent := strings.Repeat("x", size)
				if r, body := post(t, p, sent); r.StatusCode != 200 || body != sent {
					t.Errorf("%d bytes: %d, %d back", size, r.StatusCode, len(body))
				}
			}
			if r, _ := get(t, p, "x", "/"); r.StatusCode != 200 {
				t.Errorf("GET: %d", r.StatusCode)
			}
		})
	}
}

// A filter that lets go while the client says nothing more: the other side
// must see it without waiting for the client.
func TestContinueWhileTheClientIsSilent(t *testing.T) {
	streams := make(chan filter.Stream, 1)
	p := filtered(t, scripted{onBody: func(s filter.Stream, _ *filter.Buffer, end bool) filter.DataStatus {
		if end {
			return filter.DataContinue
		}
		streams <- s
		return filter.DataStopAndWatermark
	}})
	c := dial(t, p.address(t, "gateway"))
	c.send("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n2\nhi\n")
	(<-streams).Continue(filter.Request)
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	if _, err := io.ReadFull(r.Body, b); err != nil || string(b) != "hi" {
		t.Errorf("%q %v", b, err)
	}
	c.send("0\n\n")
	io.Copy(io.Discard, r.Body)
}

func TestClientLeavesWhileTheFilterHoldsTheRequest(t *testing.T) {
	done, held := make(chan struct{}), make(chan struct{})
	p := filtered(t, scripted{
		onRequest: func(filter.Stream, *filter.Headers, bool) filter.HeadersStatus {
			close(held)
			return filter.HeadersStopAll
		},
		onLog: func(*filter.Record) { close(done) },
	})
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	<-held
	c.Close()
	<-done
}

func TestFilterResets(t *testing.T) {
	p := filtered(t, scripted{onResponse: func(s filter.Stream, _ *filter.Headers, _ bool) filter.HeadersStatus {
		s.Reset()
		return filter.HeadersContinue
	}})
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	if b, err := io.ReadAll(c.r); len(b) > 0 || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestFilterPanics(t *testing.T) {
	p := filtered(t, scripted{onRequest: func(_ filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
		if h.Value(":path") == "/panic" {
			panic("boom")
		}
		return filter.HeadersContinue
	}})
	if r, body := get(t, p, "x", "/panic"); r.StatusCode != 500 || body != "" {
		t.Errorf("%d %q", r.StatusCode, body)
	}
	if r, _ := get(t, p, "x", "/"); r.StatusCode != 200 {
		t.Errorf("the next request: %d", r.StatusCode)
	}
}

func TestLocalRepliesOfTheProxyPassTheFilters(t *testing.T) {
	p := filtered(t, scripted{onResponse: func(_ filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
		h.Set("seen", h.Value(":status"))
		return filter.HeadersContinue
	}})
	if r, _ := get(t, p, "nobody", "/"); r.Header.Get("Seen") != "404" {
		t.Errorf("%v", r.Header)
	}
}

func TestFilterRoutes(t *testing.T) {
	p := filtered(t, scripted{onRequest: func(s filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
		before, _ := s.Property("xds", "route_name")
		h.Set(":authority", "y")
		s.ClearRoute()
		after, _ := s.Property("xds", "route_name")
		cluster, _ := s.Property("xds", "cluster_name")
		h.Set("mark", fmt.Sprint(before, ",", after, ",", cluster))
		return filter.HeadersContinue
	}})
	if r, _ := get(t, p, "x", "/"); r.Header.Get("Mark") != "r x,r y,a" {
		t.Errorf("route before and after, cluster: %q", r.Header.Get("Mark"))
	}
}

func TestProperties(t *testing.T) {
	var got []string
	look := func(s filter.Stream, paths ...string) {
		for _, path := range paths {
			v, ok := s.Property(strings.Split(path, ".")...)
			if !ok {
				v = "none"
			}
			got = append(got, fmt.Sprint(path, "=", v))
		}
	}
	logged := make(chan struct{})
	p := filtered(t, scripted{
		onRequest: func(s filter.Stream, _ *filter.Headers, _ bool) filter.HeadersStatus {
			look(s, "request.url_path", "request.query", "request.host", "request.headers.user-agent", "response.code", "upstream.address", "xds.listener_direction", "node.id")
			return filter.HeadersContinue
		},
		onResponse: func(s filter.Stream, _ *filter.Headers, _ bool) filter.HeadersStatus {
			look(s, "response.code", "response.headers.path", "request.path")
			if v, ok := s.Property("upstream", "address"); !ok || v == "" {
				t.Errorf("upstream.address %v", v)
			}
			if v, _ := s.Property("source", "address"); !strings.HasPrefix(v.(string), "127.0.0.1:") {
				t.Errorf("source.address %v", v)
			}
			return filter.HeadersContinue
		},
		onLog: func(*filter.Record) { close(logged) },
	})
	get(t, p, "x", "/p?q")
	<-logged
	want := "request.url_path=/p request.query=q request.host=x request.headers.user-agent=none response.code=none upstream.address=none " +
		"xds.listener_direction=0 node.id=none response.code=200 response.headers.path=/p request.path=/p?q"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// The end of a body reaches the filters by a call of its own, both ways, however
// it comes; a local reply's is one call.
func TestEndOfBody(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	note := func(d string, b *filter.Buffer, end bool) filter.DataStatus {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, fmt.Sprintf("%s %q %v", d, b.Bytes(), end))
		return filter.DataContinue
	}
	p := filtered(t, scripted{
		onRequest: func(s filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
			if _, ok := h.Get("refuse"); ok {
				s.Reply(filter.Reply{Status: 403, Body: []byte("no"), GRPCStatus: -1})
			}
			return filter.HeadersContinue
		},
		onBody:  func(_ filter.Stream, b *filter.Buffer, end bool) filter.DataStatus { return note("request", b, end) },
		onReply: func(_ filter.Stream, b *filter.Buffer, end bool) filter.DataStatus { return note("response", b, end) },
	})
	for request, want := range map[string]string{
		"POST /p HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc":                          `request "abc" false, request "" true, response "abc" false, response "" true`,
		"POST /p HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n":       `request "abc" false, request "" true, response "abc" false, response "" true`,
		"POST /p HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\na: b\n\n": `request "abc" false, response "abc" false, response "" true`,
		"GET /p HTTP/1.1\nHost: x\nRefuse: 1\n\n":                                      `response "no" true`,
	} {
		calls = nil
		c := dial(t, p.address(t, "gateway"))
		io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n"))
		c.response("POST")
		c.Close()
		mu.Lock()
		if got := strings.Join(calls, ", "); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", request, got, want)
		}
		mu.Unlock()
	}
}

// A reply after the response's headers have left cuts the response off.
func TestReplyCutsResponse(t *testing.T) {
	details := make(chan string, 1)
	p := filtered(t, scripted{
		onReply: func(s filter.Stream, _ *filter.Buffer, end bool) filter.DataStatus {
			if end && !s.Reply(filter.Reply{Status: 403, GRPCStatus: -1, Details: "late"}) {
				t.Error("the reply does not count")
			}
			return filter.DataContinue
		},
		onLog: func(r *filter.Record) { details <- r.Details },
	})
	c := dial(t, p.address(t, "gateway"))
	c.send("POST /p HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n")
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err != io.ErrUnexpectedEOF || string(body) != "abc" {
		t.Errorf("%q %v", body, err)
	}
	if d := <-details; d != "late" {
		t.Errorf("details %q", d)
	}
}

// What filters leave without what it needs is answered as by Envoy.
func TestFilterTakesOutWhatIsNeeded(t *testing.T) {
	for _, c := range []struct {
		request, response string // to take out
		status            int
	}{{":method", "", 503}, {"x-forwarded-proto", "", 404}, {"", ":status", 502}} {
		p := filtered(t, scripted{
			onRequest: func(_ filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
				h.Remove(c.request)
				return filter.HeadersContinue
			},
			onResponse: func(_ filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
				h.Remove(c.response)
				return filter.HeadersContinue
			},
		})
		if response, body := post(t, p, "abc"); response.StatusCode != c.status {
			t.Errorf("without %s%s: %d %q", c.request, c.response, response.StatusCode, body)
		}
	}
}

// A request that the filters have left so that it cannot be sent is answered 503, and the
// log says why without what is in it.
func TestFilterMakesRequestUnsendable(t *testing.T) {
	for name, set := range map[string]func(h *filter.Headers){
		"a header":         func(h *filter.Headers) { h.Add("x-bad", "hush\nhush") },
		"a content-length": func(h *filter.Headers) { h.Set("content-length", "7") },
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", HTTP/2 ", http2), func(t *testing.T) {
				w := &world{filters: []snapshot.Filter{{Kind: "k", Name: "default/careless"}}}
				if w.cluster("a", named(t, "a")); http2 {
					address, _ := h2backend(t, func(http.ResponseWriter, *http.Request) {})
					w = &world{filters: w.filters}
					w.h2cluster("a", address)
				}
				w.host("x", "a")
				log := &lockedBuffer{}
				bad := scripted{onRequest: func(_ filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
					set(h)
					return filter.HeadersContinue
				}}
				p := run(t, w, func(c *Config) {
					c.Log = slog.New(slog.NewTextHandler(log, nil))
					c.NewFilter = func(context.Context, snapshot.Filter, bool, string) (filter.Factory, error) {
						return testFactory{func(filter.Stream) filter.HTTP { return bad }, func() {}}, nil
					}
				})
				if r, _ := get(t, p, "x", "/"); r.StatusCode != 503 {
					t.Errorf("status %d", r.StatusCode)
				}
				text := log.String()
				for _, want := range []string{"a request cannot be sent", "listener=gateway", `route="r x"`, "plugin=default/careless"} {
					if !strings.Contains(text, want) {
						t.Errorf("no %s in the log", want)
					}
				}
				if strings.Contains(text, "hush") {
					t.Errorf("the log repeats what it should not: %s", text)
				}
			})
		}
	}
}

// upper is a TCP filter that holds the connection for a while, then its first
// line, and answers in capitals.
type upper struct {
	filter.PassThrough
	conn filter.Conn
	seen *[]string
}

func (u upper) NewConnection() filter.DataStatus {
	go u.conn.Continue(filter.Request)
	return filter.DataStopAndBuffer
}

func (u upper) DownstreamData(b *filter.Buffer, end bool) filter.DataStatus {
	if !strings.Contains(string(b.Bytes()), "\n") && !end {
		return filter.DataStopAndBuffer
	}
	*u.seen = append(*u.seen, string(b.Bytes()))
	return filter.DataContinue
}

func (u upper) UpstreamData(b *filter.Buffer, _ bool) filter.DataStatus {
	b.Replace(0, b.Len(), []byte(strings.ToUpper(string(b.Bytes()))))
	return filter.DataContinue
}

type upperFactory struct{ testFactory }

func (f upperFactory) TCP(c filter.Conn) filter.TCP {
	seen := []string{}
	return upper{conn: c, seen: &seen}
}

func TestTCPFilters(t *testing.T) {
	w := &world{}
	w.cluster("echo", rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) }))
	w.tcp("tcp", "echo")
	kinds{"k": nil}.install(w, nil)
	p := run(t, w, func(c *Config) {
		c.NewFilter = func(context.Context, snapshot.Filter, bool, string) (filter.Factory, error) {
			return upperFactory{testFactory{func(filter.Stream) filter.HTTP { return nil }, func() {}}}, nil
		}
	})
	c := dial(t, p.address(t, "tcp"))
	c.send("hel")
	c.send("lo\n")
	c.Conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "HELLO\r\n" {
		t.Errorf("%q %v", got, err)
	}
}

// closing is a TCP filter that notes how it ends.
type closing struct {
	filter.PassThrough
	notes chan string
}

func (c closing) Closed(d filter.Direction, remote bool) { c.notes <- fmt.Sprint(d, remote) }
func (c closing) Log(*filter.Record)                     { c.notes <- "log" }
func (c closing) Done()                                  { c.notes <- "done" }

type closingFactory struct {
	testFactory
	notes chan string
}

func (f closingFactory) TCP(filter.Conn) filter.TCP { return closing{notes: f.notes} }

func TestTCPFiltersHearOfTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		server func(net.Conn, *bufio.Reader)
		client func(*client)
		want   string
	}{
		"the client first":   {func(c net.Conn, r *bufio.Reader) { io.Copy(c, r) }, func(c *client) { c.Conn.(*net.TCPConn).CloseWrite(); io.Copy(io.Discard, c) }, "1 true, 0 false, log, done"},
		"the upstream first": {func(c net.Conn, r *bufio.Reader) {}, func(c *client) { io.Copy(io.Discard, c) }, "1 true, 0 true, log, done"},
		"no upstream":        {nil, func(c *client) { io.Copy(io.Discard, c) }, "0 false, log, done"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			if c.server != nil {
				w.cluster("a", rawBackend(t, c.server))
			} else {
				w.cluster("a", nobody)
			}
			w.tcp("tcp", "a")
			w.filters = []snapshot.Filter{{Kind: "k"}}
			notes := make(chan string, 10)
			p := run(t, w, func(cfg *Config) {
				cfg.NewFilter = func(context.Context, snapshot.Filter, bool, string) (filter.Factory, error) {
					return closingFactory{testFactory{func(filter.Stream) filter.HTTP { return nil }, func() {}}, notes}, nil
				}
			})
			conn := dial(t, p.address(t, "tcp"))
			c.client(conn)
			conn.Close()
			var got []string
			for len(got) == 0 || got[len(got)-1] != "done" {
				got = append(got, <-notes)
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("%s, want %s", s, c.want)
			}
		})
	}
}

// The types of properties matter: a guest reads their bytes.
func TestPropertiesByPhase(t *testing.T) {
	paths := []string{
		"request.size", "request.total_size", "request.time", "request.duration", "request.query", "request.headers.twice", "request.headers_bytes", "request.protocol",
		"response.code", "response.code_details", "response.flags", "response.size", "response.total_size", "response.trailers", "response.headers.path", "response.backend_latency",
		"connection_id", "connection.id", "connection.mtls", "connection.requested_server_name", "source.port", "destination.port",
		"upstream.address", "upstream.port", "upstream.local_address",
		"xds.cluster_name", "xds.route_name", "xds.virtual_host_name", "xds.route_metadata", "xds.cluster_metadata", "xds.upstream_host_metadata", "xds.listener_direction", "xds.filter_chain_name",
		"metadata.filter_metadata", "metadata", "request", "cluster_name", "node.id", "listener_direction", "xds.route_metadata.filter_metadata", "metadata.filter_metadata.x",
	}
	look := func(s filter.Stream) map[string]string {
		types := map[string]string{}
		for _, path := range paths {
			if v, ok := s.Property(strings.Split(path, ".")...); ok {
				types[path] = fmt.Sprintf("%T", v)
			}
		}
		return types
	}
	var first filter.Stream
	var atHeaders map[string]string
	logged := make(chan map[string]string, 1)
	p := filtered(t, scripted{
		onRequest: func(s filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
			first = s
			atHeaders = look(s)
			if v, _ := s.Property("request", "headers", "Twice"); v != "a,b" {
				t.Errorf("a repeated header: %q", v)
			}
			if v, _ := s.Property("request", "query"); v != "q=1" {
				t.Errorf("query %q", v)
			}
			return filter.HeadersContinue
		},
		onLog: func(*filter.Record) { logged <- look(first) },
	})
	c := dial(t, p.address(t, "gateway"))
	c.send("GET /p?q=1 HTTP/1.1\nHost: x\nTwice: a\nTwice: b\n\n")
	c.response("GET")
	want := map[string]string{
		"request.size": "int64", "request.total_size": "int64", "request.time": "time.Time", "request.query": "string", "request.headers.twice": "string",
		"request.headers_bytes": "int64", "request.protocol": "string", "response.flags": "int64", "response.size": "int64", "response.total_size": "int64",
		"response.trailers": "*filter.Headers", "connection_id": "uint64", "connection.id": "uint64", "connection.mtls": "bool", "connection.requested_server_name": "string",
		"source.port": "int64", "destination.port": "int64", "xds.cluster_name": "string", "xds.route_name": "string", "xds.virtual_host_name": "string",
		"xds.route_metadata": "[]uint8", "xds.cluster_metadata": "[]uint8", "xds.listener_direction": "int64", "xds.filter_chain_name": "string",
		"metadata": "[]uint8", "metadata.filter_metadata": "*filter.Headers", "xds.route_metadata.filter_metadata": "*filter.Headers",
	}
	if !maps.Equal(atHeaders, want) {
		t.Errorf("at request headers %v,\nwant %v", atHeaders, want)
	}
	for path, kind := range map[string]string{
		"request.duration": "time.Duration", "response.code": "int64", "response.code_details": "string", "response.headers.path": "string", "response.backend_latency": "time.Duration",
		"upstream.address": "string", "upstream.port": "int64", "upstream.local_address": "string", "xds.upstream_host_metadata": "filter.Object",
	} {
		want[path] = kind
	}
	if atLog := <-logged; !maps.Equal(atLog, want) {
		t.Errorf("in the log %v,\nwant %v", atLog, want)
	}
}
