// A guest that does harm where and how it is told, and is well behaved otherwise.
//
// A script is "CALLBACK:FAULT". A stream's is its request header x-fault, a
// connection's the first bytes of its client, a root's its plugin configuration,
// that of on_vm_start the configuration of the VM. The script of a stream may
// name a callback of the root (tick, queue_ready, call_response, grpc_close): the
// stream then brings it about, and waits for it. A script "arm-CALLBACK:FAULT" is
// for a stream or connection to come: it is kept in the data that all instances
// share, and whoever meets it first takes it. Once a stream's script was "doom:",
// no instance can be configured any more.
//
// Where nothing is wrong the guest signs: it sets x-backend of a response to
// VERSION+CONFIGURATION, and the first line that a TCP server says to the same.
// VERSION is what lies in the module behind "version-", and can be exchanged there.
#include "host.h"

#define P(x) ((u32)(x))
#define BAD 0xfffffff0u // a pointer that is outside every memory here
#define N(s) P(s), sizeof s - 1

static const volatile char version[] = "version-A";

static u32 size(const char *s) {
	u32 n = 0;
	while (s[n]) n++;
	return n;
}

void *memcpy(void *to, const void *from, unsigned long n) {
	for (u32 i = 0; i < n; i++) ((char *)to)[i] = ((const char *)from)[i];
	return to;
}

void *memset(void *to, int c, unsigned long n) {
	for (u32 i = 0; i < n; i++) ((char *)to)[i] = (char)c;
	return to;
}

// ---- memory that the host asks for: it lives until the next callback ----

static char heap[64 << 10];
static u32 used;

EXPORT(proxy_on_memory_allocate) u32 on_memory_allocate(u32 n) {
	if (n > sizeof heap - used) return 0;
	u32 at = used;
	used += (n + 7) & ~7u;
	return P(heap + at);
}

// ---- what is known of contexts ----

#define SCRIPT 60
typedef struct {
	u32 id;
	char script[SCRIPT];
} context;

static context contexts[4096];
static context root;
static char configuration[SCRIPT];
static u32 waiting; // the stream that waits for a callback of the root

static context *of(u32 id) {
	if (id == root.id) return &root;
	context *c = &contexts[id % 4096];
	if (c->id != id) c->id = id, c->script[0] = 0;
	return c;
}

static void copy(char *to, u32 p, u32 n) {
	if (n > SCRIPT - 1) n = SCRIPT - 1;
	memcpy(to, (char *)p, n);
	to[n] = 0;
}

static const char *after(const char *s, const char *prefix) {
	while (*prefix)
		if (*s++ != *prefix++) return 0;
	return s;
}

// armed takes what was armed for a callback, at most once.
static const char *armed(const char *callback) {
	static char text[SCRIPT];
	u32 p, n = 0, cas;
	if (proxy_get_shared_data(N("armed"), P(&p), P(&n), P(&cas)) || !n) return 0;
	copy(text, p, n);
	const char *s = after(text, callback);
	if (!s || *s != ':' || proxy_set_shared_data(N("armed"), 0, 0, cas)) return 0;
	return s + 1;
}

// learn keeps the script of a context.
static void learn(context *c, u32 p, u32 n) {
	copy(c->script, p, n);
	const char *s = after(c->script, "arm-");
	if (s) proxy_set_shared_data(N("armed"), P(s), size(s), 0);
	if (after(c->script, "doom:")) proxy_set_shared_data(N("doom"), N("yes"), 0);
}

// ---- faults ----

static volatile u32 sink;

__attribute__((noinline)) static u32 deep(u32 n) { return n == -1 ? 0 : deep(n + 1) + sink; }

#define PAIRS "\3\0\0\0" "\5\0\0\0\1\0\0\0" "\7\0\0\0\3\0\0\0" "\12\0\0\0\1\0\0\0" ":path\0/\0" ":method\0GET\0" ":authority\0a"
#define CALL_PAIRS P(PAIRS), sizeof PAIRS

static u32 grow(u32 pages) { return __builtin_wasm_memory_grow(0, pages) != -1; }

// bad hands pointers and sizes to the host that lie outside of the memory.
static void bad(void) {
	u32 v;
	sink = proxy_log(2, BAD, 16), sink = proxy_log(2, 0, -1);
	u32 good = !proxy_log(2, BAD, 16);
	good += !proxy_get_header_map_value(0, BAD, 5, P(&v), P(&v));
	good += !proxy_get_header_map_value(0, N(":path"), BAD, BAD);
	good += !proxy_get_header_map_pairs(0, BAD, BAD);
	good += !proxy_set_header_map_pairs(0, BAD, 64);
	good += !proxy_set_header_map_pairs(0, 0, -1);
	good += !proxy_add_header_map_value(0, N("x-a"), BAD, 1 << 30);
	good += !proxy_replace_header_map_value(0, BAD, -1, BAD, -1);
	good += !proxy_remove_header_map_value(0, BAD, 1);
	good += !proxy_get_buffer_bytes(0, 0, -1, BAD, BAD);
	good += !proxy_set_buffer_bytes(0, 0, -1, BAD, 1 << 30);
	good += !proxy_send_local_response(200, BAD, 1, BAD, 1, BAD, 1, -1);
	good += !proxy_get_property(BAD, -1, BAD, BAD);
	good += !proxy_set_property(BAD, 1, BAD, 1);
	good += !proxy_http_call(N("backend"), BAD, 64, 0, 0, 0, 0, 1000, P(&v));
	good += !proxy_http_call(N("backend"), CALL_PAIRS, 0, 0, 0, 0, 1000, BAD);
	good += !proxy_grpc_call(BAD, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1000, P(&v));
	good += !proxy_set_shared_data(BAD, -1, 0, 0, 0);
	good += !proxy_get_shared_data(BAD, 9, P(&v), P(&v), P(&v));
	good += !proxy_register_shared_queue(BAD, 9, P(&v));
	good += !proxy_enqueue_shared_queue(-1, BAD, 9);
	good += !proxy_define_metric(0, BAD, 9, P(&v));
	good += !proxy_get_metric(-1, BAD);
	good += !proxy_call_foreign_function(BAD, 9, BAD, 9, BAD, BAD);
	good += !proxy_get_current_time_nanoseconds(BAD);
	good += !proxy_set_effective_context(-1);
	if (good) __builtin_trap();
}

// giant asks for far more than anybody should get, and traps where it gets more
// than 64 MiB of shared data, or of all else together.
static void giant(void) {
	if (grow(65535)) __builtin_trap();
	while (__builtin_wasm_memory_size(0) < 300 && grow(16)) {}
	u32 big = __builtin_wasm_memory_size(0) * (64 << 10), token;
	u32 written = 0, added = 0, kept = 0, shared = 0, called = 0;
	for (u32 i = 0; i < 20; i++) kept += !proxy_set_property(P(&i), 4, 0, 1 << 20);
	for (u32 i = 0; i < 5; i++) {
		written += !proxy_set_buffer_bytes(0, -1, 0, 0, big);
		added += !proxy_add_header_map_value(0, N("x-big"), 0, big);
		kept += 20 * !proxy_set_property(P(&i), 4, 0, big);
		shared += !proxy_set_shared_data(P(&i), 4, 0, big, 0);
		called += !proxy_http_call(N("backend"), CALL_PAIRS, 0, big, 0, 0, 60000, P(&token));
		called += !proxy_grpc_call(N("dead"), N("a.B"), N("C"), 0, 0, 0, big, 60000, P(&token));
	}
	if (kept + 19 * (written + called) > 64 || added || shared > 3) __builtin_trap();
	proxy_log(2, 0, big);
}

static void harm(const char *fault) {
	if (after(fault, "trap")) __builtin_trap();
	if (after(fault, "wild")) sink = *(volatile u32 *)BAD;
	if (after(fault, "exit")) proc_exit(1);
	if (after(fault, "loop"))
		for (;;) sink++;
	if (after(fault, "calls"))
		for (u64 t;;) proxy_get_current_time_nanoseconds(P(&t));
	if (after(fault, "deep")) sink = deep(0);
	if (after(fault, "bad")) bad();
	if (after(fault, "giant")) giant();
	if (after(fault, "hog")) {
		// An allocator that is out of memory gives up, as those of all languages do.
		for (u32 at = __builtin_wasm_memory_size(0); grow(1); at++) ((volatile char *)0)[at << 16] = 1;
		__builtin_trap();
	}
}

// at does harm if a context's script wants it in this callback.
static void at(const char *callback, context *c) {
	used = 0;
	const char *s = after(c->script, callback);
	if (s && *s == ':') harm(s + 1);
}

// ---- roots ----

EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}
EXPORT(_initialize) void initialize(void) {}

EXPORT(proxy_on_context_create) void on_context_create(u32 id, u32 parent) {
	used = 0;
	if (!parent) {
		root.id = id;
		return;
	}
	of(id)->script[0] = 0;
	const char *s = armed("context_create");
	if (s) harm(s);
}

EXPORT(proxy_on_vm_start) u32 on_vm_start(u32 id, u32 n) {
	used = 0;
	u32 p, got = 0;
	context c = {id, ""};
	if (n && !proxy_get_buffer_bytes(6, 0, n, P(&p), P(&got))) copy(c.script, p, got);
	at("vm_start", &c);
	return !after(c.script, "vm_start:refuse");
}

EXPORT(proxy_on_configure) u32 on_configure(u32 id, u32 n) {
	used = 0;
	u32 p, got = 0, cas;
	if (n && !proxy_get_buffer_bytes(7, 0, n, P(&p), P(&got))) copy(configuration, p, got);
	memcpy(root.script, configuration, SCRIPT);
	if (!proxy_get_shared_data(N("doom"), P(&p), P(&got), P(&cas))) __builtin_trap();
	// What it costs when an instance is not let go is to be seen.
	if (after(configuration, "v")) grow(32);
	at("configure", &root);
	return !after(configuration, "configure:refuse");
}

// resume lets the stream go on that waits for the root.
static void resume(void) {
	root.script[0] = 0;
	if (!waiting) return;
	proxy_set_effective_context(waiting);
	waiting = 0;
	proxy_continue_stream(0);
}

EXPORT(proxy_on_tick) void on_tick(u32 id) {
	proxy_set_tick_period_milliseconds(0);
	at("tick", &root);
	resume();
}

EXPORT(proxy_on_queue_ready) void on_queue_ready(u32 id, u32 token) {
	at("queue_ready", &root);
	u32 p, n;
	proxy_dequeue_shared_queue(token, P(&p), P(&n));
	resume();
}

// ---- storms of calls ----

#define STORM 5000
static u32 sent, refused, answered;
static char sum[32];

static void putn(u32 v) {
	char d[12];
	u32 n = 0, k = size(sum);
	do d[n++] = '0' + v % 10;
	while (v /= 10);
	while (n) sum[k++] = d[--n];
	sum[k++] = ' ', sum[k] = 0;
}

static void storm(void) {
	sent = refused = answered = 0;
	for (u32 i = 0, token; i < STORM; i++)
		if (proxy_http_call(N("backend"), CALL_PAIRS, 0, 0, 0, 0, 60000, P(&token))) refused++;
		else sent++;
}

EXPORT(proxy_on_http_call_response) void on_http_call_response(u32 id, u32 token, u32 headers, u32 body, u32 trailers) {
	used = 0;
	if (sent) {
		if (headers) answered++;
		if (!--sent) {
			sum[0] = 0;
			putn(answered), putn(refused);
			resume();
		}
		return;
	}
	at("call_response", &root);
	resume();
}

EXPORT(proxy_on_grpc_close) void on_grpc_close(u32 id, u32 token, u32 status) {
	at("grpc_close", &root);
	resume();
}

// ---- streams ----

// provoke brings about the callback of the root that a stream's script names;
// the stream waits then.
static u32 provoke(context *c) {
	static const char *const words[] = {"tick:", "queue_ready:", "call_response:", "grpc_close:", "storm:"};
	u32 k = 0, token;
	while (k < 5 && !after(c->script, words[k])) k++;
	if (k == 5) return 0;
	memcpy(root.script, c->script, SCRIPT);
	waiting = c->id;
	switch (k) {
	case 0: proxy_set_tick_period_milliseconds(1); break;
	case 1: proxy_register_shared_queue(N("q"), P(&token)), proxy_enqueue_shared_queue(token, N("x")); break;
	case 2: proxy_http_call(N("backend"), CALL_PAIRS, 0, 0, 0, 0, 60000, P(&token)); break;
	case 3: proxy_grpc_call(N("dead"), N("a.B"), N("C"), 0, 0, 0, 0, 60000, P(&token)); break;
	case 4:
		storm();
		if (after(c->script, "storm:trap")) __builtin_trap();
	}
	return 1;
}

EXPORT(proxy_on_request_headers) u32 on_request_headers(u32 id, u32 n, u32 end) {
	used = 0;
	context *c = of(id);
	u32 p, got = 0;
	if (!proxy_get_header_map_value(0, N("x-fault"), P(&p), P(&got))) learn(c, p, got);
	at("request_headers", c);
	return provoke(c);
}

EXPORT(proxy_on_request_body) u32 on_request_body(u32 id, u32 n, u32 end) { return at("request_body", of(id)), 0; }
EXPORT(proxy_on_request_trailers) u32 on_request_trailers(u32 id, u32 n) { return at("request_trailers", of(id)), 0; }

// sign writes VERSION+CONFIGURATION.
static u32 sign(char *to) {
	u32 n = size(configuration);
	to[0] = version[8], to[1] = '+';
	memcpy(to + 2, configuration, n);
	return n + 2;
}

EXPORT(proxy_on_response_headers) u32 on_response_headers(u32 id, u32 n, u32 end) {
	char s[SCRIPT + 2];
	at("response_headers", of(id));
	proxy_replace_header_map_value(2, N("x-backend"), P(s), sign(s));
	if (after(of(id)->script, "storm:")) proxy_replace_header_map_value(2, N("x-storm"), P(sum), size(sum));
	return 0;
}

EXPORT(proxy_on_response_body) u32 on_response_body(u32 id, u32 n, u32 end) { return at("response_body", of(id)), 0; }
EXPORT(proxy_on_response_trailers) u32 on_response_trailers(u32 id, u32 n) { return at("response_trailers", of(id)), 0; }
EXPORT(proxy_on_log) void on_log(u32 id) { at("log", of(id)); }
EXPORT(proxy_on_done) u32 on_done(u32 id) { return at("done", of(id)), 1; }
EXPORT(proxy_on_delete) void on_delete(u32 id) { at("delete", of(id)); }

// ---- connections ----

EXPORT(proxy_on_new_connection) u32 on_new_connection(u32 id) {
	used = 0;
	const char *s = armed("new_connection");
	if (s) harm(s);
	return 0;
}

EXPORT(proxy_on_downstream_data) u32 on_downstream_data(u32 id, u32 n, u32 end) {
	used = 0;
	context *c = of(id);
	u32 p, got = 0;
	if (!c->script[0] && !proxy_get_buffer_bytes(2, 0, n, P(&p), P(&got)) && got) learn(c, p, got);
	at("downstream_data", c);
	return 0;
}

EXPORT(proxy_on_upstream_data) u32 on_upstream_data(u32 id, u32 n, u32 end) {
	used = 0;
	context *c = of(id);
	u32 p, got = 0, line = 0;
	char s[SCRIPT + 3];
	at("upstream_data", c);
	if (c->script[SCRIPT - 1] || proxy_get_buffer_bytes(3, 0, n, P(&p), P(&got)) || !got) return 0;
	while (line < got && ((char *)p)[line] != '\n') line++;
	proxy_set_buffer_bytes(3, 0, line, P(s), sign(s));
	c->script[SCRIPT - 1] = 1; // it has signed
	return 0;
}

EXPORT(proxy_on_downstream_connection_close) void on_downstream_close(u32 id, u32 how) { at("downstream_close", of(id)); }
EXPORT(proxy_on_upstream_connection_close) void on_upstream_close(u32 id, u32 how) { at("upstream_close", of(id)); }
