package xds_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds"
)

// large returns the gateway's world with 10,000 services of ten endpoints;
// the last of each turn's first service differs.
func large(turns int) []snapshot.Snapshot {
	const n = 10_000
	var services []service
	var names []string
	for i := range n {
		s := web(fmt.Sprintf("service-%05d_default_svc_80", i))
		for j := range 10 {
			s.endpoints = append(s.endpoints, at(fmt.Sprintf("10.%d.%d.%d", i/256, i%256, j+1), 8080))
		}
		services, names = append(services, s), append(names, s.name)
	}
	first := world(services, gateway(names...))
	out := []snapshot.Snapshot{first}
	for turn := range turns {
		next := first
		sets := first.Endpoints.Slice()
		eps := sets[0].Endpoints.Slice()
		eps[9].Port = uint16(9000 + turn)
		sets[0] = snapshot.EndpointSet{Name: sets[0].Name, Endpoints: snapshot.ListOf(eps...), Sources: sets[0].Sources}
		next.Endpoints = snapshot.ListOf(sets...)
		out = append(out, snapshot.Seal(next))
	}
	return out
}

// BenchmarkPrepare is the first snapshot of 10,000 services, and one of their
// 100,000 endpoints changed.
func BenchmarkPrepare(b *testing.B) {
	snaps := large(2)
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := xds.New(xds.Config{GatewayAddr: gatewayAddr}).Prepare(context.Background(), snaps[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one endpoint", func(b *testing.B) {
		s := xds.New(xds.Config{GatewayAddr: gatewayAddr})
		i := 0
		for b.Loop() {
			commit, _, err := s.Prepare(context.Background(), snaps[1+i%2])
			if err != nil {
				b.Fatal(err)
			}
			commit()
			i++
		}
	})
}

// BenchmarkPush is one endpoint of 100,000 changed, from Prepare until a
// client on this machine has it and has said so.
func BenchmarkPush(b *testing.B) {
	snaps := large(2)
	r := start(b)
	r.publish(snaps[0])
	c := r.delta("gateway")
	c.subscribe(cds)
	for got, want := 0, snaps[0].Clusters.Len(); got < want; {
		resp := c.receive()
		var names []string
		for _, res := range resp.Resources {
			names = append(names, res.Name)
		}
		got += len(names)
		c.subscribe(eds, names...)
		c.ack(resp)
	}
	for got, want := 0, snaps[0].Clusters.Len(); got < want; {
		resp := c.receive()
		got += len(resp.Resources)
		c.ack(resp)
	}
	c.quiet()
	i, bytes := 0, 0
	for b.Loop() {
		r.publish(snaps[1+i%2])
		resp := c.receive()
		c.ack(resp)
		bytes += proto.Size(resp)
		i++
	}
	b.ReportMetric(float64(bytes)/float64(i), "bytes/push")
	c.quiet()
}
