//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// abiRootScript is for the root of the plugin that serves HTTP.
const abiRootScript = "root_create:matrix={http} vm_start:matrix={http},wasi configure:matrix={http},read=6,read=7,configuration,properties,foreign,log context_create:matrix={http} root_done:matrix={http} root_delete:matrix={http}"

// abiLifeScript is for a plugin that serves nothing: its root asks to be waited
// for until its tick, which no data plane does that shuts down.
const abiLifeScript = "configure:bytes=7;0 root_done:done,ret=0,tick=5000 tick#1:done,done,tick=0 root_delete:done"

const (
	abiPost     = "POST /trailers HTTP/1.1\r\nContent-Length: 10\r\n\r\nabcdefghij"
	abiChunked  = "POST /trailers HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: x-rt\r\n\r\n"
	abiTrailers = "0\r\nx-rt: rv\r\n\r\n"
)

// full is a request with everything: body and trailers both ways.
var abiFull = []string{abiChunked + "a\r\nabcdefghij\r\n" + abiTrailers}

var abiHTTPCallbacks = []string{
	"context_create", "request_headers", "request_body", "request_trailers", "response_headers", "response_body", "response_trailers", "log", "done", "delete",
}

// abiScenarios is the one list of what is done to every data plane, for one
// version of the ABI.
func abiScenarios(abi string) []abiScenario {
	all := abiEveryScenario()
	return slices.DeleteFunc(all, func(s abiScenario) bool { return s.newer && abi == "010" })
}

func abiEveryScenario() []abiScenario {
	var all []abiScenario
	full := func(name, script string, until ...string) {
		all = append(all, abiScenario{name: name, script: script, send: abiFull, until: until})
	}
	get := func(name, script string, until ...string) {
		all = append(all, abiScenario{name: name, script: script, until: until})
	}
	post := func(name, script string) {
		all = append(all, abiScenario{name: name, script: script, send: []string{"POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\n", "abcdefghij"}, after: []string{"request_headers#1 returns"}})
	}
	pieces := func(name, script string) {
		all = append(all, abiScenario{name: name, script: script,
			send:  []string{"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nabcde\r\n", "5\r\nfghij\r\n", "0\r\n\r\n"},
			after: []string{"request_headers#1 returns", "request_body#1 returns", "request_body#2 returns"}})
	}
	two := func(name, script string) {
		all = append(all, abiScenario{name: name, script: script, send: []string{"GET /two HTTP/1.1\r\n\r\n"}})
	}
	hang := func(name, script string, until string, send ...string) {
		all = append(all, abiScenario{name: name, script: script, hang: true, until: []string{until}, send: send})
	}

	// Every host function in every callback.
	for _, c := range abiHTTPCallbacks[1:] {
		full("matrix-"+c, c+":matrix={http}")
	}
	get("matrix-tick", "delete:tick=20 tick#1:matrix={http}", "tick#1 returns")
	get("matrix-tick-effective", "request_headers:tick=20,ret=1 tick#1:tick=0,effective,matrix={http},continue=0", "tick#1 returns")
	get("matrix-queue", "request_headers:register=q-matrix,enqueue=item queue_ready:matrix={http}", "queue_ready#1 returns")
	get("matrix-answer", "request_headers:http={http};/trailers;5000,ret=1 http_call_response:matrix={http},effective,continue=0")
	get("matrix-answer-effective", "request_headers:http={http};/trailers;5000,ret=1 http_call_response:effective,matrix={http},continue=0")
	for _, c := range []string{"grpc_receive_initial_metadata", "grpc_receive", "grpc_receive_trailing_metadata", "grpc_close"} {
		get("matrix-"+c, "request_headers:stream={grpc};Unary,send=hello;1,ret=1 "+c+":matrix={http} grpc_close:effective,continue=0")
	}

	// The other sets of calls.
	for _, c := range abiHTTPCallbacks[1:] {
		full("properties-"+c, c+":properties")
		full("foreign-"+c, c+":foreign")
	}
	for _, c := range []string{"request_headers", "response_body", "log"} {
		full("wasi-"+c, c+":wasi")
		full("shared-"+c, c+":shared=key-"+c)
		full("metrics-"+c, c+":metrics=abi_"+c+"_")
		full("log-"+c, c+":log")
	}
	get("properties-tick", "request_headers:tick=20 tick#1:tick=0,properties", "tick#1 returns")
	get("properties-none", "request_headers:properties log:properties")

	// Header maps.
	full("headers-request", "request_headers:headers=0")
	full("headers-request-trailers", "request_trailers:headers=1")
	full("headers-response", "response_headers:headers=2")
	full("headers-response-trailers", "response_trailers:headers=3")
	full("headers-log", "log:headers=0,headers=1,headers=2,headers=3")
	full("headers-others", "request_headers:headers=1,headers=2,headers=3,headers=4,headers=5,headers=6,headers=7,headers=8")
	get("headers-order", "request_headers:pairs=0,add=0;x-a;1,add=0;x-two;three,replace=0;x-two;four,add=0;x-a;2,pairs=0 response_headers:pairs=2")
	get("headers-path", "request_headers:replace=0;:path;/echo,replace=0;:method;PUT,replace=0;:authority;other.test,pairs=0")
	get("headers-no-path", "request_headers:remove=0;:path,pairs=0 log:pairs=0,pairs=2")
	get("headers-no-method", "request_headers:remove=0;:method,pairs=0 log:pairs=0,pairs=2")
	get("headers-no-authority", "request_headers:remove=0;:authority,pairs=0 log:pairs=0,pairs=2")
	get("headers-no-status", "response_headers:remove=2;:status,pairs=2 log:pairs=2")
	get("headers-status", "response_headers:replace=2;:status;418,pairs=2 log:property=response/code")
	get("headers-bad-status", "response_headers:replace=2;:status;abc,pairs=2 log:property=response/code")
	get("headers-set", "request_headers:setpairs=0;:path;/echo;:method;GET;:authority;a.test,pairs=0")
	get("headers-set-none", "request_headers:setpairs=0;x-a;1,pairs=0")
	get("headers-set-response", "response_headers:setpairs=2;:status;201;x-a;1;X-B;2,pairs=2")
	for i := range 9 {
		get(fmt.Sprintf("headers-broken-%d", i), fmt.Sprintf("response_headers:badpairs=2;%d", i))
	}
	full("trailers-add", "request_trailers:add=1;x-more;1,pairs=1 response_trailers:add=3;x-more;1,pairs=3")
	full("trailers-clear", "request_trailers:remove=1;x-rt,pairs=1,size=1 response_trailers:remove=3;x-t,pairs=3,size=3")
	post("trailers-create-request", "request_body:add=1;x-made;1,pairs=1,value=1;x-made")
	get("trailers-create-response", "response_body:add=3;x-made;1,pairs=3,value=3;x-made response_trailers:pairs=3")
	get("trailers-create-headers", "request_headers:add=1;x-made;1,pairs=1 response_headers:add=3;x-made;1,pairs=3")

	// Bodies.
	post("body-read", "request_body:read=0 response_body:read=1")
	post("body-write", "request_headers:remove=0;content-length request_body:write=0 response_headers:remove=2;content-length response_body:write=1")
	post("body-write-end", "request_headers:remove=0;content-length request_body#2:set=0;0;0;tail")
	post("body-length-kept", "response_body#1:set=1;0;4;more-than-before")
	pieces("body-pieces", "request_body:bytes=0;0")
	pieces("body-pause", "request_body#1:bytes=0;0,ret=1 request_body#2:bytes=0;0,ret=1 request_body#3:bytes=0;0")
	pieces("body-pause-once", "request_body#1:bytes=0;0,ret=1 request_body#2:bytes=0;0 request_body#3:bytes=0;0")
	pieces("body-watermark", "request_body#1:bytes=0;0,ret=2 request_body#2:bytes=0;0,ret=2 request_body#3:bytes=0;0")
	pieces("body-drop", "request_body#1:bytes=0;0,ret=3 request_body#2:bytes=0;0,ret=3 request_body#3:bytes=0;0")
	pieces("body-pause-write", "request_body#1:set=0;0;100;one,ret=1 request_body#2:bytes=0;0,set=0;0;0;zero,ret=1 request_body#3:bytes=0;0,set=0;1000;0;end")
	pieces("body-pause-continue", "request_body#1:ret=1,continue=0 request_body#2:bytes=0;0 request_body#3:bytes=0;0")
	two("response-pieces", "response_body:bytes=1;0")
	two("response-pause", "response_body#1:bytes=1;0,ret=1 response_body#2:bytes=1;0,ret=1 response_body#3:bytes=1;0")
	two("response-drop", "response_body#1:ret=3 response_body#2:bytes=1;0")
	two("response-replace", "response_headers:remove=2;content-length response_body#1:set=1;0;100;X response_body#2:set=1;0;100;Y response_body#3:set=1;0;0;Z")
	full("body-pause-trailers", "request_body:ret=1 request_trailers:bytes=0;0,set=0;0;0;front,buffer=0")
	full("response-pause-trailers", "response_body:ret=1 response_trailers:bytes=1;0,set=1;0;0;front,buffer=1")
	for n := range 6 {
		all = append(all, abiScenario{name: fmt.Sprintf("headers-return-%d", n), script: fmt.Sprintf("request_headers:ret=%d,tick=300 tick#1:tick=0,effective,continue=0", n), send: []string{abiPost}, until: []string{"tick#1 returns"}})
		all = append(all, abiScenario{name: fmt.Sprintf("response-headers-return-%d", n), script: fmt.Sprintf("response_headers:ret=%d,tick=300 tick#1:tick=0,effective,continue=1", n), until: []string{"tick#1 returns"}})
	}

	// Pause and continue in each phase, resumed from a timer.
	for _, c := range abiHTTPCallbacks[1:7] {
		direction := "0"
		if c[:8] == "response" {
			direction = "1"
		}
		pause := c + "#1:ret=1,tick=20"
		if phase, found := strings.CutSuffix(c, "_body"); found { // trailers would let it go, before the tick or after
			pause = c + "#1:ret=1 " + phase + "_trailers#1:ret=1,tick=20"
		}
		full("pause-"+c, pause+" tick#1:tick=0,effective,pairs=0,pairs=2,bytes=0;0,bytes=1;0,continue="+direction+",pairs=0,pairs=2", "tick#1 returns")
		// Envoy crashes on continue_stream of what is not paused, and on more
		// than one reply once there is a response, so these are left out.
		full("continue-"+c, c+"#1:continue=2,continue=3,badlocal")
		if c == "request_headers" || c == "response_headers" { // too early: it stays paused
			hang("pause-continue-"+c, c+"#1:ret=1,continue="+direction, c+"#1 returns", abiFull[0])
		} else {
			full("pause-continue-"+c, c+"#1:ret=1,continue="+direction)
		}
		full("local-"+c, c+"#1:local=418;reply;details,ret=1 response_headers:pairs=2 response_body:bytes=1;0 log:pairs=2,property=response/code_details")
		full("local-continue-"+c, c+"#1:local=418;reply;details")
		if direction == "0" {
			full("local-twice-"+c, c+"#1:local=418;reply;details,local=419;again;twice,ret=1")
		}
		if c != "response_headers" && c != "response_trailers" { // Envoy crashes
			full("close-request-"+c, c+"#1:close=0")
			full("close-response-"+c, c+"#1:close=1")
		}
		full("trap-none-"+c, c+"#1:clear,badeffective")
		stuck := abiFull[0]
		if c == "request_body" { // trailers would let it go, before or after the client does
			stuck = strings.TrimSuffix(stuck, abiTrailers)
		}
		hang("stuck-"+c, c+"#1:ret=1", c+"#1 returns", stuck)
	}
	get("local-tick", "request_headers:ret=1,tick=20 tick#1:tick=0,effective,local=403;from tick;d", "tick#1 returns")
	get("local-empty", "request_headers:local=204,ret=1 response_headers:pairs=2")
	get("local-no-body", "request_headers:local=403,ret=1 response_headers:pairs=2")
	get("local-grpc-status", "request_headers:local=403;body;d;7,ret=1 response_headers:pairs=2")
	all = append(all, abiScenario{name: "local-grpc", script: "request_headers:local=403;body;d;7,ret=1 response_headers:pairs=2 log:property=response/grpc_status", send: []string{"POST /ok HTTP/1.1\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n"}})
	get("local-broken", "request_headers:localbadheaders,ret=1 response_headers:pairs=2")
	get("local-headers", "request_headers:localheaders=403;content-type;text/html;content-length;99;:status;201,ret=1 response_headers:pairs=2")
	get("local-1000", "request_headers:local=1000;b,ret=1")
	get("local-0", "request_headers:local=0;b,ret=1")
	get("local-100", "request_headers:local=100;b,ret=1 response_headers:pairs=2")
	get("local-changed", "request_headers:local=403;reply,ret=1 response_headers:add=2;x-more;1,replace=2;:status;404,remove=2;content-length response_body:set=1;0;100;changed")
	get("local-in-reply", "request_headers:local=403;first,ret=1 response_headers:local=404;second response_body:local=405;third")
	for _, p := range []string{"/none", "/ok"} {
		for _, m := range []string{"HEAD", "GET", "OPTIONS"} {
			all = append(all, abiScenario{name: "order-" + m + p[1:], script: "response_headers:pairs=2", send: []string{m + " " + p + " HTTP/1.1\r\n\r\n"}})
		}
	}

	// HTTP calls.
	for _, c := range abiHTTPCallbacks[1:] {
		full("http-"+c, c+"#1:http={http};/ok;5000 http_call_response:answer,status,pairs=0,pairs=2", "http_call_response#1 returns")
	}
	resume := "effective,continue=0"
	get("http-ok", "request_headers:http={http};/ok;5000,ret=1 http_call_response:answer,status,"+resume+",answer")
	get("http-trailers", "request_headers:http={http};/trailers;5000,ret=1 http_call_response:answer,"+resume)
	get("http-none", "request_headers:http={http};/none;5000,ret=1 http_call_response:answer,"+resume)
	get("http-post", "request_headers:http={http};/echo;5000;POST;call-body,ret=1 http_call_response:answer,"+resume)
	get("http-post-trailers", "request_headers:http={http};/echo;5000;POST;call-body;t,ret=1 http_call_response:answer,"+resume)
	get("http-dead", "request_headers:http={dead};/ok;5000,ret=1 http_call_response:answer,status,"+resume)
	get("http-timeout", "request_headers:http={http};/slow;100,ret=1 http_call_response:answer,status,"+resume)
	get("http-zero-timeout", "request_headers:http={http};/ok;0,ret=1 http_call_response:answer,"+resume)
	get("http-two", "request_headers:http={http};/ok;5000,http={http};/slow;1000,ret=1 http_call_response#1:answer http_call_response#2:answer,"+resume)
	get("http-again", "request_headers:http={http};/ok;5000,ret=1 http_call_response#1:effective,http={http};/none;5000 http_call_response#2:"+resume)
	get("http-late", "request_headers:http={http};/slow;1000 log:status", "http_call_response#1 returns")
	get("http-local", "request_headers:http={http};/ok;5000,ret=1 http_call_response:effective,local=403;from call,answer response_headers:answer")
	get("http-bad-token", "request_headers:httpbadtoken={http}")
	get("http-empty", "request_headers:httpempty={http}")
	all = append(all, abiScenario{ // without a body, whose end would come before the call's answer or after it
		name: "http-response", script: "response_headers:http={http};/ok;5000,ret=1 http_call_response:effective,add=2;x-called;1,continue=1",
		send: []string{"GET /none HTTP/1.1\r\n\r\n"},
	})
	get("http-body", "response_headers:remove=2;content-length response_body#1:ret=1 response_body#2:http={http};/ok;5000,ret=1 http_call_response:effective,set=1;0;0;called,continue=1")
	get("http-tick", "request_headers:tick=20 tick#1:tick=0,http={http};/ok;5000 http_call_response:answer", "http_call_response#1 returns")

	// gRPC.
	get("grpc-unary", "request_headers:grpc={grpc};Unary;5000;hello,ret=1 grpc_receive_initial_metadata:message grpc_receive:message,status,"+resume+" grpc_receive_trailing_metadata:message grpc_close:message,status")
	get("grpc-error", "request_headers:grpc={grpc};Error;5000;hello,ret=1 grpc_close:message,status,"+resume)
	get("grpc-late", "request_headers:grpc={grpc};Late;5000;hello,ret=1 grpc_receive:message grpc_close:status,"+resume)
	get("grpc-timeout", "request_headers:grpc={grpc};Wait;100;hello,ret=1 grpc_close:status,"+resume)
	get("grpc-unknown", "request_headers:grpc={grpc};Nothing;5000;hello,ret=1 grpc_close:status,"+resume)
	get("grpc-dead", "request_headers:grpc={dead};Unary;5000;hello,ret=1 grpc_close:status,"+resume)
	get("grpc-cancel", "request_headers:grpc={grpc};Wait;5000;hello,cancel,cancel,grpcclose,send=x")
	get("grpc-close", "request_headers:grpc={grpc};Wait;5000;hello,grpcclose,cancel")
	get("grpc-send", "request_headers:grpc={grpc};Unary;5000;hello,send=x,ret=1 grpc_receive:"+resume)
	for _, c := range abiHTTPCallbacks[1:] {
		full("grpc-"+c, c+"#1:grpc={grpc};Unary;5000;hello grpc_receive:message", "grpc_receive#1 returns")
		full("stream-"+c, c+"#1:stream={grpc};Echo,send=one;1 grpc_receive_initial_metadata:message grpc_receive:message grpc_receive_trailing_metadata:message grpc_close:status", "grpc_close#1 returns")
	}
	get("stream-echo", "request_headers:stream={grpc};Echo,send=one,ret=1 grpc_receive_initial_metadata:message grpc_receive#1:effective,message,send=two grpc_receive#2:message,effective,send=three;1 grpc_receive_trailing_metadata:message grpc_close:message,status,"+resume)
	get("stream-error", "request_headers:stream={grpc};Error,ret=1 grpc_receive_initial_metadata:message grpc_receive_trailing_metadata:message grpc_close:status,"+resume)
	get("stream-late", "request_headers:stream={grpc};Late,ret=1 grpc_receive_initial_metadata:message grpc_receive_trailing_metadata:message grpc_close:status,"+resume)
	get("stream-dead", "request_headers:stream={dead};Echo,ret=1 grpc_receive_trailing_metadata:message grpc_close:status,"+resume)
	get("stream-cancel", "request_headers:stream={grpc};Wait,cancel,send=x,grpcclose,cancel")
	get("stream-close", "request_headers:stream={grpc};Echo,send=one,grpcclose,ret=1,send=two grpc_receive:message grpc_close:status,"+resume)
	get("stream-reset", "request_headers:stream={grpc};Echo,send=one,ret=1 grpc_receive:effective,cancel,continue=0")
	get("stream-after-close", "request_headers:stream={grpc};Error,ret=1 grpc_close:status,effective,send=x,cancel,grpcclose,continue=0")

	// Timers, queues, data.
	get("tick-twice", "request_headers:tick=20 tick#2:tick=0", "tick#2 returns")
	get("tick-change", "request_headers:tick=100000,tick=20 tick#1:tick=30 tick#2:tick=0", "tick#2 returns")
	get("queue", "request_headers:dequeue,register=q-one,register=q-one,resolve=;q-one,resolve=vm-http;q-one,resolve=other;q-one,dequeue,enqueue=item1,enqueue=item2,enqueue queue_ready:dequeue,dequeue", "queue_ready#1 returns", "queue_ready#3 returns")
	get("queue-effective", "request_headers:register=q-two,enqueue=item,ret=1 queue_ready:effective,dequeue,continue=0")
	get("queue-same-call", "request_headers:register=q-three,enqueue=item,dequeue,dequeue", "queue_ready#1 returns")

	// A context other than the own.
	get("effective", "request_headers:effectiveroot,pairs=0,property=request/path,add=0;x-a;1,effective,pairs=0,property=request/path")
	get("effective-http", "request_headers:effectiveroot,http={http};/ok;5000 http_call_response:answer", "http_call_response#1 returns")

	// A connection sends hello, and ends its side once that has come back. What
	// the guest does may end the connection before.
	connection := func(name, script string, send ...string) {
		s := abiScenario{name: name, script: script, connection: true, send: append(append([]string{"hello"}, send...), "EOF")}
		for i := range send {
			s.after = append(s.after, fmt.Sprintf("downstream_data#%d returns", i+1))
		}
		s.after = append(s.after, "upstream_data#1 returns")
		all = append(all, s)
	}
	for _, c := range []string{"context_create", "new_connection", "downstream_data", "upstream_data", "downstream_close", "upstream_close", "log", "done", "delete"} {
		connection("tcp-matrix-"+c, c+"#1:matrix={http}")
		connection("tcp-properties-"+c, c+"#1:properties")
		connection("tcp-continue-"+c, c+"#1:continue=0,continue=1,continue=2,continue=3,local=403;b,badlocal")
		if c != "context_create" { // Envoy forgets such a stream
			connection("tcp-close-"+c, c+"#1:close=2")
			connection("tcp-close-up-"+c, c+"#1:close=3")
			if c == "new_connection" { // unread bytes would make it a reset, or not
				all[len(all)-1].send[0], all[len(all)-2].send[0] = "", ""
			}
		}
	}
	connection("tcp-write", "downstream_data#1:write=2 upstream_data#1:write=3")
	connection("tcp-read", "downstream_data#1:read=2 upstream_data#1:read=3")
	connection("tcp-pause", "downstream_data#1:ret=1,bytes=2;0 downstream_data#2:bytes=2;0", "more")
	connection("tcp-pause-new", "new_connection:ret=1,tick=50 tick#1:tick=0,effective,continue=2")
	connection("tcp-pause-continue", "downstream_data#1:ret=1,tick=50 tick#1:tick=0,effective,bytes=2;0,set=2;0;0;x,continue=2,bytes=2;0")
	connection("tcp-pause-up", "upstream_data#1:ret=1,bytes=3;0 upstream_data#2:bytes=3;0")
	connection("tcp-pause-end", "downstream_data#2:ret=1,tick=50 tick#1:tick=0,effective,bytes=2;0,continue=2")
	connection("tcp-data", "downstream_data:bytes=2;0,buffer=2 upstream_data:bytes=3;0,buffer=3", "more")
	all[len(all)-1].after = []string{"upstream_data#1 returns", "upstream_data#2 returns"} // or both may come back as one
	all[len(all)-1].after = []string{"upstream_data#1 returns", "upstream_data#2 returns"}
	connection("tcp-http", "downstream_data#1:ret=1,http={http};/ok;5000 http_call_response:answer,effective,continue=2")
	all = append(all, abiOtherScenarios()...)
	for i, s := range all {
		all[i].newer = s.connection && (strings.Contains(s.script, "continue=2") || strings.Contains(s.script, "#1:close=")) || s.name == "pause-continue-response_trailers"
	}
	return all
}
