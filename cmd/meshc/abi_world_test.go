//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// startABI serves the guest of one ABI by meshc: by its own proxy, or by Envoy
// that meshc configures.
func startABI(t *testing.T, network *behaviour.Network, abi, plane string, trace *abiTrace) *abiServer {
	t.Helper()
	server := &abiServer{network: network, address: map[string]string{}, trace: trace}
	dir := t.TempDir()
	wasm, err := os.ReadFile(filepath.Join(abiGuests, "abi"+abi+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "guest.wasm"), wasm, 0o644); err != nil {
		t.Fatal(err)
	}
	var documents, outbounds strings.Builder
	service := func(name, address, protocol string) {
		fmt.Fprintf(&documents, "---\n{type: ExternalService, name: %s, tags: {kuma.io/service: %s, kuma.io/protocol: %s}, networking: {address: '%s'}}\n", name, name, protocol, address)
	}
	port := 10000
	outbound := func(service string) {
		port++
		fmt.Fprintf(&outbounds, "  - {port: %d, tags: {kuma.io/service: %s}}\n", port, service)
		server.address[service] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	plugin := func(name, protocol, script string, services ...string) {
		var destinations []string
		for _, s := range services {
			destinations = append(destinations, fmt.Sprintf("{match: {kuma.io/service: %s}}", s))
		}
		conf, err := json.Marshal(map[string]any{
			"module": map[string]any{"path": "guest.wasm"}, "listeners": []string{"outbound", "inbound"}, "protocol": protocol,
			"configuration": "plugin configuration", "vmConfiguration": script, "env": map[string]string{"ABI": "value"},
			"rootId": "myroot", "vmId": "vm-" + name, "services": []string{"backend", "grpc", "dead"},
			"limits": map[string]string{"callTimeout": "60s"},
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&documents, "---\n{type: WasmPlugin, name: %s, destinations: [%s], conf: %s}\n", name, strings.Join(destinations, ", "), conf)
	}
	service("backend", abiBackendAddr, "http")
	service("life", abiBackendAddr, "http")
	service("two", abiBackendAddr, "http2")
	service("grpc", abiBackendAddr, "grpc")
	service("dead", abiDeadAddr, "http")
	service("slow", abiBackendAddr, "http")
	identities := abiCertificates()
	fmt.Fprintf(&documents, "---\n{type: ExternalService, name: tls, tags: {kuma.io/service: tls, kuma.io/protocol: http}, networking: {address: '%s', tls: {enabled: true, caCert: %s, clientCert: %s, clientKey: %s}}}\n",
		abiTLSAddr, inline(identities.ca.cert), inline(identities.client.cert), inline(identities.client.key))
	documents.WriteString("---\n{type: Timeout, name: slow, sources: [{match: {kuma.io/service: '*'}}], destinations: [{match: {kuma.io/service: slow}}], conf: {connectTimeout: 5s, http: {requestTimeout: 200ms}}}\n")
	called := []string{"backend", "two", "grpc", "dead", "slow", "tls"}
	for _, s := range append([]string{"life"}, called...) {
		outbound(s)
	}
	plugin("http", "http", abiScenario{name: "root", script: abiRootScript}.text(), append(called, "abi")...)
	plugin("life", "http", abiScenario{name: "life", script: abiLifeScript}.text(), "life")
	for _, s := range abiScenarios(abi) {
		if s.connection {
			service(s.name, abiTCPAddr, "tcp")
			outbound(s.name)
			plugin(s.name, "tcp", s.text(), s.name)
		}
	}
	dataplane := fmt.Sprintf(`
type: Mesh
name: default
mtls: {enabledBackend: ca, backends: [{name: ca, type: provided, conf: {cert: %s, key: %s}}]}
---
type: TrafficPermission
name: all
sources: [{match: {kuma.io/service: '*'}}]
destinations: [{match: {kuma.io/service: '*'}}]
---
type: Dataplane
name: abi
networking:
  address: 10.9.2.1
  inbound: [{port: 8001, servicePort: 9001, serviceAddress: 10.9.2.2, tags: {kuma.io/service: abi, kuma.io/protocol: http}}]
  outbound:
`, inline(identities.ca.cert), inline(identities.ca.key))
	if err := os.WriteFile(filepath.Join(dir, "abi.yaml"), []byte(dataplane+outbounds.String()+documents.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if plane == "proxy" {
		// One processor, so that there is one instance, as Envoy has one.
		m := network.Serve(t, dir, []string{"GOMAXPROCS=1"}, "--proxy-addr", behaviour.GatewayAddress, "--dataplane", abiNode)
		m.Follow(trace.addMeshc)
		server.ended = m.Ended()
		return server
	}
	m := network.Serve(t, dir, nil, "--no-proxy", "--proxy-addr", behaviour.GatewayAddress)
	e := network.StartEnvoy(t, abiNode, m.XDS, "DELTA_GRPC", abiAdmin, "--component-log-level", "wasm:info")
	e.Follow(trace.addEnvoy)
	server.ended = e.Ended()
	return server
}

// inline is a data source that holds text.
func inline(text string) string { return fmt.Sprintf("{inlineString: %q}", text) }
