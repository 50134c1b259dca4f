package accesslog

import (
	"bufio"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

const meshJSON = `{"type":"Mesh","name":"m","logging":{"defaultBackend":"file","backends":[
	{"name":"file","type":"file","conf":{"path":"/tmp/log"}},
	{"name":"tcp","type":"tcp","format":"%KUMA_SOURCE_SERVICE% %KUMA_DESTINATION_SERVICE% %REQ(A?B):3%","conf":{"address":"logs:9000"}},
	{"name":"bad","type":"file","format":"%NOBODY%","conf":{"path":"/tmp/log"}}]}}`

func TestResolve(t *testing.T) {
	at := plugins.Attachment{Mesh: meshJSON, MeshName: "m", Service: "shop", Address: "10.0.0.9", Direction: "outbound", Destination: "stock"}
	resolved := func(policy string, a plugins.Attachment) plugins.Resolved {
		a.Policy = policy
		return resolve(a)
	}
	c, f, err := parseConfig(resolved(`{}`, at).Config)
	if err != nil || c.File != "/tmp/log" || c.Format != defaultHTTP || len(f) == 0 || c.constants != (constants{"m", "OUTBOUND", "shop", "10.0.0.9", "stock"}) {
		t.Errorf("the default backend: %+v, %v", c, err)
	}
	at.TCP = true
	if c, _, _ := parseConfig(resolved(`{}`, at).Config); c.Format != defaultTCP {
		t.Errorf("the format of connections: %s", c.Format)
	}
	gateway := plugins.Attachment{Mesh: meshJSON, MeshName: "m", Service: "gateway", Direction: "gateway"}
	if c, _, err := parseConfig(resolved(`{"conf":{"backend":"tcp"}}`, gateway).Config); err != nil || c.TCP != "logs:9000" || c.Direction != "UNSPECIFIED" {
		t.Errorf("at the gateway: %+v, %v", c, err)
	}
	if r := resolved(`{"conf":{"backend":"bad"}}`, at); r.Config != "" || len(r.Wrong) != 1 || !r.Wrong[0].InMesh || r.Wrong[0].Path[2] != 2 {
		t.Errorf("an unknown command: %+v", r)
	}
	for _, r := range []plugins.Resolved{resolved(`{"conf":{"backend":"none"}}`, at), resolved(`{}`, plugins.Attachment{})} {
		if r.Config != "" || r.Wrong != nil {
			t.Errorf("no backend: %+v", r)
		}
	}
}

func text(t *testing.T, u plugins.Use) string {
	t.Helper()
	e, err := envoy(u)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(prototext.Format(e.AccessLog)), " ")
}

func TestEnvoy(t *testing.T) {
	file := text(t, plugins.Use{Config: `{"file":"/tmp/log","format":"%KUMA_MESH% %REQ(A?B):3% %KUMA_SOURCE_ADDRESS% %KUMA_DESTINATION_SERVICE%","mesh":"m","direction":"OUTBOUND","source":"shop","destination":"stock"}`})
	if want := `inline_string:"m %REQ(A?B):3% - stock\n"`; !strings.Contains(strings.ReplaceAll(file, ": ", ":"), want) {
		t.Errorf("%s lacks %s", file, want)
	}
	gateway := text(t, plugins.Use{Config: `{"file":"/tmp/log","format":"%KUMA_DESTINATION_SERVICE%","mesh":"m","direction":"UNSPECIFIED","source":"gateway"}`})
	if !strings.Contains(gateway, serviceMetadata) {
		t.Errorf("%s lacks the service of the route", gateway)
	}
	for tcp, want := range map[bool]string{false: "HttpGrpc", true: "TcpGrpc"} {
		e, err := envoy(plugins.Use{TCP: tcp, Config: `{"tcp":"logs:9000","format":"a %REQ(A)%","mesh":"m","direction":"OUTBOUND","source":"shop"}`})
		if err != nil || !strings.Contains(string(e.AccessLog.ProtoReflect().Descriptor().FullName()), want) {
			t.Errorf("tcp %t: %v, %v", tcp, e.AccessLog, err)
		}
	}
}

func TestReceiver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := NewReceiver(slog.New(slog.DiscardHandler))
	defer r.Close()
	name := `{"tcp":"` + l.Addr().String() + `","format":"%KUMA_MESH% [%REQ(A)%] %REQ(B)%","mesh":"m","direction":"OUTBOUND","source":"shop"}`
	message := &alsv3.StreamAccessLogsMessage{LogEntries: &alsv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: &alsv3.StreamAccessLogsMessage_HTTPAccessLogEntries{
		LogEntry: []*datav3.HTTPAccessLogEntry{{CommonProperties: &datav3.AccessLogCommon{CustomTags: map[string]string{"0": "m", "2": "x"}}}},
	}}}
	for _, strange := range []string{"", "x", name} { // of which nobody has said that it may be
		if r.Receive(t.Context(), strange, message) == nil {
			t.Errorf("entries are taken under the name %q", strange)
		}
	}
	r.Allow([]string{`{"file":"/tmp/x","format":""}`, name})
	if err := r.Receive(t.Context(), name, message); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "m [x] -\n" {
		t.Errorf("%q, %v", line, err)
	}
	r.Allow(nil)
	if r.Receive(t.Context(), name, message) == nil {
		t.Error("entries are taken for a backend that is gone")
	}
}

func TestFilter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	m := open(plugins.Process{Log: slog.New(slog.DiscardHandler)})
	defer m.Close()
	f, err := m.New(t.Context(), plugins.Use{Config: `{"file":"` + path + `","format":"%KUMA_MESH% %RESPONSE_CODE% %REQ(A)%","mesh":"m","direction":"OUTBOUND","source":"shop"}`})
	if err != nil {
		t.Fatal(err)
	}
	f.HTTP(nil).Log(&filter.Record{Status: 200, Request: headersOf("a", "b")})
	f.TCP(nil).Log(&filter.Record{})
	f.Close()
	eventually(t, "both lines", func() bool { return content(path) == "m 200 b\nm 0 -\n" })
	if _, err := m.New(t.Context(), plugins.Use{Config: `{}`}); err == nil {
		t.Error("a configuration without a target is taken")
	}
}
