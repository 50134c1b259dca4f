//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	opened  atomic.Int64  // connections to service two
	came    chan struct{} // a call that waits until its client leaves
	left    chan string   // what has ended at a server because its client left
	mu      sync.Mutex
	served  map[string]int // by application of rpc
}

// TestHTTP2 uses real clients and servers of HTTP/2 and gRPC, with the same
// expectations of both data planes: what they make of flow control, of many
// streams at once and of deadlines. Messages as such are in the behaviour suite.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	for _, plane := range []behaviour.Plane{behaviour.Proxy(), behaviour.RealEnvoy("DELTA_GRPC")} {
		t.Run(plane.Name, func(t *testing.T) {
			t.Parallel()
			w := &http2World{network: behaviour.NewNetwork(t), came: make(chan struct{}, 2), left: make(chan string, 1), served: map[string]int{}}
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

// client returns a client of HTTP/2.
func (w *http2World) client(t *testing.T) *http.Client {
	tr := &http.Transport{
		DisableCompression: true, Protocols: new(http.Protocols),
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return w.network.Dial(address) },
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// The two services by port, and what they speak.
var http2Services = map[string]string{"127.0.0.1:10001": "HTTP/1.1", "127.0.0.1:10002": "HTTP/2.0"}

func testHTTP2LargeBodies(t *testing.T, w *http2World) {
	const size = 8 << 20
	for address, proto := range http2Services {
		t.Run(proto, func(t *testing.T) {
			body := strings.Repeat("0123456789abcdef", size/16)
			res, err := w.client(t).Post("http://"+address+"/back", "x/y", strings.NewReader(body))
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
	c := w.client(t)
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
	c := w.client(t)
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
			case <-time.After(time.Minute):
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
		io.WriteString(nc, "GET /back HTTP/1.1\r\nHost: svc\r\n\r\n")
		if res, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || res.StatusCode != 200 {
			t.Errorf("%v, %v", res, err)
		}
	})
}
