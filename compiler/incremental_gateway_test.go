package compiler_test

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestIncrementalGateway edits what the gateway listens for beside HTTP:
// certificates and their server names, routes over either transport, streams,
// and the faults, logs and plugins of its routes.
func TestIncrementalGateway(t *testing.T) {
	t.Parallel()
	world := map[string]string{
		"mesh.yaml": `{type: Mesh, name: default, logging: {backends: [{name: file, type: file, conf: {path: /tmp/a}}]}}`,
		"web.yaml":  `{type: Dataplane, name: web-1, networking: {address: 10.2.0.1, inbound: [{port: 80, tags: {kuma.io/service: web, kuma.io/protocol: http, version: v1}}], outbound: [{port: 20001, tags: {kuma.io/service: shop}}]}}`,
		"kong.yaml": `{_format_version: '3.0', services: [{name: shop, url: 'http://10.5.0.1:80', routes: [{name: r-web, paths: [/a], hosts: [web]}]}, {name: db, url: 'tcp://10.5.0.2:5432'}]}`,
		"cert.yaml": fmt.Sprintf("{_format_version: '3.0', certificates: [{id: 33333333-3333-4333-8333-333333333333, cert: %s, key: %s, snis: [{name: shop.test}]}]}", pems()[0], pems()[1]),
	}
	draws := []func(*rapid.T) string{drawGatewayTLS, drawGatewayTLS, drawGatewayTLS, drawKongTLS, drawKindDocument, drawPlugin, drawProxyWide, drawRoutes, drawPolicy}
	rapid.Check(t, func(t *rapid.T) {
		incremental(t, maps.Clone(world), func(t *rapid.T) string {
			return draws[rapid.IntRange(0, len(draws)-1).Draw(t, "of")](t)
		})
	})
}

// drawGatewayTLS draws a certificate with server names, or routes of Kong over
// HTTP, HTTPS, TLS and TCP to the services of TestIncrementalGateway and others.
func drawGatewayTLS(t *rapid.T) string {
	one := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	name := one("name", "one", "two")
	switch one("kind", "certificate", "http", "http", "stream") {
	case "certificate":
		n := 2 * rapid.IntRange(0, 1).Draw(t, "shown")
		return fmt.Sprintf("{_format_version: '3.0', certificates: [{id: '4444444%d-4444-4444-8444-444444444444', cert: %s, key: %s, snis: [%s]}]}\n",
			n, pems()[n], pems()[n+1], one("names", "", "{name: shop.test}", "{name: a.test}, {name: '*.b.test'}", "{name: '*'}"))
	case "http":
		return kongRouteText(name, one("service", "shop", "cart", "nobody"), one("protocols", "[https]", "[http, https]", "[http]", "[grpcs]", "[grpc, grpcs]"),
			"paths: ["+one("path", "/", "/a", "~/b.*")+"]",
			one("hosts", "", "hosts: [web]", "hosts: [shop.test]", "hosts: ['*.b.test']"), one("names", "", "snis: [shop.test]", "snis: [a.test, x.b.test]"),
			one("redirect", "", "", "https_redirect_status_code: 308"))
	}
	return kongRouteText(name, one("service", "db", "shop", "nobody"), one("protocols", "[tls]", "[tls_passthrough]", "[tcp]", "[tcp, tls]"),
		one("names", "", "snis: [shop.test]", "snis: [a.test, x.b.test]"), one("door", "", "destinations: [{port: 9000}]", "destinations: [{port: 9000}, {ip: 192.0.2.9, port: 9001}]"),
		one("clients", "", "sources: [{ip: 10.0.0.0/8}]"))
}

// kongRouteText is a route with these fields, of which some may be empty.
func kongRouteText(name, service, protocols string, fields ...string) string {
	text := fmt.Sprintf("{_format_version: '3.0', routes: [{name: %s, service: {name: %s}, protocols: %s", name, service, protocols)
	for _, f := range fields {
		if f != "" {
			text += ", " + f
		}
	}
	return text + "}]}\n"
}
