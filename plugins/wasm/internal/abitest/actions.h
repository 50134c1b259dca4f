// What a script can ask for. Numbers are decimal; "-1" is 0xffffffff.

static u32 number(const char *s) {
	u32 v = 0, minus = *s == '-';
	for (s += minus; *s >= '0' && *s <= '9'; s++) v = v * 10 + *s - '0';
	return minus ? -v : v;
}

// ---- header maps ----

static void value(u32 map, const char *k) {
	u32 p = 0, n = 0, status;
	CALL(proxy_get_header_map_value(map, S(k), P(&p), P(&n)), "get_header_map_value(%d, %q)", map, Q(k));
	if (!status) say(" %q", p, n);
	emit();
}
static void pairs(u32 map) {
	u32 p = 0, n = 0, status;
	CALL(proxy_get_header_map_pairs(map, P(&p), P(&n)), "get_header_map_pairs(%d)", map);
	if (!status) say(" size %d: %p", n, p, n);
	emit();
}
static void mapsize(u32 map) {
	u32 n = 0, status;
	CALL(proxy_get_header_map_size(map, P(&n)), "get_header_map_size(%d)", map);
	if (!status) say(" %d", n);
	emit();
}
static void add(u32 map, const char *k, const char *v) {
	DO(proxy_add_header_map_value(map, S(k), S(v)), "add_header_map_value(%d, %q, %q)", map, Q(k), Q(v));
}
static void replace(u32 map, const char *k, const char *v) {
	DO(proxy_replace_header_map_value(map, S(k), S(v)), "replace_header_map_value(%d, %q, %q)", map, Q(k), Q(v));
}
static void erase(u32 map, const char *k) {
	DO(proxy_remove_header_map_value(map, S(k)), "remove_header_map_value(%d, %q)", map, Q(k));
}
static void setpairs(u32 map, const char *p, u32 n) {
	DO(proxy_set_header_map_pairs(map, P(p), n), "set_header_map_pairs(%d, %p)", map, p, n);
}

static void act_value(char **a) { value(number(a[0]), a[1]); }
static void act_pairs(char **a) { pairs(number(a[0])); }
static void act_size(char **a) { mapsize(number(a[0])); }
static void act_add(char **a) { add(number(a[0]), a[1], a[2]); }
static void act_replace(char **a) { replace(number(a[0]), a[1], a[2]); }
static void act_remove(char **a) { erase(number(a[0]), a[1]); }

// act_setpairs writes up to three pairs: map;k;v;k;v;k;v.
static void act_setpairs(char **a) {
	for (u32 i = 1; i < 7 && *a[i]; i += 2) pair(a[i], a[i + 1]);
	u32 n = build();
	setpairs(number(a[0]), built, n);
}

// act_headers goes through what may be done with one map, and ends with it as
// it was but for one header.
static void act_headers(char **a) {
	u32 m = number(a[0]);
	pairs(m), mapsize(m);
	value(m, ":path"), value(m, ":status"), value(m, "x-none"), value(m, ""), value(m, "X-Two"), value(m, "x-two"), value(m, "host");
	add(m, "x-two", "three"), value(m, "x-two"), add(m, "X-Upper", "Kept"), value(m, "x-upper"), pairs(m);
	replace(m, "x-two", "one"), value(m, "x-two"), replace(m, "x-new", "made"), replace(m, "x-upper", ""), value(m, "x-upper"), pairs(m);
	erase(m, "x-two"), erase(m, "X-NEW"), erase(m, "x-none"), erase(m, ""), pairs(m);
	add(m, "", "no name"), add(m, "x bad name", "1"), add(m, "x-bad-value", "a\r\nb: c"), add(m, "x-nul-value", "\x01\x7f\xff"), add(m, "x-empty", ""), pairs(m);
	replace(m, "x-bad-value", "ok"), replace(m, "x-nul-value", "ok"), erase(m, ""), erase(m, "x bad name");
	add(m, "cookie", "a=1"), add(m, "cookie", "b=2"), value(m, "cookie"), add(m, "host", "h"), value(m, "host"), add(m, "content-type", "a"), add(m, "content-type", "b"), value(m, "content-type");
	erase(m, "host"), erase(m, "cookie"), erase(m, "content-type"), mapsize(m);
	u32 p = 0, n = 0;
	if (!proxy_get_header_map_pairs(m, P(&p), P(&n)) && n) {
		setpairs(m, (char *)p, n), pairs(m);
	}
	begin();
	say("get_header_map_value(%d, :path) bad pointers -> %d %d %d", m, proxy_get_header_map_value(m, BAD, 5, P(&p), P(&n)),
		proxy_get_header_map_value(m, S(":path"), BAD, P(&n)), proxy_get_header_map_value(m, S(":path"), P(&p), BAD));
	emit();
	begin();
	say("get_header_map_value(%d, x-none) bad pointers -> %d %d", m, proxy_get_header_map_value(m, S("x-none"), BAD, P(&n)), proxy_get_header_map_value(m, S("x-none"), P(&p), BAD));
	emit();
	DO(proxy_get_header_map_pairs(m, BAD, P(&n)), "get_header_map_pairs(%d, bad)", m);
	DO(proxy_get_header_map_pairs(m, P(&p), BAD), "get_header_map_pairs(%d, bad size)", m);
	DO(proxy_get_header_map_size(m, BAD), "get_header_map_size(%d, bad)", m);
	DO(proxy_add_header_map_value(m, BAD, 1, S("v")), "add_header_map_value(%d, bad key)", m);
	DO(proxy_add_header_map_value(m, S("k"), BAD, 1), "add_header_map_value(%d, bad value)", m);
	DO(proxy_add_header_map_value(m, S("k"), P("v"), ~0u), "add_header_map_value(%d, huge value)", m);
	DO(proxy_replace_header_map_value(m, BAD, 1, S("v")), "replace_header_map_value(%d, bad key)", m);
	DO(proxy_replace_header_map_value(m, S("k"), BAD, 1), "replace_header_map_value(%d, bad value)", m);
	DO(proxy_remove_header_map_value(m, BAD, 1), "remove_header_map_value(%d, bad key)", m);
	DO(proxy_set_header_map_pairs(m, BAD, 8), "set_header_map_pairs(%d, bad)", m);
	starved = 1;
	DO(proxy_get_header_map_value(m, S("x-new"), P(&p), P(&n)), "get_header_map_value(%d, x-new) no memory", m);
	DO(proxy_get_header_map_value(m, S("x-upper"), P(&p), P(&n)), "get_header_map_value(%d, x-upper) no memory", m);
	starved = 0;
}

// act_badpairs sets serialised pairs that are broken, or none.
static void act_badpairs(char **a) {
	u32 m = number(a[0]), n;
	pair("x-ok", "1");
	n = build();
	switch (number(a[1])) {
	case 0: n = 0; break;                                // nothing
	case 1: n = 3; break;                                // less than a count
	case 2: n -= 2; break;                               // cut off in the value
	case 3: *slot(0) = 1 << 20; break;                   // more pairs than there are
	case 4: *slot(4) = ~0u; break;                       // a huge name
	case 5: built[n - 1] = 'x'; break;                   // no NUL after the value
	case 6: built[n++] = 'x'; break;                     // one byte too many
	case 7: *slot(0) = 0; break;                         // a count of 0 with bytes after it
	case 8: *slot(0) = 0, n = 4; break;                  // an empty map
	}
	DO(proxy_set_header_map_pairs(m, P(built), n), "set_header_map_pairs(%d, broken %s)", m, a[1]);
	pairs(m);
}

// ---- buffers ----

static void bytes(u32 type, u32 start, u32 max) {
	u32 p = 0, n = 0, status;
	CALL(proxy_get_buffer_bytes(type, start, max, P(&p), P(&n)), "get_buffer_bytes(%d, %d, %d)", type, start, max);
	if (!status) say(" %d %q", n, p, n);
	emit();
}
static void bufferstatus(u32 type) {
	u32 n = 0, flags = 0, status;
	CALL(proxy_get_buffer_status(type, P(&n), P(&flags)), "get_buffer_status(%d)", type);
	if (!status) say(" %d flags %d", n, flags);
	emit();
}
static void setbytes(u32 type, u32 start, u32 n, const char *v) {
	DO(proxy_set_buffer_bytes(type, start, n, S(v)), "set_buffer_bytes(%d, %d, %d, %q)", type, start, n, Q(v));
}
static void act_bytes(char **a) { bytes(number(a[0]), number(a[1]), *a[2] ? number(a[2]) : ~0u >> 1); }
static void act_buffer(char **a) { bufferstatus(number(a[0])); }
static void act_set(char **a) { setbytes(number(a[0]), number(a[1]), number(a[2]), a[3]); }

// act_read reads one buffer at every boundary and changes nothing.
static void act_read(char **a) {
	u32 t = number(a[0]), p = 0, n = 0;
	bufferstatus(t);
	bytes(t, 0, 1000000), bytes(t, 0, 0), bytes(t, 1, 2), bytes(t, 2, 1000), bytes(t, 5, 1), bytes(t, 1000, 1), bytes(t, 0, ~0u), bytes(t, 1, ~0u), bytes(t, ~0u, 1), bytes(t, ~0u, ~0u), bytes(t, 0, 0x7fffffff);
	DO(proxy_get_buffer_bytes(t, 0, 10, BAD, P(&n)), "get_buffer_bytes(%d, bad)", t);
	DO(proxy_get_buffer_bytes(t, 0, 10, P(&p), BAD), "get_buffer_bytes(%d, bad size)", t);
	DO(proxy_get_buffer_status(t, BAD, P(&n)), "get_buffer_status(%d, bad)", t);
	DO(proxy_get_buffer_status(t, P(&n), BAD), "get_buffer_status(%d, bad flags)", t);
	DO(proxy_set_buffer_bytes(t, 0, 0, BAD, 1), "set_buffer_bytes(%d, bad)", t);
	DO(proxy_set_buffer_bytes(t, 0, 0, P("v"), ~0u), "set_buffer_bytes(%d, huge)", t);
	starved = 1;
	DO(proxy_get_buffer_bytes(t, 0, 10, P(&p), P(&n)), "get_buffer_bytes(%d) no memory", t);
	starved = 0;
}

// act_write changes one buffer in every way, and tells it after each.
static void act_write(char **a) {
	u32 t = number(a[0]);
	bytes(t, 0, 1000);
	setbytes(t, 0, 0, "<"), bytes(t, 0, 1000);
	setbytes(t, 1000, 0, ">"), bytes(t, 0, 1000);
	setbytes(t, 1000, 5, "!"), bytes(t, 0, 1000);
	setbytes(t, 1, 2, "__"), bytes(t, 0, 1000);
	setbytes(t, 0, 2, "AB"), bytes(t, 0, 1000);
	setbytes(t, 0, 0, ""), bytes(t, 0, 1000);
	setbytes(t, 0, 3, ""), bytes(t, 0, 1000);
	setbytes(t, 1, 0, "i"), bytes(t, 0, 1000);
	setbytes(t, ~0u, 0, "e"), bytes(t, 0, 1000);
	setbytes(t, ~0u, ~0u, "f"), bytes(t, 0, 1000);
	setbytes(t, 1, ~0u, "g"), bytes(t, 0, 1000);
	setbytes(t, 0, ~0u, "whole"), bytes(t, 0, 1000);
	bufferstatus(t);
}

// ---- properties ----

static void property(const char *path) {
	char key[256];
	u32 n = size(path), p = 0, vn = 0, status;
	for (u32 i = 0; i < n; i++) key[i] = path[i] == '/' ? 0 : path[i];
	CALL(proxy_get_property(P(key), n, P(&p), P(&vn)), "get_property(%s)", path);
	// A whole map is told as such.
	if (!status && n > 6 && (same(path + n - 7, 7, "headers") || (n > 7 && same(path + n - 8, 8, "trailers")))) say(" %d: %p", vn, p, vn);
	else if (!status) say(" %d %q", vn, p, vn);
	emit();
}
static void setproperty(const char *path, const char *v) {
	char key[256];
	u32 n = size(path);
	for (u32 i = 0; i < n; i++) key[i] = path[i] == '/' ? 0 : path[i];
	DO(proxy_set_property(P(key), n, S(v)), "set_property(%s, %q)", path, Q(v));
}
static void act_property(char **a) { property(a[0]); }
static void act_setproperty(char **a) { setproperty(a[0], a[1]); }

static const char *const paths[] = {
	"request", "request/path", "request/url_path", "request/host", "request/scheme", "request/method", "request/referer", "request/useragent", "request/id", "request/protocol",
	"request/query", "request/time", "request/duration", "request/size", "request/total_size", "request/headers", "request/headers/x-two", "request/headers/X-Two",
	"request/headers/:path", "request/headers/x-none", "request/none", "response", "response/code", "response/code_details", "response/flags", "response/grpc_status",
	"response/size", "response/total_size", "response/headers", "response/headers/x-two", "response/headers/:status", "response/trailers", "response/trailers/x-t",
	"response/backend_latency", "connection", "connection/id", "connection/mtls", "connection/requested_server_name", "connection/tls_version", "connection/subject_local_certificate",
	"connection/subject_peer_certificate", "connection/dns_san_local_certificate", "connection/dns_san_peer_certificate", "connection/uri_san_local_certificate", "connection/uri_san_peer_certificate",
	"connection/sha256_peer_certificate_digest", "connection/transport_failure_reason", "connection/termination_details", "connection_id",
	"source", "source/address", "source/port", "destination", "destination/address", "destination/port", "upstream", "upstream/address", "upstream/port", "upstream/local_address",
	"upstream/transport_failure_reason", "upstream/tls_version", "upstream/num_endpoints", "upstream/request_attempt_count", "upstream/cx_pool_ready_duration", "upstream/locality", "metadata", "filter_state",
	"filter_state/wasm.x", "upstream_filter_state", "plugin_name", "plugin_root_id", "plugin_vm_id", "node", "node/id", "node/cluster", "listener_direction", "listener_metadata", "cluster_name", "cluster_metadata",
	"route_name", "route_metadata", "upstream_host_metadata", "xds", "xds/node", "xds/node/id", "xds/cluster_name", "xds/cluster_metadata", "xds/route_name", "xds/route_metadata",
	"xds/virtual_host_name", "xds/virtual_host_metadata", "xds/upstream_host_metadata", "xds/filter_chain_name", "xds/listener_metadata", "xds/listener_direction",
	"xds/upstream_host_locality_metadata", "none", "none/none", "", "request/path/more", "source/address/more", "plugin_name/more", "/request", "request/",
};

// act_properties reads every property, and sets some.
static void act_properties(char **a) {
	u32 p = 0, n = 0;
	for (u32 i = 0; i < sizeof paths / sizeof *paths; i++) property(paths[i]);
	setproperty("x", "1"), property("x"), setproperty("x", "22"), property("x"), property("wasm.x"), property("filter_state/wasm.x"), property("filter_state/x");
	setproperty("a/b", "3"), property("a/b"), property("a"), setproperty("wasm/y", "4"), property("wasm/y"), property("y");
	setproperty("request/path", "5"), property("request/path"), setproperty("plugin_name", "6"), property("plugin_name");
	setproperty("", "7"), property(""), setproperty("e", ""), property("e");
	DO(proxy_get_property(BAD, 4, P(&p), P(&n)), "get_property(bad)");
	DO(proxy_get_property(P("x"), ~0u, P(&p), P(&n)), "get_property(huge)");
	DO(proxy_get_property(S("plugin_name"), BAD, P(&n)), "get_property(plugin_name, bad)");
	DO(proxy_get_property(S("plugin_name"), P(&p), BAD), "get_property(plugin_name, bad size)");
	DO(proxy_get_property(S("none"), BAD, P(&n)), "get_property(none, bad)");
	DO(proxy_set_property(BAD, 1, S("v")), "set_property(bad key)");
	DO(proxy_set_property(S("k"), BAD, 1), "set_property(bad value)");
	starved = 1;
	DO(proxy_get_property(S("plugin_name"), P(&p), P(&n)), "get_property(plugin_name) no memory");
	starved = 0;
}

// ---- streams ----

static void act_ret(char **a) { result = number(a[0]); }
static void act_trap(char **a) { __builtin_trap(); }

// act_local replies with status;body;details;gRPC status, and two headers.
static void act_local(char **a) {
	u32 code = number(a[0]), grpc = *a[3] ? number(a[3]) : ~0u;
	pair("x-local", "1"), pair("X-Local", "2");
	u32 n = build();
	DO(proxy_send_local_response(code, S(a[2]), S(a[1]), P(built), n, grpc), "send_local_response(%d, %q, %q, 2 headers, %d)", code, Q(a[2]), Q(a[1]), grpc);
}
static void act_badlocal(char **a) {
	DO(proxy_send_local_response(200, BAD, 1, 0, 0, 0, 0, ~0u), "send_local_response(bad details)");
	DO(proxy_send_local_response(200, 0, 0, BAD, 1, 0, 0, ~0u), "send_local_response(bad body)");
	DO(proxy_send_local_response(200, 0, 0, 0, 0, BAD, 8, ~0u), "send_local_response(bad headers)");
}
static void act_localbadheaders(char **a) {
	DO(proxy_send_local_response(418, 0, 0, S("b"), P("abcdefgh"), 8, ~0u), "send_local_response(418, broken headers)");
}
// act_localheaders replies with the headers given: status;k;v;k;v.
static void act_localheaders(char **a) {
	for (u32 i = 1; i < 7 && *a[i]; i += 2) pair(a[i], a[i + 1]);
	u32 n = build(), code = number(a[0]);
	DO(proxy_send_local_response(code, 0, 0, S("body"), P(built), n, ~0u), "send_local_response(%d, %p)", code, built, n);
}
#if ABI == 0x010
static void act_continue(char **a) {
	if (number(a[0]) == 0) DO(proxy_continue_request(), "continue_request()");
	else if (number(a[0]) == 1) DO(proxy_continue_response(), "continue_response()");
}
static void act_close(char **a) {}
static void act_clear(char **a) { DO(proxy_clear_route_cache(), "clear_route_cache()"); }
static void act_configuration(char **a) {
	u32 p = 0, n = 0, status;
	CALL(proxy_get_configuration(P(&p), P(&n)), "get_configuration()");
	if (!status) say(" %q", p, n);
	emit();
	DO(proxy_get_configuration(BAD, P(&n)), "get_configuration(bad)");
}
#else
static void act_continue(char **a) { DO(proxy_continue_stream(number(a[0])), "continue_stream(%s)", a[0]); }
static void act_close(char **a) { DO(proxy_close_stream(number(a[0])), "close_stream(%s)", a[0]); }
static void act_clear(char **a) {}
static void act_configuration(char **a) {}
#endif
static void act_effective(char **a) { DO(proxy_set_effective_context(self->id), "set_effective_context(own)"); }
static void act_effectiveroot(char **a) { DO(proxy_set_effective_context(rootid), "set_effective_context(root)"); }
static void act_badeffective(char **a) {
	DO(proxy_set_effective_context(0), "set_effective_context(0)");
	DO(proxy_set_effective_context(99999), "set_effective_context(99999)");
	DO(proxy_set_effective_context(~0u), "set_effective_context(-1)");
}
static void act_done(char **a) { DO(proxy_done(), "done()"); }
static void act_tick(char **a) {
	ticker = self->id;
	DO(proxy_set_tick_period_milliseconds(number(a[0])), "set_tick_period_milliseconds(%s)", a[0]);
}
static void act_status(char **a) {
	u32 code = 77, p = 0, n = 0, status;
	CALL(proxy_get_status(P(&code), P(&p), P(&n)), "get_status()");
	if (!status) say(" %d %q", code, p, n);
	emit();
	DO(proxy_get_status(BAD, P(&p), P(&n)), "get_status(bad)");
	DO(proxy_get_status(P(&code), BAD, P(&n)), "get_status(bad text)");
	DO(proxy_get_status(P(&code), P(&p), BAD), "get_status(bad size)");
}

// ---- calls ----

// callpairs begins the headers of a call: method, path and authority.
static void callpairs(const char *method, const char *path) {
	pair(":method", method), pair(":path", path), pair(":authority", "call.test"), pair("x-name", self->script);
}

// act_http calls cluster;path;timeout;method;body, with trailers when there is
// a sixth argument. The script's name goes along in x-name, up to its bar.
static void act_http(char **a) {
	char name[64];
	u32 i, token = 0, status;
	for (i = 0; i < self->name && i < 63; i++) name[i] = self->script[i];
	name[i] = 0;
	const char *method = *a[3] ? a[3] : "GET";
	pair(":method", method), pair(":path", a[1]), pair(":authority", "call.test"), pair("x-name", name);
	u32 n = build(), tn = 0;
	static char trailers[64];
	if (*a[5]) {
		// Built apart, for built holds the headers.
		static const char t[] = "\1\0\0\0\3\0\0\0\1\0\0\0x-t\0" "1\0";
		memcpy(trailers, t, sizeof t - 1), tn = sizeof t - 1;
	}
	CALL(proxy_http_call(S(a[0]), P(built), n, S(a[4]), P(trailers), tn, number(a[2]), P(&token)), "http_call(%s, %s %s, %q, %s)", a[0], method, a[1], Q(a[4]), a[2]);
	if (!status) {
		own(token, self->id);
		say(" token %d, step %d", token & 3, self->tokens++ ? token - self->token : 0);
		self->token = token;
	}
	emit();
}

static void http(const char *what, const char *cluster, u32 ms) {
	u32 token = 0, n = build();
	DO(proxy_http_call(S(cluster), P(built), n, 0, 0, 0, 0, ms, P(&token)), "http_call(%s)", what);
}
static void act_badhttp(char **a) {
	u32 token = 0, n;
	callpairs("GET", "/ok"), http("no cluster", "", 100);
	callpairs("GET", "/ok"), http("unknown cluster", "nowhere", 100);
	http("no headers", a[0], 100);
	pair(":method", "GET"), pair(":path", "/ok"), http("no :authority", a[0], 100);
	pair(":method", "GET"), pair(":authority", "a"), http("no :path", a[0], 100);
	pair(":path", "/ok"), pair(":authority", "a"), http("no :method", a[0], 100);
	callpairs("GET", "/ok"), http("negative timeout", a[0], ~0u);
	callpairs("GET", "/ok");
	n = build();
	DO(proxy_http_call(BAD, 1, P(built), n, 0, 0, 0, 0, 100, P(&token)), "http_call(bad cluster)");
	DO(proxy_http_call(S(a[0]), BAD, n, 0, 0, 0, 0, 100, P(&token)), "http_call(bad headers)");
	DO(proxy_http_call(S(a[0]), P(built), n, BAD, 1, 0, 0, 100, P(&token)), "http_call(bad body)");
	DO(proxy_http_call(S(a[0]), P(built), n, 0, 0, BAD, 8, 100, P(&token)), "http_call(bad trailers)");
}
// act_httpempty makes a call with nothing in its pseudo headers.
static void act_httpempty(char **a) { pair(":method", ""), pair(":path", ""), pair(":authority", ""), http("empty pseudo headers", a[0], 1000); }
// act_httpbadtoken makes a call whose token cannot be written.
static void act_httpbadtoken(char **a) {
	callpairs("GET", "/ok");
	u32 n = build();
	DO(proxy_http_call(S(a[0]), P(built), n, 0, 0, 0, 0, 1000, BAD), "http_call(bad token)");
}
static void act_answer(char **a) {
	pairs(6), mapsize(6), value(6, ":status"), pairs(7), mapsize(7), value(7, "x-t"), bufferstatus(4), bytes(4, 0, 1000), bytes(4, 1, 2);
}

static const char metadata[] = "\1\0\0\0\6\0\0\0\2\0\0\0x-meta\0" "mv\0";

// act_grpc calls cluster;method;timeout;message.
static void act_grpc(char **a) {
	u32 token = 0, status;
	CALL(proxy_grpc_call(S(a[0]), S("abi.Test"), S(a[1]), P(metadata), sizeof metadata - 1, S(a[3]), number(a[2]), P(&token)), "grpc_call(%s, %s, %s, %q)", a[0], a[1], a[2], Q(a[3]));
	if (!status) {
		own(token, self->id);
		say(" token %d, step %d", token & 3, self->tokens++ ? token - self->token : 0);
		self->token = token;
	}
	emit();
}
// act_stream opens a gRPC stream: cluster;method.
static void act_stream(char **a) {
	u32 token = 0, status;
	CALL(proxy_grpc_stream(S(a[0]), S("abi.Test"), S(a[1]), P(metadata), sizeof metadata - 1, P(&token)), "grpc_stream(%s, %s)", a[0], a[1]);
	if (!status) {
		own(token, self->id);
		say(" token %d, step %d", token & 3, self->tokens++ ? token - self->token : 0);
		self->token = token;
	}
	emit();
}
static void act_send(char **a) { DO(proxy_grpc_send(self->token, S(a[0]), number(a[1])), "grpc_send(%q, %s)", Q(a[0]), a[1]); }
static void act_cancel(char **a) { DO(proxy_grpc_cancel(self->token), "grpc_cancel()"); }
static void act_grpcclose(char **a) { DO(proxy_grpc_close(self->token), "grpc_close()"); }
static void act_message(char **a) { pairs(4), mapsize(4), pairs(5), bufferstatus(5), bytes(5, 0, 1000), bytes(5, 1, 2); }
static void act_badgrpc(char **a) {
	u32 token = 0;
	// An empty service would end Envoy: it aborts.
	DO(proxy_grpc_call(S("nowhere"), S("s"), S("m"), 0, 0, 0, 0, 100, P(&token)), "grpc_call(unknown cluster)");
	DO(proxy_grpc_call(S("\x0a\x01"), S("s"), S("m"), 0, 0, 0, 0, 100, P(&token)), "grpc_call(broken protobuf)");
	DO(proxy_grpc_call(BAD, 1, S("s"), S("m"), 0, 0, 0, 0, 100, P(&token)), "grpc_call(bad cluster)");
	DO(proxy_grpc_call(S(a[0]), BAD, 1, S("m"), 0, 0, 0, 0, 100, P(&token)), "grpc_call(bad service)");
	DO(proxy_grpc_call(S(a[0]), S("s"), BAD, 1, 0, 0, 0, 0, 100, P(&token)), "grpc_call(bad method)");
	DO(proxy_grpc_call(S(a[0]), S("s"), S("m"), BAD, 8, 0, 0, 100, P(&token)), "grpc_call(bad metadata)");
	DO(proxy_grpc_call(S(a[0]), S("s"), S("m"), 0, 0, BAD, 1, 100, P(&token)), "grpc_call(bad message)");
	DO(proxy_grpc_stream(S("nowhere"), S("s"), S("m"), 0, 0, P(&token)), "grpc_stream(unknown cluster)");
	DO(proxy_grpc_stream(BAD, 1, S("s"), S("m"), 0, 0, P(&token)), "grpc_stream(bad cluster)");
	for (u32 t = 0; t < 4; t++) {
		u32 unknown = 1000000 + t;
		DO(proxy_grpc_send(unknown, S("x"), 0), "grpc_send(unknown %d)", t);
		DO(proxy_grpc_cancel(unknown), "grpc_cancel(unknown %d)", t);
		DO(proxy_grpc_close(unknown), "grpc_close(unknown %d)", t);
	}
	DO(proxy_grpc_send(1000002, BAD, 1, 0), "grpc_send(bad)");
}

// ---- what is shared ----

static void setshared(const char *k, const char *v, u32 cas) {
	DO(proxy_set_shared_data(S(k), S(v), cas), "set_shared_data(%q, %q, %d)", Q(k), Q(v), cas);
}
static u32 getshared(const char *k) {
	u32 p = 0, n = 0, cas = 0, status;
	CALL(proxy_get_shared_data(S(k), P(&p), P(&n), P(&cas)), "get_shared_data(%q)", Q(k));
	if (!status) say(" %q cas %s", p, n, cas ? "set" : "0");
	emit();
	return cas;
}
static void act_setshared(char **a) { setshared(a[0], a[1], 0); }
static void act_getshared(char **a) { getshared(a[0]); }
// act_shared tries everything on one fresh key.
static void act_shared(char **a) {
	const char *k = a[0];
	u32 p = 0, n = 0, c = 0, d;
	getshared(k), setshared(k, "cas on nothing", 99999), getshared(k), setshared(k, "one", 0);
	c = getshared(k);
	DO(proxy_set_shared_data(S(k), S("two"), c), "set_shared_data(%q, two, current)", Q(k));
	d = getshared(k);
	DO(proxy_set_shared_data(S(k), S("three"), c), "set_shared_data(%q, three, stale)", Q(k));
	begin(), say("cas grew by %d", d - c), emit();
	setshared(k, "", 0), getshared(k), setshared("", "no name", 0), getshared("");
	DO(proxy_get_shared_data(BAD, 1, P(&p), P(&n), P(&c)), "get_shared_data(bad)");
	DO(proxy_get_shared_data(S(""), BAD, P(&n), P(&c)), "get_shared_data(bad value)");
	DO(proxy_get_shared_data(S(""), P(&p), BAD, P(&c)), "get_shared_data(bad size)");
	DO(proxy_get_shared_data(S(""), P(&p), P(&n), BAD), "get_shared_data(bad cas)");
	DO(proxy_set_shared_data(BAD, 1, 0, 0, 0), "set_shared_data(bad key)");
	DO(proxy_set_shared_data(S(k), BAD, 1, 0), "set_shared_data(bad value)");
}

static void act_register(char **a) {
	u32 token = 0, status;
	CALL(proxy_register_shared_queue(S(a[0]), P(&token)), "register_shared_queue(%q)", Q(a[0]));
	say(self->queue ? token == self->queue ? " the same" : " another" : "");
	emit();
	self->queue = token, queuer = self->id;
}
static void act_resolve(char **a) {
	u32 token = 0, status;
	CALL(proxy_resolve_shared_queue(S(a[0]), S(a[1]), P(&token)), "resolve_shared_queue(%q, %q)", Q(a[0]), Q(a[1]));
	if (!status) say(token == self->queue ? " registered" : " another");
	emit();
}
static void act_enqueue(char **a) { DO(proxy_enqueue_shared_queue(self->queue, S(a[0])), "enqueue_shared_queue(%q)", Q(a[0])); }
static void act_dequeue(char **a) {
	u32 p = 0, n = 0, status;
	CALL(proxy_dequeue_shared_queue(self->queue, P(&p), P(&n)), "dequeue_shared_queue()");
	if (!status) say(" %q", p, n);
	emit();
}
static void act_badqueue(char **a) {
	u32 token = 0, p = 0, n = 0;
	DO(proxy_register_shared_queue(BAD, 1, P(&token)), "register_shared_queue(bad)");
	DO(proxy_register_shared_queue(S("q-bad-token"), BAD), "register_shared_queue(bad token)");
	DO(proxy_resolve_shared_queue(BAD, 1, S("q"), P(&token)), "resolve_shared_queue(bad vm)");
	DO(proxy_resolve_shared_queue(0, 0, BAD, 1, P(&token)), "resolve_shared_queue(bad name)");
	DO(proxy_resolve_shared_queue(0, 0, S("q-none"), P(&token)), "resolve_shared_queue(unknown)");
	DO(proxy_resolve_shared_queue(S("other-vm"), S("q-none"), P(&token)), "resolve_shared_queue(unknown vm)");
	DO(proxy_enqueue_shared_queue(0, S("x")), "enqueue_shared_queue(0)");
	DO(proxy_enqueue_shared_queue(999999, S("x")), "enqueue_shared_queue(unknown)");
	DO(proxy_enqueue_shared_queue(999999, BAD, 1), "enqueue_shared_queue(unknown, bad)");
	DO(proxy_dequeue_shared_queue(0, P(&p), P(&n)), "dequeue_shared_queue(0)");
	DO(proxy_dequeue_shared_queue(999999, P(&p), P(&n)), "dequeue_shared_queue(unknown)");
	DO(proxy_dequeue_shared_queue(999999, BAD, P(&n)), "dequeue_shared_queue(unknown, bad)");
}

// ---- metrics ----

static u32 define(u32 type, const char *name) {
	u32 id = 0, status;
	CALL(proxy_define_metric(type, S(name), P(&id)), "define_metric(%d, %q)", type, Q(name));
	if (!status) say(" type %d", id & 3);
	emit();
	return id;
}
static void record(u32 id, i64 v) { DO(proxy_record_metric(id, v), "record_metric(type %d, %l)", id & 3, v); }
static void increment(u32 id, i64 v) { DO(proxy_increment_metric(id, v), "increment_metric(type %d, %l)", id & 3, v); }
static void metric(u32 id) {
	u64 v = 77;
	u32 status;
	CALL(proxy_get_metric(id, P(&v)), "get_metric(type %d)", id & 3);
	if (!status) say(" %l", v);
	emit();
}
static void act_metrics(char **a) {
	u64 v;
	char name[64];
	u32 id[3], n = size(a[0]);
	memcpy(name, a[0], n), name[n + 1] = 0;
	for (u32 t = 0; t < 3; t++) {
		name[n] = "cgh"[t];
		id[t] = define(t, name);
		u32 again = define(t, name);
		begin(), say("the same id: %d", again == id[t]), emit();
	}
	define((2 + 1) % 3, name); // the histogram's name as a counter
	define(3, "abi_type3"), define(~0u, "abi_type"), define(0, ""), define(0, "abi dots.and spaces");
	for (u32 t = 0; t < 3; t++) {
		metric(id[t]);
		increment(id[t], 5), metric(id[t]), increment(id[t], 0), metric(id[t]), increment(id[t], -2), metric(id[t]);
		record(id[t], 7), metric(id[t]), record(id[t], 0), metric(id[t]), record(id[t], -3), metric(id[t]);
	}
	increment(id[1], -1000), metric(id[1]);
	for (u32 t = 0; t < 4; t++) metric(4000000 + t), increment(4000000 + t, 1), record(4000000 + t, 1);
	DO(proxy_define_metric(0, BAD, 1, P(&v)), "define_metric(bad)");
	DO(proxy_define_metric(0, S("abi_bad_id"), BAD), "define_metric(bad id)");
	DO(proxy_get_metric(id[0], BAD), "get_metric(bad)");
	DO(proxy_get_metric(4000000, BAD), "get_metric(unknown, bad)");
}

// ---- foreign functions ----

static u32 foreign(const char *name, const char *arg, u32 argn, int show) {
	u32 p = 0, n = 0, status;
	CALL(proxy_call_foreign_function(S(name), P(arg), argn, P(&p), P(&n)), "call_foreign_function(%s, %q)", name, arg, argn);
	if (!status) {
		if (show) say(" %d %q", n, p, n);
		else say(n ? " some bytes" : " nothing");
	}
	emit();
	return status ? 0 : p;
}
static void act_foreign(char **a) {
	u32 p = 0, n = 0, z, zn;
	foreign("none", "x", 1, 1), foreign("", "x", 1, 1);
	foreign("compress", "", 0, 0), foreign("compress", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 60, 0);
	if (!proxy_call_foreign_function(S("compress"), S("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), P(&z), P(&zn))) {
		u32 status;
		CALL(proxy_call_foreign_function(S("uncompress"), z, zn, P(&p), P(&n)), "call_foreign_function(uncompress, what was compressed)");
		if (!status) say(" %d %q", n, p, n);
		emit();
	}
	foreign("uncompress", "rubbish", 7, 1), foreign("uncompress", "", 0, 1);
	foreign("verify_signature", "", 0, 1), foreign("verify_signature", "rubbish", 7, 1);
	foreign("sign", "", 0, 1), foreign("sign", "rubbish", 7, 1);
	foreign("expr_create", "request.path", 12, 1), foreign("expr_create", "1 +", 3, 1), foreign("expr_create", "", 0, 1);
	u32 e = foreign("expr_create", "request.method == 'GET'", 23, 1);
	if (e) {
		char token[4];
		memcpy(token, (void *)e, 4);
		foreign("expr_evaluate", token, 4, 1), foreign("expr_delete", token, 4, 1), foreign("expr_delete", token, 4, 1), foreign("expr_evaluate", token, 4, 1);
	}
	foreign("expr_evaluate", "", 0, 1), foreign("expr_evaluate", "\xff\xff\xff\xff", 4, 1), foreign("expr_delete", "", 0, 1);
	foreign("declare_property", "", 0, 1), foreign("declare_property", "\x0a\x04" "decl", 6, 1), foreign("declare_property", "\x0a\x04" "decl", 6, 1), foreign("declare_property", "rubbish", 7, 1);
	property("decl"), setproperty("decl", "v"), property("decl"), setproperty("decl", "w"), property("decl");
	foreign("set_envoy_filter_state", "", 0, 1), foreign("set_envoy_filter_state", "rubbish", 7, 1);
	foreign("set_envoy_filter_state", "\x0a\x03" "fsk" "\x12\x03" "fsv", 10, 1), property("filter_state/fsk"), property("fsk");
	foreign("clear_route_cache", "", 0, 1), foreign("clear_route_cache", "x", 1, 1);
	foreign("get_log_level", "", 0, 1);
	DO(proxy_call_foreign_function(S("none"), 0, 0, 0, 0), "call_foreign_function(none, no result)");
	DO(proxy_call_foreign_function(S("compress"), S("aaaa"), 0, 0), "call_foreign_function(compress, no result)");
	DO(proxy_call_foreign_function(BAD, 1, 0, 0, P(&p), P(&n)), "call_foreign_function(bad name)");
	DO(proxy_call_foreign_function(S("compress"), BAD, 1, P(&p), P(&n)), "call_foreign_function(bad argument)");
	DO(proxy_call_foreign_function(S("compress"), S("aaaa"), BAD, P(&n)), "call_foreign_function(bad result)");
	DO(proxy_call_foreign_function(S("compress"), S("aaaa"), P(&p), BAD), "call_foreign_function(bad result size)");
	// Envoy crashes where there is no memory for a result.
}

// ---- log, clock and WASI ----

static void act_log(char **a) {
	u64 t = 0;
	for (u32 level = 0; level < 6; level++) DO(proxy_log(level, S("abi level")), "log(%d)", level);
	DO(proxy_log(6, S("abi level")), "log(6)");
	DO(proxy_log(~0u, S("abi level")), "log(-1)");
	DO(proxy_log(2, 0, 0), "log(nothing)");
	DO(proxy_log(2, BAD, 1), "log(bad)");
	DO(proxy_log(2, 0, ~0u), "log(huge)");
	DO(proxy_get_current_time_nanoseconds(P(&t)), "get_current_time_nanoseconds()");
	begin(), say("the time is %s", t > 1700000000000000000ull ? "after 2023" : "wrong"), emit();
	DO(proxy_get_current_time_nanoseconds(BAD), "get_current_time_nanoseconds(bad)");
#if ABI == 0x021
	u32 level = 77, status;
	CALL(proxy_get_log_level(P(&level)), "get_log_level()");
	say(" %d", level);
	emit();
	DO(proxy_get_log_level(BAD), "get_log_level(bad)");
#endif
	DO(pthread_equal(1, 1), "pthread_equal(1, 1)");
	DO(pthread_equal(1, 2), "pthread_equal(1, 2)");
	emscripten_notify_memory_growth(0);
}

// lists shows what a pair of WASI functions for arguments or variables gives.
static void lists(const char *what, u32 (*sizes)(u32, u32), u32 (*get)(u32, u32)) {
	static u32 list[64];
	static char text[4096];
	u32 n = 77, bytes = 77, status;
	CALL(sizes(P(&n), P(&bytes)), "%s_sizes_get()", what);
	say(" %d %d", n, bytes), emit();
	CALL(get(P(list), P(text)), "%s_get()", what);
	if (bytes < sizeof text) say(" %q", text, bytes);
	for (u32 i = 0; i < n && i < 8; i++) say(" at %d", list[i] - P(text));
	emit();
	DO(sizes(BAD, P(&n)), "%s_sizes_get(bad)", what);
	DO(sizes(P(&n), BAD), "%s_sizes_get(bad size)", what);
	DO(get(BAD, P(text)), "%s_get(bad)", what);
	DO(get(P(list), BAD), "%s_get(bad text)", what);
}
static u32 argsizes(u32 a, u32 b) { return args_sizes_get(a, b); }
static u32 argsget(u32 a, u32 b) { return args_get(a, b); }
static u32 envsizes(u32 a, u32 b) { return environ_sizes_get(a, b); }
static u32 envget(u32 a, u32 b) { return environ_get(a, b); }

static void fdwrite(u32 fd, const char *x, const char *y) {
	u32 iov[4] = {P(x), size(x), P(y), size(y)}, n = 77, status;
	CALL(fd_write(fd, P(iov), 2, P(&n)), "fd_write(%d, %q, %q)", fd, Q(x), Q(y));
	say(" %d", n), emit();
}

static void act_wasi(char **a) {
	static char out[512];
	u32 n = 77, status, iov[2] = {P(out), 8};
	u64 t = 77;
	fdwrite(1, "abi to standard ", "output"), fdwrite(2, "abi to standard error\n", ""), fdwrite(1, "abi two newlines\n", "\n"), fdwrite(1, "", ""), fdwrite(0, "abi x", ""), fdwrite(3, "abi x", "");
	fdwrite(1, "abi line\n", "and line");
	DO(fd_write(1, BAD, 1, P(&n)), "fd_write(bad)");
	DO(fd_write(1, P(iov), ~0u, P(&n)), "fd_write(huge)");
	DO(fd_write(1, P(iov), 0, P(&n)), "fd_write(none)");
	iov[0] = BAD;
	DO(fd_write(1, P(iov), 1, P(&n)), "fd_write(bad text)");
	iov[0] = P("abi x"), iov[1] = 5;
	DO(fd_write(1, P(iov), 1, BAD), "fd_write(bad written)");
	for (u32 fd = 0; fd < 5; fd++) {
		memset(out, 0x55, 32);
		CALL(fd_fdstat_get(fd, P(out)), "fd_fdstat_get(%d)", fd);
		say(" %q", out, 24), emit();
		DO(fd_prestat_get(fd, P(out)), "fd_prestat_get(%d)", fd);
		DO(fd_read(fd, P(iov), 1, P(&n)), "fd_read(%d)", fd);
		DO(fd_seek(fd, 0, 0, P(&t)), "fd_seek(%d)", fd);
		DO(fd_close(fd), "fd_close(%d)", fd);
	}
	DO(fd_fdstat_get(1, BAD), "fd_fdstat_get(bad)");
	DO(fd_fdstat_set_flags(1, 0), "fd_fdstat_set_flags(1)");
	DO(fd_prestat_dir_name(3, P(out), 8), "fd_prestat_dir_name()");
	lists("args", argsizes, argsget), lists("environ", envsizes, envget);
	for (u32 id = 0; id < 5; id++) {
		t = 77;
		CALL(clock_time_get(id, 1, P(&t)), "clock_time_get(%d)", id);
		say(t == 77 ? " unchanged" : t > 1700000000000000000ull ? " wall clock" : " other"), emit();
		t = 77;
		CALL(clock_res_get(id, P(&t)), "clock_res_get(%d)", id);
		say(t == 77 ? " unchanged" : " changed"), emit();
	}
	DO(clock_time_get(0, 1, BAD), "clock_time_get(bad)");
	DO(random_get(P(out), 16), "random_get(16)");
	DO(random_get(P(out), 0), "random_get(0)");
	DO(random_get(P(arena), 65536), "random_get(65536)");
	DO(random_get(P(arena), 65537), "random_get(65537)");
	DO(random_get(BAD, 16), "random_get(bad)");
	DO(sched_yield(), "sched_yield()");
	memset(out, 0x55, 96), n = 77;
	CALL(poll_oneoff(P(out), P(out + 96), 2, P(&n)), "poll_oneoff()");
	say(" %d", n), emit();
	DO(poll_oneoff(P(out), P(out), 0, P(&n)), "poll_oneoff(none)");
	DO(poll_oneoff(BAD, BAD, 1, BAD), "poll_oneoff(bad)");
	n = 77;
	CALL(path_open(3, 0, P("f"), 1, 0, 0, 0, 0, P(&n)), "path_open()");
	say(" %d", n), emit();
	DO(path_create_directory(3, P("d"), 1), "path_create_directory()");
	DO(path_remove_directory(3, P("d"), 1), "path_remove_directory()");
	DO(path_unlink_file(3, P("d"), 1), "path_unlink_file()");
	DO(path_filestat_get(3, 0, P("d"), 1, P(out)), "path_filestat_get()");
	DO(path_filestat_set_times(3, 0, P("d"), 1, 0, 0, 0), "path_filestat_set_times()");
	DO(path_rename(3, P("d"), 1, 3, P("e"), 1), "path_rename()");
	DO(path_readlink(3, P("d"), 1, P(out), 8, P(&n)), "path_readlink()");
	DO(sock_accept(3, 0, P(&n)), "sock_accept()");
	DO(sock_recv(3, P(iov), 1, 0, P(&n), P(&n)), "sock_recv()");
	DO(sock_send(3, P(iov), 1, 0, P(&n)), "sock_send()");
	DO(sock_shutdown(3, 0), "sock_shutdown()");
	DO(fd_filestat_get(1, P(out)), "fd_filestat_get()");
	DO(fd_advise(1, 0, 0, 0), "fd_advise()");
	DO(fd_allocate(1, 0, 0), "fd_allocate()");
	DO(fd_datasync(1), "fd_datasync()");
	DO(fd_fdstat_set_rights(1, 0, 0), "fd_fdstat_set_rights()");
	DO(fd_filestat_set_size(1, 0), "fd_filestat_set_size()");
	DO(fd_filestat_set_times(1, 0, 0, 0), "fd_filestat_set_times()");
	DO(fd_pread(1, P(iov), 1, 0, P(&n)), "fd_pread()");
	DO(fd_pwrite(1, P(iov), 1, 0, P(&n)), "fd_pwrite()");
	DO(fd_readdir(1, P(out), 8, 0, P(&n)), "fd_readdir()");
	DO(fd_renumber(1, 2), "fd_renumber()");
	DO(fd_sync(1), "fd_sync()");
	DO(fd_tell(1, P(&t)), "fd_tell()");
	proc_exit(7);
	begin(), say("proc_exit(7) came back"), emit();
}

// ---- everything ----

// act_matrix calls every host function in any callback, without ending or
// stopping what goes on. Its argument is the name of a cluster.
static void act_matrix(char **a) {
	u32 p = 0, n = 0;
	static const u32 types[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100, ~0u};
	begin(), say("the maps"), emit();
	for (u32 i = 0; i < sizeof types / sizeof *types; i++) {
		u32 m = types[i];
		value(m, "x-two"), value(m, ":path"), pairs(m), mapsize(m), add(m, "x-matrix", "1"), value(m, "x-matrix"), replace(m, "x-matrix", "2"), erase(m, "x-matrix");
		if (!proxy_get_header_map_pairs(m, P(&p), P(&n)) && n) {
			setpairs(m, (char *)p, n);
		} else {
			pair("x-set", "1"), n = build();
			setpairs(m, built, n);
		}
		value(m, "x-set"), erase(m, "x-set");
	}
	for (u32 i = 0; i < sizeof types / sizeof *types; i++) {
		u32 t = types[i];
		bufferstatus(t), bytes(t, 0, 1000), bytes(t, 1, 1), bytes(t, 1000, 1), bytes(t, 1, ~0u), setbytes(t, 0, 0, ""), setbytes(t, 1000, 0, "+"), bytes(t, 0, 1000);
	}
	static const char *const some[] = {"request/path", "request/method", "request/headers/x-two", "request/size", "request/total_size", "response/code", "response/flags", "response/headers/x-two", "response/size",
		"connection/mtls", "connection/id", "source/address", "destination/port", "upstream/address", "plugin_name", "plugin_root_id", "plugin_vm_id", "xds/cluster_name", "xds/route_name",
		"xds/listener_direction", "node", "metadata", "filter_state", "none"};
	for (u32 i = 0; i < sizeof some / sizeof *some; i++) property(some[i]);
	setproperty("matrix", "1"), property("matrix");
	act_status(a), act_badeffective(a), act_effective(a), act_done(a);
	DO(proxy_set_tick_period_milliseconds(0), "set_tick_period_milliseconds(0)");
	setshared("matrix", "1", 0), getshared("matrix"), act_badqueue(a);
	u32 c = define(0, "abi_matrix");
	increment(c, 1), record(c, 1);
	DO(proxy_get_metric(c, P(&built)), "get_metric()");
	foreign("none", "", 0, 1), foreign("clear_route_cache", "", 0, 1), foreign("compress", "aaaaaaaa", 8, 0);
	act_badhttp(a), act_badgrpc(a), act_badlocal(a), act_configuration(a);
#if ABI != 0x010
	DO(proxy_continue_stream(4), "continue_stream(4)");
	DO(proxy_close_stream(4), "close_stream(4)");
	DO(proxy_continue_stream(~0u), "continue_stream(-1)");
	DO(proxy_close_stream(~0u), "close_stream(-1)");
#endif
	act_log(a);
	fdwrite(1, "abi x", ""), fdwrite(3, "abi x", "");
	DO(random_get(P(built), 8), "random_get(8)");
}

static const struct {
	const char *name;
	void (*run)(char **);
} actions[] = {
#define ACTION(name) {#name, act_##name},
	ACTION(value) ACTION(pairs) ACTION(size) ACTION(add) ACTION(replace) ACTION(remove) ACTION(setpairs) ACTION(badpairs) ACTION(headers)
	ACTION(bytes) ACTION(buffer) ACTION(set) ACTION(read) ACTION(write) ACTION(property) ACTION(setproperty) ACTION(properties)
	ACTION(ret) ACTION(trap) ACTION(local) ACTION(badlocal) ACTION(localbadheaders) ACTION(localheaders) ACTION(continue) ACTION(close) ACTION(clear)
	ACTION(configuration) ACTION(effective) ACTION(effectiveroot) ACTION(badeffective) ACTION(done) ACTION(tick) ACTION(status)
	ACTION(http) ACTION(badhttp) ACTION(httpbadtoken) ACTION(httpempty) ACTION(answer) ACTION(grpc) ACTION(stream) ACTION(send) ACTION(cancel) ACTION(grpcclose)
	ACTION(message) ACTION(badgrpc) ACTION(setshared) ACTION(getshared) ACTION(shared) ACTION(register) ACTION(resolve) ACTION(enqueue)
	ACTION(dequeue) ACTION(badqueue) ACTION(metrics) ACTION(foreign) ACTION(log) ACTION(wasi) ACTION(matrix)
};
