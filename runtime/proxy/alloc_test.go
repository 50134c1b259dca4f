//go:build !race

// The race detector empties pools at random, so allocations are counted
// without it.

package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// fixedBackend answers each request that ends with end by the same bytes and
// allocates nothing for it.
func fixedBackend(t testing.TB, end, response string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b, answer, last := make([]byte, 64<<10), []byte(response), []byte(end)
				for n := 0; ; {
					k, err := c.Read(b[n:])
					if err != nil {
						return
					}
					if n += k; bytes.HasSuffix(b[:n], last) {
						n = 0
						c.Write(answer)
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// exchange returns a function that sends request on a kept connection to a
// gateway and reads a response of the same length as the first.
func exchange(t testing.TB, request, end, response string) func() {
	w := &world{}
	w.cluster("a", fixedBackend(t, end, response), fixedBackend(t, end, response))
	w.clusters[0].Balancing = snapshot.RingHash
	for i := range 100 { // with the policies that cost nothing while they do nothing
		last := []snapshot.HashKey{{Cookie: "user"}, {Path: true}}[i%2]
		w.routed(fmt.Sprintf("host-%d.example", i), snapshot.Route{
			Name: "r", Targets: targetList([]string{"a"}), Timeout: snapshot.Duration(15 * time.Second),
			Hash:  snapshot.ListOf(snapshot.HashKey{Header: "x-none"}, snapshot.HashKey{Query: "none"}, last),
			Retry: snapshot.Retry{On: snapshot.ListOf("gateway-error"), Attempts: 5, PerTryTimeout: snapshot.Duration(5 * time.Second)},
		})
	}
	p := run(t, w)
	c, err := net.Dial("tcp", p.address(t, "gateway"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	body := response[strings.Index(response, "\r\n\r\n")+4:]
	out, b, suffix := []byte(request), make([]byte, 128<<10), []byte(body)
	return func() {
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		for n := 0; ; {
			k, err := c.Read(b[n:])
			if err != nil {
				t.Fatal(err)
			}
			if n += k; n > len(body) && bytes.HasSuffix(b[:n], suffix) {
				return
			}
		}
	}
}

const (
	hundred = "HTTP/1.1 200 OK\r\nServer: backend\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"
	getHead = "GET /path?query HTTP/1.1\r\nHost: Host-50.example\r\nUser-Agent: test\r\nCookie: a=b; user=me\r\nAccept: */*\r\n\r\n"
)

var (
	smallResponse = hundred + strings.Repeat("x", 100)
	largeResponse = "HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + strings.Repeat("y", 16384)
	postRequest   = "POST / HTTP/1.1\r\nHost: host-1.example\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("z", 1000)
)

func TestNoAllocationPerRequest(t *testing.T) {
	for _, c := range []struct {
		name, request, end, response string
	}{
		{"GET 100 B", getHead, "\r\n\r\n", smallResponse},
		{"GET 16 KB", getHead, "\r\n\r\n", largeResponse},
		{"POST 1 KB", postRequest, strings.Repeat("z", 1000), smallResponse},
	} {
		t.Run(c.name, func(t *testing.T) {
			once := exchange(t, c.request, c.end, c.response)
			for range 10 {
				once()
			}
			// The date is made anew once a second, the janitor ticks: below one.
			if n := testing.AllocsPerRun(500, once); n >= 1 {
				t.Errorf("%v allocations a request", n)
			}
		})
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, c := range []struct {
		name, request, end, response string
	}{
		{"GET100B", getHead, "\r\n\r\n", smallResponse},
		{"GET16KB", getHead, "\r\n\r\n", largeResponse},
		{"POST1KB", postRequest, strings.Repeat("z", 1000), smallResponse},
	} {
		b.Run(c.name, func(b *testing.B) {
			once := exchange(b, c.request, c.end, c.response)
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}

// BenchmarkDirect is BenchmarkRequest without a proxy between: what is left of
// the difference is the proxy's.
func BenchmarkDirect(b *testing.B) {
	c, err := net.Dial("tcp", fixedBackend(b, "\r\n\r\n", smallResponse))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	in := make([]byte, len(smallResponse))
	for b.Loop() {
		if _, err := io.WriteString(c, getHead); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPrepare is what a publication costs the proxy with 10,000 services
// of four names each. An operation makes one change and takes it back.
func BenchmarkPrepare(b *testing.B) {
	all := func() *world {
		w := &world{}
		for i := range 10_000 {
			name := fmt.Sprintf("s%05d", i)
			w.cluster(name, fmt.Sprintf("10.%d.%d.1:80", i>>8, i&255), fmt.Sprintf("10.%d.%d.2:80", i>>8, i&255))
			w.host(name, name)
			w.vhosts[i].Domains = snapshot.ListOf(name, name+".ns", name+".ns.svc", name+".ns.svc.cluster.local")
		}
		return w
	}
	for name, change := range map[string]func(*world){
		"nothing":  func(*world) {},
		"endpoint": func(w *world) { w.endpoints[5000].Endpoints = snapshot.List[snapshot.Endpoint]{} },
		"route":    func(w *world) { w.vhosts[5000].Routes = snapshot.List[snapshot.Route]{} },
		"service":  func(w *world) { w.vhosts = slices.Delete(w.vhosts, 5000, 5001) },
		"all":      func(w *world) { *w = world{} },
	} {
		b.Run(name, func(b *testing.B) {
			w := all()
			p := run(b, w, func(c *Config) { c.tick = time.Hour })
			states := []snapshot.Snapshot{{}, w.snapshot()}
			change(w)
			states[0] = w.snapshot()
			b.ReportAllocs()
			for b.Loop() {
				for _, next := range states {
					commit, _, err := p.Prepare(b.Context(), next)
					if err != nil {
						b.Fatal(err)
					}
					commit()
				}
			}
		})
	}
}
