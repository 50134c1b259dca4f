package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/meshc/meshc/runtime/proxy"
	"github.com/meshc/meshc/runtime/publish"
	"github.com/meshc/meshc/runtime/rest"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

// BenchmarkReload changes one endpoint in one file and follows it through every
// stage to an xDS client. Each step's share is reported in milliseconds an
// operation; push ends when the client has the new endpoint in its hands.
func BenchmarkReload(b *testing.B) {
	for _, services := range []int{10, 1_000, 5_000, 10_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) { benchmarkReload(b, services) })
	}
}

func benchmarkReload(b *testing.B, services int) {
	dir := b.TempDir()
	for i := range services {
		writeServices(b, dir, i, 0)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var board status.Board
	log := slog.New(slog.DiscardHandler)
	gateway := proxy.New(proxy.Config{Gateway: "127.0.0.1:0", Log: log})
	defer gateway.Shutdown(ctx)
	control := xds.New(xds.Config{GatewayAddr: defaultEnvoyGateway, Board: &board, Log: log})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go control.Serve(listener)
	defer control.Shutdown(ctx)
	publisher := publish.New(gateway, control, rest.New(rest.Config{Board: &board, Log: log}))

	in := newDocuments([]string{dir}, nil, toServe)
	reload := func() loaded {
		l, err := in.load(ctx)
		if err != nil || l.summary.Errors > 0 {
			b.Fatalf("load: %v, %d errors: %v", err, l.summary.Errors, l.diags[0])
		}
		step := stopwatch(&l.steps)
		if err := publisher.Publish(ctx, l.snapshot); err != nil {
			b.Fatal(err)
		}
		step("publish")
		return l
	}
	cold := reload()
	b.Logf("cold start with %d services: %s", services, stepsText(cold.steps))
	pushed := watchEndpoints(b, ctx, listener.Addr().String())
	for range services { // the client has everything
		<-pushed
	}

	total := map[string]time.Duration{}
	b.ResetTimer()
	for n := range b.N {
		b.StopTimer()
		writeServices(b, dir, n%services, n+1)
		b.StartTimer()
		l := reload()
		published := time.Now()
		<-pushed
		total["push"] += time.Since(published)
		for _, s := range l.steps {
			total[s.Name] += time.Duration(s.Duration)
		}
	}
	b.StopTimer()
	for name, d := range total {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), name+"-ms/op")
	}
	b.ReportMetric(0, "ns/op") // the steps say more
}

// writeServices writes one Service with one endpoint, whose address changes with generation.
func writeServices(tb testing.TB, dir string, i, generation int) {
	text := fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: s%[1]d, namespace: shop}
spec:
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: s%[1]d, namespace: shop}
subsets:
- addresses: [{ip: 10.%[2]d.%[3]d.%[4]d}]
  ports: [{name: http, port: 8080}]
`, i, generation%200+1, i/250%250, i%250)
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("s%05d.yaml", i)), []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// watchEndpoints follows the gateway's clusters as Envoy does, and sends the
// name of every EndpointSet that arrives.
func watchEndpoints(b *testing.B, ctx context.Context, addr string) <-chan string {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		b.Fatal(err)
	}
	const (
		clusters  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
		endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	)
	send := func(r *discovery.DeltaDiscoveryRequest) {
		r.Node = &core.Node{Id: "gateway"}
		if err := stream.Send(r); err != nil && ctx.Err() == nil {
			b.Error(err)
		}
	}
	send(&discovery.DeltaDiscoveryRequest{TypeUrl: clusters})
	names := make(chan string, 20_000)
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				return // the benchmark is over
			}
			ack := &discovery.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}
			for _, res := range r.Resources {
				switch r.TypeUrl {
				case clusters:
					ack.ResourceNamesSubscribe = append(ack.ResourceNamesSubscribe, res.Name)
				case endpoints:
					names <- res.Name
				}
			}
			if r.TypeUrl == clusters && len(ack.ResourceNamesSubscribe) > 0 {
				send(&discovery.DeltaDiscoveryRequest{TypeUrl: endpoints, ResourceNamesSubscribe: ack.ResourceNamesSubscribe})
				ack.ResourceNamesSubscribe = nil
			}
			send(ack)
		}
	}()
	return names
}
