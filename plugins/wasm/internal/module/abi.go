package module

import "slices"

// HostFunction is a function that a host gives its guests.
type HostFunction struct {
	Module, Name string
	Signature    Signature
}

// HostFunctions are all functions that a module of a version may import, as
// Envoy registers them: the WASI ones under both of their modules' names. The
// host has to link every one of them, for a module may import what it never
// calls. Source: proxy-wasm-cpp-host, and for WASI the names in Envoy 1.40.
func HostFunctions(abi ABI) []HostFunction {
	all := make([]HostFunction, 0, 160)
	for _, f := range proxyImports {
		if f.in(abi) {
			all = append(all, HostFunction{"env", f.name, sign(f.params, f.results)})
		}
	}
	for _, module := range [...]string{"wasi_snapshot_preview1", "wasi_unstable"} {
		for _, f := range wasiImports {
			all = append(all, HostFunction{module, f.name, sign(f.params, f.results)})
		}
	}
	return all
}

// Callback is a function that a module may export for its host to call.
type Callback struct {
	Name      string
	Signature Signature
}

// Callbacks are all functions that a host of this version looks for in a
// module. A module that exports one with another type is refused.
func Callbacks(abi ABI) []Callback {
	var all []Callback
	for _, f := range callbacks {
		if f.in(abi) {
			all = append(all, Callback{f.name, sign(f.params, f.results)})
		}
	}
	return all
}

// The names by which a metered module asks for fuel: a function () -> i64 that
// the host must give. It is called when the fuel has run out, and returns how
// much there is next; to stop the guest it panics. One unit is a nanosecond or
// less, and in code made to be slow about a microsecond. Between two calls of
// the function nothing in the process can stop the guest, the garbage collector
// included, which waits for it: 1<<14 to 1<<16 is a good amount. An instance
// begins with none, so its first work asks.
const (
	FuelModule = "meshc"
	FuelName   = "fuel"
)

// function is a row of the tables below: types are written as i (i32) and I (i64).
type function struct {
	name, params, results string
	abis                  []ABI // nil: all
}

func (f function) in(abi ABI) bool { return f.abis == nil || slices.Contains(f.abis, abi) }

func sign(params, results string) Signature {
	types := func(s string) []ValueType {
		var all []ValueType
		for _, c := range s {
			if c == 'I' {
				all = append(all, I64)
			} else {
				all = append(all, I32)
			}
		}
		return all
	}
	return Signature{types(params), types(results)}
}

var (
	only010  = []ABI{ABI010}
	only021  = []ABI{ABI021}
	from020  = []ABI{ABI020, ABI021}
	anyABI   []ABI
	noResult = ""
)

var proxyImports = []function{
	{"emscripten_notify_memory_growth", "i", noResult, anyABI},
	{"pthread_equal", "ii", "i", anyABI},
	{"proxy_log", "iii", "i", anyABI},
	{"proxy_get_log_level", "i", "i", only021},
	{"proxy_get_status", "iii", "i", anyABI},
	{"proxy_get_current_time_nanoseconds", "i", "i", anyABI},
	{"proxy_set_tick_period_milliseconds", "i", "i", anyABI},
	{"proxy_get_property", "iiii", "i", anyABI},
	{"proxy_set_property", "iiii", "i", anyABI},
	{"proxy_send_local_response", "iiiiiiii", "i", anyABI},
	{"proxy_continue_stream", "i", "i", from020},
	{"proxy_close_stream", "i", "i", from020},
	{"proxy_continue_request", "", "i", only010},
	{"proxy_continue_response", "", "i", only010},
	{"proxy_clear_route_cache", "", "i", only010},
	{"proxy_get_configuration", "ii", "i", only010},
	{"proxy_get_header_map_value", "iiiii", "i", anyABI},
	{"proxy_add_header_map_value", "iiiii", "i", anyABI},
	{"proxy_replace_header_map_value", "iiiii", "i", anyABI},
	{"proxy_remove_header_map_value", "iii", "i", anyABI},
	{"proxy_get_header_map_pairs", "iii", "i", anyABI},
	{"proxy_set_header_map_pairs", "iii", "i", anyABI},
	{"proxy_get_header_map_size", "ii", "i", anyABI},
	{"proxy_get_buffer_bytes", "iiiii", "i", anyABI},
	{"proxy_get_buffer_status", "iii", "i", anyABI},
	{"proxy_set_buffer_bytes", "iiiii", "i", anyABI},
	{"proxy_http_call", "iiiiiiiiii", "i", anyABI},
	{"proxy_grpc_call", "iiiiiiiiiiii", "i", anyABI},
	{"proxy_grpc_stream", "iiiiiiiii", "i", anyABI},
	{"proxy_grpc_send", "iiii", "i", anyABI},
	{"proxy_grpc_cancel", "i", "i", anyABI},
	{"proxy_grpc_close", "i", "i", anyABI},
	{"proxy_set_shared_data", "iiiii", "i", anyABI},
	{"proxy_get_shared_data", "iiiii", "i", anyABI},
	{"proxy_register_shared_queue", "iii", "i", anyABI},
	{"proxy_resolve_shared_queue", "iiiii", "i", anyABI},
	{"proxy_enqueue_shared_queue", "iii", "i", anyABI},
	{"proxy_dequeue_shared_queue", "iii", "i", anyABI},
	{"proxy_define_metric", "iiii", "i", anyABI},
	{"proxy_increment_metric", "iI", "i", anyABI},
	{"proxy_record_metric", "iI", "i", anyABI},
	{"proxy_get_metric", "ii", "i", anyABI},
	{"proxy_set_effective_context", "i", "i", anyABI},
	{"proxy_done", "", "i", anyABI},
	{"proxy_call_foreign_function", "iiiiii", "i", anyABI},
}

var wasiImports = []function{
	{"args_get", "ii", "i", anyABI},
	{"args_sizes_get", "ii", "i", anyABI},
	{"environ_get", "ii", "i", anyABI},
	{"environ_sizes_get", "ii", "i", anyABI},
	{"clock_res_get", "ii", "i", anyABI},
	{"clock_time_get", "iIi", "i", anyABI},
	{"fd_advise", "iIIi", "i", anyABI},
	{"fd_allocate", "iII", "i", anyABI},
	{"fd_close", "i", "i", anyABI},
	{"fd_datasync", "i", "i", anyABI},
	{"fd_fdstat_get", "ii", "i", anyABI},
	{"fd_fdstat_set_flags", "ii", "i", anyABI},
	{"fd_fdstat_set_rights", "iII", "i", anyABI},
	{"fd_filestat_get", "ii", "i", anyABI},
	{"fd_filestat_set_size", "iI", "i", anyABI},
	{"fd_filestat_set_times", "iIIi", "i", anyABI},
	{"fd_pread", "iiiIi", "i", anyABI},
	{"fd_prestat_get", "ii", "i", anyABI},
	{"fd_prestat_dir_name", "iii", "i", anyABI},
	{"fd_pwrite", "iiiIi", "i", anyABI},
	{"fd_read", "iiii", "i", anyABI},
	{"fd_readdir", "iiiIi", "i", anyABI},
	{"fd_renumber", "ii", "i", anyABI},
	{"fd_seek", "iIii", "i", anyABI},
	{"fd_sync", "i", "i", anyABI},
	{"fd_tell", "ii", "i", anyABI},
	{"fd_write", "iiii", "i", anyABI},
	{"path_create_directory", "iii", "i", anyABI},
	{"path_filestat_get", "iiiii", "i", anyABI},
	{"path_filestat_set_times", "iiiiIIi", "i", anyABI},
	{"path_link", "iiiiiii", "i", anyABI},
	{"path_open", "iiiiiIIii", "i", anyABI},
	{"path_readlink", "iiiiii", "i", anyABI},
	{"path_remove_directory", "iii", "i", anyABI},
	{"path_rename", "iiiiii", "i", anyABI},
	{"path_symlink", "iiiii", "i", anyABI},
	{"path_unlink_file", "iii", "i", anyABI},
	{"poll_oneoff", "iiii", "i", anyABI},
	{"proc_exit", "i", noResult, anyABI},
	{"random_get", "ii", "i", anyABI},
	{"sched_yield", "", "i", anyABI},
	{"sock_accept", "iii", "i", anyABI},
	{"sock_recv", "iiiiii", "i", anyABI},
	{"sock_send", "iiiii", "i", anyABI},
	{"sock_shutdown", "ii", "i", anyABI},
}

var callbacks = []function{
	{"proxy_on_vm_start", "ii", "i", anyABI},
	{"proxy_validate_configuration", "ii", "i", anyABI},
	{"proxy_on_configure", "ii", "i", anyABI},
	{"proxy_on_context_create", "ii", noResult, anyABI},
	{"proxy_on_tick", "i", noResult, anyABI},
	{"proxy_on_new_connection", "i", "i", anyABI},
	{"proxy_on_downstream_data", "iii", "i", anyABI},
	{"proxy_on_upstream_data", "iii", "i", anyABI},
	{"proxy_on_downstream_connection_close", "ii", noResult, anyABI},
	{"proxy_on_upstream_connection_close", "ii", noResult, anyABI},
	{"proxy_on_request_headers", "ii", "i", only010},
	{"proxy_on_request_headers", "iii", "i", from020},
	{"proxy_on_request_body", "iii", "i", anyABI},
	{"proxy_on_request_trailers", "ii", "i", anyABI},
	{"proxy_on_request_metadata", "ii", "i", anyABI},
	{"proxy_on_response_headers", "ii", "i", only010},
	{"proxy_on_response_headers", "iii", "i", from020},
	{"proxy_on_response_body", "iii", "i", anyABI},
	{"proxy_on_response_trailers", "ii", "i", anyABI},
	{"proxy_on_response_metadata", "ii", "i", anyABI},
	{"proxy_on_http_call_response", "iiiii", noResult, anyABI},
	{"proxy_on_grpc_receive_initial_metadata", "iii", noResult, anyABI},
	{"proxy_on_grpc_receive_trailing_metadata", "iii", noResult, anyABI},
	{"proxy_on_grpc_receive", "iii", noResult, anyABI},
	{"proxy_on_grpc_close", "iii", noResult, anyABI},
	{"proxy_on_queue_ready", "ii", noResult, anyABI},
	{"proxy_on_foreign_function", "iii", noResult, from020},
	{"proxy_on_done", "i", "i", anyABI},
	{"proxy_on_log", "i", noResult, anyABI},
	{"proxy_on_delete", "i", noResult, anyABI},
}
