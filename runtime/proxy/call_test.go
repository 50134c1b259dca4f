package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// callRig is a proxy without routes whose filters may call the clusters of w.
func callRig(t *testing.T, w *world, change ...func(*Config)) *Proxy {
	var names []string
	for _, c := range w.clusters {
		names = append(names, c.Name)
	}
	w.filters = []snapshot.Filter{{Name: "caller", Kind: "k", Clusters: snapshot.ListOf(names...)}}
	return run(t, w, append(change, func(c *Config) {
		if c.NewFilter == nil {
			c.NewFilter = func(context.Context, snapshot.Filter, bool, string) (filter.Factory, error) {
				return testFactory{func(filter.Stream) filter.HTTP { return nil }, func() {}}, nil
			}
		}
	})...)
}

func callHeaders(method string, more ...string) *filter.Headers {
	h := &filter.Headers{}
	h.Add(":method", method)
	h.Add(":path", "/p?q")
	h.Add(":authority", "service")
	for i := 0; i+1 < len(more); i += 2 {
		h.Add(more[i], more[i+1])
	}
	return h
}

// call waits for the answer.
func (p *Proxy) call(t *testing.T, cluster string, r filter.CallRequest) filter.CallResponse {
	t.Helper()
	got := make(chan filter.CallResponse, 2)
	if _, err := p.Call(cluster, r, func(r filter.CallResponse) { got <- r }); err != nil {
		t.Fatal(err)
	}
	return <-got
}

func text(h *filter.Headers) string {
	if h == nil {
		return "none"
	}
	var list []string
	for i := range h.Len() {
		list = append(list, h.At(i).Name+"="+h.At(i).Value)
	}
	return strings.Join(list, " ")
}

func TestCall(t *testing.T) {
	connections := map[string]bool{}
	h := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		connections[r.RemoteAddr] = true
		w.Header()["Date"] = nil
		w.Header().Set("Trailer", "Sum")
		w.Header().Set("Got", fmt.Sprint(r.Method, " ", r.URL, " ", r.Host, " ", r.ContentLength, " ", r.Header.Get("X"), r.Header["User-Agent"], r.Trailer))
		w.WriteHeader(201)
		w.Write(append([]byte("echo "), body...))
		w.Header().Set("Sum", "7")
	}
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(version, func(t *testing.T) {
			w := &world{}
			s := httptest.NewUnstartedServer(http.HandlerFunc(h))
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetHTTP1(version == "HTTP/1.1")
			s.Config.Protocols.SetUnencryptedHTTP2(version == "HTTP/2")
			s.Start()
			t.Cleanup(s.Close)
			w.cluster("a", s.Listener.Addr().String())
			w.clusters[0].HTTP2 = version == "HTTP/2"
			p := callRig(t, w)
			clear(connections)
			for range 3 {
				r := p.call(t, "a", filter.CallRequest{Headers: callHeaders("POST", "x", "1"), Body: []byte("body"), Timeout: time.Minute})
				if got := r.Headers.Value("got"); got != "POST /p?q service 4 1[] map[]" {
					t.Errorf("the server got %q", got)
				}
				if r.Headers.At(0) != (filter.Field{Name: ":status", Value: "201"}) || string(r.Body) != "echo body" || text(r.Trailers) != "sum=7" {
					t.Errorf("response %s, %q, %s", text(r.Headers), r.Body, text(r.Trailers))
				}
				if _, ok := r.Headers.Get("x-envoy-upstream-service-time"); !ok {
					t.Error("no x-envoy-upstream-service-time")
				}
			}
			if len(connections) != 1 {
				t.Errorf("%d connections for three calls", len(connections))
			}
			r := p.call(t, "a", filter.CallRequest{Headers: callHeaders("GET")})
			if got := r.Headers.Value("got"); got != "GET /p?q service 0 [] map[]" || string(r.Body) != "echo " {
				t.Errorf("GET: %q %q", got, r.Body)
			}
			trailers := &filter.Headers{}
			trailers.Add("end", "1")
			// Go's server of HTTP/2 shows only trailers that were announced.
			r = p.call(t, "a", filter.CallRequest{Headers: callHeaders("POST", "trailer", "end"), Trailers: trailers})
			if got := r.Headers.Value("got"); !strings.Contains(got, "End:[1]") {
				t.Errorf("trailers: %q", got)
			}
		})
	}
}

func TestCallFails(t *testing.T) {
	hold := make(chan struct{})
	w := &world{}
	w.cluster("dead", nobody)
	w.cluster("empty")
	w.cluster("silent", rawBackend(t, func(net.Conn, *bufio.Reader) { <-hold }))
	w.cluster("rude", rawBackend(t, func(c net.Conn, r *bufio.Reader) { r.ReadString('\n') }))
	w.cluster("wrong", rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.WriteString(c, "nonsense\r\n\r\n") }))
	w.cluster("half", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		r.ReadString('\n')
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	}))
	p := callRig(t, w)
	t.Cleanup(func() { close(hold) })
	const broke = "upstream connect error or disconnect/reset before headers. reset reason: "
	for name, want := range map[string]string{
		"dead":   ":status=503 content-length=98 content-type=text/plain " + broke + "remote connection failure",
		"empty":  ":status=503 content-length=19 content-type=text/plain no healthy upstream",
		"silent": ":status=504 content-length=24 content-type=text/plain upstream request timeout",
		"rude":   ":status=503 content-length=95 content-type=text/plain " + broke + "connection termination",
		"wrong":  ":status=502 content-length=87 content-type=text/plain " + broke + "protocol error",
		"half":   "none ",
	} {
		timeout := time.Minute
		if name == "silent" {
			timeout = 20 * time.Millisecond
		}
		for _, method := range []string{"GET", "POST"} {
			r := p.call(t, name, filter.CallRequest{Headers: callHeaders(method), Timeout: timeout})
			if got := text(r.Headers) + " " + string(r.Body); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
	if _, err := p.Call("unknown", filter.CallRequest{Headers: callHeaders("GET")}, nil); !errors.Is(err, filter.ErrNoCluster) {
		t.Errorf("unknown cluster: %v", err)
	}
	h := callHeaders("GET")
	h.Remove(":path")
	if _, err := p.Call("dead", filter.CallRequest{Headers: h}, nil); err == nil {
		t.Error("a call without :path is made")
	}
	if r := p.call(t, "silent", filter.CallRequest{Headers: callHeaders("GET", "bad name", "x")}); r.Headers != nil {
		t.Errorf("a header that cannot be sent: %s", text(r.Headers))
	}
}

// The length of a body that the filter did not pass on is the server's to wait for.
func TestCallOwingABody(t *testing.T) {
	heads := make(chan string, 1)
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		head := ""
		for !strings.HasSuffix(head, "\r\n\r\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head += line
		}
		heads <- head
		io.Copy(io.Discard, r)
	}))
	p := callRig(t, w)
	r := p.call(t, "a", filter.CallRequest{Headers: callHeaders("POST", "content-length", "5"), Timeout: time.Second})
	if head := <-heads; !strings.Contains(head, "content-length: 5\r\n") || r.Headers.Value(":status") != "504" {
		t.Errorf("%q, %s", head, text(r.Headers))
	}
}

func TestCallWithALargeBodyBothWays(t *testing.T) {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	}))
	w.cluster("endless", backend(t, func(w http.ResponseWriter, r *http.Request) {
		for b := make([]byte, 1<<20); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	w.cluster("early", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		r.ReadString('\n')
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, r)
	}))
	p := callRig(t, w)
	body := make([]byte, 8<<20)
	if r := p.call(t, "a", filter.CallRequest{Headers: callHeaders("POST"), Body: body}); len(r.Body) != len(body) {
		t.Errorf("%d of %d bytes came back", len(r.Body), len(body))
	}
	if r := p.call(t, "endless", filter.CallRequest{Headers: callHeaders("GET")}); r.Headers != nil || r.Body != nil {
		t.Errorf("a response without end: %s, %d bytes", text(r.Headers), len(r.Body))
	}
	if r := p.call(t, "early", filter.CallRequest{Headers: callHeaders("POST"), Body: body}); r.Headers.Value(":status") != "413" {
		t.Errorf("an answer before the end of the request: %s", text(r.Headers))
	}
}

func TestCallIsCancelled(t *testing.T) {
	began, gone := make(chan struct{}), make(chan struct{})
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		close(began)
		io.Copy(io.Discard, r)
		close(gone)
	}))
	p := callRig(t, w)
	cancel, err := p.Call("a", filter.CallRequest{Headers: callHeaders("GET")}, func(filter.CallResponse) { t.Error("done was called") })
	if err != nil {
		t.Fatal(err)
	}
	<-began
	cancel()
	<-gone
}

func TestShutdownEndsCalls(t *testing.T) {
	began := make(chan struct{})
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		close(began)
		io.Copy(io.Discard, r)
	}))
	p := callRig(t, w)
	done := make(chan filter.CallResponse, 1)
	if _, err := p.Call("a", filter.CallRequest{Headers: callHeaders("GET")}, func(r filter.CallResponse) { done <- r }); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.Headers != nil {
		t.Errorf("answer %s", text(r.Headers))
	}
	if _, err := p.Call("a", filter.CallRequest{Headers: callHeaders("GET")}, nil); err == nil {
		t.Error("a call after the end")
	}
}

// A filter may call while it is being made, before its generation serves, and
// whether or not that generation ever does.
func TestCallsOfAGenerationInPreparation(t *testing.T) {
	w := &world{}
	w.cluster("a", named(t, "a"))
	w.cluster("names")
	w.clusters[1].Discovery = snapshot.DNS
	ap := netip.MustParseAddrPort(named(t, "by name"))
	w.endpoints[1].Endpoints = snapshot.ListOf(snapshot.Endpoint{Address: "host.example", Port: ap.Port()})
	var p *Proxy
	fail := true
	change := func(c *Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, time.Duration, error) {
			return []netip.Addr{ap.Addr()}, 0, nil
		}
		c.NewFilter = func(context.Context, snapshot.Filter, bool, string) (filter.Factory, error) {
			for cluster, want := range map[string]string{"a": "a", "names": "by name"} {
				if r := p.call(t, cluster, filter.CallRequest{Headers: callHeaders("GET")}); string(r.Body) != want {
					t.Errorf("%s: %s %q", cluster, text(r.Headers), r.Body)
				}
			}
			if fail {
				return nil, errors.New("refused")
			}
			return testFactory{func(filter.Stream) filter.HTTP { return nil }, func() {}}, nil
		}
	}
	p = run(t, &world{}, change)
	w.filters = []snapshot.Filter{{Name: "caller", Kind: "k", Clusters: snapshot.ListOf("a", "names")}}
	if _, _, err := p.Prepare(t.Context(), w.snapshot()); err == nil {
		t.Fatal("not refused")
	}
	if _, err := p.Call("a", filter.CallRequest{Headers: callHeaders("GET")}, nil); !errors.Is(err, filter.ErrNoCluster) {
		t.Errorf("a cluster that was refused: %v", err)
	}
	fail = false
	publish(t, p, w)
	if r := p.call(t, "a", filter.CallRequest{Headers: callHeaders("GET")}); string(r.Body) != "a" {
		t.Errorf("%s", text(r.Headers))
	}
}

// grpcEvents writes down what a stream reports.
type grpcEvents struct {
	lines chan string
}

func (e grpcEvents) InitialMetadata(h *filter.Headers) {
	e.lines <- fmt.Sprint("initial ", h.Value(":status"), " ", h.Value("hello"))
}
func (e grpcEvents) Message(m []byte) { e.lines <- "message " + string(m) }
func (e grpcEvents) TrailingMetadata(h *filter.Headers) {
	e.lines <- "trailing " + h.Value("grpc-status")
}
func (e grpcEvents) Closed(status int, message string) {
	e.lines <- fmt.Sprint("closed ", status, " ", message)
	close(e.lines)
}

// wants checks the events up to and with the last of want.
func (e grpcEvents) wants(t *testing.T, want ...string) {
	t.Helper()
	for _, line := range want {
		if got := <-e.lines; got != line {
			t.Errorf("event %q, want %q", got, line)
		}
	}
}

// grpcBackend answers by the method that is called.
func grpcBackend(t *testing.T) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/grpc")
		h.Set("Hello", r.Header.Get("Who"))
		end := func(status, message string) {
			h.Set(http.TrailerPrefix+"Grpc-Status", status)
			h.Set(http.TrailerPrefix+"Grpc-Message", message)
		}
		switch r.URL.Path {
		case "/s.S/Echo":
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			for {
				m, err := readMessage(r.Body)
				if err != nil {
					break
				}
				w.Write(append([]byte{0, 0, 0, 0, byte(len(m))}, m...))
				w.(http.Flusher).Flush()
			}
			end("0", "")
		case "/s.S/Fail":
			end("5", "not%20here %C3%A4")
			w.WriteHeader(200)
		case "/s.S/TrailersOnly":
			h.Set("Grpc-Status", "7")
			h.Set("Grpc-Message", "no")
			w.WriteHeader(200)
		case "/s.S/HTTP":
			w.WriteHeader(404)
		case "/s.S/Wait":
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/s.S/Break":
			w.WriteHeader(200)
			w.Write([]byte{0, 0, 0, 0, 9, 'x'})
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/s.S/Huge":
			w.Write([]byte{0, 0xff, 0, 0, 0})
		case "/s.S/Compressed":
			w.Write([]byte{1, 0, 0, 0, 0})
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestGRPC(t *testing.T) {
	w := &world{}
	w.cluster("g", grpcBackend(t))
	w.cluster("dead", nobody)
	w.cluster("empty")
	for i := range w.clusters {
		w.clusters[i].HTTP2 = true
	}
	p := callRig(t, w)
	open := func(cluster, method string, timeout time.Duration) (filter.GRPCStream, grpcEvents) {
		t.Helper()
		e := grpcEvents{make(chan string, 10)}
		metadata := &filter.Headers{}
		metadata.Add("who", "me")
		s, err := p.OpenGRPC(cluster, filter.GRPCRequest{Service: "s.S", Method: method, Metadata: metadata, Timeout: timeout}, e)
		if err != nil {
			t.Fatal(err)
		}
		return s, e
	}
	t.Run("both ways", func(t *testing.T) {
		s, e := open("g", "Echo", 0)
		e.wants(t, "initial 200 me")
		s.Send([]byte("one"), false)
		e.wants(t, "message one")
		s.Send(nil, false)
		e.wants(t, "message ")
		s.Send([]byte("two"), true)
		e.wants(t, "message two", "trailing 0", "closed 0 via_upstream")
	})
	t.Run("closed by the caller", func(t *testing.T) {
		s, e := open("g", "Echo", time.Minute)
		s.Send([]byte("one"), false)
		s.Close()
		e.wants(t, "initial 200 me", "message one", "trailing 0", "closed 0 via_upstream")
	})
	for _, c := range []struct {
		cluster, method string
		want            []string
	}{
		{"g", "Fail", []string{"initial 200 me", "trailing 5", "closed 5 not%20here %C3%A4{via_upstream}"}},
		{"g", "TrailersOnly", []string{"initial  ", "trailing 7", "closed 7 no{via_upstream}"}},
		{"g", "HTTP", []string{"initial 404 me", "closed 12 HTTP status 404"}},
		{"g", "Break", []string{"initial 200 me", "closed 13 "}},
		{"g", "Huge", []string{"initial 200 me", "closed 8 message too large"}},
		{"g", "Compressed", []string{"initial 200 me", "closed 12 compressed message"}},
		{"dead", "Echo", []string{"initial  ", "trailing 14", "closed 14 upstream connect error or disconnect/reset before headers. reset reason: remote connection failure" +
			"{upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}}"}},
		{"empty", "Echo", []string{"initial  ", "trailing 14", "closed 14 no healthy upstream{no_healthy_upstream}"}},
	} {
		t.Run(c.cluster+" "+c.method, func(t *testing.T) {
			s, e := open(c.cluster, c.method, 0)
			s.Send([]byte("x"), true)
			e.wants(t, c.want...)
		})
	}
	t.Run("timeout", func(t *testing.T) {
		_, e := open("g", "Wait", time.Second)
		e.wants(t, "initial 200 me", "closed 14 upstream request timeout{response_timeout}")
	})
	t.Run("cancelled", func(t *testing.T) {
		s, e := open("g", "Wait", 0)
		e.wants(t, "initial 200 me")
		s.Cancel()
	})
	t.Run("more than the server takes", func(t *testing.T) {
		s, e := open("g", "Wait", 0)
		e.wants(t, "initial 200 me")
		for range 40 {
			s.Send(make([]byte, 1<<20), false)
		}
		e.wants(t, "closed 8 the server does not take what is sent to it")
	})
	t.Run("arguments", func(t *testing.T) {
		if _, err := p.OpenGRPC("unknown", filter.GRPCRequest{}, nil); !errors.Is(err, filter.ErrNoCluster) {
			t.Errorf("unknown cluster: %v", err)
		}
		if _, err := p.OpenGRPC("g", filter.GRPCRequest{Service: "a/b"}, nil); err == nil {
			t.Error("a service with a slash")
		}
	})
}

// Filters that wait for answers share workers; each stream gets its own answer.
func TestFiltersCallAndResume(t *testing.T) {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Answer")) }))
	w.cluster("oracle", backend(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "for "+r.URL.Path) }))
	w.host("x", "a")
	w.filters = []snapshot.Filter{{Name: "asks", Kind: "k", Clusters: snapshot.ListOf("oracle")}}
	var p *Proxy
	p = run(t, w, func(c *Config) {
		c.Workers = 2
		c.NewFilter = func(context.Context, snapshot.Filter, bool, string) (filter.Factory, error) {
			return testFactory{func(s filter.Stream) filter.HTTP {
				return scripted{Stream: s, onRequest: func(s filter.Stream, h *filter.Headers, _ bool) filter.HeadersStatus {
					ask := callHeaders("GET")
					ask.Set(":path", h.Value(":path"))
					_, err := p.Call("oracle", filter.CallRequest{Headers: ask, Timeout: time.Minute}, func(r filter.CallResponse) {
						s.Worker().Post(func() {
							if strings.HasSuffix(string(r.Body), "/denied") {
								s.Reply(filter.Reply{Status: 403, GRPCStatus: -1})
								return
							}
							s.Headers(filter.Request).Set("answer", string(r.Body))
							s.Continue(filter.Request)
						})
					})
					if err != nil {
						t.Error(err)
					}
					return filter.HeadersStopAll
				}}
			}, func() {}}, nil
		}
	})
	address := p.address(t, "gateway")
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			for j := range 20 {
				path := fmt.Sprintf("/%d-%d", i, j)
				want := "200 for " + path
				if j%5 == 0 {
					path, want = path+"/denied", "403 "
				}
				r, err := http.NewRequest("GET", "http://"+address+path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Host = "x"
				resp, err := tr.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if got := fmt.Sprint(resp.StatusCode, " ", string(body)); got != want {
					t.Errorf("%s: %q", path, got)
				}
			}
		})
	}
	clients.Wait()
}
