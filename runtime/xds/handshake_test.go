package xds_test

import (
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// Wherever Envoy ends TLS, a client that does not end its handshake is not
// waited for: that of a mesh, and a chain that shows certificates.
func TestHandshakesHaveATime(t *testing.T) {
	mesh := snapshot.Listener{Name: "in", Direction: snapshot.Inbound, Protocol: snapshot.TCP, Address: "127.0.0.1", Port: 80, TLS: "default"}
	chains := snapshot.Listener{Name: "gateway:9443", Direction: snapshot.Gateway, Protocol: snapshot.TCP, Address: "127.0.0.1", Port: 9443, Chains: snapshot.ListOf(snapshot.Chain{
		Name: "www", ServerNames: snapshot.ListOf("www.test"), Protocol: snapshot.TCP, Certificates: snapshot.ListOf(snapshot.Certificate{Cert: "c", Key: "k"}),
	})}
	for _, l := range []snapshot.Listener{mesh, chains} {
		made, err := envoy.Listener(l, envoy.Gateway{}, envoy.Attached{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range made.FilterChains {
			if c.TransportSocket == nil || c.TransportSocketConnectTimeout.AsDuration() != 10*time.Second {
				t.Errorf("%s: a chain waits %v for a handshake", l.Name, c.TransportSocketConnectTimeout.AsDuration())
			}
		}
	}
}
