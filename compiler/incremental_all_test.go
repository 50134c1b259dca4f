package compiler_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler"
)

// TestIncrementalAll does so with documents of every kind in one world: policies
// of all families, mTLS, Kubernetes Services that ask about their node, TLS of
// Kong, on a machine that is known or not.
func TestIncrementalAll(t *testing.T) {
	t.Parallel()
	world := map[string]string{
		"proxies.yaml": strings.Join([]string{
			`{type: Dataplane, name: web-1, networking: {address: 10.2.0.1, inbound: [{port: 80, tags: {kuma.io/service: web, kuma.io/protocol: http, version: v1}}], outbound: [{port: 20001, tags: {kuma.io/service: cart}}, {port: 20002, tags: {kuma.io/service: db, version: v1}}, {port: 20003, tags: {kuma.io/service: web}}, {port: 20004, tags: {kuma.io/service: db_default_svc_80}}]}}`,
			`{type: Dataplane, name: web-2, networking: {address: 10.2.0.2, inbound: [{port: 80, tags: {kuma.io/service: web, kuma.io/protocol: http, version: v2}}], outbound: [{port: 20001, tags: {kuma.io/service: db}}]}}`,
			`{type: Dataplane, name: db-1, networking: {address: 10.2.0.3, inbound: [{port: 80, tags: {kuma.io/service: db, kuma.io/protocol: grpc, version: v1}}], outbound: [{port: 20001, tags: {kuma.io/service: web}}, {port: 20002, service: cart}]}}`,
		}, "\n---\n"),
		"kubernetes.yaml": kubernetesText("db", "", 1),
		"kong.yaml":       `{"_format_version":"3.0","services":[{"name":"cart","url":"http://10.5.0.1:80","routes":[{"name":"r-web","paths":["/a"],"hosts":["a.test"]}]}]}`,
	}
	nodes := []compiler.Node{
		{},
		{Ports: true},
		{Name: "n1", Labels: map[string]string{"topology.kubernetes.io/zone": "z1"}},
		{Ports: true, Name: "n2", Labels: map[string]string{"failure-domain.beta.kubernetes.io/zone": "z2"}},
	}
	draws := []func(*rapid.T) string{drawDocument, drawPolicy, drawPolicy, drawKindDocument, drawKindDocument, drawSecurity, drawSecurity, drawKubernetes, drawKongTLS, drawGatewayTLS, drawRoutes, drawProxyWide, drawZone}
	rapid.Check(t, func(t *rapid.T) {
		node := rapid.SampledFrom(nodes).Draw(t, "node")
		incrementalOn(t, node, maps.Clone(world), func(t *rapid.T) string {
			return draws[rapid.IntRange(0, len(draws)-1).Draw(t, "of")](t)
		})
	})
}

// drawKubernetes draws a Service that asks about its node and the endpoints that
// it has, or lacks, there.
func drawKubernetes(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	spec := one("spec", "",
		"type: NodePort, externalTrafficPolicy: Local,", "type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30080, loadBalancerSourceRanges: [10.0.0.0/8],",
		"externalIPs: [10.9.0.1],", "internalTrafficPolicy: Local,", "topologyKeys: [kubernetes.io/hostname, topology.kubernetes.io/zone],", "topologyKeys: [topology.kubernetes.io/zone, '*'],",
		"clusterIP: None,", "sessionAffinity: ClientIP,", "publishNotReadyAddresses: true,", "type: ExternalName, externalName: db.example,")
	return kubernetesText(one("name", "web", "db"), spec, rapid.IntRange(1, 3).Draw(t, "n"))
}

func kubernetesText(name, spec string, n int) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %[1]s}, spec: {%[2]s ports: [{name: http, port: 80, targetPort: http}, {name: dns, port: 53, protocol: UDP}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-a, labels: {kubernetes.io/service-name: %[1]s}}, addressType: IPv4, ports: [{name: http, port: 8080}, {name: dns, port: 53, protocol: UDP}], endpoints: [{addresses: [10.1.0.%[3]d], nodeName: n1, zone: z1}, {addresses: [10.1.0.9], nodeName: n%[3]d, zone: z%[3]d, conditions: {ready: false}}, {addresses: [10.2.0.3], zone: z2}]}
`, name, spec, n)
}

// drawKongTLS draws a Service that is spoken to over TLS, and what that rests on.
func drawKongTLS(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	const ca, client = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	var parts []string
	if one("service", "is there", "is there", "is not") == "is there" {
		parts = append(parts, fmt.Sprintf("services: [{name: %s, url: '%s://up.test:443'%s%s%s}]", one("name", "secure", "cart"), one("protocol", "https", "tls"),
			one("verify", "", ", tls_verify: true"), one("roots", "", ", ca_certificates: ["+ca+"]"), one("client", "", ", client_certificate: "+client)))
	}
	if one("root", "is there", "is not") == "is there" {
		parts = append(parts, fmt.Sprintf("ca_certificates: [{id: %s, cert: %s}]", ca, one("cert", pems()[0], pems()[2], "'{vault://env/x}'")))
	}
	if one("certificate", "is there", "is not") == "is there" {
		n := 2 * rapid.IntRange(0, 1).Draw(t, "shown")
		parts = append(parts, fmt.Sprintf("certificates: [{id: %s, cert: %s, key: %s}]", client, pems()[n], pems()[n+1]))
	}
	return fmt.Sprintf("{_format_version: '3.0', %s}\n", strings.Join(parts, ", "))
}

// pems are two certificates, each with its key behind it, as JSON.
var pems = sync.OnceValue(func() []string {
	var out []string
	for i := range byte(2) {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{i}, ed25519.SeedSize))
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true}
		cert, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			panic(err)
		}
		for _, b := range []pem.Block{{Type: "CERTIFICATE", Bytes: cert}, {Type: "PRIVATE KEY", Bytes: private}} {
			out = append(out, strconv.Quote(string(pem.EncodeToMemory(&b))))
		}
	}
	return out
})

// drawRoutes draws a TrafficRoute that tells requests apart.
func drawRoutes(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	return fmt.Sprintf("{type: TrafficRoute, name: %s, sources: [{match: {kuma.io/service: %s}}], destinations: [{match: {kuma.io/service: %s}}], conf: {http: [{match: {%s}, %s destination: {kuma.io/service: %s}}, {match: {method: {exact: PUT}}, split: [{weight: %s, destination: {kuma.io/service: web, version: v2}}, {weight: 1, destination: {kuma.io/service: '*'}}]}], destination: {kuma.io/service: %s}}}\n",
		one("name", "one", "two"), one("from", "'*'", "web", "gateway"), one("destination", "'*'", "web", "cart", "db_default_svc_80"),
		one("match", "path: {prefix: /a}", "path: {exact: /b}, method: {exact: POST}", "headers: {x-a: {regex: a+}}"),
		one("modify", "", "modify: {host: {value: a.test}},", "modify: {path: {rewritePrefix: /c}, requestHeaders: {remove: [{name: x}]}},"),
		one("to", "db", "web", "cart", "nobody", "'*'"), one("weight", "0", "2"), one("rest", "'*'", "db", "nobody"))
}

// drawProxyWide draws what is for proxies as a whole, the Mesh they are in, and
// policies of the second mesh.
func drawProxyWide(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	selector := one("selector", "kuma.io/service: '*'", "kuma.io/service: web, version: v1", "kuma.io/service: '*', version: v2", "kuma.io/service: gateway")
	mesh := one("mesh", "default", "default", "m")
	switch one("kind", "Mesh", "Mesh", "TrafficTrace", "ProxyTemplate", "TrafficLog", "FaultInjection", "TrafficPermission") {
	case "Mesh":
		return fmt.Sprintf("{type: Mesh, name: %s, mtls: {%s backends: [{name: ca, type: builtin}]}, logging: {defaultBackend: %s, backends: [{name: file, type: file, conf: {path: /tmp/a}}, {name: tcp, type: tcp, conf: {address: '127.0.0.1:9000'}}]}, tracing: {defaultBackend: zipkin, backends: [{name: zipkin, type: zipkin, sampling: %s, conf: {url: 'http://zipkin.test:9411/api/v2/spans'}}]}}\n",
			mesh, one("enabled", "", "enabledBackend: ca,"), one("backend", "file", "tcp"), one("sampling", "100", "50.5"))
	case "TrafficTrace":
		return fmt.Sprintf("{type: TrafficTrace, mesh: %s, name: %s, selectors: [{match: {%s}}], conf: {backend: zipkin}}\n", mesh, one("name", "one", "two"), selector)
	case "ProxyTemplate":
		return fmt.Sprintf("{type: ProxyTemplate, mesh: %s, name: %s, selectors: [{match: {%s}}], conf: {imports: [%s], resources: [{name: r, version: v, resource: '{\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: %s}'}]}}\n",
			mesh, one("name", "one", "two"), selector, one("imports", "", "default-proxy"), one("cluster", "a", "b"))
	case "TrafficLog":
		return fmt.Sprintf("{type: TrafficLog, mesh: %s, name: %s, sources: [{match: {%s}}], destinations: [{match: {kuma.io/service: %s}}], conf: {%s}}\n",
			mesh, one("name", "one", "two"), selector, one("to", "'*'", "web", "db", "nobody"), one("backend", "backend: file", "backend: wrong", ""))
	case "FaultInjection":
		return fmt.Sprintf("{type: FaultInjection, mesh: %s, name: %s, sources: [{match: {%s}}], destinations: [{match: {%s}}], conf: {abort: {percentage: 1, httpStatus: %s}}}\n",
			mesh, one("name", "one", "two"), selector, one("to", "kuma.io/service: web, kuma.io/protocol: http, version: v1", "kuma.io/protocol: http", "kuma.io/service: '*', kuma.io/protocol: http, version: '*'"), one("status", "500", "501"))
	}
	return fmt.Sprintf("{type: TrafficPermission, mesh: %s, name: %s, sources: [{match: {%s}}], destinations: [{match: {%s}}]}\n",
		mesh, one("name", "one", "two"), selector, one("to", "kuma.io/service: '*'", "kuma.io/service: web, version: v1", "version: v2", "kuma.io/service: db"))
}
