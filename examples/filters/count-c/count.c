// Counts requests, and tells the client where it was seen from: a filter in C
// with no library at all, in less than two kilobytes.
//
// The functions that a host calls are exported under the names of Proxy-Wasm
// ABI 0.2.1; those of the host are imported from the module "env".

#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))

enum { OK = 0 };                           // statuses: all others are failures
enum { CONTINUE = 0 };                     // actions
enum { RESPONSE_HEADERS = 2 };             // maps
enum { COUNTER = 0, GAUGE, HISTOGRAM };    // metrics
enum { LOG_INFO = 2, LOG_ERROR = 4 };      // log levels

IMPORT(proxy_log) int32_t proxy_log(int32_t level, const char *text, uint32_t size);
IMPORT(proxy_define_metric)
int32_t proxy_define_metric(int32_t kind, const char *name, uint32_t size, uint32_t *id);
IMPORT(proxy_increment_metric) int32_t proxy_increment_metric(uint32_t id, int64_t by);
IMPORT(proxy_record_metric) int32_t proxy_record_metric(uint32_t id, uint64_t value);
IMPORT(proxy_get_metric) int32_t proxy_get_metric(uint32_t id, uint64_t *value);
IMPORT(proxy_get_property)
int32_t proxy_get_property(const char *path, uint32_t size, char **value, uint32_t *value_size);
IMPORT(proxy_replace_header_map_value)
int32_t proxy_replace_header_map_value(int32_t map, const char *name, uint32_t name_size,
                                       const char *value, uint32_t value_size);

// A text that is known when this is compiled, and its size without the NUL.
#define TEXT(s) s, sizeof(s) - 1

EXPORT(proxy_abi_version_0_2_1) void abi_version(void) {}

// The host puts what it returns where malloc says. It is used up when a callback
// returns, so each callback starts with all of the room again: nothing to free.
static _Alignas(8) char room[16 << 10];
static uint32_t used;

EXPORT(malloc) void *allocate(uint32_t size) {
	uint32_t rounded = (size + 7) & ~7u;
	if (rounded < size || rounded > sizeof room - used) {
		return 0; // the host's call then fails, and the filter goes on without
	}
	void *at = room + used;
	used += rounded;
	return at;
}

static uint32_t requests, open, sizes; // ids of the metrics

// A metric that exists is found by its name, so several roots may define it.
EXPORT(proxy_on_configure) int32_t on_configure(uint32_t root, uint32_t size) {
	if (proxy_define_metric(COUNTER, TEXT("count_requests"), &requests) != OK ||
	    proxy_define_metric(GAUGE, TEXT("count_open"), &open) != OK ||
	    proxy_define_metric(HISTOGRAM, TEXT("count_request_bytes"), &sizes) != OK) {
		proxy_log(LOG_ERROR, TEXT("count: cannot define its metrics"));
		return 0; // refuses the configuration
	}
	proxy_log(LOG_INFO, TEXT("count: ready"));
	return 1;
}

// A root has no parent, a stream has. Where a filter before this one answers the
// client itself, this is called only just before on_log.
EXPORT(proxy_on_context_create) void on_context_create(uint32_t id, uint32_t parent) {
	if (parent != 0) proxy_increment_metric(open, 1);
}

EXPORT(proxy_on_request_headers) int32_t on_request_headers(uint32_t id, uint32_t count, uint32_t end) {
	proxy_increment_metric(requests, 1);
	return CONTINUE;
}

// Writes number in decimal so that it ends before end; the place where it starts.
static char *decimal(char *end, uint64_t number) {
	do {
		*--end = '0' + number % 10;
		number /= 10;
	} while (number > 0);
	return end;
}

EXPORT(proxy_on_response_headers) int32_t on_response_headers(uint32_t id, uint32_t count, uint32_t end) {
	used = 0;

	uint64_t total;
	if (proxy_get_metric(requests, &total) == OK) {
		char digits[20];
		char *last = digits + sizeof digits, *first = decimal(last, total);
		proxy_replace_header_map_value(RESPONSE_HEADERS, TEXT("x-request-count"), first, last - first);
	}

	// The segments of a path have one NUL between them.
	char *address;
	uint32_t size;
	if (proxy_get_property(TEXT("source\0address"), &address, &size) == OK) {
		proxy_replace_header_map_value(RESPONSE_HEADERS, TEXT("x-seen-from"), address, size);
	}
	return CONTINUE;
}

// The last callback with a stream's properties. It is called for every stream,
// also for one that another filter answered before its headers came here.
EXPORT(proxy_on_log) void on_log(uint32_t id) {
	used = 0;
	proxy_increment_metric(open, -1);

	char *value;
	uint32_t size;
	if (proxy_get_property(TEXT("request\0total_size"), &value, &size) == OK && size == 8) {
		uint64_t bytes; // little-endian, as wasm is
		__builtin_memcpy(&bytes, value, sizeof bytes);
		proxy_record_metric(sizes, bytes);
	}
}
