package faultinjection

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/meshc/meshc/plugins"
	"github.com/meshc/meshc/runtime/filter"
)

func TestResolve(t *testing.T) {
	for _, c := range []struct{ name, conf, want, wrong string }{
		{"all", `{"delay":{"percentage":50.5,"value":"5s"},"abort":{"percentage":0.0001,"httpStatus":500},"responseBandwidth":{"percentage":100,"limit":"50 mbps"}}`,
			`{"cluster":"c","delay":{"perMillion":505000,"time":"5s"},"abort":{"perMillion":1,"status":500},"responseBandwidth":{"perMillion":1000000,"kibPerSecond":6104}}`, ""},
		{"bits and not bytes", `{"responseBandwidth":{"percentage":100,"limit":"1gbps"}}`, `{"cluster":"c","responseBandwidth":{"perMillion":1000000,"kibPerSecond":122070}}`, ""},
		{"kilo is a thousand", `{"responseBandwidth":{"percentage":100,"limit":"1024 kbps"}}`, `{"cluster":"c","responseBandwidth":{"perMillion":1000000,"kibPerSecond":125}}`, ""},
		{"never", `{"delay":{"percentage":0,"value":"5s"},"abort":{"percentage":0,"httpStatus":500}}`, "", ""},
		{"no delay", `{"delay":{"percentage":100,"value":"0s"},"abort":{"percentage":33.3333,"httpStatus":418}}`, `{"cluster":"c","abort":{"perMillion":333333,"status":418}}`, ""},
		{"too slow", `{"responseBandwidth":{"percentage":100,"limit":"8 kbps"}}`, "", "conf.responseBandwidth.limit"},
		{"no end", `{"abort":{"percentage":100,"httpStatus":101}}`, "", "conf.abort.httpStatus"},
	} {
		r := resolve(plugins.Attachment{Policy: `{"type":"FaultInjection","conf":` + c.conf + `}`, Cluster: "c"})
		if r.Config != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, r.Config, c.want)
		}
		wrong := ""
		for _, w := range r.Wrong {
			for _, p := range w.Path {
				wrong += "." + p.(string)
			}
		}
		if strings.TrimPrefix(wrong, ".") != c.wrong {
			t.Errorf("%s: wrong at %q, want %q", c.name, wrong, c.wrong)
		}
		if r.Config == "" {
			continue
		}
		if found := check(plugins.Use{Config: r.Config}); len(found) > 0 {
			t.Errorf("%s: its own configuration is refused: %v", c.name, found)
		}
	}
}

func TestEnvoy(t *testing.T) {
	e, err := envoy(plugins.Use{Config: `{"cluster":"c","delay":{"perMillion":505000,"time":"1500ms"},"abort":{"perMillion":1,"status":500},"responseBandwidth":{"perMillion":1000000,"kibPerSecond":6104}}`})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(prototext.MarshalOptions{Multiline: false}.Format(e.Filter)), " ")
	for _, want := range []string{
		`upstream_cluster:"c"`, `fixed_delay:{seconds:1 nanos:500000000} percentage:{numerator:505000 denominator:MILLION}`,
		`http_status:500 percentage:{numerator:1 denominator:MILLION}`, `limit_kbps:6104`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, text := range []string{
		"", "[]", `{"delay":{"perMillion":1,"time":"-1s"}}`, `{"abort":{"perMillion":1000001,"status":500}}`,
		`{"abort":{"perMillion":1,"status":100}}`, `{"responseBandwidth":{"perMillion":1,"kibPerSecond":0}}`,
	} {
		if len(check(plugins.Use{Config: text})) == 0 {
			t.Errorf("%s is taken", text)
		}
	}
}

// stream is one that notes what is asked of it. One thing at a time is done in
// it, as in a worker; a test that has timers run uses Post as they do.
type stream struct {
	worker sync.Mutex
	filter.Stream
	cluster   string
	kept      map[string]string
	reply     *filter.Reply
	held      *filter.Buffer
	passed    int
	continued chan filter.Direction
}

func (s *stream) Property(path ...string) (filter.Value, bool) {
	if strings.Join(path, ".") == "xds.cluster_name" {
		return s.cluster, s.cluster != ""
	}
	v, ok := s.kept[path[0]]
	return []byte(v), ok
}
func (s *stream) SetProperty(path string, v []byte) { s.kept[path] = string(v) }
func (s *stream) Reply(r filter.Reply) bool         { s.reply = &r; return true }
func (s *stream) Post(f func()) bool {
	s.worker.Lock()
	defer s.worker.Unlock()
	f()
	return true
}
func (s *stream) Continue(d filter.Direction) { s.continued <- d }
func (s *stream) Held(filter.Direction) *filter.Buffer {
	return s.held
}
func (s *stream) Pass(_ filter.Direction, n int) {
	s.passed += n
	s.held.View(s.held.Bytes()[n:])
}

// newFault returns the filter of a stream to a cluster whose dice show numbers.
func newFault(t *testing.T, config, cluster string, numbers ...uint32) (*fault, *stream) {
	t.Helper()
	c, err := parse(config)
	if err != nil {
		t.Fatal(err)
	}
	f := &factory{config: c, dice: func(n uint32) uint32 {
		if n != 1_000_000 || len(numbers) == 0 {
			t.Fatalf("a dice of %d with %d numbers left", n, len(numbers))
		}
		first := numbers[0]
		numbers = numbers[1:]
		return first
	}}
	s := &stream{cluster: cluster, kept: map[string]string{}, continued: make(chan filter.Direction, 1)}
	return f.HTTP(s).(*fault), s
}

func TestShareIsExact(t *testing.T) {
	const config = `{"abort":{"perMillion":505000,"status":503}}`
	f, s := newFault(t, config, "", 504_999)
	if f.RequestHeaders(nil, true) != filter.HeadersStopAll || s.reply == nil || s.reply.Status != 503 || s.kept[plugins.FlagsProperty] != "FI" {
		t.Errorf("504999 of a million was let through: %+v", s.reply)
	}
	f, s = newFault(t, config, "", 505_000)
	if f.RequestHeaders(nil, true) != filter.HeadersContinue || s.reply != nil {
		t.Errorf("505000 of a million was aborted: %+v", s.reply)
	}
}

func TestOtherTargets(t *testing.T) {
	const config = `{"cluster":"web{v=1}","abort":{"perMillion":1000000,"status":503}}`
	for cluster, hit := range map[string]bool{"web{v=1}": true, "web{v=2}": false, "": false} {
		f, s := newFault(t, config, cluster, 0)
		f.RequestHeaders(nil, true)
		if (s.reply != nil) != hit {
			t.Errorf("a request to %q: %+v", cluster, s.reply)
		}
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const config = `{"delay":{"perMillion":1000000,"time":"1ms"},"abort":{"perMillion":1,"status":503}}`
		f, s := newFault(t, config, "", 0, 1)
		var action filter.HeadersStatus
		s.Post(func() { action = f.RequestHeaders(nil, true) })
		if action != filter.HeadersStopAll {
			t.Fatal("a request to be delayed goes on")
		}
		if d := <-s.continued; d != filter.Request || s.reply != nil || s.kept[plugins.FlagsProperty] != "DI" {
			t.Errorf("continued %v, flags %q", d, s.kept[plugins.FlagsProperty])
		}
		f.Done()
	})
}

// A response of 300 KiB at 1 MiB/s: 51 KiB at once, the rest in small pieces.
func TestLimiter(t *testing.T) {
	start := time.Now()
	l := newLimiter(1024, start)
	if l.takeAll(300<<10, start) {
		t.Error("all was sent at once")
	}
	sent := l.take(300<<10, start)
	if sent != 1<<20/20 {
		t.Errorf("%d bytes at once", sent)
	}
	ticks := 0
	for ; sent < 300<<10; ticks++ {
		sent += l.take(300<<10-sent, start.Add(time.Duration(ticks+1)*interval))
	}
	if ticks != 5 {
		t.Errorf("took %d intervals, want 5", ticks)
	}
	if n := l.take(1<<30, start.Add(time.Hour)); n != 1<<20 {
		t.Errorf("after an hour %d bytes went at once, want those of a second", n)
	}
}

func TestResponseIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFault(t, `{"responseBandwidth":{"perMillion":1000000,"kibPerSecond":1000}}`, "", 0)
		if f.RequestHeaders(nil, true) != filter.HeadersContinue {
			t.Fatal("the request stops")
		}
		s.held = &filter.Buffer{}
		s.held.View(make([]byte, 200<<10))
		begun := time.Now()
		s.Post(func() {
			if f.ResponseData(s.held, true) != filter.DataStopAndWatermark {
				t.Error("all goes at once")
			}
			if f.ResponseTrailers(nil) != filter.TrailersStop {
				t.Error("trailers go before the body")
			}
		})
		if d := <-s.continued; d != filter.Response {
			t.Errorf("continued %v", d)
		}
		// 200 KiB less the 50 of the first interval.
		if took := time.Since(begun); took < 140*time.Millisecond || s.passed == 0 {
			t.Errorf("the response took %v, of which %d bytes came before the end", took, s.passed)
		}
		f.Done()
	})
}
