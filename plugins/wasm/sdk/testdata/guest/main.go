// Guest uses all of the SDK: what it does to a request is said by the header
// "do".
package main

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/plugins/wasm/sdk"
)

var (
	requests sdk.Counter
	open     sdk.Gauge
	sizes    sdk.Histogram
	ticks    sdk.Gauge
	items    sdk.Queue
)

func init() {
	sdk.Register(func(p *sdk.Plugin) error {
		config := string(p.Config())
		vm, root := string(p.VMConfig()), p.RootID()
		requests, open, sizes = p.Counter("guest_requests"), p.Gauge("guest_open"), p.Histogram("guest_sizes")
		ticks = p.Gauge("guest_ticks")
		consumed := p.Counter("guest_consumed")
		items = p.Queue("items", func(item []byte) {
			if string(item) == "item" {
				consumed.Add(1)
			}
		})
		p.Tick(10*time.Millisecond, func() {
			ticks.Add(1)
			if ticks.Value() == 3 {
				p.Tick(0, nil)
				p.Call("backend", sdk.Request{Path: "/from-tick"}, time.Second, func(r sdk.Response, err error) {
					if r.Status() == 200 {
						ticks.Set(1000)
					}
				})
			}
		})
		p.HTTP(func(s sdk.Stream) sdk.HTTPFilter {
			requests.Add(1)
			open.Add(1)
			return &filter{Stream: s, plugin: p, about: config + "," + vm + "," + root}
		})
		return nil
	})
}

type filter struct {
	sdk.PassThrough
	sdk.Stream
	plugin *sdk.Plugin
	about  string
	do     string
	notes  []sdk.Header // for the response
}

func (f *filter) note(name, value string) {
	f.notes = append(f.notes, sdk.Header{Name: "x-" + name, Value: value})
}

func (f *filter) fail(what string, err error) {
	if err != nil {
		f.note("error", what+": "+err.Error())
	}
}

func (f *filter) RequestHeaders(h sdk.Headers, end bool) sdk.Action {
	f.do = h.Get("do")
	switch f.do {
	case "reply":
		return f.Reply(403, "no\n", sdk.Header{Name: "x-why", Value: "test"})
	case "panic":
		panic("told to")
	case "about":
		f.note("about", f.about)
	case "headers":
		f.fail("set", h.Set("x-set", "one"))
		f.fail("add", h.Add("x-set", "two"))
		f.fail("del", h.Del("x-gone"))
		_, err := h.Lookup("x-gone")
		f.note("lookup", err.Error())
		buf := make([]byte, 0, 64)
		v, err := h.Append(append(buf, "path "...), ":path")
		f.fail("append", err)
		f.note("append", string(v)+" "+strconv.FormatBool(&v[0] == &buf[:1][0]))
		short, err := h.Append([]byte("p"), ":path") // without room
		f.fail("append", err)
		f.note("short", string(short))
		all, err := h.All()
		f.fail("all", err)
		f.note("all", all[0].Name+" "+strconv.Itoa(len(all)))
		all = append(all, sdk.Header{Name: "x-last", Value: ""})
		f.fail("setall", h.SetAll(all))
		_, err = sdk.ResponseHeaders.Lookup(":status")
		f.note("phase", err.Error())
	case "properties":
		f.note("method", sdk.Property("request", "method").String())
		f.note("port", strconv.FormatBool(sdk.Property("source", "port").Int() > 0))
		f.note("mtls", strconv.FormatBool(sdk.Property("connection", "mtls").Bool()))
		f.note("time", strconv.FormatBool(time.Since(sdk.Property("request", "time").Time()) < time.Minute))
		f.note("none", strconv.FormatBool(sdk.Property("no", "such") == nil))
		headers, err := sdk.Property("request", "headers").Headers()
		f.fail("map", err)
		f.note("map", strconv.FormatBool(len(headers) > 3))
		f.fail("set", sdk.SetProperty("mine", []byte("value")))
		f.note("mine", sdk.Property("mine").String())
	case "shared":
		for range 3 {
			f.fail("update", sdk.UpdateShared("count", func(b []byte) []byte {
				n, _ := strconv.Atoi(string(b))
				return strconv.AppendInt(b[:0], int64(n+1), 10)
			}))
		}
		v, version, err := sdk.GetShared("count")
		f.fail("get", err)
		f.note("count", string(v))
		f.note("cas", sdk.SetShared("count", v, version+7).Error())
		f.fail("set", sdk.SetShared("count", v, version))
		_, _, err = sdk.GetShared("none")
		f.note("none", err.Error())
		f.fail("push", items.Push([]byte("item")))
		q, err := sdk.OpenQueue("", "items")
		f.fail("open", err)
		f.fail("push", q.Push([]byte("item")))
		_, err = sdk.OpenQueue("", "nothing")
		f.note("queue", err.Error())
		sizes.Record(5)
		f.note("requests", strconv.FormatBool(requests.Value() > 0))
	case "foreign":
		packed, err := sdk.CallForeign("compress", bytes.Repeat([]byte("a"), 1000))
		f.fail("compress", err)
		f.note("compressed", strconv.FormatBool(len(packed) > 0 && len(packed) < 100))
		_, err = sdk.CallForeign("nothing", nil)
		f.note("foreign", err.Error())
		f.fail("route", f.ClearRouteCache())
	case "call":
		err := f.Call("backend", sdk.Request{Method: "POST", Path: "/called", Authority: "other", Headers: []sdk.Header{{Name: "x-in", Value: "1"}},
			Body: []byte("question")}, time.Second, func(r sdk.Response, err error) {
			f.fail("call", err)
			f.note("called", strconv.Itoa(r.Status())+" "+r.Headers.Get("x-called")+" "+string(r.Body.Bytes()))
			f.fail("set", sdk.RequestHeaders.Set("x-after-call", "yes"))
			f.fail("continue", f.ContinueRequest())
		})
		f.fail("call", err)
		f.note("unknown", f.Call("nobody", sdk.Request{}, time.Second, nil).Error())
		return sdk.Pause
	case "call-reply":
		f.fail("call", f.Call("dead", sdk.Request{}, time.Second, func(r sdk.Response, err error) {
			f.Reply(418, "status "+strconv.Itoa(r.Status()))
		}))
		return sdk.Pause
	case "grpc":
		health := "grpc.health.v1.Health/"
		unary := f.CallGRPC("grpc", health+"Check", nil, nil, time.Second, func(m []byte, err error) {
			f.fail("grpc", err)
			f.note("grpc", strconv.Itoa(len(m)))
			f.stream(health)
		})
		f.fail("grpc", unary)
		return sdk.Pause
	case "grpc-dead":
		f.fail("grpc", f.CallGRPC("dead", "a.B/C", nil, nil, time.Second, func(m []byte, err error) {
			var g *sdk.GRPCError
			f.note("grpc", strconv.FormatBool(errors.As(err, &g) && g.Code == 14))
			f.fail("continue", f.ContinueRequest())
		}))
		return sdk.Pause
	case "gone":
		// The answer comes when the client has gone: nothing may come of it.
		f.fail("call", f.Call("backend", sdk.Request{Path: "/slow"}, 5*time.Second, func(sdk.Response, error) { panic("of a stream that is gone") }))
		return sdk.Pause
	}
	return sdk.Continue
}

// stream opens a stream of gRPC and sees one message on it.
func (f *filter) stream(health string) {
	var g *sdk.GRPCStream
	var err error
	g, err = f.OpenGRPC("grpc", health+"Watch", []sdk.Header{{Name: "x-meta", Value: "1"}}, sdk.GRPCHandler{
		Metadata: func(h sdk.Headers) { f.note("metadata", h.Get("content-type")) },
		Message: func(m []byte) {
			f.note("message", strconv.Itoa(len(m)))
			f.fail("cancel", g.Cancel())
			f.fail("continue", f.ContinueRequest())
		},
	})
	f.fail("open", err)
	f.fail("send", g.Send(nil, true))
}

func (f *filter) RequestBody(b sdk.Body, end bool) sdk.Action {
	switch f.do {
	case "body":
		if !end {
			return sdk.Pause
		}
		whole := b.Bytes()
		part, err := b.Range(1, 2)
		f.fail("range", err)
		f.note("part", string(part)+" "+strconv.Itoa(b.Len()))
		f.fail("replace", b.Replace(bytes.ToUpper(whole)))
		f.fail("prepend", b.Prepend([]byte("<")))
		f.fail("add", b.Add([]byte(">")))
	}
	return sdk.Continue
}

func (f *filter) RequestTrailers(h sdk.Headers) sdk.Action {
	f.note("trailer", h.Get("x-trailer"))
	f.fail("set", h.Set("x-more", "more"))
	return sdk.Continue
}

func (f *filter) ResponseHeaders(h sdk.Headers, end bool) sdk.Action {
	for _, n := range f.notes {
		h.Add(n.Name, n.Value)
	}
	h.Set("x-guest", strings.TrimSpace(f.do+" "+h.Get(":status")))
	if f.do == "body" {
		h.Del("content-length")
	}
	return sdk.Continue
}

func (f *filter) ResponseBody(b sdk.Body, end bool) sdk.Action {
	if f.do == "body" && end {
		f.fail("add", b.Add([]byte("end\n")))
	}
	return sdk.Continue
}

func (f *filter) ResponseTrailers(h sdk.Headers) sdk.Action {
	h.Add("x-seen", "yes")
	return sdk.Continue
}

func (f *filter) Done() {
	open.Add(-1)
	sizes.Record(uint64(sdk.Property("response", "code").Int()))
	if sdk.RequestHeaders.Get("do") != f.do {
		sdk.Log(sdk.Critical, "Done: request headers are not readable")
	}
}

func main() {}
