package xds_test

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/compiler/snapshot"
)

// FuzzDelta sends what a client should not, in three requests, and wants the
// server to go on or to end the stream with a reason.
func FuzzDelta(f *testing.F) {
	request := func(url string, r *discoveryv3.DeltaDiscoveryRequest) []byte {
		r.TypeUrl = url
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	refusal := &rpcstatus.Status{Message: "Error adding/updating cluster(s) a: no"}
	f.Add(request(cds, &discoveryv3.DeltaDiscoveryRequest{}),
		request(eds, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"a", "*", ""}, InitialResourceVersions: map[string]string{"a": "1"}}),
		request(cds, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: "1", ErrorDetail: refusal}))
	f.Add(request(lds, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"*", "gone"}}),
		request(lds, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: []string{"*", "gone"}}),
		request(rds, &discoveryv3.DeltaDiscoveryRequest{ResourceNamesUnsubscribe: []string{"never"}}))
	worlds := []snapshot.Snapshot{
		world([]service{web("a", one)}, gateway("a")),
		world([]service{slow("b", 2, two)}, gateway("b")),
	}
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		r := start(t)
		r.publish(worlds[0])
		s := r.delta("gateway").stream
		for i, b := range [][]byte{first, second, third} {
			m := &discoveryv3.DeltaDiscoveryRequest{}
			if proto.Unmarshal(b, m) != nil {
				return
			}
			if i == 0 {
				m.Node = &corev3.Node{Id: "gateway"}
			}
			if s.Send(m) != nil {
				break // the reason is to be received
			}
		}
		r.publish(worlds[1])
		s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: probed, ResourceNamesSubscribe: []string{"over"}})
		for {
			m, err := s.Recv()
			if err != nil {
				if code := grpcstatus.Code(err); code == codes.DeadlineExceeded || code == codes.Unknown {
					t.Fatal(err)
				}
				return
			}
			if m.TypeUrl == probed && len(m.RemovedResources) == 1 && m.RemovedResources[0] == "over" {
				return
			}
		}
	})
}
