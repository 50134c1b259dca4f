package sdk

import (
	"runtime"
	"unsafe"

	"github.com/meshc/meshc/plugins/wasm/sdk/internal/host"
)

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

//go:wasmexport proxy_on_memory_allocate
func exportAllocate(size uint32) unsafe.Pointer { return host.Allocate(size) }

//go:wasmexport proxy_on_vm_start
func exportVMStart(root, size uint32) int32 { return 1 }

//go:wasmexport proxy_on_configure
func exportConfigure(root, size uint32) int32 {
	defer report()
	return truth(onConfigure(root))
}

//go:wasmexport proxy_on_context_create
func exportContextCreate(id, parent uint32) {
	defer report()
	onContextCreate(id, parent)
}

//go:wasmexport proxy_on_tick
func exportTick(root uint32) {
	defer report()
	onTick(root)
}

//go:wasmexport proxy_on_log
func exportLog(id uint32) {
	defer report()
	onLog(id)
}

//go:wasmexport proxy_on_done
func exportDone(id uint32) int32 {
	defer report()
	return truth(onDone(id))
}

//go:wasmexport proxy_on_delete
func exportDelete(id uint32) {
	defer report()
	onDelete(id)
}

//go:wasmexport proxy_on_new_connection
func exportNewConnection(id uint32) int32 {
	defer report()
	return int32(tcpOf(id).Connected())
}

//go:wasmexport proxy_on_downstream_data
func exportDownstreamData(id, size uint32, end int32) int32 {
	defer report()
	return int32(tcpOf(id).Downstream(Body{host.DownstreamData, size}, end != 0))
}

//go:wasmexport proxy_on_upstream_data
func exportUpstreamData(id, size uint32, end int32) int32 {
	defer report()
	return int32(tcpOf(id).Upstream(Body{host.UpstreamData, size}, end != 0))
}

//go:wasmexport proxy_on_downstream_connection_close
func exportDownstreamClose(id uint32, by int32) {
	defer report()
	tcpOf(id).DownstreamClosed(Peer(by))
}

//go:wasmexport proxy_on_upstream_connection_close
func exportUpstreamClose(id uint32, by int32) {
	defer report()
	tcpOf(id).UpstreamClosed(Peer(by))
}

//go:wasmexport proxy_on_request_headers
func exportRequestHeaders(id, count uint32, end int32) int32 {
	defer report()
	return int32(httpOf(id).RequestHeaders(RequestHeaders, end != 0))
}

//go:wasmexport proxy_on_request_body
func exportRequestBody(id, size uint32, end int32) int32 {
	defer report()
	return int32(httpOf(id).RequestBody(Body{host.RequestBody, size}, end != 0))
}

//go:wasmexport proxy_on_request_trailers
func exportRequestTrailers(id, count uint32) int32 {
	defer report()
	return int32(httpOf(id).RequestTrailers(RequestTrailers))
}

//go:wasmexport proxy_on_response_headers
func exportResponseHeaders(id, count uint32, end int32) int32 {
	defer report()
	return int32(httpOf(id).ResponseHeaders(ResponseHeaders, end != 0))
}

//go:wasmexport proxy_on_response_body
func exportResponseBody(id, size uint32, end int32) int32 {
	defer report()
	return int32(httpOf(id).ResponseBody(Body{host.ResponseBody, size}, end != 0))
}

//go:wasmexport proxy_on_response_trailers
func exportResponseTrailers(id, count uint32) int32 {
	defer report()
	return int32(httpOf(id).ResponseTrailers(ResponseTrailers))
}

//go:wasmexport proxy_on_http_call_response
func exportCallResponse(root, token, headers, bodySize, trailers uint32) {
	defer report()
	onCallResponse(root, token, headers, bodySize)
}

//go:wasmexport proxy_on_grpc_receive_initial_metadata
func exportGRPCInitial(root, token, count uint32) {
	defer report()
	onGRPCMetadata(root, token, false)
}

//go:wasmexport proxy_on_grpc_receive_trailing_metadata
func exportGRPCTrailing(root, token, count uint32) {
	defer report()
	onGRPCMetadata(root, token, true)
}

//go:wasmexport proxy_on_grpc_receive
func exportGRPCReceive(root, token, size uint32) {
	defer report()
	onGRPCMessage(root, token)
}

//go:wasmexport proxy_on_grpc_close
func exportGRPCClose(root, token uint32, code int32) {
	defer report()
	onGRPCClose(root, token, code)
}

//go:wasmexport proxy_on_queue_ready
func exportQueueReady(root, token uint32) {
	defer report()
	onQueueReady(root, token)
}

//go:wasmexport proxy_on_foreign_function
func exportForeign(root, id, size uint32) {
	defer report()
	onForeign(root, id, size)
}

// report says what a callback panicked about, and where, as one entry of the
// log: Go's own report is one for each word. Then it ends the instance, as a
// panic does.
func report() {
	v := recover()
	if v == nil {
		return
	}
	text := "a value"
	switch v := v.(type) {
	case error:
		text = v.Error()
	case string:
		text = v
	}
	stack := make([]byte, 8<<10)
	Log(Critical, "panic: ", text, "\n", view(stack[:runtime.Stack(stack, false)]))
	trap()
}

// trap ends the instance. os.Exit would not, where the host lets proc_exit
// return, as Envoy does: a panic would then pass for Continue.
func trap()

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
