// One module for many tests, in C without a library, ABI 0.2.1. The request header
// `x-test` says what to do, as words with commas between; words that are not known
// do nothing. They are those of ../everything-as:
//
// - `reply@PHASE`       a local reply: 418, `x-reply: PHASE`; PHASE is one of
//   request-headers, request-body, request-trailers, response-headers,
//   response-body, response-trailers
// - `grow-request`      appends `[N]` to each piece of the request, N its size
// - `buffer-request`    holds the request body and makes it upper case
// - `replace-response`  holds the response body, puts `replaced N bytes\n` in its place
// - `stream-response`   puts `<N>` in front of each piece of the response
// - `call`    GETs /called of the configuration's service and puts `x-called:
//   STATUS:BODYSIZE` into the request
// - `wait`    waits for the next tick; request header `x-waited: true`
// - `shared`  counts in shared data; response header `x-shared`
// - `queue`   puts the path into a shared queue; response header `x-queued` says how
//   many its owner has taken out before
// - `props`   response headers `x-prop-method`, `-protocol`, and `-set`, one that this
//   module set
// - `metrics` counts in `everything_c_requests`, gauge `everything_c_open`, histogram
//   `everything_c_path_bytes`
//
// Where it carries bytes it holds what the client sends until a line is whole,
// makes it upper case, and puts `> ` in front of each answer.

#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name))) int32_t name

enum { OK = 0, CAS_MISMATCH = 8 };
enum { CONTINUE = 0, PAUSE = 1 };
enum { REQUEST = 0, RESPONSE = 1, DOWNSTREAM = 2, UPSTREAM = 3, CONFIGURATION = 7 }; // buffers
enum { REQUEST_HEADERS = 0, RESPONSE_HEADERS = 2, CALL_HEADERS = 6 };                // maps
enum { COUNTER = 0, GAUGE, HISTOGRAM };

IMPORT(proxy_get_buffer_bytes)(int buffer, uint32_t start, uint32_t most, char **, uint32_t *);
IMPORT(proxy_set_buffer_bytes)(int buffer, uint32_t start, uint32_t size, const char *, uint32_t);
IMPORT(proxy_get_header_map_value)(int map, const char *, uint32_t, char **, uint32_t *);
IMPORT(proxy_replace_header_map_value)(int map, const char *, uint32_t, const char *, uint32_t);
IMPORT(proxy_remove_header_map_value)(int map, const char *, uint32_t);
IMPORT(proxy_send_local_response)(int status, const char *details, uint32_t, const char *body, uint32_t,
                                  const char *headers, uint32_t, int grpc);
IMPORT(proxy_http_call)(const char *service, uint32_t, const char *headers, uint32_t, const char *body, uint32_t,
                        const char *trailers, uint32_t, uint32_t ms, uint32_t *token);
IMPORT(proxy_set_effective_context)(uint32_t id);
IMPORT(proxy_continue_stream)(int type);
IMPORT(proxy_set_tick_period_milliseconds)(uint32_t);
IMPORT(proxy_get_property)(const char *path, uint32_t, char **, uint32_t *);
IMPORT(proxy_set_property)(const char *path, uint32_t, const char *, uint32_t);
IMPORT(proxy_get_shared_data)(const char *key, uint32_t, char **, uint32_t *, uint32_t *cas);
IMPORT(proxy_set_shared_data)(const char *key, uint32_t, const char *, uint32_t, uint32_t cas);
IMPORT(proxy_register_shared_queue)(const char *name, uint32_t, uint32_t *queue);
IMPORT(proxy_enqueue_shared_queue)(uint32_t queue, const char *, uint32_t);
IMPORT(proxy_dequeue_shared_queue)(uint32_t queue, char **, uint32_t *);
IMPORT(proxy_define_metric)(int kind, const char *name, uint32_t, uint32_t *id);
IMPORT(proxy_increment_metric)(uint32_t id, int64_t by);
IMPORT(proxy_record_metric)(uint32_t id, uint64_t value);

#define TEXT(s) s, sizeof(s) - 1

EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}

// What the compiler calls for structures.
void *memset(void *to, int byte, __SIZE_TYPE__ n) {
	for (char *p = to; n--;) *p++ = byte;
	return to;
}

void *memcpy(void *restrict to, const void *restrict from, __SIZE_TYPE__ n) {
	const char *q = from;
	for (char *p = to; n--;) *p++ = *q++;
	return to;
}

// What the host gives lies here until the callback returns.
static _Alignas(8) char room[128 << 10];
static uint32_t used;

EXPORT(malloc) void *allocate(uint32_t size) {
	uint32_t rounded = (size + 7) & ~7u;
	if (rounded < size || rounded > sizeof room - used) return 0;
	void *at = room + used;
	used += rounded;
	return at;
}

// A text that grows.
struct text { char at[128]; uint32_t size; };

static void add(struct text *t, const char *from, uint32_t size) {
	for (uint32_t i = 0; i < size && t->size < sizeof t->at; i++) t->at[t->size++] = from[i];
}

static void add_number(struct text *t, uint64_t n) {
	char digits[20], *first = digits + sizeof digits;
	do *--first = '0' + n % 10;
	while (n /= 10);
	add(t, first, digits + sizeof digits - first);
}

static uint32_t length(const char *s) {
	uint32_t n = 0;
	while (s[n]) n++;
	return n;
}

// A stream; ids that are this far apart are not in use at once.
enum { STREAMS = 1024 };
static struct stream { struct text words, method, protocol; int replied, open, waiting; } streams[STREAMS];

static uint32_t callers[STREAMS]; // by the token of a call

static struct text service;
static uint32_t queue, requests, open, path_bytes;

static int has(struct stream *s, const char *word) {
	uint32_t n = length(word), i = 0;
	while (i < s->words.size) {
		uint32_t same = 0, start = i;
		while (i < s->words.size && s->words.at[i] != ',') i++;
		while (same < n && start + same < i && s->words.at[start + same] == word[same]) same++;
		if (same == n && i - start == n) return 1;
		i++;
	}
	return 0;
}

static void number(struct text *t, uint64_t n) { t->size = 0, add_number(t, n); }

static void set_number(const char *name, uint64_t n) {
	struct text t;
	number(&t, n);
	proxy_replace_header_map_value(RESPONSE_HEADERS, name, length(name), t.at, t.size);
}

// shared reads a number in shared data, and adds to it unless that is 0.
static uint64_t shared(const char *key, uint64_t more) {
	for (;;) {
		char *p;
		uint32_t size = 0, cas = 0;
		uint64_t n = 0;
		if (proxy_get_shared_data(key, length(key), &p, &size, &cas) == OK)
			for (uint32_t i = 0; i < size; i++) n = 10 * n + p[i] - '0';
		if (!more) return n;
		struct text t;
		number(&t, n + more);
		if (proxy_set_shared_data(key, length(key), t.at, t.size, cas) != CAS_MISMATCH) return n + more;
	}
}

static void word32(struct text *t, uint32_t n) {
	char bytes[4] = {n, n >> 8, n >> 16, n >> 24};
	add(t, bytes, 4);
}

// reply sends a local reply where one is asked for at a phase.
static int reply(struct stream *s, const char *phase) {
	struct text word = {"reply@", 6}, body = {"reply from ", 11}, headers = {.size = 0};
	uint32_t n = length(phase);
	add(&word, phase, n + 1);
	if (s->replied || !has(s, word.at)) return 0;
	s->replied = 1; // the reply passes the response callbacks of this filter
	add(&body, phase, n);
	add(&body, "\n", 1);
	word32(&headers, 1), word32(&headers, 7), word32(&headers, n);
	add(&headers, TEXT("x-reply\0"));
	add(&headers, phase, n + 1);
	proxy_send_local_response(418, 0, 0, body.at, body.size, headers.at, headers.size, -1);
	return 1;
}

EXPORT(proxy_on_context_create) void on_context_create(uint32_t id, uint32_t parent) {
	struct stream *s = &streams[id % STREAMS];
	s->words.size = s->method.size = s->protocol.size = 0;
	s->replied = s->open = s->waiting = 0;
}

EXPORT(proxy_on_configure) int on_configure(uint32_t root, uint32_t size) {
	char *p;
	used = service.size = 0;
	if (size > 0 && proxy_get_buffer_bytes(CONFIGURATION, 0, size, &p, &size) == OK) add(&service, p, size);
	proxy_set_tick_period_milliseconds(50);
	proxy_register_shared_queue(TEXT("everything-c"), &queue);
	return proxy_define_metric(COUNTER, TEXT("everything_c_requests"), &requests) == OK &&
	       proxy_define_metric(GAUGE, TEXT("everything_c_open"), &open) == OK &&
	       proxy_define_metric(HISTOGRAM, TEXT("everything_c_path_bytes"), &path_bytes) == OK;
}

EXPORT(proxy_on_tick) void on_tick(uint32_t root) {
	for (uint32_t i = 0; i < STREAMS; i++) {
		uint32_t id = streams[i].waiting;
		streams[i].waiting = 0;
		if (id && proxy_set_effective_context(id) == OK) {
			proxy_replace_header_map_value(REQUEST_HEADERS, TEXT("x-waited"), TEXT("true"));
			proxy_continue_stream(REQUEST);
		}
	}
}

EXPORT(proxy_on_queue_ready) void on_queue_ready(uint32_t root, uint32_t token) {
	char *p;
	uint32_t size;
	for (used = 0; proxy_dequeue_shared_queue(token, &p, &size) == OK; used = 0) shared("taken", 1);
}

static void keep(struct text *t, const char *path, uint32_t path_size) {
	char *p;
	uint32_t size;
	if (proxy_get_property(path, path_size, &p, &size) == OK) add(t, p, size);
}

// call asks the service for a stream; 0 where it cannot.
static int call(uint32_t id) {
	struct text headers = {.size = 0};
	uint32_t token;
	word32(&headers, 3);
	word32(&headers, 7), word32(&headers, 3);
	word32(&headers, 5), word32(&headers, 7);
	word32(&headers, 10), word32(&headers, service.size);
	add(&headers, TEXT(":method\0GET\0:path\0/called\0:authority\0"));
	add(&headers, service.at, service.size);
	add(&headers, "", 1);
	if (proxy_http_call(service.at, service.size, headers.at, headers.size, 0, 0, 0, 0, 2000, &token) != OK) return 0;
	callers[token % STREAMS] = id;
	return 1;
}

EXPORT(proxy_on_request_headers) int on_request_headers(uint32_t id, uint32_t count, uint32_t end) {
	struct stream *s = &streams[id % STREAMS];
	char *p, *path = 0;
	uint32_t size, path_size = 0;
	used = 0;
	if (proxy_get_header_map_value(REQUEST_HEADERS, TEXT("x-test"), &p, &size) == OK) add(&s->words, p, size);
	if (reply(s, "request-headers")) return PAUSE;
	proxy_get_header_map_value(REQUEST_HEADERS, TEXT(":path"), &path, &path_size);
	if (has(s, "grow-request") || has(s, "buffer-request"))
		proxy_remove_header_map_value(REQUEST_HEADERS, TEXT("content-length"));
	if (has(s, "props")) {
		keep(&s->method, TEXT("request\0method"));
		keep(&s->protocol, TEXT("request\0protocol"));
		proxy_set_property(TEXT("everything"), TEXT("kept"));
	}
	if (has(s, "metrics")) {
		proxy_increment_metric(requests, 1);
		proxy_increment_metric(open, 1);
		proxy_record_metric(path_bytes, path_size);
		s->open = 1;
	}
	if (has(s, "queue")) proxy_enqueue_shared_queue(queue, path, path_size);
	if (has(s, "wait")) {
		s->waiting = id;
		return PAUSE;
	}
	return has(s, "call") && call(id) ? PAUSE : CONTINUE;
}

// It is the root that is told.
EXPORT(proxy_on_http_call_response)
void on_http_call_response(uint32_t root, uint32_t token, uint32_t headers, uint32_t body, uint32_t trailers) {
	struct text answer = {.size = 0};
	char *p;
	uint32_t size;
	used = 0;
	if (headers > 0 && proxy_get_header_map_value(CALL_HEADERS, TEXT(":status"), &p, &size) == OK)
		add(&answer, p, size);
	add(&answer, ":", 1);
	add_number(&answer, body);
	if (proxy_set_effective_context(callers[token % STREAMS]) != OK) return; // it has gone
	proxy_replace_header_map_value(REQUEST_HEADERS, TEXT("x-called"), answer.at, answer.size);
	proxy_continue_stream(REQUEST);
}

// upper makes a whole buffer upper case.
static void upper(int buffer, uint32_t size) {
	char *p;
	if (proxy_get_buffer_bytes(buffer, 0, size, &p, &size) != OK) return;
	for (uint32_t i = 0; i < size; i++)
		if (p[i] >= 'a' && p[i] <= 'z') p[i] -= 'a' - 'A';
	proxy_set_buffer_bytes(buffer, 0, size, p, size);
}

EXPORT(proxy_on_request_body) int on_request_body(uint32_t id, uint32_t size, uint32_t end) {
	struct stream *s = &streams[id % STREAMS];
	used = 0;
	if (reply(s, "request-body")) return PAUSE;
	if (has(s, "grow-request") && size > 0) {
		struct text t = {"[", 1};
		add_number(&t, size);
		add(&t, "]", 1);
		proxy_set_buffer_bytes(REQUEST, size, 0, t.at, t.size);
	}
	if (has(s, "buffer-request")) {
		if (!end) return PAUSE;
		upper(REQUEST, size);
	}
	return CONTINUE;
}

EXPORT(proxy_on_request_trailers) int on_request_trailers(uint32_t id, uint32_t count) {
	return reply(&streams[id % STREAMS], "request-trailers") ? PAUSE : CONTINUE;
}

EXPORT(proxy_on_response_headers) int on_response_headers(uint32_t id, uint32_t count, uint32_t end) {
	struct stream *s = &streams[id % STREAMS];
	used = 0;
	if (reply(s, "response-headers")) return PAUSE;
	if (has(s, "replace-response") || has(s, "stream-response"))
		proxy_remove_header_map_value(RESPONSE_HEADERS, TEXT("content-length"));
	if (has(s, "shared")) set_number("x-shared", shared("count", 1));
	if (has(s, "queue")) set_number("x-queued", shared("taken", 0));
	if (has(s, "props")) {
		struct text kept = {.size = 0};
		keep(&kept, TEXT("everything"));
		proxy_replace_header_map_value(RESPONSE_HEADERS, TEXT("x-prop-method"), s->method.at, s->method.size);
		proxy_replace_header_map_value(RESPONSE_HEADERS, TEXT("x-prop-protocol"), s->protocol.at, s->protocol.size);
		proxy_replace_header_map_value(RESPONSE_HEADERS, TEXT("x-prop-set"), kept.at, kept.size);
	}
	return CONTINUE;
}

EXPORT(proxy_on_response_body) int on_response_body(uint32_t id, uint32_t size, uint32_t end) {
	struct stream *s = &streams[id % STREAMS];
	used = 0;
	if (reply(s, "response-body")) return PAUSE;
	if (has(s, "stream-response") && size > 0) {
		struct text t = {"<", 1};
		add_number(&t, size);
		add(&t, ">", 1);
		proxy_set_buffer_bytes(RESPONSE, 0, 0, t.at, t.size);
	}
	if (has(s, "replace-response")) {
		if (!end) return PAUSE;
		struct text t = {"replaced ", 9};
		add_number(&t, size);
		add(&t, TEXT(" bytes\n"));
		proxy_set_buffer_bytes(RESPONSE, 0, size, t.at, t.size);
	}
	return CONTINUE;
}

EXPORT(proxy_on_response_trailers) int on_response_trailers(uint32_t id, uint32_t count) {
	return reply(&streams[id % STREAMS], "response-trailers") ? PAUSE : CONTINUE;
}

EXPORT(proxy_on_log) void on_log(uint32_t id) {
	struct stream *s = &streams[id % STREAMS];
	if (s->open) proxy_increment_metric(open, -1);
	s->open = s->waiting = 0;
}

EXPORT(proxy_on_downstream_data) int on_downstream_data(uint32_t id, uint32_t size, uint32_t end) {
	char *p;
	uint32_t got = 0;
	used = 0;
	if (size > 0) proxy_get_buffer_bytes(DOWNSTREAM, size - 1, 1, &p, &got);
	if (!end && (got == 0 || p[0] != '\n')) return PAUSE;
	upper(DOWNSTREAM, size);
	return CONTINUE;
}

EXPORT(proxy_on_upstream_data) int on_upstream_data(uint32_t id, uint32_t size, uint32_t end) {
	if (size > 0) proxy_set_buffer_bytes(UPSTREAM, 0, 0, TEXT("> "));
	return CONTINUE;
}
