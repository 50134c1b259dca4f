package host

// callback numbers the exports that are called.
type callback int

const (
	onContextCreate callback = iota
	onVMStart
	onConfigure
	onTick
	onLog
	onDone
	onDelete
	onNewConnection
	onDownstreamData
	onUpstreamData
	onDownstreamClose
	onUpstreamClose
	onRequestHeaders
	onRequestBody
	onRequestTrailers
	onResponseHeaders
	onResponseBody
	onResponseTrailers
	onCallResponse
	onGRPCInitialMetadata
	onGRPCTrailingMetadata
	onGRPCReceive
	onGRPCClose
	onQueueReady
	callbacks // their number
)

var callbackNames = [callbacks]string{
	onContextCreate:        "proxy_on_context_create",
	onVMStart:              "proxy_on_vm_start",
	onConfigure:            "proxy_on_configure",
	onTick:                 "proxy_on_tick",
	onLog:                  "proxy_on_log",
	onDone:                 "proxy_on_done",
	onDelete:               "proxy_on_delete",
	onNewConnection:        "proxy_on_new_connection",
	onDownstreamData:       "proxy_on_downstream_data",
	onUpstreamData:         "proxy_on_upstream_data",
	onDownstreamClose:      "proxy_on_downstream_connection_close",
	onUpstreamClose:        "proxy_on_upstream_connection_close",
	onRequestHeaders:       "proxy_on_request_headers",
	onRequestBody:          "proxy_on_request_body",
	onRequestTrailers:      "proxy_on_request_trailers",
	onResponseHeaders:      "proxy_on_response_headers",
	onResponseBody:         "proxy_on_response_body",
	onResponseTrailers:     "proxy_on_response_trailers",
	onCallResponse:         "proxy_on_http_call_response",
	onGRPCInitialMetadata:  "proxy_on_grpc_receive_initial_metadata",
	onGRPCTrailingMetadata: "proxy_on_grpc_receive_trailing_metadata",
	onGRPCReceive:          "proxy_on_grpc_receive",
	onGRPCClose:            "proxy_on_grpc_close",
	onQueueReady:           "proxy_on_queue_ready",
}
