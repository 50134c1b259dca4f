//go:build linux

package behaviour

import "testing"

func TestLoadHTTP2SeesLosses(t *testing.T) {
	start := func(kind string) *Backend {
		b, err := home.StartBackend("web", "127.0.0.1:0", kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Quiet()
		return b
	}
	web, rpc := start("http2"), start("grpc")
	l := home.StartLoadHTTP2(web.ln.Addr().String(), rpc.ln.Addr().String())
	defer l.Stop()
	// The one client of HTTP/1.1 meets no proxy here that would speak it.
	of := func(kind string) (n int) {
		for _, c := range l.clients {
			if c.kind != "keep-alive" && *c.last.Load() == kind {
				n++
			}
		}
		return n
	}
	if err := l.await(func() bool { return of("web") == len(l.clients)-1 }, func() string { return "not all are served" }); err != nil {
		t.Fatal(err)
	}
	web.Close()
	rpc.Close()
	if err := l.await(func() bool { return of("") == len(l.clients)-1 }, func() string { return "not all have lost" }); err != nil {
		t.Fatal(err)
	}
}
