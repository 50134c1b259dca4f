//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// document is one of the documents that everything is measured on.
type document struct {
	kind       string
	definition string // in the rules
	text       string
}

// kinds say how a document of each kind is written; numbered says what is
// put in. share is in tenths of all documents.
var kinds = []struct {
	share            int
	kind, definition string
	text             string
}{
	{3, "Service", "#Service", `apiVersion: v1
kind: Service
metadata:
  name: web-${N}
  namespace: shop
  labels:
    app: web-${N}
    team: checkout
spec:
  type: ClusterIP
  selector:
    app: web-${N}
  ports:
  - name: http
    port: 80
    targetPort: 8080
    protocol: TCP
  - name: metrics
    port: 9090
    targetPort: metrics
`},
	{3, "Endpoints", "#Endpoints", `apiVersion: v1
kind: Endpoints
metadata:
  name: web-${N}
  namespace: shop
  labels:
    app: web-${N}
subsets:
- addresses:
  - ip: 10.${N1}.${N2}.1
    nodeName: node-a
  - ip: 10.${N1}.${N2}.2
    nodeName: node-b
  - ip: 10.${N1}.${N2}.3
    nodeName: node-c
  ports:
  - name: http
    port: 8080
    protocol: TCP
  - name: metrics
    port: 9091
`},
	{1, "Kong service", "#KongService", `name: legacy-${N}
host: legacy-${N}.internal
port: 8080
protocol: http
path: /v1
connect_timeout: 5000
read_timeout: 30000
retries: 3
tags:
- legacy
- team-${N2}
`},
	{1, "TrafficRoute", "#TrafficRoute", `type: TrafficRoute
name: route-${N}
mesh: default
sources:
- match:
    kuma.io/service: ${W}
destinations:
- match:
    kuma.io/service: ${B}
conf:
  split:
  - weight: 90
    destination:
      kuma.io/service: ${B}
      version: v1
  - weight: 10
    destination:
      kuma.io/service: ${B}
      version: v2
`},
	{1, "Retry", "#Retry", `type: Retry
name: retry-${N}
mesh: default
sources:
- match:
    kuma.io/service: ${W}
destinations:
- match:
    kuma.io/service: ${B}
conf:
  http:
    numRetries: 5
    perTryTimeout: 200ms
    backOff:
      baseInterval: 20ms
      maxInterval: 1s
    retriableStatusCodes:
    - 500
    - 504
`},
	{1, "Timeout", "#Timeout", `type: Timeout
name: timeout-${N}
mesh: default
sources:
- match:
    kuma.io/service: ${W}
destinations:
- match:
    kuma.io/service: ${B}
conf:
  connectTimeout: 10s
  tcp:
    idleTimeout: 1h
  http:
    requestTimeout: 5s
    idleTimeout: 1h
`},
}

// corpus returns n documents, a multiple of ten, always the same: in each ten,
// the kinds by their share.
func corpus(n int) []document {
	out := make([]document, 0, n)
	var made [6]int
	for len(out) < n {
		for i, k := range kinds {
			for range k.share {
				number := made[i]
				out = append(out, document{k.kind, k.definition, numbered(k.text, number)})
				made[i]++
			}
		}
	}
	return out
}

// numbered returns text with N, its parts N1 and N2 and the names of two meshed
// services, W and B, put in.
func numbered(text string, number int) string {
	return strings.NewReplacer(
		"${N}", fmt.Sprint(number), "${N1}", fmt.Sprint(number/250), "${N2}", fmt.Sprint(number%250),
		"${W}", fmt.Sprintf("web-%d", number%meshed), "${B}", fmt.Sprintf("backend-%d", number/meshed%meshed),
	).Replace(text)
}

// meshed is how many services of each sort the mesh has: enough for every
// policy to have a pair of its own.
const meshed = 32

// mesh returns more documents, the dataplanes of the services that the policies
// are about. They are only needed where documents are seen together.
func mesh() []document {
	var out []document
	for n := range 2 * meshed {
		name := fmt.Sprintf("web-%d", n)
		if n >= meshed {
			name = fmt.Sprintf("backend-%d", n-meshed)
		}
		text := fmt.Sprintf("type: Dataplane\nname: %s\nmesh: default\nnetworking:\n  address: 192.168.0.%d\n  inbound:\n", name, n+1)
		for version := range 2 {
			text += fmt.Sprintf("  - port: %d\n    tags: {kuma.io/service: %s, kuma.io/protocol: http, version: v%d}\n", 8000+version, name, version+1)
		}
		out = append(out, document{"Dataplane", "#Dataplane", text})
	}
	return out
}

// forKubernetes returns the documents that kubeconform is made for.
func forKubernetes(docs []document) []document {
	var out []document
	for _, d := range docs {
		if strings.HasPrefix(d.text, "apiVersion:") {
			out = append(out, d)
		}
	}
	return out
}

// writeFiles writes each document to a file of its own in dir.
func writeFiles(dir string, docs []document) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i, d := range docs {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d.yaml", i)), []byte(d.text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeOne writes all documents to one file.
func writeOne(path string, docs []document) error {
	var b strings.Builder
	for _, d := range docs {
		b.WriteString("---\n" + d.text)
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
