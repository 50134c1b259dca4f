package plan_test

import (
	"testing"
)

// documents are one valid document of each kind, of the size that people write.
var documents = map[string]string{
	"Service": `
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  labels:
    app.kubernetes.io/name: web
    app.kubernetes.io/part-of: shop
spec:
  type: NodePort
  selector:
    app.kubernetes.io/name: web
  ports:
  - name: http
    port: 80
    targetPort: http
  - name: metrics
    port: 9090
`,
	"Endpoints": `
apiVersion: v1
kind: Endpoints
metadata:
  name: web
  namespace: shop
subsets:
- addresses:
  - ip: 10.0.0.1
  - ip: 10.0.0.2
  - ip: 10.0.0.3
  ports:
  - name: http
    port: 8080
`,
	"EndpointSlice": `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-1
  namespace: shop
  labels:
    kubernetes.io/service-name: web
addressType: IPv4
endpoints:
- addresses: [10.0.0.1]
  conditions: {ready: true}
- addresses: [10.0.0.2]
  conditions: {ready: false}
ports:
- name: http
  port: 8080
`,
	"KongService": `
name: orders
host: orders.internal
port: 8080
path: /v1
tags: [shop]
`,
	"Dataplane": `
type: Dataplane
mesh: default
name: web-1
networking:
  address: 10.0.0.1
  inbound:
  - port: 8080
    servicePort: 80
    tags:
      kuma.io/service: web
      kuma.io/protocol: http
  outbound:
  - port: 9000
    tags:
      kuma.io/service: backend
`,
	"Mesh": `
type: Mesh
name: default
mtls:
  enabledBackend: ca
  backends:
  - name: ca
    type: builtin
    dpCert: {rotation: {expiration: 24h}}
    conf: {caCert: {RSAbits: 2048, expiration: 10y}}
logging:
  defaultBackend: file
  backends:
  - name: file
    type: file
    conf: {path: /tmp/access.log}
metrics:
  enabledBackend: p
  backends:
  - name: p
    type: prometheus
    conf: {port: 5670}
`,
	"ExternalService": `
type: ExternalService
mesh: default
name: httpbin
tags:
  kuma.io/service: httpbin
  kuma.io/protocol: http
networking:
  address: httpbin.example.com:80
  tls: {enabled: false}
`,
	"TrafficRoute": `
type: TrafficRoute
mesh: default
name: split
sources:
- match: {kuma.io/service: web}
destinations:
- match: {kuma.io/service: backend}
conf:
  split:
  - weight: 90
    destination: {kuma.io/service: backend, version: v1}
  - weight: 10
    destination: {kuma.io/service: backend, version: v2}
`,
}

func BenchmarkCheck(b *testing.B) {
	s := compileRules(b)
	for kind, src := range documents {
		d := definition(b, s, "#"+kind)
		n := parseYAML(b, src)
		if _, findings := d.Check(n); len(findings) > 0 {
			b.Fatalf("%s: %v", kind, findings)
		}
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Check(n)
			}
		})
	}
}
