package tracing

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

func headersOf(fields ...string) *filter.Headers {
	h := &filter.Headers{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

const (
	long  = "463ac35c9f6413ad48485a3953bb6124"
	short = "48485a3953bb6124"
	span  = "a2fb4a1d1a96d312"
	other = "0020000000000001"
)

func TestExtract(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		want    string // trace, span, parent, sampled
	}{
		"multi":             {[]string{"x-b3-traceid", long, "x-b3-spanid", span, "x-b3-parentspanid", other, "x-b3-sampled", "1"}, long + " " + span + " " + other + " true"},
		"multi, undecided":  {[]string{"x-b3-traceid", short, "x-b3-spanid", span}, short + " " + span + " - -"},
		"single":            {[]string{"b3", long + "-" + span + "-0-" + other}, long + " " + span + " " + other + " false"},
		"single, undecided": {[]string{"b3", short + "-" + span}, short + " " + span + " - -"},
		"debug":             {[]string{"b3", short + "-" + span + "-d"}, short + " " + span + " - true"},
		"w3c":               {[]string{"traceparent", "00-" + long + "-" + span + "-01"}, long + " " + span + " - true"},
		"w3c, not sampled":  {[]string{"traceparent", "00-" + long + "-" + span + "-00"}, long + " " + span + " - false"},
		"b3 before w3c":     {[]string{"traceparent", "00-" + long + "-" + other + "-01", "b3", short + "-" + span + "-0"}, short + " " + span + " - false"},
		"no context":        {[]string{"x-b3-sampled", "0"}, ""},
		"only a decision":   {[]string{"b3", "0"}, ""},
		"no hexadecimal":    {[]string{"x-b3-traceid", "zz485a3953bb6124", "x-b3-spanid", span}, ""},
		"no span":           {[]string{"x-b3-traceid", short}, ""},
		"zero":              {[]string{"traceparent", "00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, ""},
		"cut off":           {[]string{"traceparent", "00-" + long + "-" + span}, ""},
	} {
		got := ""
		if s, ok := extract(headersOf(c.headers...)); ok {
			parent, sampled := "-", "-"
			if s.ParentID != nil {
				parent = s.ParentID.String()
			}
			if s.Sampled != nil {
				sampled = map[bool]string{true: "true", false: "false"}[*s.Sampled]
			}
			got = s.TraceID.String() + " " + s.ID.String() + " " + parent + " " + sampled
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(long+"-"+span+"-0-"+other, "00-"+long+"-"+span+"-01", short)
	f.Fuzz(func(t *testing.T, b3, parent, trace string) {
		if c, ok := extract(headersOf("b3", b3, "traceparent", parent, "x-b3-traceid", trace, "x-b3-spanid", span)); ok {
			h := &filter.Headers{}
			inject(c, h)
			again, ok := extract(h)
			if !ok || again.TraceID != c.TraceID || again.ID != c.ID {
				t.Fatalf("%+v is passed on as %+v", c, again)
			}
		}
	})
}

// stream is one without any properties.
type stream struct{ filter.Stream }

func (stream) Property(path ...string) (filter.Value, bool) {
	if strings.Join(path, ".") == "source.address" {
		return "10.0.0.7:4000", true
	}
	return nil, false
}

func TestSpans(t *testing.T) {
	bodies := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies <- r.URL.Path + " " + string(b)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	mesh := `{"tracing":{"defaultBackend":"z","backends":[{"name":"z","type":"zipkin","conf":{"url":"` + server.URL + `/api/v2/spans"}},
		{"name":"never","type":"zipkin","sampling":0,"conf":{"url":"` + server.URL + `/never"}},{"name":"tls","type":"zipkin","conf":{"url":"https://z:9411/x"}}]}}`
	at := plugins.Attachment{Policy: `{}`, Mesh: mesh, Service: "shop", Direction: "outbound"}
	r := resolve(at)
	if len(r.Calls) != 1 || "http://"+r.Calls[0] != server.URL {
		t.Fatalf("calls %v", r.Calls)
	}
	if text := prototext.Format(must(envoy(plugins.Use{Config: r.Config})).Tracing); !strings.Contains(text, "call@"+r.Calls[0]) || !strings.Contains(text, "/api/v2/spans") {
		t.Errorf("Envoy: %s", text)
	}
	at.Policy = `{"conf":{"backend":"tls"}}`
	if r := resolve(at); len(r.Wrong) != 1 || r.Config != "" {
		t.Errorf("a collector over https: %+v", r)
	}
	at.Policy, at.Direction = `{"conf":{"backend":"never"}}`, "inbound"
	never := resolve(at).Config

	m := newMaker(plugins.Process{Log: slog.New(slog.DiscardHandler)})
	request := func(config string, h *filter.Headers) *filter.Headers {
		f, err := m.New(t.Context(), plugins.Use{Config: config})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s := f.HTTP(stream{})
		s.RequestHeaders(h, true)
		s.Log(&filter.Record{Request: h, Status: 503, Flags: "UF", Protocol: "HTTP/1.1", Cluster: "stock", Start: time.Now(), Duration: time.Millisecond})
		return h
	}
	h := request(r.Config, headersOf(":method", "GET", ":path", "/a", ":authority", "stock", "x-forwarded-proto", "http", "x-b3-traceid", short, "x-b3-spanid", span, "x-b3-sampled", "1"))
	if h.Value("x-b3-traceid") != short || h.Value("x-b3-parentspanid") != span || h.Value("x-b3-sampled") != "1" ||
		h.Value("traceparent") != "00-0000000000000000"+short+"-"+h.Value("x-b3-spanid")+"-01" {
		t.Errorf("the context is not passed on: %v", h)
	}
	// A server's span is its caller's where they share it.
	h = request(never, headersOf(":authority", "shop", "x-b3-traceid", short, "x-b3-spanid", span, "x-b3-sampled", "0"))
	if h.Value("x-b3-spanid") != span || h.Value("x-b3-sampled") != "0" {
		t.Errorf("the span is not shared: %v", h)
	}
	if h = request(never, headersOf(":authority", "shop")); h.Value("x-b3-sampled") != "0" || len(h.Value("x-b3-traceid")) != 16 {
		t.Errorf("a trace that is not sampled: %v", h)
	}
	m.Close()
	close(bodies)
	var all []string
	for b := range bodies {
		all = append(all, b)
	}
	if len(all) != 1 {
		t.Fatalf("%d batches: %q", len(all), all)
	}
	path, body, _ := strings.Cut(all[0], " ")
	var spans []struct {
		TraceID, ParentID, Kind, Name string
		LocalEndpoint                 struct{ ServiceName string }
		Tags                          map[string]string
	}
	if err := json.Unmarshal([]byte(body), &spans); err != nil || len(spans) != 1 || path != "/api/v2/spans" {
		t.Fatalf("%s %s: %v", path, body, err)
	}
	s := spans[0]
	if s.TraceID != short || s.ParentID != span || s.Kind != "CLIENT" || s.Name != "stock" || s.LocalEndpoint.ServiceName != "shop" {
		t.Errorf("%+v", s)
	}
	for name, want := range map[string]string{"http.url": "http://stock/a", "http.status_code": "503", "error": "true", "response_flags": "UF", "peer.address": "10.0.0.7", "upstream_cluster": "stock"} {
		if s.Tags[name] != want {
			t.Errorf("%s is %q, want %q", name, s.Tags[name], want)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestConfigIsChecked(t *testing.T) {
	for _, text := range []string{"", `{"url":"https://a:1/"}`, `{"url":"http://a/"}`, `{"url":"http://a:1/","perMillion":1000001}`} {
		if len(check(plugins.Use{Config: text})) == 0 {
			t.Errorf("%s is taken", text)
		}
	}
}
