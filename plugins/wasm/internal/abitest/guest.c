// The conformance guest. It exports every callback, tells each call that the
// host makes into it and each call that it makes into the host, one line each
// through proxy_log, and does what a script says.
//
// A script is "NAME|ENTRY ENTRY …", an entry "CALLBACK:ACTION,ACTION…" or
// "CALLBACK#N:…" for the N-th call alone, an action "WORD" or "WORD=ARG;ARG…". A
// stream's script is its request header x-script, or else the VM configuration;
// callbacks at the root use the script of the stream that asked for them. The
// actions are the functions named act_…, listed in the table at the end.
//
// Lines are "abi NAME CALLBACK#N (ARGUMENTS)" when a callback begins, "abi NAME
// CALLBACK#N FUNCTION(ARGUMENTS) -> STATUS RESULT [alloc SIZES]" for a call, and
// "abi NAME CALLBACK#N returns R" at its end.
#include "host.h"

#define P(x) ((u32)(x))
#define BAD 0xfffffff0u // a pointer that is outside every memory here

// ---- text ----

static char line[1 << 16];
static u32 length;

static void put(char c) {
	if (length < sizeof line) line[length++] = c;
}

static u32 size(const char *s) {
	u32 n = 0;
	while (s[n]) n++;
	return n;
}

static void puts(const char *s) {
	while (*s) put(*s++);
}

static void putn(i64 v) {
	char d[24];
	u32 n = 0;
	u64 u = v < 0 ? -(u64)v : (u64)v;
	if (v < 0) put('-');
	do d[n++] = '0' + u % 10;
	while (u /= 10);
	while (n) put(d[--n]);
}

static void putq(const char *p, u32 n) {
	static const char hex[] = "0123456789abcdef";
	u32 shown = n > 1200 ? 1200 : n;
	put('"');
	for (u32 i = 0; i < shown; i++) {
		u8 c = p[i];
		if (c == '"' || c == '\\') put('\\'), put(c);
		else if (c >= 32 && c < 127) put(c);
		else put('\\'), put('x'), put(hex[c >> 4]), put(hex[c & 15]);
	}
	put('"');
	if (shown < n) puts("+"), putn(n - shown);
}

static u32 word(const char *p) { return (u8)p[0] | (u8)p[1] << 8 | (u8)p[2] << 16 | (u32)(u8)p[3] << 24; }

// putpairs shows a serialised header map.
static void putpairs(const char *p, u32 n) {
	if (n < 4) {
		puts("pairs "), putn(n), puts(" bytes");
		return;
	}
	u32 count = word(p), at = 4 + 8 * count;
	putn(count), puts(" pairs");
	for (u32 i = 0; i < count && at < n; i++) {
		u32 k = word(p + 4 + 8 * i), v = word(p + 8 + 8 * i);
		put(' '), putq(p + at, k), put('='), putq(p + at + k + 1, v);
		if (p[at + k] || p[at + k + 1 + v]) puts(" NUL MISSING");
		at += k + v + 2;
	}
	if (at != n) puts(" SIZE "), putn(at), puts(" OF "), putn(n);
}

// say formats: %s string, %q pointer and size, %p serialised pairs, %d u32 as
// signed, %l i64.
__attribute__((noinline)) static void say(const char *f, ...) {
	__builtin_va_list a;
	__builtin_va_start(a, f);
	for (; *f; f++) {
		if (*f != '%') {
			put(*f);
			continue;
		}
		switch (*++f) {
		case 's': puts(__builtin_va_arg(a, const char *)); break;
		case 'd': putn(__builtin_va_arg(a, int)); break;
		case 'l': putn(__builtin_va_arg(a, i64)); break;
		case 'q': {
			const char *p = __builtin_va_arg(a, const char *);
			putq(p, __builtin_va_arg(a, u32));
			break;
		}
		case 'p': {
			const char *p = __builtin_va_arg(a, const char *);
			putpairs(p, __builtin_va_arg(a, u32));
			break;
		}
		}
	}
	__builtin_va_end(a);
}

void *memcpy(void *to, const void *from, unsigned long n) {
	for (u32 i = 0; i < n; i++) ((char *)to)[i] = ((const char *)from)[i];
	return to;
}

void *memset(void *to, int c, unsigned long n) {
	for (u32 i = 0; i < n; i++) ((char *)to)[i] = (char)c;
	return to;
}

static int same(const char *a, u32 n, const char *b) {
	for (u32 i = 0; i < n; i++)
		if (a[i] != b[i]) return 0;
	return b[n] == 0;
}

// ---- memory: what the host allocates lives until the next callback ----

static char arena[4 << 20];
static u32 used, allocations, sizes[8];
static int starved; // allocations fail

static void *allocate(u32 n) {
	if (allocations < 8) sizes[allocations] = n;
	allocations++;
	if (starved || n > sizeof arena - used) return 0;
	void *p = arena + used;
	used += (n + 7) & ~7u;
	return p;
}

#if ABI == 0x021
EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(u32 n) { return allocate(n); }
#else
EXPORT(malloc) void *malloc(u32 n) { return allocate(n); }
#endif

#if ABI == 0x010
EXPORT(proxy_abi_version_0_1_0) void abi_version(void) {}
#elif ABI == 0x020
EXPORT(proxy_abi_version_0_2_0) void abi_version(void) {}
#else
EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}
#endif

// ---- contexts ----

enum {
	ROOT_CREATE, VM_START, CONFIGURE, CREATE, NEW_CONNECTION, DOWNSTREAM_DATA, UPSTREAM_DATA, DOWNSTREAM_CLOSE, UPSTREAM_CLOSE,
	REQUEST_HEADERS, REQUEST_BODY, REQUEST_TRAILERS, REQUEST_METADATA, RESPONSE_HEADERS, RESPONSE_BODY, RESPONSE_TRAILERS,
	RESPONSE_METADATA, LOG, DONE, DELETE, TICK, QUEUE_READY, HTTP_CALL_RESPONSE, GRPC_INITIAL, GRPC_RECEIVE, GRPC_TRAILING,
	GRPC_CLOSE, FOREIGN, ROOT_DONE, ROOT_DELETE, CALLBACKS
};
static const char *const names[CALLBACKS] = {
	"root_create", "vm_start", "configure", "context_create", "new_connection", "downstream_data", "upstream_data", "downstream_close",
	"upstream_close", "request_headers", "request_body", "request_trailers", "request_metadata", "response_headers", "response_body",
	"response_trailers", "response_metadata", "log", "done", "delete", "tick", "queue_ready", "http_call_response",
	"grpc_receive_initial_metadata", "grpc_receive", "grpc_receive_trailing_metadata", "grpc_close", "foreign_function",
	"root_done", "root_delete",
};

struct context {
	u32 id, name, size; // of the script and of the name in it
	u32 calls[CALLBACKS], token, tokens, stream, metric, cas, queue;
	char script[2048];
};
static struct context contexts[64]; // by id, the newest that fits
static struct context root;         // the last root
static struct { u32 token, id; } owners[64];
static u32 owned, ticker, queuer;

static struct context *find(u32 id) {
	struct context *c = &contexts[id % 64];
	return id && c->id == id ? c : &root;
}

static void own(u32 token, u32 id) {
	owners[owned % 64].token = token;
	owners[owned++ % 64].id = id;
}

static u32 owner(u32 token) {
	for (u32 i = owned; i-- > 0 && i + 64 >= owned;)
		if (owners[i % 64].token == token) return owners[i % 64].id;
	return 0;
}

static void setscript(struct context *c, const char *p, u32 n) {
	if (n > sizeof c->script - 1) n = sizeof c->script - 1;
	memcpy(c->script, p, n);
	c->script[n] = 0;
	c->size = n;
	for (c->name = 0; c->name < n && c->script[c->name] != '|';) c->name++;
}

// What is running.
static struct context *self;
static u32 callback, rootid, result, event[6];

__attribute__((noinline)) static void begin(void) {
	length = 0;
	allocations = 0;
	say("abi %q %s#%d ", self->script, self->name, names[callback], self->calls[callback]);
}

__attribute__((noinline)) static void emit(void) {
	if (allocations) {
		puts(" [alloc");
		for (u32 i = 0; i < allocations && i < 8; i++) put(' '), putn(sizes[i]);
		put(']');
	}
	proxy_log(2, P(line), length);
}

// CALL makes one call and begins its line with the text given; a result
// may follow with say before emit.
#define CALL(expression, ...) \
	begin(); \
	status = (expression); \
	say(__VA_ARGS__); \
	say(" -> %d", status)
#define DO(expression, ...) \
	do { \
		u32 status; \
		CALL(expression, __VA_ARGS__); \
		emit(); \
	} while (0)

#define S(s) P(s), size(s)
#define Q(s) s, size(s)

// ---- pairs built here ----

static char built[8192];
static u32 count, names_[32], values_[32], nsize[32], vsize[32];

static void pair(const char *k, const char *v) {
	names_[count] = P(k), nsize[count] = size(k), values_[count] = P(v), vsize[count] = size(v), count++;
}

static u32 *slot(u32 at) { return (u32 *)(built + at); }

static u32 build(void) {
	u32 at = 4 + 8 * count;
	*slot(0) = count;
	for (u32 i = 0; i < count; i++) {
		*slot(4 + 8 * i) = nsize[i], *slot(8 + 8 * i) = vsize[i];
		memcpy(built + at, (void *)names_[i], nsize[i]), at += nsize[i], built[at++] = 0;
		memcpy(built + at, (void *)values_[i], vsize[i]), at += vsize[i], built[at++] = 0;
	}
	count = 0;
	return at;
}

#include "actions.h"

// ---- scripts ----

static void act(const char *p, u32 n) {
	char text[512], *argv[8];
	u32 argc = 0, at = 0;
	if (n > sizeof text - 1) n = sizeof text - 1;
	memcpy(text, p, n);
	text[n] = 0;
	while (at < n && text[at] != '=') at++;
	u32 w = at;
	for (at++; at <= n && argc < 8;) {
		argv[argc++] = text + at;
		while (at < n && text[at] != ';') at++;
		text[at++] = 0;
	}
	text[w] = 0;
	for (u32 i = argc; i < 8; i++) argv[i] = text + n;
	for (u32 i = 0; i < sizeof actions / sizeof *actions; i++)
		if (same(text, w, actions[i].name)) {
			actions[i].run(argv);
			return;
		}
	begin();
	say("no action %q", text, w);
	emit();
}

static void run(void) {
	const char *s = self->script;
	u32 at = self->name + 1;
	while (at < self->size) {
		u32 start = at, colon, end;
		while (at < self->size && s[at] != ':') at++;
		colon = at;
		while (at < self->size && s[at] != ' ') at++;
		end = at++;
		u32 hash = start, n = 0;
		while (hash < colon && s[hash] != '#') hash++;
		for (u32 i = hash + 1; i < colon; i++) n = n * 10 + s[i] - '0';
		if (!same(s + start, hash - start, names[callback]) || (n && n != self->calls[callback])) continue;
		for (u32 a = colon + 1; a < end;) {
			u32 b = a;
			while (b < end && s[b] != ',') b++;
			act(s + a, b - a);
			a = b + 1;
		}
	}
}

static u32 depth;

// enter runs one callback of context id; argc of event are its arguments.
static u32 enter(u32 cb, u32 id, u32 standard, u32 argc) {
	struct context *was = self;
	u32 wascb = callback, wasresult = result;
	if (!depth++) used = 0;
	self = find(id), callback = cb, result = standard;
	self->calls[cb]++;
	begin();
	put('(');
	for (u32 i = 0; i < argc; i++) {
		if (i) puts(", ");
		putn((int)event[i]);
	}
	put(')');
	if (depth > 1) puts(" REENTERED");
	emit();
	run();
	u32 r = result;
	begin();
	puts("returns");
	if (standard != ~0u) put(' '), putn((int)r);
	emit();
	self = was, callback = wascb, result = wasresult;
	depth--;
	return r;
}

static void configured(struct context *c) {
	u32 p = 0, n = 0;
	if (proxy_get_buffer_bytes(6, 0, ~0u >> 1, P(&p), P(&n)) == 0 && n) setscript(c, (char *)p, n);
}

EXPORT(proxy_on_context_create) void on_context_create(u32 id, u32 parent) {
	if (!depth) used = 0;
	if (!parent) {
		rootid = id;
		memset(&root, 0, sizeof root);
		root.id = id;
		configured(&root);
		event[0] = parent;
		enter(ROOT_CREATE, id, ~0u, 1);
		return;
	}
	struct context *c = &contexts[id % 64];
	memset(c, 0, sizeof *c);
	c->id = id;
	setscript(c, root.script, root.size);
	event[0] = parent == rootid;
	// Its script is not known yet, so only the first of a root is told.
	if (!root.calls[CREATE]++) enter(CREATE, id, ~0u, 1);
}

EXPORT(proxy_on_vm_start) u32 on_vm_start(u32 id, u32 n) { return event[0] = n, enter(VM_START, id, 1, 1); }
EXPORT(proxy_on_configure) u32 on_configure(u32 id, u32 n) { return event[0] = n, enter(CONFIGURE, id, 1, 1); }
EXPORT(proxy_on_done) u32 on_done(u32 id) { return enter(id == rootid ? ROOT_DONE : DONE, id, 1, 0); }
EXPORT(proxy_on_log) void on_log(u32 id) { enter(LOG, id, ~0u, 0); }
EXPORT(proxy_on_delete) void on_delete(u32 id) { enter(id == rootid ? ROOT_DELETE : DELETE, id, ~0u, 0); }
EXPORT(proxy_on_tick) void on_tick(u32 id) { event[0] = id == rootid, enter(TICK, ticker, ~0u, 1); }
EXPORT(proxy_on_queue_ready) void on_queue_ready(u32 id, u32 token) {
	struct context *c = find(queuer);
	event[0] = id == rootid, event[1] = token == c->queue;
	enter(QUEUE_READY, queuer, ~0u, 2);
}

#if ABI == 0x010
#define HEADERS(name, cb) \
	EXPORT(name) u32 cb##_(u32 id, u32 n) { \
		if (cb == REQUEST_HEADERS) scripted(id); \
		return event[0] = n, enter(cb, id, 0, 1); \
	}
#else
#define HEADERS(name, cb) \
	EXPORT(name) u32 cb##_(u32 id, u32 n, u32 end) { \
		if (cb == REQUEST_HEADERS) scripted(id); \
		return event[0] = n, event[1] = end, enter(cb, id, 0, 2); \
	}
#endif

static void scripted(u32 id) {
	u32 p = 0, n = 0;
	used = 0;
	if (proxy_get_header_map_value(0, S("x-script"), P(&p), P(&n)) == 0 && n) setscript(find(id), (char *)p, n);
}

HEADERS(proxy_on_request_headers, REQUEST_HEADERS)
HEADERS(proxy_on_response_headers, RESPONSE_HEADERS)

#define ONE(name, cb, standard) \
	EXPORT(name) u32 cb##_(u32 id, u32 a) { return event[0] = a, enter(cb, id, standard, 1); }
#define TWO(name, cb, standard) \
	EXPORT(name) u32 cb##_(u32 id, u32 a, u32 b) { return event[0] = a, event[1] = b, enter(cb, id, standard, 2); }
TWO(proxy_on_request_body, REQUEST_BODY, 0)
TWO(proxy_on_response_body, RESPONSE_BODY, 0)
ONE(proxy_on_request_trailers, REQUEST_TRAILERS, 0)
ONE(proxy_on_response_trailers, RESPONSE_TRAILERS, 0)
ONE(proxy_on_request_metadata, REQUEST_METADATA, 0)
ONE(proxy_on_response_metadata, RESPONSE_METADATA, 0)
TWO(proxy_on_downstream_data, DOWNSTREAM_DATA, 0)
TWO(proxy_on_upstream_data, UPSTREAM_DATA, 0)
EXPORT(proxy_on_new_connection) u32 on_new_connection(u32 id) { return enter(NEW_CONNECTION, id, 0, 0); }
EXPORT(proxy_on_downstream_connection_close) void on_downstream_close(u32 id, u32 peer) { event[0] = peer, enter(DOWNSTREAM_CLOSE, id, ~0u, 1); }
EXPORT(proxy_on_upstream_connection_close) void on_upstream_close(u32 id, u32 peer) { event[0] = peer, enter(UPSTREAM_CLOSE, id, ~0u, 1); }

// Answers: the first argument is the root, and the token is told by who owns it.
static void answer(u32 cb, u32 id, u32 token, u32 argc) {
	event[0] = id == rootid;
	u32 o = owner(token);
	struct context *c = find(o);
	event[1] = token - c->token; // 0 for its last call
	enter(cb, o, ~0u, argc);
}

EXPORT(proxy_on_http_call_response) void on_http_call_response(u32 id, u32 token, u32 headers, u32 body, u32 trailers) {
	event[2] = headers, event[3] = body, event[4] = trailers;
	answer(HTTP_CALL_RESPONSE, id, token, 5);
}
EXPORT(proxy_on_grpc_receive_initial_metadata) void on_grpc_initial(u32 id, u32 token, u32 n) { event[2] = n, answer(GRPC_INITIAL, id, token, 3); }
EXPORT(proxy_on_grpc_receive) void on_grpc_receive(u32 id, u32 token, u32 n) { event[2] = n, answer(GRPC_RECEIVE, id, token, 3); }
EXPORT(proxy_on_grpc_receive_trailing_metadata) void on_grpc_trailing(u32 id, u32 token, u32 n) { event[2] = n, answer(GRPC_TRAILING, id, token, 3); }
EXPORT(proxy_on_grpc_close) void on_grpc_close(u32 id, u32 token, u32 code) { event[2] = code, answer(GRPC_CLOSE, id, token, 3); }
#if ABI != 0x010
EXPORT(proxy_on_foreign_function) void on_foreign_function(u32 id, u32 function, u32 n) { event[0] = function, event[1] = n, enter(FOREIGN, id, ~0u, 2); }
#endif
