//go:build linux

package main

import "fmt"

// abiOtherScenarios are those over other protocols than HTTP/1.1 in the clear,
// and those in which the upstream fails.
func abiOtherScenarios() (all []abiScenario) {
	const (
		grpcHead  = "POST /abi.Test/%s HTTP/2\r\nContent-Type: application/grpc\r\nTe: trailers\r\n"
		grpcHello = "\x00\x00\x00\x00\x05hello"
	)
	h2 := func(name, script string, send ...string) {
		all = append(all, abiScenario{name: "h2-" + name, script: script, to: "two", http2: true, send: send})
	}
	everything := []string{"POST /trailers HTTP/2\r\nCookie: a=1\r\nCookie: b=2\r\nTe: trailers\r\n", "abcdefghij", "trailers x-rt: rv"}
	for _, c := range abiHTTPCallbacks[1:] {
		script := c + ":matrix={http}"
		if c == "response_body" { // it changes the length
			script = "response_headers:remove=2;content-length " + script
		}
		h2("matrix-"+c, script, everything...)
		h2("properties-"+c, c+":properties", everything...)
		if c == "request_headers" || c == "request_body" || c == "response_headers" || c == "response_body" || c == "response_trailers" {
			h2("local-"+c, c+"#1:local=418;reply;details,ret=1 response_headers:pairs=2 log:pairs=2,property=response/code_details", everything...)
		}
	}
	h2("maps", "request_headers:headers=0 request_trailers:headers=1 response_headers:headers=2 response_trailers:headers=3", everything...)
	h2("get", "request_headers:pairs=0 response_headers:pairs=2 log:properties", "GET /ok HTTP/2\r\n")
	h2("none", "response_headers:pairs=2", "GET /none HTTP/2\r\n")
	h2("rewrite", "request_headers:replace=0;:path;/echo,replace=0;:method;PUT,replace=0;:authority;other.test,pairs=0", "POST /ok HTTP/2\r\n", "body")
	h2("status", "response_headers:replace=2;:status;418,pairs=2 log:property=response/code", "GET /ok HTTP/2\r\n")
	h2("length", "request_headers:pairs=0,property=request/size,property=request/total_size log:property=request/size", "POST /echo HTTP/2\r\nContent-Length: 4\r\n", "body")
	h2("body", "request_body:write=0 response_headers:remove=2;content-length response_body:write=1", "POST /echo HTTP/2\r\n", "abcdefghij")
	h2("body-pause", "request_body#1:bytes=0;0,ret=1 request_body#2:bytes=0;0", "POST /echo HTTP/2\r\n", "abcde", "fghij")
	h2("local-sizes", "request_headers:local=418;reply,ret=1 log:property=request/size,property=request/total_size", "POST /ok HTTP/2\r\n", "body")
	all = append(all, abiScenario{name: "local-sizes", script: "request_headers:local=418;reply,ret=1 log:property=request/size,property=request/total_size", send: []string{abiPost}})
	h2("trailers-create", "request_body:add=1;x-made;1,pairs=1 response_body:add=3;x-made;1", "POST /echo HTTP/2\r\n", "abcde")
	for i := range all {
		if all[i].name == "h2-body-pause" {
			all[i].after = []string{"request_headers#1 returns", "request_body#1 returns"}
		}
	}

	grpc := func(name, method, script string) {
		all = append(all, abiScenario{name: "grpc-" + name, script: script, to: "grpc", http2: true, send: []string{fmt.Sprintf(grpcHead, method), grpcHello}})
	}
	grpc("called", "Unary", "request_headers:pairs=0 request_body:bytes=0;0 response_headers:pairs=2 response_body:bytes=1;0 response_trailers:pairs=3 log:pairs=3,properties")
	grpc("refused", "Error", "response_headers:pairs=2 log:pairs=2,pairs=3,properties")
	grpc("failed", "Late", "response_trailers:pairs=3,replace=3;grpc-status;5 log:pairs=3,property=response/grpc_status")
	grpc("answered", "Unary", "request_headers:local=403;body;d;7,ret=1 response_headers:pairs=2 log:pairs=2,property=response/grpc_status")
	grpc("denied", "Unary", "request_headers:local=403;body;d,ret=1 response_headers:pairs=2 log:property=response/grpc_status")
	grpc("answered-late", "Unary", "response_headers:local=503;body;d;14,ret=1 log:pairs=2,property=response/grpc_status")

	// Failures of the upstream: POST, for a GET may be sent again.
	fails := func(name, to, method, path string) {
		all = append(all, abiScenario{
			name: "fails-" + name, script: "response_headers:pairs=2,property=response/code_details,property=response/flags response_body:bytes=1;0 log:properties",
			to: to, http2: to == "two" || to == "grpc", send: []string{method + " " + path + " HTTP/1.1\r\nContent-Length: 0\r\n\r\n"},
		})
	}
	fails("dead", "dead", "POST", "/ok")
	fails("gone", "backend", "POST", "/gone")
	fails("cut", "backend", "POST", "/cut")
	fails("slow", "slow", "POST", "/slow")
	fails("h2-gone", "two", "POST", "/gone")
	fails("h2-cut", "two", "POST", "/cut")
	// A client that leaves.
	all = append(all, abiScenario{name: "fails-left", script: "request_headers:ret=1 log:properties", hang: true, until: []string{"request_headers#1 returns"}})
	all = append(all, abiScenario{name: "fails-left-later", script: "response_headers:ret=1 log:properties", hang: true, until: []string{"response_headers#1 returns"}})

	// TLS, of the client and to the upstream.
	upstream := ""
	for _, name := range []string{"subject_local_certificate", "subject_peer_certificate", "dns_san_local_certificate", "dns_san_peer_certificate",
		"uri_san_local_certificate", "uri_san_peer_certificate", "sha256_peer_certificate_digest"} {
		upstream += ",property=upstream/" + name
	}
	for _, to := range []string{"inbound", "tls", "backend"} {
		all = append(all, abiScenario{name: "tls-" + to, to: to, script: "request_headers:pairs=0,properties response_headers:pairs=2" + upstream + " log:properties" + upstream})
	}
	return all
}
