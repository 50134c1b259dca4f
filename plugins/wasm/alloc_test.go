package wasm

import "testing"

// rewriter looks at headers one by one and all together, asks for a property,
// and sets and removes headers of either side.
func rewriter() *guest {
	g := &guest{data: ":pathx-setvaluex-gonesource\x00address"}
	change := func(m int32) (code []byte) {
		for _, c := range [][]byte{
			g.host("proxy_get_header_map_value", m, 0, 5, 100, 104),
			g.host("proxy_get_header_map_pairs", m, 100, 104),
			g.host("proxy_replace_header_map_value", m, 5, 5, 10, 5),
			g.host("proxy_remove_header_map_value", m, 15, 6),
			g.host("proxy_get_property", 21, 14, 100, 104),
		} {
			code = append(code, c...)
		}
		return code
	}
	onRequest, onResponse := change(0), change(2)
	return g.export("proxy_on_request_headers", 3, true, onRequest, i32(0)).
		export("proxy_on_response_headers", 3, true, onResponse, i32(0)).
		export("proxy_on_context_create", 2, false).
		export("proxy_on_done", 1, true, i32(1)).
		export("proxy_on_log", 1, false).
		export("proxy_on_delete", 1, false)
}

// TestNoAllocationPerStream: in steady state neither the six callbacks of a
// stream without bodies nor what a filter of headers calls in them allocates.
func TestNoAllocationPerStream(t *testing.T) {
	once := newRig(t, 1).drive(use(rewriter().wasm()))
	for range 100 {
		once()
	}
	// What else runs in the process may allocate now and then: below one.
	if n := testing.AllocsPerRun(500, once); n >= 1 {
		t.Errorf("%v allocations a stream", n)
	}
}
