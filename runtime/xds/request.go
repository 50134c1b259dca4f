package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// request is what a client said, in either protocol.
type request struct {
	node    *corev3.Node
	typeURL string
	// nonce is that of the response it answers; empty for none.
	nonce string
	// refused says that the response was not taken, and message why.
	refused bool
	message string

	// Delta: what changes in the client's interest, and the versions that it
	// has from an earlier stream.
	subscribe, unsubscribe []string
	initial                map[string]string
	// State of the world: all that the client is interested in.
	names []string
}

// wildcard is the name that stands for all.
const wildcard = "*"

func deltaRequest(r *discoveryv3.DeltaDiscoveryRequest) *request {
	return &request{
		node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(),
		refused: r.GetErrorDetail() != nil, message: r.GetErrorDetail().GetMessage(),
		subscribe: r.GetResourceNamesSubscribe(), unsubscribe: r.GetResourceNamesUnsubscribe(),
		initial: r.GetInitialResourceVersions(),
	}
}

func stateRequest(r *discoveryv3.DiscoveryRequest) *request {
	return &request{
		node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(),
		refused: r.GetErrorDetail() != nil, message: r.GetErrorDetail().GetMessage(),
		names: r.GetResourceNames(),
	}
}
