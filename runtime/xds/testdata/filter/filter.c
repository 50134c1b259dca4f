// The filter of the tests against a real Envoy, for HTTP and TCP. Its
// configuration is a text:
//   bad…        is refused
//   call:NAME   each request calls service NAME first; x-plugin is the :status
//   other       x-plugin of each response; for TCP, put before all that a
//               client sends
#define IMPORT(n) __attribute__((import_module("env"), import_name(#n))) int n
#define EXPORT(n) __attribute__((export_name(#n)))

IMPORT(proxy_add_header_map_value)(int map, const char *k, int kn, const char *v, int vn);
IMPORT(proxy_get_header_map_value)(int map, const char *k, int kn, char **v, int *vn);
IMPORT(proxy_get_buffer_bytes)(int buffer, int start, int max, char **p, int *n);
IMPORT(proxy_set_buffer_bytes)(int buffer, int start, int n, const char *p, int pn);
IMPORT(proxy_http_call)(const char *c, int cn, const char *h, int hn, const char *b, int bn, const char *t, int tn, int ms, int *token);
IMPORT(proxy_set_effective_context)(int id);
IMPORT(proxy_continue_stream)(int type);

enum { ids = 4096, size = 128 };
static char heap[1 << 16];
static int used;
static int parents[ids], callers[ids];
static struct { char text[size]; int n; } texts[ids];

EXPORT(malloc) void *allocate(int n) {
  if (used + n + 8 > (int)sizeof heap) used = 0;
  void *p = heap + used;
  used += (n + 7) & ~7;
  return p;
}
EXPORT(proxy_abi_version_0_2_1) void abi(void) {}

static void keep(int id, const char *p, int n) {
  texts[id % ids].n = n < size ? n : size;
  for (int i = 0; i < texts[id % ids].n; i++) texts[id % ids].text[i] = p[i];
}
static int begins(int id, const char *with) {
  int i = 0;
  for (; with[i]; i++)
    if (i >= texts[id].n || texts[id].text[i] != with[i]) return 0;
  return i;
}

EXPORT(proxy_on_context_create) void create(int id, int parent) {
  parents[id % ids] = parent;
  texts[id % ids].n = 0;
}
EXPORT(proxy_on_configure) int configure(int root, int n) {
  char *p = 0;
  if (n > 0) proxy_get_buffer_bytes(7, 0, n, &p, &n);
  keep(root, p, n);
  return !begins(root, "bad");
}

// headers are :authority x, :method GET, :path / as pairs.
static const char headers[] = "\3\0\0\0" "\12\0\0\0\1\0\0\0" "\7\0\0\0\3\0\0\0" "\5\0\0\0\1\0\0\0"
                              ":authority\0x\0" ":method\0GET\0" ":path\0/";

EXPORT(proxy_on_request_headers) int request(int id, int n, int end) {
  int root = parents[id % ids], at = begins(root, "call:"), token = 0;
  if (!at) return 0;
  if (proxy_http_call(texts[root].text + at, texts[root].n - at, headers, sizeof headers, 0, 0, "\0\0\0\0", 4, 5000, &token)) {
    keep(id, "refused", 7);
    return 0;
  }
  callers[token % ids] = id;
  return 1;
}
EXPORT(proxy_on_http_call_response) void called(int root, int token, int n, int body, int trailers) {
  char *p = 0;
  int id = callers[token % ids];
  proxy_get_header_map_value(6, ":status", 7, &p, &n);
  keep(id, p, n);
  proxy_set_effective_context(id);
  proxy_continue_stream(0);
}
EXPORT(proxy_on_response_headers) int response(int id, int n, int end) {
  int from = texts[id % ids].n ? id % ids : parents[id % ids];
  proxy_add_header_map_value(2, "x-plugin", 8, texts[from].text, texts[from].n);
  return 0;
}
EXPORT(proxy_on_downstream_data) int data(int id, int n, int end) {
  int root = parents[id % ids];
  if (n > 0) proxy_set_buffer_bytes(2, 0, 0, texts[root].text, texts[root].n);
  return 0;
}
