package accesslog

import (
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

// facts are properties by their path, joined with dots.
type facts map[string]filter.Value

func (f facts) Property(path ...string) (filter.Value, bool) {
	v, ok := f[strings.Join(path, ".")]
	return v, ok
}
func (facts) SetProperty(string, []byte) {}

func headersOf(fields ...string) *filter.Headers {
	h := &filter.Headers{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

func sample() *entry {
	return &entry{
		Record: &filter.Record{
			Request:          headersOf(":method", "GET", ":path", "/a?b", ":authority", "web", "user-agent", "curl/8", "x-empty", "", "x-twice", "1", "x-twice", "2", "content-type", "application/grpc"),
			Response:         headersOf(":status", "503", "server", "me"),
			ResponseTrailers: headersOf("sum", "abc", "grpc-status", "14"),
			Status:           503, Details: "via upstream", Flags: "UF,URX", Protocol: "HTTP/1.1",
			Start: time.Date(2026, 3, 4, 15, 6, 7, 89_012_345, time.FixedZone("", 3600)), Duration: 1999 * time.Microsecond,
			BytesReceived: 5, BytesSent: 6, Route: "r", Cluster: "c", Upstream: "10.0.0.1:80", Service: "routed",
		},
		Properties: facts{"source.address": "[::1]:50000", "source.port": int64(50000), "destination.address": "127.0.0.1:20000", "connection.id": uint64(7),
			"connection.requested_server_name": "", plugins.FlagsProperty: []byte("DI")},
		constants: constants{Mesh: "m", Direction: "OUTBOUND", Source: "shop", Address: "10.0.0.9", Destination: "stock"},
	}
}

// What is wanted here is what Envoy 1.40 writes; the behaviour suite holds both to it.
func TestCommands(t *testing.T) {
	for format, want := range map[string]string{
		"%START_TIME%": "2026-03-04T14:06:07.089Z",
		"%START_TIME(%Y/%m/%d %H:%M:%S %3f %f %s %6s)%":                                                 "2026/03/04 14:06:07 089 089012345 1772633167 1772633167089012",
		"%START_TIME(%a %b %e %T %E3S %%)%":                                                             "Wed Mar  4 14:06:07 07.089 %",
		"%REQ(:METHOD)% %REQ(:path):2%":                                                                 "GET /a",
		"%REQ(X-NONE?USER-AGENT)%|%REQ(?USER-AGENT)%":                                                   "curl/8|curl/8",
		"%REQ(X-NONE)%|%REQ(X-NONE?X-NEITHER):1%":                                                       "-|-",
		"<%REQ(X-EMPTY)%>%REQ(X-TWICE)%%REQ(Host)%":                                                     "<>1web",
		"%RESP(SERVER)% %RESP(:STATUS)% %TRAILER(SUM):2%":                                               "me 503 ab",
		"%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS%":                                                   "HTTP/1.1 503 UF,DI,URX",
		"%RESPONSE_CODE_DETAILS% %GRPC_STATUS% %GRPC_STATUS_NUMBER%":                                    "via_upstream Unavailable 14",
		"%BYTES_RECEIVED% %BYTES_SENT% %DURATION%":                                                      "5 6 1",
		"%ROUTE_NAME% %UPSTREAM_HOST% %UPSTREAM_CLUSTER%":                                               "r 10.0.0.1:80 c",
		"%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%": "[::1]:50000 ::1 50000",
		"%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%":    "127.0.0.1:20000 127.0.0.1 -",
		"%CONNECTION_ID% %REQUESTED_SERVER_NAME%":                                                       "7 -",
		"%KUMA_MESH% %KUMA_TRAFFIC_DIRECTION% %KUMA_SOURCE_SERVICE% %KUMA_DESTINATION_SERVICE%":         "m OUTBOUND shop stock",
		"%KUMA_SOURCE_ADDRESS% %KUMA_SOURCE_ADDRESS_WITHOUT_PORT%":                                      "10.0.0.9:0 10.0.0.9",
		"plain": "plain",
		"":      "",
	} {
		f, err := parseFormat(format)
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if got := string(f.line(sample())); got != want+"\n" {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
		var again strings.Builder
		for _, p := range f {
			again.WriteString(p.written())
		}
		if again.String() != format {
			t.Errorf("%s is read as %s", format, again.String())
		}
	}
}

func TestGRPCStatus(t *testing.T) {
	for _, c := range []struct {
		contentType, header string
		http                int
		want                string
	}{
		{"application/grpc", "0", 200, "OK 0"},
		{"application/grpc+proto", "16", 200, "Unauthenticated 16"},
		{"application/grpc", "17", 200, "17 17"},
		{"application/grpc", "-2", 200, "-1 -1"},
		{"application/grpc", "", 200, "Unknown 2"},
		{"application/grpc", "", 400, "Internal 13"},
		{"application/grpc", "", 401, "Unauthenticated 16"},
		{"application/grpc", "", 403, "PermissionDenied 7"},
		{"application/grpc", "", 404, "Unimplemented 12"},
		{"application/grpc", "", 429, "Unavailable 14"},
		{"application/grpc", "", 0, "- -"},
		{"application/grpc-web", "0", 200, "- -"},
		{"text/plain", "0", 200, "- -"},
	} {
		e := &entry{Properties: facts{}, Record: &filter.Record{
			Request: headersOf("content-type", c.contentType), Response: headersOf("grpc-status", c.header), Status: c.http,
		}}
		f, err := parseFormat("%GRPC_STATUS% %GRPC_STATUS_NUMBER%")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(string(f.line(e)), "\n"); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestAbsent(t *testing.T) {
	e := &entry{Record: &filter.Record{Service: "routed"}, Properties: facts{}, tcp: true}
	f, err := parseFormat("%REQ(A)% %RESP(A)% %TRAILER(A)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% %GRPC_STATUS% %KUMA_SOURCE_ADDRESS% %KUMA_DESTINATION_SERVICE%")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(f.line(e)), "- - - - 0 - - - - - - routed\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFormatIsRefused(t *testing.T) {
	for format, want := range map[string]string{
		"%": "begins no command", "100%": "begins no command", "%req(a)%": "begins no command", "%REQ(A%": "begins no command",
		"%NOBODY%": "no command that meshc has", "%REQ%": "names no header", "%PROTOCOL(x)%": "no argument",
		"%START_TIME(%Q)%": "no part of a time", "%START_TIME(%)%": "cut off", "%START_TIME(%3Y)%": "no part of a time",
		"%DYNAMIC_METADATA(a:b)%": "nothing to log", "%FILTER_STATE(k)%": "nothing to log",
	} {
		if _, err := parseFormat(format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", format, err, want)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, s := range []string{defaultHTTP, defaultTCP, "%START_TIME(%E3S %9s)%", "%REQ(A?B):3%", "%%", "%REQ(a)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := parseFormat(s)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, p := range parsed {
			again.WriteString(p.written())
		}
		other, err := parseFormat(again.String())
		if err != nil {
			t.Fatalf("%q is read as %q, which is none: %v", s, again.String(), err)
		}
		e := sample()
		if a, b := string(parsed.line(e)), string(other.line(e)); a != b {
			t.Fatalf("%q and %q of %q", a, b, s)
		}
		parsed.line(&entry{Record: &filter.Record{}, Properties: facts{}, tcp: true})
	})
}
