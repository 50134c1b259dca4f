//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// http2Documents are three services by what they speak, and a client of them.
// rpc has a proxy before one of its two applications.
const http2Documents = `
type: Dataplane
mesh: default
name: client
networking:
  address: 127.0.3.9
  inbound:
  - {port: 8001, servicePort: 9001, tags: {kuma.io/service: client}}
  outbound:
  - {port: 10001, tags: {kuma.io/service: one}}
  - {port: 10002, tags: {kuma.io/service: two}}
  - {port: 10003, tags: {kuma.io/service: rpc}}
  - {port: 10004, tags: {kuma.io/service: dead}}
---
type: Dataplane
mesh: default
name: one
networking:
  address: 127.0.3.1
  inbound:
  - {port: 8001, tags: {kuma.io/service: one, kuma.io/protocol: http}}
---
type: Dataplane
mesh: default
name: two
networking:
  address: 127.0.3.2
  inbound:
  - {port: 8001, tags: {kuma.io/service: two, kuma.io/protocol: http2}}
---
type: Dataplane
mesh: default
name: rpc-1
networking:
  address: 127.0.3.3
  inbound:
  - {port: 8001, servicePort: 9003, tags: {kuma.io/service: rpc, kuma.io/protocol: grpc}}
---
type: Dataplane
mesh: default
name: rpc-2
networking:
  address: 127.0.3.4
  inbound:
  - {port: 8001, tags: {kuma.io/service: rpc, kuma.io/protocol: grpc}}
---
type: Dataplane
mesh: default
name: dead
networking:
  address: 127.0.3.5
  inbound:
  - {port: 8001, tags: {kuma.io/service: dead, kuma.io/protocol: grpc}}
`

// http2World is what both data planes are asked to do the same with.
type http2World struct {
	network *behaviour.Network
	opened  atomic.Int64 // connections to service two
	left    chan string  // what has ended at a server because its client left
	mu      sync.Mutex
	served  map[string]int // by application of rpc
}

// TestHTTP2 uses real clients and servers of HTTP/2 and gRPC, with the same
// expectations of both data planes.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	for _, plane := range []behaviour.Plane{behaviour.Proxy(), behaviour.RealEnvoy("DELTA_GRPC")} {
		t.Run(plane.Name, func(t *testing.T) {
			t.Parallel()
			w := &http2World{network: behaviour.NewNetwork(t), left: make(chan string, 1), served: map[string]int{}}
			w.serveHTTP(t, "127.0.3.1:8001", false)
			w.serveHTTP(t, "127.0.3.2:8001", true)
			w.serveGRPC(t, "127.0.0.1:9003", "rpc-1")
			w.serveGRPC(t, "127.0.3.4:8001", "rpc-2")
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), []byte(http2Documents), 0o644); err != nil {
				t.Fatal(err)
			}
			plane.Start(t, w.network, dir, []string{"gateway", "default.client", "default.rpc-1"}, nil)
			for _, c := range []struct {
				name string
				run  func(*testing.T, *http2World)
			}{
				{"messages", testHTTP2Messages},
				{"large bodies", testHTTP2LargeBodies},
				{"many streams", testHTTP2ManyStreams},
				{"resets", testHTTP2Resets},
				{"calls", testGRPCCalls},
				{"streams", testGRPCStreams},
				{"answers of the proxy", testGRPCLocalReplies},
				{"balancing", testGRPCBalancing},
			} {
				t.Run(c.name, func(t *testing.T) { c.run(t, w) })
			}
		})
	}
}

// serveHTTP starts a backend of HTTP/1.1 or HTTP/2 alone.
func (w *http2World) serveHTTP(t *testing.T, address string, h2 bool) {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h := r.Header.Clone()
		if h.Get("X-Request-Id") != "" {
			h.Set("X-Request-Id", "*")
		}
		text := fmt.Sprintf("%s %s %s %s\n%s%q\n%s", r.Proto, r.Method, r.RequestURI, r.Host, abiHeaders(h), body, abiHeaders(r.Trailer))
		rw.Header().Set("Trailer", "X-Sum")
		rw.Header().Add("X-Two", "1")
		rw.Header().Add("X-Two", "2")
		io.WriteString(rw, text)
		rw.(http.Flusher).Flush()
		rw.Header().Set("X-Sum", fmt.Sprint(len(body)))
	})
	mux.HandleFunc("/back", func(rw http.ResponseWriter, r *http.Request) { io.Copy(rw, r.Body) })
	mux.HandleFunc("/wait", func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(200)
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
		w.left <- address
	})
	mux.HandleFunc("/reset", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/cut", func(rw http.ResponseWriter, r *http.Request) {
		io.WriteString(rw, "part")
		rw.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	listener, err := w.network.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	if h2 {
		s.Protocols.SetUnencryptedHTTP2(true)
		s.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				w.opened.Add(1)
			}
		}
	} else {
		s.Protocols.SetHTTP1(true)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(listener) //nolint:errcheck // it ends with Close
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
}

// client returns a client of HTTP/2, or of HTTP/1.1.
func (w *http2World) client(t *testing.T, h2 bool) *http.Client {
	tr := &http.Transport{
		DisableCompression: true, Protocols: new(http.Protocols),
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return w.network.Dial(address) },
	}
	if h2 {
		tr.Protocols.SetUnencryptedHTTP2(true)
	} else {
		tr.Protocols.SetHTTP1(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// The two services by port, and what they speak.
var http2Services = map[string]string{"127.0.0.1:10001": "HTTP/1.1", "127.0.0.1:10002": "HTTP/2.0"}

func testHTTP2Messages(t *testing.T, w *http2World) {
	for address, proto := range http2Services {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("HTTP/2 %v to %s", h2, proto), func(t *testing.T) {
				r, _ := http.NewRequest("POST", "http://"+address+"/echo?q=1", io.MultiReader(strings.NewReader("one"), strings.NewReader("two")))
				r.Host = "svc"
				r.Header = http.Header{"User-Agent": {"test"}, "Te": {"trailers"}, "X-Many": {"a", "b"}, "Cookie": {"a=1; b=2"}}
				r.Trailer = http.Header{"X-After": {"late"}}
				res, err := w.client(t, h2).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				want := proto + ` POST /echo?q=1 svc
cookie: a=1; b=2
te: trailers
user-agent: test
x-forwarded-proto: http
x-many: a
x-many: b
x-request-id: *
"onetwo"
x-after: late
`
				if got := string(body); err != nil || got != want {
					t.Errorf("the backend got\n%s(%v); want\n%s", got, err, want)
				}
				res.Header.Del("Date")
				if got, want := abiHeaders(res.Header), "content-type: text/plain; charset=utf-8\nx-two: 1\nx-two: 2\n"; got != want {
					t.Errorf("the client got\n%swant\n%s", got, want)
				}
				if res.Trailer.Get("X-Sum") != "6" {
					t.Errorf("trailers %v", res.Trailer)
				}
			})
		}
	}
}

func testHTTP2LargeBodies(t *testing.T, w *http2World) {
	const size = 8 << 20
	for address, proto := range http2Services {
		t.Run(proto, func(t *testing.T) {
			body := strings.Repeat("0123456789abcdef", size/16)
			res, err := w.client(t, true).Post("http://"+address+"/back", "x/y", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); err != nil || string(got) != body {
				t.Errorf("%d bytes came back: %v", len(got), err)
			}
		})
	}
}

func testHTTP2ManyStreams(t *testing.T, w *http2World) {
	before := w.opened.Load()
	c := w.client(t, true)
	var wg sync.WaitGroup
	for i := range 90 {
		wg.Go(func() {
			body := strings.Repeat(fmt.Sprintf("%06d", i), 2000)
			res, err := c.Post("http://127.0.0.1:10002/back", "x/y", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); err != nil || string(got) != body {
				t.Errorf("%d: %d bytes came back: %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
	if n := w.opened.Load() - before; n > 1 {
		t.Errorf("%d more connections were opened to the backend", n)
	}
}

func testHTTP2Resets(t *testing.T, w *http2World) {
	c := w.client(t, true)
	for address, proto := range http2Services {
		t.Run(proto, func(t *testing.T) {
			reason := map[string]string{"HTTP/1.1": "connection termination", "HTTP/2.0": "remote reset"}[proto]
			res, err := c.Post("http://"+address+"/reset", "x/y", nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if want := "upstream connect error or disconnect/reset before headers. reset reason: " + reason; res.StatusCode != 503 || string(body) != want {
				t.Errorf("status %d, %q, want 503 and %q", res.StatusCode, body, want)
			}
			if res, err = c.Get("http://" + address + "/cut"); err != nil {
				t.Fatal(err)
			}
			body, err = io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != 200 || string(body) != "part" || err == nil {
				t.Errorf("status %d, %q, error %v", res.StatusCode, body, err)
			}
			// The client leaves: the backend hears of it.
			ctx, cancel := context.WithCancel(t.Context())
			r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+address+"/wait", nil)
			if res, err = c.Do(r); err != nil {
				t.Fatal(err)
			}
			cancel()
			res.Body.Close()
			select {
			case <-w.left:
			case <-time.After(30 * time.Second):
				t.Error("the backend is left waiting")
			}
		})
	}
	t.Run("HTTP/1.1 goes on", func(t *testing.T) {
		nc, err := w.network.Dial("127.0.0.1:10001")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "GET /echo HTTP/1.1\r\nHost: svc\r\n\r\n")
		if res, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || res.StatusCode != 200 {
			t.Errorf("%v, %v", res, err)
		}
	})
}

// rpcService is a gRPC service that repeats what it hears, as its metadata say.
const rpcService = "/test.Echo/"

// serveGRPC starts an application of service rpc.
func (w *http2World) serveGRPC(t *testing.T, address, name string) {
	listener, err := w.network.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	handle := func(_ any, s grpc.ServerStream) error {
		w.mu.Lock()
		w.served[name]++
		w.mu.Unlock()
		asked, _ := metadata.FromIncomingContext(s.Context())
		s.SetHeader(metadata.Pairs("x-initial", strings.Join(asked.Get("x-meta"), ",")))
		s.SetTrailer(metadata.Pairs("x-last", "lv"))
		method, _ := grpc.MethodFromServerStream(s)
		if method == rpcService+"Fail" {
			return status.Error(codes.FailedPrecondition, "50% wörse")
		}
		for {
			m := &wrapperspb.StringValue{}
			if err := s.RecvMsg(m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if method == rpcService+"Wait" {
				<-s.Context().Done()
				select {
				case w.left <- name:
				default:
				}
				return s.Context().Err()
			}
			if method == rpcService+"Deadline" {
				deadline, ok := s.Context().Deadline()
				m.Value = fmt.Sprint(ok && time.Until(deadline) <= time.Minute)
			}
			n := 1
			if method == rpcService+"Many" {
				n = 100
			}
			for i := range n {
				if err := s.SendMsg(wrapperspb.String(fmt.Sprint(m.Value, " ", i))); err != nil {
					return err
				}
			}
		}
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(handle))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(listener) //nolint:errcheck // it ends with Stop
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
}

func (w *http2World) dialGRPC(t *testing.T, address, authority string) *grpc.ClientConn {
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(authority), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return w.network.Dial(address) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

const rpcAddress = "127.0.0.1:10003"

func testGRPCCalls(t *testing.T, w *http2World) {
	cc := w.dialGRPC(t, rpcAddress, "rpc")
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-meta", "v")
	for range 2 { // one for each application
		var header, trailer metadata.MD
		out := &wrapperspb.StringValue{}
		err := cc.Invoke(ctx, rpcService+"Once", wrapperspb.String("m"), out, grpc.Header(&header), grpc.Trailer(&trailer))
		if err != nil || out.Value != "m 0" || !slices.Equal(header.Get("x-initial"), []string{"v"}) || !slices.Equal(trailer.Get("x-last"), []string{"lv"}) {
			t.Errorf("%q, %v, %v, %v", out.Value, err, header, trailer)
		}
		trailer = nil
		err = cc.Invoke(ctx, rpcService+"Fail", wrapperspb.String("m"), out, grpc.Trailer(&trailer))
		if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "50% wörse" || !slices.Equal(trailer.Get("x-last"), []string{"lv"}) {
			t.Errorf("%v, %v", err, trailer)
		}
		large := strings.Repeat("x", 3<<20)
		if err := cc.Invoke(ctx, rpcService+"Once", wrapperspb.String(large), out); err != nil || len(out.Value) != len(large)+2 {
			t.Errorf("%d bytes, %v", len(out.Value), err)
		}
		late, cancel := context.WithTimeout(ctx, time.Minute)
		err = cc.Invoke(late, rpcService+"Deadline", wrapperspb.String("m"), out)
		if err != nil || out.Value != "true 0" {
			t.Errorf("the deadline does not arrive: %q, %v", out.Value, err)
		}
		time.AfterFunc(50*time.Millisecond, cancel)
		err = cc.Invoke(late, rpcService+"Wait", wrapperspb.String("m"), out)
		if status.Code(err) != codes.Canceled {
			t.Errorf("cancelled: %v", err)
		}
		select {
		case <-w.left:
		case <-time.After(30 * time.Second):
			t.Error("the server is left waiting")
		}
	}
	if err := w.dialGRPC(t, behaviour.GatewayAddress, "rpc.mesh").Invoke(ctx, rpcService+"Once", wrapperspb.String("m"), &wrapperspb.StringValue{}); err != nil {
		t.Errorf("through the gateway: %v", err)
	}
}

func testGRPCStreams(t *testing.T, w *http2World) {
	cc := w.dialGRPC(t, rpcAddress, "rpc")
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	s, err := cc.NewStream(t.Context(), both, rpcService+"Talk")
	if err != nil {
		t.Fatal(err)
	}
	out := &wrapperspb.StringValue{}
	for i := range 20 { // each waits for the answer to the one before
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(out); err != nil || out.Value != fmt.Sprint(i, " 0") {
			t.Fatalf("%d: %q, %v", i, out.Value, err)
		}
	}
	s.CloseSend()
	if err := s.RecvMsg(out); err != io.EOF || !slices.Equal(s.Trailer().Get("x-last"), []string{"lv"}) {
		t.Errorf("at the end: %v, %v", err, s.Trailer())
	}
	if s, err = cc.NewStream(t.Context(), both, rpcService+"Many"); err != nil {
		t.Fatal(err)
	}
	s.SendMsg(wrapperspb.String("m"))
	s.CloseSend()
	n := 0
	for ; err == nil; n++ {
		err = s.RecvMsg(out)
	}
	if n != 101 || !errors.Is(err, io.EOF) {
		t.Errorf("%d messages, then %v", n-1, err)
	}
}

// What a proxy answers itself is gRPC's own form of it.
func testGRPCLocalReplies(t *testing.T, w *http2World) {
	out := &wrapperspb.StringValue{}
	err := w.dialGRPC(t, "127.0.0.1:10004", "dead").Invoke(t.Context(), rpcService+"Once", wrapperspb.String("m"), out)
	if s := status.Convert(err); s.Code() != codes.Unavailable || !strings.HasPrefix(s.Message(), "upstream connect error or disconnect/reset before headers. ") {
		t.Errorf("no endpoint: %v", err)
	}
	err = w.dialGRPC(t, behaviour.GatewayAddress, "nobody").Invoke(t.Context(), rpcService+"Once", wrapperspb.String("m"), out)
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("no route: %v", err)
	}
	// gRPC-Web is not gRPC (as Envoy has it).
	res, err := w.client(t, true).Post("http://127.0.0.1:10004/x", "application/grpc-web", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 {
		t.Errorf("gRPC-Web: status %d", res.StatusCode)
	}
}

// Requests of one connection are spread over the endpoints.
func testGRPCBalancing(t *testing.T, w *http2World) {
	cc := w.dialGRPC(t, rpcAddress, "rpc")
	w.mu.Lock()
	clear(w.served)
	w.mu.Unlock()
	for range 20 {
		if err := cc.Invoke(t.Context(), rpcService+"Once", wrapperspb.String("m"), &wrapperspb.StringValue{}); err != nil {
			t.Fatal(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.served["rpc-1"] != 10 || w.served["rpc-2"] != 10 {
		t.Errorf("served by %v", w.served)
	}
}
