//go:build linux

package main

import (
	"fmt"
	"testing"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// generationHTTP2 is generation for a service of HTTP/2 and one of gRPC.
func generationHTTP2(n int) string {
	return servicesOf(n, map[string]string{"web": "http2", "db": "grpc"})
}

// TestReloadUnderLoadHTTP2 loses no request, call or stream while routes move
// and endpoints go away.
func TestReloadUnderLoadHTTP2(t *testing.T) {
	t.Parallel()
	for _, plane := range []behaviour.Plane{behaviour.Proxy(), behaviour.RealEnvoy("DELTA_GRPC")} {
		t.Run(plane.Name, func(t *testing.T) {
			t.Parallel()
			r := &reloading{t: t, network: behaviour.NewNetwork(t), dir: t.TempDir()}
			start := func(n int) (started []*behaviour.Backend) {
				for _, kind := range []string{"http2", "grpc"} {
					b, err := r.network.StartBackend(fmt.Sprintf("g%d", n), fmt.Sprintf("10.9.%d.1:%d", n, generationPorts[kind]), kind, nil)
					if err != nil {
						t.Fatal(err)
					}
					b.Quiet()
					started = append(started, b)
				}
				return started
			}
			r.write("client.yaml", clientDataplane)
			r.write("generation.yaml", generationHTTP2(0))
			r.serve = start(0)
			t.Cleanup(func() { r.retire(r.serve) })
			plane.Start(t, r.network, r.dir, []string{"default.client"}, nil)
			r.load = r.network.StartLoadHTTP2("127.0.0.1:10001", "127.0.0.1:10002")
			t.Cleanup(r.load.Stop)
			r.await("g0")
			for n := 1; n <= reloads; n++ {
				if err := r.load.AwaitTotal(r.load.Total() + requestsPerReload/4); err != nil {
					t.Fatal(err)
				}
				old := r.serve
				r.serve = start(n)
				r.write("generation.yaml", generationHTTP2(n))
				r.await(fmt.Sprintf("g%d", n))
				r.retire(old)
				r.noneLost()
			}
			if r.seen < reloads {
				t.Errorf("only %d generations of backends were reached", r.seen)
			}
			t.Logf("%d requests, %d generations, none lost", r.load.Total(), r.seen+1)
		})
	}
}
