package raw_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/meshc/meshc/runtime/xds/raw"
	"github.com/meshc/meshc/schema/diag"
)

func TestCheck(t *testing.T) {
	const types = "type.googleapis.com/envoy."
	for _, c := range []struct{ name, json, want string }{
		{"right", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","connect_timeout":"1s","type":"STATIC"}`, ""},
		{"an Any in it", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","transportSocket":{"name":"tls","typedConfig":{"@type":"` + types + `extensions.transport_sockets.tls.v3.UpstreamTlsContext","sni":"a"}}}`, ""},
		{"unknown field", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","conect_timeout":"1s"}`, "74 []: unknown field"},
		{"unknown type", `{"@type":"` + types + `config.cluster.v3.Clusters","name":"a"}`, "9 []: no type of Envoy that meshc knows is named \""},
		{"wrong type", `{"@type":"` + types + `config.cluster.v3.Cluster","name":7}`, "70 []: invalid value for string field name"},
		{"a text for a message", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","loadAssignment":"x"}`, "91 []: a value of this type cannot stand here"},
		{"an Any without type", `{"@type":"` + types + `config.cluster.v3.Cluster","name":"a","transportSocket":{"typedConfig":{"a":"x"}}}`, `107 []: missing "@type" field`},
		{"two of one", `{"@type":"` + types + `extensions.transport_sockets.tls.v3.Secret","name":"a","tlsCertificate":{"privateKey":{"inlineString":"x","filename":"y"}}}`, `142 []: error parsing "filename", oneof envoy.config.core.v3.DataSource.specifier is already set`},
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

// Wherever a value is wrong, the message must not hold it: it may be a private key.
func TestMessagesQuoteNoValues(t *testing.T) {
	const secret = `{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret","name":"a",`
	const cluster = `{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"a",`
	for _, json := range []string{
		secret + `"tlsCertificate":{"privateKey":{"inlineBytes":"777:!!"}}}`, secret + `"tlsCertificate":{"privateKey":{"inlineBytes":777}}}`,
		secret + `"tlsCertificate":{"privateKey":{"inlineString":["777"]}}}`, secret + `"tlsCertificate":{"privateKey":{"inlineString":777}}}`,
		secret + `"tlsCertificate":{"privateKey":"777"}}`, secret + `"tlsCertificate":{"privateKey":777}}`, secret + `"tlsCertificate":"777"}`,
		secret + `"tlsCertificate":["777"]}`, secret + `"sessionTicketKeys":{"keys":"777"}}`, secret + `"sessionTicketKeys":{"keys":["777"]}}`,
		cluster + `"connect_timeout":"777"}`, cluster + `"connect_timeout":"777777777777777777777s"}`, cluster + `"type":"777"}`, cluster + `"lbPolicy":77777777777}`,
		cluster + `"metadata":{"filterMetadata":{"a":"777"}}}`, cluster + `"metadata":{"filterMetadata":"777"}}`, cluster + `"perConnectionBufferLimitBytes":"-777"}`,
		cluster + `"perConnectionBufferLimitBytes":-777}`, cluster + `"transportSocket":{"typedConfig":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"777"}}}`,
		cluster + `"transportSocket":{"typedConfig":{"@type":777}}}`, cluster + `"eds_config":{"path":777}}`, cluster + `"name\n":"777"}`, `["777"]`, `777`,
	} {
		told := false
		raw.Check(json, func(_ int, path []any, message string) {
			told = true
			if strings.Contains(message, "777") {
				t.Errorf("%s: %s", json, message)
			}
		})
		if !told {
			t.Errorf("%s passes", json)
		}
	}
}

// What Envoy's API marks as sensitive must have a name by which resources are
// redacted, itself or that of what it can only stand in.
func TestSensitiveFieldsHaveNamesOfSecrets(t *testing.T) {
	within := map[protoreflect.FullName]string{
		"envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys.keys":       "session_ticket_keys",
		"envoy.extensions.transport_sockets.tls.v3.PrivateKeyProvider.typed_config": "private_key_provider",
	}
	sensitive, err := protoregistry.GlobalTypes.FindExtensionByName("udpa.annotations.sensitive")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	var check func(protoreflect.MessageDescriptors)
	check = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			fields := messages.Get(i).Fields()
			for j := range fields.Len() {
				f := fields.Get(j)
				if !proto.HasExtension(f.Options(), sensitive) {
					continue
				}
				seen++
				for _, name := range []string{string(f.Name()), f.JSONName()} {
					if !diag.SecretName(name) && !diag.SecretName(within[f.FullName()]) {
						t.Errorf("%s: %s is not known for a secret", f.FullName(), name)
					}
				}
			}
			check(messages.Get(i).Messages())
		}
	}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		check(f.Messages())
		return true
	})
	if seen < 20 {
		t.Errorf("only %d fields are marked", seen)
	}
}
