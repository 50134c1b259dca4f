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
	"KongRoute": `
name: r
id: 8ccca140-aff4-411d-8e1c-fcfb3f932a8e
protocols: [https]
paths: [/a, ~/b]
hosts: [a.example, "*.b", "c.*", "[::1]:80", "10.0.0.1:80"]
headers: {x: [a]}
methods: [GET]
snis: [a, "*.b"]
service: {name: a}
tags: [a]
`,
	"KongUpstream": `
name: u
algorithm: consistent-hashing
hash_on: header
hash_on_header: x
hash_fallback: ip
healthchecks: {threshold: 3, active: {healthy: {interval: 1}}}
host_header: a:80
tags: [a]
`,
	"KongTarget": `
target: a:80
weight: 3
upstream: {name: u}
`,
	"KongCertificate": `
cert: "{vault://env/cert}"
key: "{vault://env/key}"
tags: [a]
`,
	"KongSNI": `
name: "*.a"
certificate: {id: 8ccca140-aff4-411d-8e1c-fcfb3f932a8e}
`,
	"KongCACertificate": `
cert: "{vault://env/ca}"
`,
	"KongPlugin": `
name: cors
service: {name: a}
consumer: {username: b}
`,
	"KongConsumer": `
username: a
`,
	"KongConsumerGroup": `
name: a
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
	"WasmPlugin": `
type: WasmPlugin
name: api-key
selectors:
- match: {kuma.io/service: shop}
destinations:
- match: {kuma.io/service: stock}
conf:
  module: {path: api-key.wasm, sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}
  listeners: [inbound, gateway]
  protocol: http
  match: {pathPrefix: /api, methods: [GET, POST]}
  phase: authn
  order: 10
  configuration: {header: x-api-key, keys: [a, b]}
  vmConfiguration: text
  env: {LEVEL: debug}
  rootId: api-key
  vmId: keys
  services: [users]
  limits: {memory: 128MiB, callTimeout: 50ms}
  failurePolicy: open
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
	"TrafficPermission": `
type: TrafficPermission
mesh: default
name: web-to-backend
sources:
- match: {kuma.io/service: web}
destinations:
- match: {kuma.io/service: backend, version: v1}
`,
	"TrafficLog": `
type: TrafficLog
mesh: default
name: log
sources:
- match: {kuma.io/service: "*"}
destinations:
- match: {kuma.io/service: backend}
conf: {backend: file}
`,
	"TrafficTrace": `
type: TrafficTrace
mesh: default
name: trace
selectors:
- match: {kuma.io/service: "*"}
conf: {backend: zipkin}
`,
	"HealthCheck": `
type: HealthCheck
mesh: default
name: backend
sources:
- match: {kuma.io/service: web}
destinations:
- match: {kuma.io/service: backend}
conf:
  interval: 10s
  timeout: 2s
  unhealthyThreshold: 3
  healthyThreshold: 1
  healthyPanicThreshold: 50.5
  http:
    path: /health
    useHttp1: true
    requestHeadersToAdd:
    - append: false
      header: {key: Accept, value: text/plain}
    expectedStatuses: [200, 201]
`,
	"FaultInjection": `
type: FaultInjection
mesh: default
name: slow
sources:
- match: {kuma.io/service: web}
destinations:
- match: {kuma.io/service: backend, kuma.io/protocol: http}
conf:
  delay: {percentage: 50.5, value: 5s}
  abort: {percentage: 50, httpStatus: 500}
`,
	"Retry": `
type: Retry
mesh: default
name: backend
sources:
- match: {kuma.io/service: web}
destinations:
- match: {kuma.io/service: backend}
conf:
  http:
    numRetries: 5
    perTryTimeout: 200ms
    backOff: {baseInterval: 20ms, maxInterval: 1s}
    retriableStatusCodes: [500, 504]
  grpc:
    retryOn: [cancelled, unavailable]
  tcp: {maxConnectAttempts: 3}
`,
	"Timeout": `
type: Timeout
mesh: default
name: backend
sources:
- match: {kuma.io/service: web}
destinations:
- match: {kuma.io/service: backend}
conf:
  connectTimeout: 10s
  tcp: {idleTimeout: 1h}
  http: {requestTimeout: 5s, idleTimeout: 1h}
  grpc: {streamIdleTimeout: 5m, maxStreamDuration: 30m}
`,
	"CircuitBreaker": `
type: CircuitBreaker
mesh: default
name: backend
sources:
- match: {kuma.io/service: web}
destinations:
- match: {kuma.io/service: backend}
conf:
  interval: 1s
  baseEjectionTime: 30s
  maxEjectionPercent: 20
  detectors:
    totalErrors: {consecutive: 20}
    standardDeviation: {requestVolume: 10, minimumHosts: 5, factor: 1.9}
  thresholds: {maxConnections: 2, maxRequests: 5}
`,
	"ProxyTemplate": `
type: ProxyTemplate
mesh: default
name: extra
selectors:
- match: {kuma.io/service: backend}
conf:
  imports: [default-proxy]
  resources:
  - name: extra
    version: v1
    resource: |
      "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
      name: extra
`,
	"Zone": `
type: Zone
name: east
enabled: true
ingress: {address: "192.0.2.7:31172"}
`,
	"Secret": `
type: Secret
mesh: default
name: key
data: dGVzdAo=
`,
	"GlobalSecret": `
type: GlobalSecret
name: key
file: /run/secrets/key
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
