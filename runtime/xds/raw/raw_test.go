package raw_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meshc/meshc/runtime/xds/raw"
)

func TestCheck(t *testing.T) {
	const types = "type.googleapis.com/envoy."
	for _, c := range []struct{ name, json, want string }{
		{"right", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","connect_timeout":"1s","type":"STATIC"}`, ""},
		{"an Any in it", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","transportSocket":{"name":"tls","typedConfig":{"@type":"` + types + `extensions.transport_sockets.tls.v3.UpstreamTlsContext","sni":"a"}}}`, ""},
		{"unknown field", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","conect_timeout":"1s"}`, "74 []: unknown field"},
		{"unknown type", `{"@type":"` + types + `config.cluster.v3.Clusters","name":"a"}`, "9 []: no type of Envoy that meshc knows is named \""},
		{"wrong type", `{"@type":"` + types + `config.cluster.v3.Cluster","name":7}`, "70 []: invalid value for string field name: 7"},
		{"no resource", `{"@type":"` + types + `config.core.v3.Address"}`, "-1 [@type]: Address is no resource"},
		{"no name", `{"@type":"` + types + `config.route.v3.RouteConfiguration"}`, "-1 []: the resource has no name"},
		{"rules", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","connect_timeout":"0s","load_assignment":{"cluster_name":"","endpoints":[{"priority":200}]}}`,
			"-1 [ConnectTimeout]: value must be greater than 0s\n-1 [LoadAssignment ClusterName]: value length must be at least 1 runes\n-1 [LoadAssignment Endpoints 0 Priority]: value must be less than or equal to 128"},
		{"rules in an Any", `{"@type":"` + types + `config.listener.v3.Listener","name":"l","filter_chains":[{"filters":[{"name":"x","typed_config":{"@type":"` + types + `extensions.filters.network.tcp_proxy.v3.TcpProxy","cluster":"c"}}]}]}`,
			"-1 [filter_chains 0 filters 0 typed_config StatPrefix]: value length must be at least 1 runes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			raw.Check(c.json, func(offset int, path []any, message string) {
				got = append(got, fmt.Sprintf("%d %v: %s", offset, path, message))
			})
			want := strings.Split(c.want, "\n")
			if c.want == "" {
				want = nil
			}
			if len(got) != len(want) {
				t.Fatalf("got %q, want %q", got, want)
			}
			for i := range want {
				if !strings.HasPrefix(got[i], want[i]) {
					t.Errorf("got %s, want %s", got[i], want[i])
				}
			}
		})
	}
}
