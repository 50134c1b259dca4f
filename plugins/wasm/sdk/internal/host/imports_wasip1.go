package host

import "unsafe"

// A pointer parameter named out is where the host writes a result. Those are
// package variables, for the host may call the module again, to allocate, before
// it writes: a goroutine's stack may have moved by then.

//go:wasmimport env proxy_log
//go:noescape
func proxyLog(level int32, p unsafe.Pointer, n uint32) int32

//go:wasmimport env proxy_get_log_level
//go:noescape
func proxyGetLogLevel(out *uint32) int32

//go:wasmimport env proxy_get_status
//go:noescape
func proxyGetStatus(code, outP, outN *uint32) int32

//go:wasmimport env proxy_set_tick_period_milliseconds
func proxySetTickPeriod(ms uint32) int32

//go:wasmimport env proxy_get_property
//go:noescape
func proxyGetProperty(p unsafe.Pointer, n uint32, outP, outN *uint32) int32

//go:wasmimport env proxy_set_property
//go:noescape
func proxySetProperty(p unsafe.Pointer, n uint32, vp unsafe.Pointer, vn uint32) int32

//go:wasmimport env proxy_send_local_response
//go:noescape
func proxySendLocalResponse(status uint32, dp unsafe.Pointer, dn uint32, bp unsafe.Pointer, bn uint32, hp unsafe.Pointer, hn uint32, grpc int32) int32

//go:wasmimport env proxy_continue_stream
func proxyContinueStream(side int32) int32

//go:wasmimport env proxy_close_stream
func proxyCloseStream(side int32) int32

//go:wasmimport env proxy_get_header_map_value
//go:noescape
func proxyGetHeader(m int32, p unsafe.Pointer, n uint32, outP, outN *uint32) int32

//go:wasmimport env proxy_add_header_map_value
//go:noescape
func proxyAddHeader(m int32, p unsafe.Pointer, n uint32, vp unsafe.Pointer, vn uint32) int32

//go:wasmimport env proxy_replace_header_map_value
//go:noescape
func proxyReplaceHeader(m int32, p unsafe.Pointer, n uint32, vp unsafe.Pointer, vn uint32) int32

//go:wasmimport env proxy_remove_header_map_value
//go:noescape
func proxyRemoveHeader(m int32, p unsafe.Pointer, n uint32) int32

//go:wasmimport env proxy_get_header_map_pairs
//go:noescape
func proxyGetHeaders(m int32, outP, outN *uint32) int32

//go:wasmimport env proxy_set_header_map_pairs
//go:noescape
func proxySetHeaders(m int32, p unsafe.Pointer, n uint32) int32

//go:wasmimport env proxy_get_buffer_bytes
//go:noescape
func proxyGetBuffer(buffer int32, start, most uint32, outP, outN *uint32) int32

//go:wasmimport env proxy_set_buffer_bytes
//go:noescape
func proxySetBuffer(buffer int32, start, length uint32, p unsafe.Pointer, n uint32) int32

//go:wasmimport env proxy_http_call
//go:noescape
func proxyHTTPCall(sp unsafe.Pointer, sn uint32, hp unsafe.Pointer, hn uint32, bp unsafe.Pointer, bn uint32, tp unsafe.Pointer, tn uint32, ms uint32, out *uint32) int32

//go:wasmimport env proxy_grpc_call
//go:noescape
func proxyGRPCCall(sp unsafe.Pointer, sn uint32, np unsafe.Pointer, nn uint32, mp unsafe.Pointer, mn uint32, hp unsafe.Pointer, hn uint32, bp unsafe.Pointer, bn uint32, ms uint32, out *uint32) int32

//go:wasmimport env proxy_grpc_stream
//go:noescape
func proxyGRPCStream(sp unsafe.Pointer, sn uint32, np unsafe.Pointer, nn uint32, mp unsafe.Pointer, mn uint32, hp unsafe.Pointer, hn uint32, out *uint32) int32

//go:wasmimport env proxy_grpc_send
//go:noescape
func proxyGRPCSend(token uint32, p unsafe.Pointer, n uint32, end int32) int32

//go:wasmimport env proxy_grpc_cancel
func proxyGRPCCancel(token uint32) int32

//go:wasmimport env proxy_grpc_close
func proxyGRPCClose(token uint32) int32

//go:wasmimport env proxy_set_shared_data
//go:noescape
func proxySetSharedData(p unsafe.Pointer, n uint32, vp unsafe.Pointer, vn uint32, cas uint32) int32

//go:wasmimport env proxy_get_shared_data
//go:noescape
func proxyGetSharedData(p unsafe.Pointer, n uint32, outP, outN, outCAS *uint32) int32

//go:wasmimport env proxy_register_shared_queue
//go:noescape
func proxyRegisterQueue(p unsafe.Pointer, n uint32, out *uint32) int32

//go:wasmimport env proxy_resolve_shared_queue
//go:noescape
func proxyResolveQueue(vp unsafe.Pointer, vn uint32, p unsafe.Pointer, n uint32, out *uint32) int32

//go:wasmimport env proxy_enqueue_shared_queue
//go:noescape
func proxyEnqueue(token uint32, p unsafe.Pointer, n uint32) int32

//go:wasmimport env proxy_dequeue_shared_queue
//go:noescape
func proxyDequeue(token uint32, outP, outN *uint32) int32

//go:wasmimport env proxy_define_metric
//go:noescape
func proxyDefineMetric(kind int32, p unsafe.Pointer, n uint32, out *uint32) int32

//go:wasmimport env proxy_increment_metric
func proxyIncrementMetric(id uint32, by int64) int32

//go:wasmimport env proxy_record_metric
func proxyRecordMetric(id uint32, value int64) int32

//go:wasmimport env proxy_get_metric
//go:noescape
func proxyGetMetric(id uint32, out *uint64) int32

//go:wasmimport env proxy_set_effective_context
func proxySetEffectiveContext(id uint32) int32

//go:wasmimport env proxy_done
func proxyDone() int32

//go:wasmimport env proxy_call_foreign_function
//go:noescape
func proxyCallForeign(np unsafe.Pointer, nn uint32, p unsafe.Pointer, n uint32, outP, outN *uint32) int32
