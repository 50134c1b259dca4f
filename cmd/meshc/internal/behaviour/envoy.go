//go:build linux

package behaviour

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Envoy is a running Envoy.
type Envoy struct {
	*process
	Admin string
}

// envoyPath is where .ci/tools puts it.
const envoyPath = "../../.tools/envoy"

// StartEnvoy runs a real Envoy as node, configured over ADS by the server at
// xds, and waits until its first configuration is in force. api is DELTA_GRPC or
// GRPC (state of the world). admin is the port of its admin interface, flags are
// further ones of its command line.
func (n *Network) StartEnvoy(t testing.TB, node, xds, api string, admin int, flags ...string) *Envoy {
	t.Helper()
	return n.startEnvoy(t, node, bootstrap(node, xds, api, admin), admin, flags...)
}

func (n *Network) startEnvoy(t testing.TB, node, config string, admin int, flags ...string) *Envoy {
	t.Helper()
	if _, err := os.Stat(envoyPath); err != nil {
		t.Fatalf("%v; .ci/tools fetches it", err)
	}
	// Without hot restart any number of Envoys run side by side; with one
	// worker no two connections of it see different configurations.
	cmd := exec.Command(envoyPath, append([]string{"--config-yaml", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "100"}, flags...)...)
	e := &Envoy{Admin: fmt.Sprintf("127.0.0.1:%d", admin)}
	e.process = n.start(t, cmd, "envoy "+node, nil)
	e.await(t, "its first configuration", func() bool {
		return strings.HasPrefix(n.Get("http://"+e.Admin+"/ready"), "LIVE") && n.Get("http://"+e.Admin+"/listeners") != ""
	})
	return e
}

func bootstrap(node, xds, api string, admin int) string {
	host, port, _ := strings.Cut(xds, ":")
	return fmt.Sprintf(`
node: {id: %q, cluster: %q}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
stats_flush_interval: 0.2s # before it no histogram is shown
dynamic_resources:
  ads_config:
    api_type: %s
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: meshc}}]
  lds_config: {resource_api_version: V3, ads: {}}
  cds_config: {resource_api_version: V3, ads: {}}
static_resources:
  clusters:
  - name: meshc
    type: STATIC
    connect_timeout: 5s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: meshc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]
  - name: envoy-admin
    type: STATIC
    load_assignment:
      cluster_name: envoy-admin
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
`, node, node[strings.LastIndexByte(node, '.')+1:], admin, api, host, port, admin)
}
