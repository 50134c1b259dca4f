package xds_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	clusterservice "github.com/envoyproxy/go-control-plane/envoy/service/cluster/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

func TestOnlyADSIsServed(t *testing.T) {
	r := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := clusterservice.NewClusterDiscoveryServiceClient(r.dial()).DeltaClusters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Recv()
	if grpcstatus.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "ADS only") {
		t.Errorf("error %v", err)
	}
}

func TestFirstRequestMustSayWhoAsks(t *testing.T) {
	r := start(t)
	r.publish(world(nil, gateway()))
	c := r.delta("")
	c.subscribe(cds)
	if _, err := c.stream.Recv(); grpcstatus.Code(err) != codes.InvalidArgument {
		t.Errorf("error %v", err)
	}
}

func TestLargeRequestsAreRefused(t *testing.T) {
	r := start(t)
	r.publish(world(nil, gateway()))
	c := r.delta("gateway")
	c.subscribe(eds, strings.Repeat("x", 17<<20))
	if _, err := c.stream.Recv(); grpcstatus.Code(err) != codes.ResourceExhausted {
		t.Errorf("error %v", err)
	}
	c = r.delta("gateway")
	many := make([]string, 1<<18+1)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	c.subscribe(eds, many...)
	for {
		_, err := c.stream.Recv()
		if err == nil {
			continue
		}
		if grpcstatus.Code(err) != codes.ResourceExhausted {
			t.Errorf("error %v", err)
		}
		return
	}
}

func TestShutdownEndsStreams(t *testing.T) {
	r := start(t)
	r.publish(world(nil, gateway()))
	c := r.delta("gateway")
	c.subscribe(cds)
	c.expect(cds)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.stream.Recv(); grpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsNotCommittedIsNotServed(t *testing.T) {
	r := start(t)
	r.publish(world([]service{web("a", one)}, gateway("a")))
	c := r.delta("gateway")
	c.boot([]string{"gateway"}, []string{"a"})
	if _, _, err := r.server.Prepare(context.Background(), world([]service{web("a", at("not an address", 1))}, gateway("a"))); err == nil {
		t.Error("no error")
	}
	_, abort, err := r.server.Prepare(context.Background(), world([]service{web("a", two)}, gateway("a")))
	if err != nil {
		t.Fatal(err)
	}
	abort()
	c.quiet()
	r.publish(world([]service{web("a", two)}, gateway("a")))
	c.expect(eds, "a")
}

func TestMetrics(t *testing.T) {
	r := start(t)
	registry := prometheus.NewRegistry()
	if err := registry.Register(r.server); err != nil {
		t.Fatal(err)
	}
	r.publish(world([]service{web("a", one)}, gateway("a")))
	c := r.delta("gateway")
	c.subscribe(cds)
	c.nack(c.expect(cds, "a"), "no")
	c.quiet()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			key := f.GetName()
			for _, l := range m.Label {
				key += " " + l.GetValue()
			}
			got[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for key, want := range map[string]float64{
		"meshc_xds_nodes delta": 1, "meshc_xds_pushes_total cluster": 1, "meshc_xds_nacks_total cluster": 1,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, not %v", key, got[key], want)
		}
	}
	if got["meshc_xds_push_bytes_total cluster"] < 50 {
		t.Errorf("bytes: %v", got)
	}
}

func TestLargeAnswersAreCut(t *testing.T) {
	var services []service
	var names []string
	for i := range 1000 {
		name := strings.Repeat("x", 1000) + strconv.Itoa(i)
		names = append(names, name)
		services = append(services, web(name, one))
	}
	r := start(t)
	r.publish(world(services, gateway(names...)))
	c := r.delta("gateway")
	c.subscribe(cds)
	got, responses := 0, 0
	for got < len(names) {
		resp, err := c.stream.Recv() // takes 4 MiB at most
		if err != nil {
			t.Fatal(err)
		}
		got += len(resp.Resources)
		responses++
	}
	if responses < 2 {
		t.Error("it is all in one response")
	}
}
