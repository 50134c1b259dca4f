package filter_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/meshc/meshc/runtime/filter"
)

// script is a filter whose every callback is a function; those that are nil
// continue. It notes what it was shown.
type script struct {
	filter.PassThrough
	name   string
	log    *[]string
	stream filter.Stream

	reqHeaders, respHeaders   func(*script, *filter.Headers, bool) filter.HeadersStatus
	reqData, respData         func(*script, *filter.Buffer, bool) filter.DataStatus
	reqTrailers, respTrailers func(*script, *filter.Headers) filter.TrailersStatus
}

func (s *script) note(format string, args ...any) {
	*s.log = append(*s.log, s.name+" "+fmt.Sprintf(format, args...))
}

func (s *script) RequestHeaders(h *filter.Headers, end bool) filter.HeadersStatus {
	s.note("request headers %v", end)
	if s.reqHeaders == nil {
		return filter.HeadersContinue
	}
	return s.reqHeaders(s, h, end)
}

func (s *script) ResponseHeaders(h *filter.Headers, end bool) filter.HeadersStatus {
	s.note("response headers %s %v", h.Value(":status"), end)
	if s.respHeaders == nil {
		return filter.HeadersContinue
	}
	return s.respHeaders(s, h, end)
}

func (s *script) RequestData(b *filter.Buffer, end bool) filter.DataStatus {
	s.note("request data %q %v", b.Bytes(), end)
	if s.reqData == nil {
		return filter.DataContinue
	}
	return s.reqData(s, b, end)
}

func (s *script) ResponseData(b *filter.Buffer, end bool) filter.DataStatus {
	s.note("response data %q %v", b.Bytes(), end)
	if s.respData == nil {
		return filter.DataContinue
	}
	return s.respData(s, b, end)
}

func (s *script) RequestTrailers(t *filter.Headers) filter.TrailersStatus {
	s.note("request trailers %d", t.Len())
	if s.reqTrailers == nil {
		return filter.TrailersContinue
	}
	return s.reqTrailers(s, t)
}

func (s *script) ResponseTrailers(t *filter.Headers) filter.TrailersStatus {
	s.note("response trailers %d", t.Len())
	if s.respTrailers == nil {
		return filter.TrailersContinue
	}
	return s.respTrailers(s, t)
}

func (s *script) Log(*filter.Record) { s.note("log") }
func (s *script) Done()              { s.note("done") }

// factory hands out one script.
type factory struct{ s *script }

func (f factory) HTTP(st filter.Stream) filter.HTTP {
	if f.s == nil {
		return nil
	}
	f.s.stream = st
	return f.s
}
func (f factory) TCP(filter.Conn) filter.TCP { return nil }
func (f factory) Close()                     {}

// rig is a chain with a host that notes what it is told.
type rig struct {
	chain     *filter.Chain
	worker    *filter.Worker // nil for one of its own
	log       []string
	woken     [2]chan struct{}
	abandoned bool
	cleared   int
	panics    int
}

func newRig(t *testing.T, limit int, scripts ...*script) *rig {
	t.Helper()
	return newRigOn(nil, limit, scripts...)
}

// newRigOn makes a chain that is bound to w.
func newRigOn(w *filter.Worker, limit int, scripts ...*script) *rig {
	r := &rig{worker: w}
	for d := range r.woken {
		r.woken[d] = make(chan struct{}, 1)
	}
	var factories []filter.Factory
	for i, s := range scripts {
		s.log, s.name = &r.log, string(rune('A'+i))
		factories = append(factories, factory{s})
	}
	r.chain = filter.NewChain(r, r.worker, limit, factories)
	return r
}

func (r *rig) Property(path []string) (filter.Value, bool) {
	if len(path) == 1 && path[0] == "built-in" {
		return "fixed", true
	}
	return nil, false
}
func (r *rig) ClearRoute() { r.cleared++ }
func (r *rig) Wake(d filter.Direction) {
	select {
	case r.woken[d] <- struct{}{}:
	default:
	}
}
func (r *rig) Abandon()             { r.abandoned = true }
func (r *rig) Panicked(any, []byte) { r.panics++ }

// take writes down what leaves the chain in direction d.
func (r *rig) take(d filter.Direction) string {
	o, ok := r.chain.Take(d)
	if !ok {
		return "-"
	}
	var b strings.Builder
	if o.Headers != nil {
		b.WriteString("headers")
		if s, ok := o.Headers.Get(":status"); ok {
			b.WriteString(":" + s)
		}
		b.WriteString(" ")
	}
	if len(o.Data) > 0 {
		fmt.Fprintf(&b, "data:%s ", o.Data)
	}
	if o.Trailers != nil {
		fmt.Fprintf(&b, "trailers:%d ", o.Trailers.Len())
	}
	if o.End {
		b.WriteString("end")
	}
	return strings.TrimSpace(b.String())
}

func (r *rig) wants(t *testing.T, d filter.Direction, want string) {
	t.Helper()
	if got := r.take(d); got != want {
		t.Errorf("out of the chain came %q, want %q\nlog:\n%s", got, want, strings.Join(r.log, "\n"))
	}
}

func (r *rig) logged(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(r.log, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("callbacks:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func request() *filter.Headers {
	h := &filter.Headers{}
	h.Add(":method", "POST")
	h.Add(":path", "/")
	return h
}

func response() *filter.Headers {
	h := &filter.Headers{}
	h.Add(":status", "200")
	return h
}

const (
	req  = filter.Request
	resp = filter.Response
)

func TestNoFilterNoChain(t *testing.T) {
	if c := filter.NewChain(&rig{}, nil, 0, []filter.Factory{factory{}, factory{}}); c != nil {
		t.Error("a chain of filters that take no part is not nil")
	}
}

func TestOrderOfCallbacks(t *testing.T) {
	r := newRig(t, 0, &script{}, &script{})
	r.chain.Headers(req, request(), false)
	r.wants(t, req, "headers")
	r.chain.Data(req, []byte("x"), false)
	r.wants(t, req, "data:x")
	r.chain.Data(req, nil, true)
	r.wants(t, req, "end")
	r.chain.Headers(resp, response(), false)
	r.chain.Data(resp, []byte("y"), false)
	trailers := &filter.Headers{}
	trailers.Add("sum", "1")
	r.chain.Trailers(resp, trailers)
	r.wants(t, resp, "headers:200 data:y trailers:1 end")
	r.chain.End(&filter.Record{})
	r.logged(t,
		"A request headers false", "B request headers false",
		`A request data "x" false`, `B request data "x" false`,
		`A request data "" true`, `B request data "" true`,
		"B response headers 200 false", "A response headers 200 false",
		`B response data "y" false`, `A response data "y" false`,
		"B response trailers 1", "A response trailers 1",
		"A log", "B log", "A done", "B done")
}

func TestHeadersStop(t *testing.T) {
	t.Run("body goes on arriving and a continue on it lets the headers go", func(t *testing.T) {
		a := &script{reqHeaders: stopHeaders(filter.HeadersStop)}
		r := newRig(t, 0, a, &script{})
		r.chain.Headers(req, request(), false)
		r.wants(t, req, "-")
		r.chain.Data(req, []byte("x"), false)
		r.wants(t, req, "headers data:x")
		r.logged(t, "A request headers false", `A request data "x" false`, "B request headers false", `B request data "x" false`)
	})
	t.Run("without body it waits for Continue", func(t *testing.T) {
		a := &script{reqHeaders: stopHeaders(filter.HeadersStop)}
		r := newRig(t, 0, a, &script{})
		r.chain.Headers(req, request(), true)
		r.wants(t, req, "-")
		a.stream.Continue(req)
		r.wants(t, req, "headers end")
	})
	t.Run("trailers let everything held go", func(t *testing.T) {
		a := &script{
			reqHeaders: stopHeaders(filter.HeadersStop),
			reqData:    func(*script, *filter.Buffer, bool) filter.DataStatus { return filter.DataStopAndBuffer },
		}
		r := newRig(t, 0, a, &script{})
		r.chain.Headers(req, request(), false)
		r.chain.Data(req, []byte("x"), false)
		r.wants(t, req, "-")
		trailers := request()
		r.chain.Trailers(req, trailers)
		r.wants(t, req, "headers data:x trailers:2 end")
	})
}

func stopHeaders(status filter.HeadersStatus) func(*script, *filter.Headers, bool) filter.HeadersStatus {
	return func(*script, *filter.Headers, bool) filter.HeadersStatus { return status }
}

func TestHeadersStopAll(t *testing.T) {
	a := &script{reqHeaders: stopHeaders(filter.HeadersStopAll)}
	r := newRig(t, 4, a, &script{})
	r.chain.Headers(req, request(), false)
	r.chain.Data(req, []byte("ab"), false)
	if !r.chain.Room(req) {
		t.Error("no room below the limit")
	}
	r.chain.Data(req, []byte("cd"), false)
	if r.chain.Room(req) {
		t.Error("the sender is not held back at the limit")
	}
	r.wants(t, req, "-")
	r.logged(t, "A request headers false")
	a.stream.Continue(req)
	// What was held is shown to the filter itself, in one piece.
	r.logged(t, "A request headers false", "B request headers false", `A request data "abcd" false`, `B request data "abcd" false`)
	r.wants(t, req, "headers data:abcd")
	if !r.chain.Room(req) {
		t.Error("no room after Continue")
	}
	r.chain.Data(req, nil, true)
	r.wants(t, req, "end")
}

func TestStopAllHoldsTrailersToo(t *testing.T) {
	a := &script{respHeaders: stopHeaders(filter.HeadersStopAll)}
	r := newRig(t, 0, &script{}, a)
	r.chain.Headers(resp, response(), false)
	r.chain.Data(resp, []byte("x"), false)
	r.chain.Trailers(resp, request())
	r.logged(t, "B response headers 200 false")
	a.stream.Continue(resp)
	r.wants(t, resp, "headers:200 data:x trailers:2 end")
	r.logged(t, "B response headers 200 false", "A response headers 200 false",
		`B response data "x" false`, `A response data "x" false`, "B response trailers 2", "A response trailers 2")
}

func TestStopAndBuffer(t *testing.T) {
	a := &script{reqData: func(_ *script, _ *filter.Buffer, end bool) filter.DataStatus {
		if end {
			return filter.DataContinue
		}
		return filter.DataStopAndBuffer
	}}
	r := newRig(t, 0, a, &script{})
	r.chain.Headers(req, request(), false)
	r.wants(t, req, "headers") // a stop on data does not hold what went before
	for _, p := range []string{"1", "2", "3"} {
		r.chain.Data(req, []byte(p), false)
		r.wants(t, req, "-")
	}
	r.chain.Data(req, nil, true)
	r.wants(t, req, "data:123 end")
	r.logged(t, "A request headers false", "B request headers false",
		`A request data "1" false`, `A request data "12" false`, `A request data "123" false`, `A request data "123" true`,
		`B request data "123" true`)
}

func TestTwoFiltersHoldDifferentData(t *testing.T) {
	hold := true
	a := &script{reqData: func(*script, *filter.Buffer, bool) filter.DataStatus {
		if hold {
			return filter.DataStopAndWatermark
		}
		return filter.DataContinue
	}}
	b := &script{reqData: func(*script, *filter.Buffer, bool) filter.DataStatus { return filter.DataStopAndBuffer }}
	r := newRig(t, 0, a, b)
	r.chain.Headers(req, request(), false)
	r.wants(t, req, "headers")
	r.chain.Data(req, []byte("1"), false)
	a.stream.Continue(req) // now b has 1
	r.chain.Data(req, []byte("2"), false)
	r.wants(t, req, "-")
	b.stream.Continue(req)
	r.wants(t, req, "data:1")
	hold = false
	r.chain.Data(req, []byte("3"), true)
	r.wants(t, req, "-")
	b.stream.Continue(req)
	r.wants(t, req, "data:23 end")
}

func TestReplaceWhileBuffering(t *testing.T) {
	a := &script{respData: func(_ *script, b *filter.Buffer, end bool) filter.DataStatus {
		b.Append([]byte("+"))
		if end {
			return filter.DataContinue
		}
		return filter.DataStopAndBuffer
	}}
	r := newRig(t, 0, a)
	r.chain.Headers(resp, response(), false)
	r.chain.Data(resp, []byte("x"), false)
	r.chain.Data(resp, []byte("y"), true)
	r.wants(t, resp, "headers:200 data:x+y++ end")
}

func TestStopNoBufferDrops(t *testing.T) {
	a := &script{reqData: func(_ *script, _ *filter.Buffer, end bool) filter.DataStatus {
		if end {
			return filter.DataContinue
		}
		return filter.DataStopNoBuffer
	}}
	r := newRig(t, 0, a)
	r.chain.Headers(req, request(), false)
	r.wants(t, req, "headers")
	r.chain.Data(req, []byte("gone"), false)
	r.wants(t, req, "-")
	r.chain.Data(req, nil, true)
	r.wants(t, req, "end")
}

func TestOverTheLimit(t *testing.T) {
	stop := func(status filter.DataStatus) func(*script, *filter.Buffer, bool) filter.DataStatus {
		return func(*script, *filter.Buffer, bool) filter.DataStatus { return status }
	}
	t.Run("no more than the limit", func(t *testing.T) {
		s := &script{reqData: stop(filter.DataStopAndBuffer), respData: stop(filter.DataStopAndBuffer)}
		for d, shown := range map[filter.Direction]string{req: "headers", resp: "headers:200"} {
			r := newRig(t, 3, s)
			r.chain.Headers(d, map[filter.Direction]*filter.Headers{req: request(), resp: response()}[d], false)
			r.wants(t, d, shown)
			r.chain.Data(d, []byte("abc"), false)
			if !r.chain.Room(d) || r.chain.Replied() || r.chain.WasReset() {
				t.Errorf("direction %v: who wants all of a body that is as long as the limit waits for its end", d)
			}
		}
	})
	t.Run("request buffer", func(t *testing.T) {
		r := newRig(t, 3, &script{reqData: stop(filter.DataStopAndBuffer)})
		r.chain.Headers(req, request(), false)
		r.chain.Data(req, []byte("abcd"), false)
		r.wants(t, resp, "headers:413 data:Payload Too Large end")
		if !r.abandoned {
			t.Error("the upstream was not let go")
		}
	})
	t.Run("response buffer, headers held", func(t *testing.T) {
		r := newRig(t, 3, &script{}, &script{respHeaders: stopHeaders(filter.HeadersStop), respData: stop(filter.DataStopAndBuffer)})
		r.chain.Headers(resp, response(), false)
		r.chain.Data(resp, []byte("abcd"), false)
		r.wants(t, resp, "headers:500 data:Internal Server Error end")
	})
	t.Run("response buffer, headers gone", func(t *testing.T) {
		r := newRig(t, 3, &script{respData: stop(filter.DataStopAndBuffer)})
		r.chain.Headers(resp, response(), false)
		r.wants(t, resp, "headers:200")
		r.chain.Data(resp, []byte("abcd"), false)
		if !r.chain.WasReset() {
			t.Error("a response that cannot be completed was not reset")
		}
	})
	t.Run("watermark", func(t *testing.T) {
		s := &script{reqData: stop(filter.DataStopAndWatermark)}
		r := newRig(t, 3, s)
		r.chain.Headers(req, request(), false)
		r.wants(t, req, "headers")
		r.chain.Data(req, []byte("abcd"), false)
		if r.chain.Room(req) {
			t.Error("the sender is not held back")
		}
		s.stream.Continue(req)
		r.wants(t, req, "data:abcd")
		if !r.chain.Room(req) {
			t.Error("no room after Continue")
		}
	})
}

func TestTrailersCreatedAtTheEndOfTheBody(t *testing.T) {
	a := &script{reqData: func(s *script, _ *filter.Buffer, end bool) filter.DataStatus {
		if tr := s.stream.Trailers(req); end != (tr != nil) {
			t.Errorf("trailers can be made: %v, end of body: %v", tr != nil, end)
		} else if end {
			tr.Add("sum", "1")
		}
		return filter.DataContinue
	}}
	r := newRig(t, 0, a, &script{})
	r.chain.Headers(req, request(), false)
	r.chain.Data(req, []byte("x"), false)
	r.chain.Data(req, []byte("y"), true)
	r.wants(t, req, "headers data:xy trailers:1 end")
	r.logged(t, "A request headers false", "B request headers false", `A request data "x" false`, `B request data "x" false`,
		`A request data "y" false`, `B request data "y" false`, `A request data "" true`, `B request data "" false`, "B request trailers 1")
}

// TestTrailersCreatedBeforeAStop: who passed the data on is shown them, and who
// stopped it.
func TestTrailersCreatedBeforeAStop(t *testing.T) {
	a := &script{reqData: func(s *script, _ *filter.Buffer, end bool) filter.DataStatus {
		s.stream.Trailers(req).Add("x", "1")
		return filter.DataContinue
	}}
	c := &script{
		reqData:     func(*script, *filter.Buffer, bool) filter.DataStatus { return filter.DataStopAndBuffer },
		reqTrailers: func(*script, *filter.Headers) filter.TrailersStatus { return filter.TrailersStop },
	}
	r := newRig(t, 0, a, &script{}, c)
	r.chain.Headers(req, request(), false)
	r.wants(t, req, "headers")
	r.chain.LastData(req, []byte("x"))
	r.wants(t, req, "-")
	c.stream.Continue(req)
	r.wants(t, req, "data:x trailers:1 end")
	r.logged(t, "A request headers false", "B request headers false", "C request headers false",
		`A request data "x" true`, `B request data "x" false`, `C request data "x" false`, "B request trailers 1", "C request trailers 1")
}

// TestTrailersCreatedOfWhatWasMissed: the filter that makes them is shown them,
// too, as in Envoy, whose iteration begins at a filter that it resumes.
func TestTrailersCreatedOfWhatWasMissed(t *testing.T) {
	a := &script{
		reqHeaders: func(*script, *filter.Headers, bool) filter.HeadersStatus { return filter.HeadersStopAll },
		reqData: func(s *script, _ *filter.Buffer, end bool) filter.DataStatus {
			s.stream.Trailers(req).Add("x", "1")
			return filter.DataContinue
		},
		reqTrailers: func(_ *script, t *filter.Headers) filter.TrailersStatus {
			t.Add("x", "2")
			return filter.TrailersContinue
		},
	}
	r := newRig(t, 0, a, &script{})
	r.chain.Headers(req, request(), false)
	r.chain.LastData(req, []byte("x"))
	a.stream.Continue(req)
	r.wants(t, req, "headers data:x trailers:2 end")
	r.logged(t, "A request headers false", "B request headers false", `A request data "x" true`, `B request data "x" false`,
		"A request trailers 1", "B request trailers 2")
}

func TestReply(t *testing.T) {
	forbidden := filter.Reply{Status: 403, Body: []byte("no"), GRPCStatus: -1, Headers: []filter.Field{{Name: "X-Why", Value: "because"}}}
	t.Run("passes the response methods of the whole chain", func(t *testing.T) {
		a := &script{reqHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
			s.stream.Reply(forbidden)
			s.stream.Reply(filter.Reply{Status: 500}) // only the first counts
			return filter.HeadersContinue
		}}
		r := newRig(t, 0, &script{}, a, &script{})
		r.chain.Headers(req, request(), false)
		r.wants(t, req, "-")
		r.chain.Data(req, []byte("ignored"), true)
		r.chain.Headers(resp, response(), true)
		r.wants(t, resp, "headers:403 data:no end")
		r.logged(t, "A request headers false", "B request headers false",
			"C response headers 403 false", "B response headers 403 false", "A response headers 403 false",
			`C response data "no" true`, `B response data "no" true`, `A response data "no" true`)
		if !r.chain.Replied() || !r.abandoned {
			t.Error("the host was not told to let the upstream go")
		}
	})
	t.Run("its headers", func(t *testing.T) {
		h, body := forbidden.Response(request(), nil)
		var got []string
		for i := range h.Len() {
			got = append(got, h.At(i).Name+"="+h.At(i).Value)
		}
		want := ":status=403 x-why=because content-length=2 content-type=text/plain"
		if strings.Join(got, " ") != want || string(body) != "no" {
			t.Errorf("got %v %q", got, body)
		}
		empty := filter.Reply{Status: 404, GRPCStatus: -1}
		if h, body := empty.Response(nil, nil); body != nil || h.Len() != 1 {
			t.Errorf("empty reply: %v %q", h, body)
		}
		grpc := request()
		grpc.Add("content-type", "application/grpc")
		r := filter.Reply{Status: 503, GRPCStatus: -1, Body: []byte("50%")}
		if h, body := r.Response(grpc, nil); h.Value(":status") != "200" || h.Value("grpc-status") != "14" || h.Value("grpc-message") != "50%25" || body != nil {
			t.Errorf("gRPC reply: %v %q", h, body)
		}
	})
	for name, phase := range map[string]func(*script){
		"request data": func(s *script) {
			s.reqData = func(s *script, _ *filter.Buffer, _ bool) filter.DataStatus {
				s.stream.Reply(forbidden)
				return filter.DataStopAndBuffer
			}
		},
		"request trailers": func(s *script) {
			s.reqTrailers = func(s *script, _ *filter.Headers) filter.TrailersStatus {
				s.stream.Reply(forbidden)
				return filter.TrailersStop
			}
		},
		"response headers": func(s *script) {
			s.respHeaders = func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
				s.stream.Reply(forbidden)
				return filter.HeadersContinue
			}
		},
	} {
		t.Run("in "+name, func(t *testing.T) {
			s := &script{}
			phase(s)
			r := newRig(t, 0, &script{}, s)
			r.chain.Headers(req, request(), false)
			r.chain.Data(req, []byte("x"), false)
			r.chain.Trailers(req, request())
			r.take(req)
			r.chain.Headers(resp, response(), true)
			r.wants(t, resp, "headers:403 data:no end")
			for _, line := range r.log {
				// In the response phase it takes the response's place unseen.
				if name == "response headers" && strings.HasPrefix(line, "A response") {
					t.Errorf("the reply was shown again: %s", line)
				}
			}
		})
	}
	t.Run("cuts a response whose headers have left", func(t *testing.T) {
		s := &script{respTrailers: func(s *script, _ *filter.Headers) filter.TrailersStatus {
			if !s.stream.Reply(forbidden) {
				t.Error("the reply does not count")
			}
			return filter.TrailersContinue
		}}
		r := newRig(t, 0, s)
		r.chain.Headers(resp, response(), false)
		r.chain.Data(resp, []byte("x"), false)
		r.chain.Trailers(resp, request())
		r.wants(t, resp, "headers:200 data:x")
		if !r.chain.WasReset() || !r.abandoned {
			t.Error("the stream was not reset")
		}
	})
	t.Run("comes too late for a response that has passed", func(t *testing.T) {
		s := &script{}
		r := newRig(t, 0, s)
		r.chain.Headers(resp, response(), true)
		s.stream.Post(func() {
			if s.stream.Reply(forbidden) {
				t.Error("the reply counts")
			}
		})
		r.wants(t, resp, "headers:200 end")
	})
	t.Run("takes the place of another that is among the filters", func(t *testing.T) {
		second := filter.Reply{Status: 404, Body: []byte("second"), GRPCStatus: -1, Details: "two"}
		s := &script{
			reqHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
				s.stream.Reply(forbidden)
				return filter.HeadersContinue
			},
			respHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
				s.stream.Reply(second)
				return filter.HeadersContinue
			},
		}
		r := newRig(t, 0, s)
		r.chain.Headers(req, request(), true)
		r.wants(t, resp, "headers:404 data:second end")
		r.logged(t, "A request headers true", "A response headers 403 false")
		if r.chain.Details() != "two" {
			t.Errorf("details %q", r.chain.Details())
		}
	})
	for _, status := range []string{"", "abc", "0", "1000", "100", "+20", "2 0"} {
		t.Run("takes the place of status "+status, func(t *testing.T) {
			s := &script{respHeaders: func(_ *script, h *filter.Headers, _ bool) filter.HeadersStatus {
				if h.Set(":status", status); status == "" {
					h.Remove(":status")
				}
				return filter.HeadersContinue
			}}
			r := newRig(t, 0, s)
			r.chain.Headers(resp, response(), false)
			r.chain.Data(resp, []byte("x"), true)
			r.wants(t, resp, "headers:502 data:missing required header: :status end")
		})
	}
	t.Run("posted from elsewhere while the request is held", func(t *testing.T) {
		s := &script{reqHeaders: stopHeaders(filter.HeadersStopAll)}
		r := newRig(t, 0, s)
		r.chain.Headers(req, request(), true)
		go s.stream.Post(func() { s.stream.Reply(forbidden) })
		<-r.woken[resp]
		r.wants(t, resp, "headers:403 data:no end")
	})
}

func TestReset(t *testing.T) {
	s := &script{reqHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
		s.stream.Reset()
		return filter.HeadersContinue
	}}
	r := newRig(t, 0, s, &script{})
	r.chain.Headers(req, request(), true)
	r.wants(t, req, "-")
	if !r.chain.WasReset() || !r.abandoned {
		t.Error("not reset")
	}
	r.chain.End(&filter.Record{})
	r.logged(t, "A request headers true", "A log", "B log", "A done", "B done")
}

func TestMapsOnlyInTheirPhase(t *testing.T) {
	see := func(s *script) string {
		return fmt.Sprint(s.stream.Headers(req) != nil, s.stream.Headers(resp) != nil, s.stream.Trailers(req) != nil)
	}
	var seen []string
	a := &script{
		reqHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
			seen = append(seen, see(s))
			return filter.HeadersStop
		},
		reqData: func(s *script, _ *filter.Buffer, _ bool) filter.DataStatus {
			seen = append(seen, see(s)) // the headers are still held here
			return filter.DataContinue
		},
		reqTrailers: func(s *script, _ *filter.Headers) filter.TrailersStatus {
			seen = append(seen, see(s))
			return filter.TrailersContinue
		},
		respHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
			seen = append(seen, see(s))
			return filter.HeadersContinue
		},
	}
	r := newRig(t, 0, a)
	r.chain.Headers(req, request(), false)
	r.chain.Data(req, []byte("x"), false)
	r.chain.Trailers(req, request())
	r.chain.Headers(resp, response(), true)
	a.stream.Post(func() { seen = append(seen, see(a)) })
	want := "[true false false true false false false false true false true false false false false]"
	if got := fmt.Sprint(seen); got != want {
		t.Errorf("request headers, response headers, request trailers seen by phase:\n%v, want\n%v", got, want)
	}
}

func TestContinueFromAnotherGoroutine(t *testing.T) {
	a := &script{reqHeaders: stopHeaders(filter.HeadersStopAll)}
	r := newRig(t, 0, a, &script{})
	r.chain.Headers(req, request(), true)
	go a.stream.Continue(req)
	<-r.woken[req]
	r.wants(t, req, "headers end")
}

func TestContinueInsideTheCallbackThatStops(t *testing.T) {
	a := &script{reqHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
		s.stream.Continue(req)
		return filter.HeadersStopAll
	}}
	r := newRig(t, 0, a, &script{})
	r.chain.Headers(req, request(), true)
	r.wants(t, req, "headers end")
}

// Posts and continues race with the feeding of both directions; nothing is
// lost, and no two callbacks run at once (the race detector sees r.log).
func TestPostsFromManyGoroutines(t *testing.T) {
	a := &script{reqData: func(*script, *filter.Buffer, bool) filter.DataStatus { return filter.DataStopAndWatermark }}
	r := newRig(t, 0, a)
	r.chain.Headers(req, request(), false)
	r.wants(t, req, "headers")
	r.chain.Headers(resp, response(), false)
	const posts = 200
	ran := 0
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range posts {
				a.stream.Post(func() { ran++ })
				a.stream.Continue(req)
			}
		})
	}
	wg.Go(func() {
		for range posts {
			r.chain.Data(resp, []byte("y"), false)
		}
	})
	sent := 0
	for range posts {
		r.chain.Data(req, []byte("x"), false)
		if o, ok := r.chain.Take(req); ok {
			sent += len(o.Data)
		}
	}
	wg.Wait()
	a.stream.Continue(req)
	if o, ok := r.chain.Take(req); ok {
		sent += len(o.Data)
	}
	if sent != posts || ran != 4*posts {
		t.Errorf("%d of %d bytes came through, %d of %d posts ran", sent, posts, ran, 4*posts)
	}
}

func TestNothingAfterTheEnd(t *testing.T) {
	a := &script{reqHeaders: stopHeaders(filter.HeadersStopAll)}
	r := newRig(t, 0, a)
	r.chain.Headers(req, request(), true)
	r.chain.End(&filter.Record{})
	a.stream.Continue(req)
	a.stream.Reset()
	if a.stream.Post(func() { t.Error("a post ran after the end") }) {
		t.Error("Post after the end reports true")
	}
	r.logged(t, "A request headers true", "A log", "A done")
}

func TestPanicInAFilter(t *testing.T) {
	t.Run("before the response", func(t *testing.T) {
		a := &script{reqHeaders: func(*script, *filter.Headers, bool) filter.HeadersStatus { panic("boom") }}
		r := newRig(t, 0, a, &script{})
		r.chain.Headers(req, request(), true)
		r.wants(t, resp, "headers:500 end")
		r.chain.End(&filter.Record{})
		r.logged(t, "A request headers true", "A log", "B log", "A done", "B done")
		if r.panics != 1 {
			t.Errorf("%d panics reported", r.panics)
		}
	})
	t.Run("in the response body", func(t *testing.T) {
		a := &script{respData: func(*script, *filter.Buffer, bool) filter.DataStatus { panic("boom") }}
		r := newRig(t, 0, a)
		r.chain.Headers(resp, response(), false)
		r.wants(t, resp, "headers:200")
		r.chain.Data(resp, []byte("x"), true)
		if !r.chain.WasReset() {
			t.Error("not reset")
		}
	})
}

func TestProperties(t *testing.T) {
	a := &script{reqHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
		s.stream.SetProperty("mine", []byte("1"))
		s.stream.SetProperty("mine", []byte("2"))
		s.stream.SetProperty("built-in", []byte("changed"))
		s.stream.ClearRoute()
		return filter.HeadersContinue
	}}
	b := &script{reqHeaders: func(s *script, _ *filter.Headers, _ bool) filter.HeadersStatus {
		if v, ok := s.stream.Property("mine"); !ok || string(v.([]byte)) != "2" {
			t.Errorf("kept property: %v %v", v, ok)
		}
		if v, _ := s.stream.Property("built-in"); v != "fixed" {
			t.Errorf("a built-in property was overridden: %v", v)
		}
		if _, ok := s.stream.Property("none"); ok {
			t.Error("an unknown property was found")
		}
		return filter.HeadersContinue
	}}
	r := newRig(t, 0, a, b)
	r.chain.Headers(req, request(), true)
	if r.cleared != 1 {
		t.Errorf("route cleared %d times", r.cleared)
	}
}

func TestRecordIsCompleted(t *testing.T) {
	r := newRig(t, 0, &script{})
	h := request()
	r.chain.Headers(req, h, true)
	r.chain.Reply(filter.Reply{Status: 404, GRPCStatus: -1, Details: "route_not_found"})
	rec := &filter.Record{}
	r.chain.End(rec)
	if rec.Request != h || rec.Response.Value(":status") != "404" || rec.Details != "route_not_found" {
		t.Errorf("record %+v", rec)
	}
}
