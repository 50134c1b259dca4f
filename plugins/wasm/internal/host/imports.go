package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// hostFunction is what a guest may import. call gets the parameters as wazero
// has them, a number each, and returns the result; pointers and sizes are in
// the low 32 bits.
type hostFunction struct {
	call func(i *Instance, p []uint64) uint32
	// atStart says that it may be called before the guest is up.
	atStart bool
}

// errNotYet is the trap of a guest that calls what it must not during start-up.
var errNotYet = errors.New("host function called before the module was started")

// bind makes f what wazero calls. The instance comes as the context, so that
// no call looks anything up.
func (f hostFunction) bind(name string, result bool) api.GoModuleFunc {
	return func(ctx context.Context, mod api.Module, p []uint64) {
		i := ctx.(*Instance)
		if i.starting {
			if i.memory == nil {
				i.memory = mod.Memory()
			}
			if !f.atStart {
				panic(fmt.Errorf("%w: %s", errNotYet, name))
			}
		}
		i.spend(callCost)
		r := f.call(i, p)
		if result {
			p[0] = uint64(r)
		}
	}
}

// status makes a function that returns a Status a hostFunction.
func status(f func(*Instance, []uint64) abi.Status) hostFunction {
	return hostFunction{call: func(i *Instance, p []uint64) uint32 { return uint32(f(i, p)) }}
}

// imports are the functions by name. WASI functions that are not here are not
// supported, and say so to the guest.
var imports map[string]hostFunction

func init() {
	imports = map[string]hostFunction{
		"emscripten_notify_memory_growth":    {func(*Instance, []uint64) uint32 { return 0 }, true},
		"pthread_equal":                      {pthreadEqual, true},
		"proxy_log":                          {func(i *Instance, p []uint64) uint32 { return uint32(proxyLog(i, p)) }, true},
		"proxy_get_log_level":                status(getLogLevel),
		"proxy_get_status":                   status(getStatus),
		"proxy_get_current_time_nanoseconds": status(getCurrentTime),
		"proxy_set_tick_period_milliseconds": status(setTickPeriod),
		"proxy_get_configuration":            status(getConfiguration),
		"proxy_get_property":                 status(getProperty),
		"proxy_set_property":                 status(setProperty),

		"proxy_send_local_response":   status(sendLocalResponse),
		"proxy_continue_stream":       status(continueStream),
		"proxy_continue_request":      status(func(i *Instance, _ []uint64) abi.Status { return i.current.resume(abi.RequestStream) }),
		"proxy_continue_response":     status(func(i *Instance, _ []uint64) abi.Status { return i.current.resume(abi.ResponseStream) }),
		"proxy_close_stream":          status(closeStream),
		"proxy_clear_route_cache":     status(clearRouteCache),
		"proxy_set_effective_context": status(setEffectiveContext),
		"proxy_done":                  status(done),

		"proxy_get_header_map_value":     status(getHeader),
		"proxy_add_header_map_value":     status(addHeader),
		"proxy_replace_header_map_value": status(replaceHeader),
		"proxy_remove_header_map_value":  status(removeHeader),
		"proxy_get_header_map_pairs":     status(getHeaders),
		"proxy_set_header_map_pairs":     status(setHeaders),
		"proxy_get_header_map_size":      status(getHeadersSize),
		"proxy_get_buffer_bytes":         status(getBuffer),
		"proxy_get_buffer_status":        status(getBufferStatus),
		"proxy_set_buffer_bytes":         status(setBuffer),

		"proxy_http_call":   status(httpCall),
		"proxy_grpc_call":   status(grpcCall),
		"proxy_grpc_stream": status(grpcStream),
		"proxy_grpc_send":   status(grpcSend),
		"proxy_grpc_cancel": status(grpcCancel),
		"proxy_grpc_close":  status(grpcClose),

		"proxy_set_shared_data":       status(setSharedData),
		"proxy_get_shared_data":       status(getSharedData),
		"proxy_register_shared_queue": status(registerQueue),
		"proxy_resolve_shared_queue":  status(resolveQueue),
		"proxy_enqueue_shared_queue":  status(enqueue),
		"proxy_dequeue_shared_queue":  status(dequeue),

		"proxy_define_metric":         status(defineMetric),
		"proxy_increment_metric":      status(incrementMetric),
		"proxy_record_metric":         status(recordMetric),
		"proxy_get_metric":            status(getMetric),
		"proxy_call_foreign_function": status(callForeignFunction),
	}
	for name, f := range wasi {
		imports[name] = hostFunction{f, true}
	}
}

func pthreadEqual(_ *Instance, p []uint64) uint32 {
	if uint32(p[0]) == uint32(p[1]) {
		return 1
	}
	return 0
}

func proxyLog(i *Instance, p []uint64) abi.Status {
	if uint32(p[0]) >= uint32(abi.Levels) {
		return abi.BadArgument
	}
	message, ok := i.text(p[1], p[2])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	i.log(abi.Level(p[0]), message)
	return abi.Ok
}

func getLogLevel(i *Instance, p []uint64) abi.Status {
	level := abi.Critical
	for l, s := range []slog.Level{slog.LevelDebug - 4, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if i.config.Logs(s) {
			level = abi.Level(l)
			break
		}
	}
	return i.answer32(p[0], uint32(level))
}

func getStatus(i *Instance, p []uint64) abi.Status {
	r := i.current.root
	if r == nil {
		return abi.BadArgument
	}
	if s := i.answer32(p[0], r.statusCode); s != abi.Ok {
		return s
	}
	return i.answer(p[1], p[2], r.statusMessage)
}

func getCurrentTime(i *Instance, p []uint64) abi.Status {
	return i.answer64(p[0], uint64(time.Now().UnixNano()))
}

func getConfiguration(i *Instance, p []uint64) abi.Status {
	if r := i.current.root; r != nil && r.configuring {
		return i.answer(p[0], p[1], r.plugin.Configuration)
	}
	return i.answer(p[0], p[1], i.config.Configuration)
}

func setEffectiveContext(i *Instance, p []uint64) abi.Status {
	if uint32(p[0]) == 0 { // the VM's own, which stands for the callback's
		i.current = i.owner
		return abi.Ok
	}
	c := i.contexts[uint32(p[0])]
	if c == nil {
		return abi.BadArgument
	}
	i.current = c
	return abi.Ok
}

// done is the guest's word that a root whose on_done said 0 has finished.
func done(i *Instance, _ []uint64) abi.Status {
	r := i.current.root
	if r == nil || !r.pendingDone {
		return abi.NotFound
	}
	r.pendingDone = false
	i.afterCall(func() { r.delete() })
	return abi.Ok
}

// callForeignFunction answers for functions beyond the ABI.
func callForeignFunction(i *Instance, p []uint64) abi.Status {
	name, ok := i.text(p[0], p[1])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	arguments, ok := i.bytes(p[2], p[3])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	i.spend(heavyCost)
	result, s, ok := i.foreign(name, arguments)
	if !ok {
		return abi.NotFound
	}
	var address uint32
	if uint32(p[4]) != 0 && len(result) > 0 {
		if address, ok = i.allocate(result); !ok {
			return abi.InvalidMemoryAccess
		}
	}
	if uint32(p[4]) != 0 && !i.memory.WriteUint32Le(uint32(p[4]), address) ||
		uint32(p[5]) != 0 && !i.memory.WriteUint32Le(uint32(p[5]), uint32(len(result))) {
		return abi.InvalidMemoryAccess
	}
	return s
}
