// Everything-go is one module for many tests, as everything-rust is: the request
// header x-test says what to do, as words with commas between.
//
//   - reply@PHASE       a local reply: 418, x-reply: PHASE; PHASE is one of
//     request-headers, request-body, request-trailers, response-headers,
//     response-body, response-trailers
//   - grow-request      appends [N] to each piece of the request, N its size
//   - buffer-request    holds the request body and makes it upper case
//   - replace-response  holds the response body, puts "replaced N bytes" in its place
//   - stream-response   puts <N> in front of each piece of the response
//   - call              asks the service of the configuration, and sets the request
//     header x-called to STATUS:BODYSIZE
//   - wait              waits for the next tick; response header x-waited
//   - shared            counts in shared data; response header x-shared
//   - queue             puts the path into a queue; response header x-queued says how
//     many were taken out before
//   - props             response headers x-prop-method, x-prop-protocol, x-prop-set
//   - metrics           counts in everything_go_requests, gauge everything_go_open,
//     histogram everything_go_path_bytes
//
// The configuration is the name of a service. With the root id tcp it is a TCP
// filter: it holds what the client sends until a line is whole, makes it upper
// case, and puts "> " in front of each answer.
package main

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/plugins/wasm/sdk"
)

func init() { sdk.Register(setup) }

// plugin is what a root and its streams share.
type plugin struct {
	service  string
	queue    sdk.Queue
	waiting  []*filter // which the next tick resumes
	requests sdk.Counter
	open     sdk.Gauge
	sizes    sdk.Histogram
}

func setup(p *sdk.Plugin) error {
	if p.RootID() == "tcp" {
		p.TCP(func(sdk.Conn) sdk.TCPFilter { return lines{} })
		return nil
	}
	r := &plugin{
		service:  string(p.Config()),
		requests: p.Counter("everything_go_requests"),
		open:     p.Gauge("everything_go_open"),
		sizes:    p.Histogram("everything_go_path_bytes"),
	}
	r.queue = p.Queue("everything-go", func([]byte) { count("taken", 1) })
	p.Tick(20*time.Millisecond, r.resume)
	p.HTTP(func(s sdk.Stream) sdk.HTTPFilter { return &filter{Stream: s, plugin: r} })
	return nil
}

func (r *plugin) resume() {
	for _, f := range r.waiting {
		f.waited = f.ContinueRequest() == nil // it fails for a stream that is gone
	}
	r.waiting = nil
}

// count adds to a number in shared data and returns it.
func count(key string, add int) (n int) {
	check(sdk.UpdateShared(key, func(value []byte) []byte {
		n, _ = strconv.Atoi(string(value))
		n += add
		return strconv.AppendInt(value[:0], int64(n), 10)
	}))
	return n
}

// check ends the instance where the host refused what it must not refuse.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

type filter struct {
	sdk.PassThrough
	sdk.Stream
	*plugin
	words            []string
	method, protocol string
	replied, waited  bool
}

func (f *filter) has(word string) bool { return slices.Contains(f.words, word) }

// replies sends a local reply where one is asked for at a phase. It passes the
// response callbacks of this filter, too.
func (f *filter) replies(phase string) bool {
	if f.replied || !f.has("reply@"+phase) {
		return false
	}
	f.replied = true
	f.Reply(418, "reply from "+phase+"\n", sdk.Header{Name: "x-reply", Value: phase})
	return true
}

func (f *filter) RequestHeaders(h sdk.Headers, end bool) sdk.Action {
	f.words = strings.Split(h.Get("x-test"), ",")
	if f.replies("request-headers") {
		return sdk.Pause
	}
	path := h.Get(":path")
	if f.has("grow-request") || f.has("buffer-request") {
		check(h.Del("content-length"))
	}
	if f.has("props") {
		f.method, f.protocol = sdk.Property("request", "method").String(), sdk.Property("request", "protocol").String()
		check(sdk.SetProperty("everything", []byte("kept")))
	}
	if f.has("metrics") {
		f.requests.Add(1)
		f.open.Add(1)
		f.sizes.Record(uint64(len(path)))
	}
	if f.has("queue") {
		check(f.queue.Push([]byte(path)))
	}
	if f.has("wait") {
		f.waiting = append(f.waiting, f)
		return sdk.Pause
	}
	if f.has("call") {
		check(f.Call(f.service, sdk.Request{Path: "/called"}, 2*time.Second, f.called))
		return sdk.Pause
	}
	return sdk.Continue
}

func (f *filter) called(r sdk.Response, err error) {
	check(err)
	check(sdk.RequestHeaders.Set("x-called", strconv.Itoa(r.Status())+":"+strconv.Itoa(r.Body.Len())))
	check(f.ContinueRequest())
}

func (f *filter) RequestBody(b sdk.Body, end bool) sdk.Action {
	if f.replies("request-body") {
		return sdk.Pause
	}
	if f.has("grow-request") && b.Len() > 0 {
		check(b.Add([]byte("[" + strconv.Itoa(b.Len()) + "]")))
	}
	if f.has("buffer-request") {
		if !end {
			return sdk.Pause
		}
		check(b.Replace(bytes.ToUpper(b.Bytes())))
	}
	return sdk.Continue
}

func (f *filter) ResponseHeaders(h sdk.Headers, end bool) sdk.Action {
	if f.replies("response-headers") {
		return sdk.Pause
	}
	if f.has("replace-response") || f.has("stream-response") {
		check(h.Del("content-length"))
	}
	if f.has("shared") {
		check(h.Set("x-shared", strconv.Itoa(count("count", 1))))
	}
	if f.has("queue") {
		check(h.Set("x-queued", strconv.Itoa(count("taken", 0))))
	}
	if f.has("props") {
		check(h.Set("x-prop-method", f.method))
		check(h.Set("x-prop-protocol", f.protocol))
		check(h.Set("x-prop-set", sdk.Property("everything").String()))
	}
	if f.waited {
		check(h.Set("x-waited", "true"))
	}
	return sdk.Continue
}

func (f *filter) ResponseBody(b sdk.Body, end bool) sdk.Action {
	if f.replies("response-body") {
		return sdk.Pause
	}
	if f.has("stream-response") && b.Len() > 0 {
		check(b.Prepend([]byte("<" + strconv.Itoa(b.Len()) + ">")))
	}
	if f.has("replace-response") {
		if !end {
			return sdk.Pause
		}
		check(b.Replace([]byte("replaced " + strconv.Itoa(b.Len()) + " bytes\n")))
	}
	return sdk.Continue
}

func (f *filter) RequestTrailers(sdk.Headers) sdk.Action {
	if f.replies("request-trailers") {
		return sdk.Pause
	}
	return sdk.Continue
}

func (f *filter) ResponseTrailers(sdk.Headers) sdk.Action {
	if f.replies("response-trailers") {
		return sdk.Pause
	}
	return sdk.Continue
}

func (f *filter) Done() {
	if f.has("metrics") {
		f.open.Add(-1)
	}
}

// lines is the TCP filter.
type lines struct{ sdk.PassThrough }

func (lines) Downstream(b sdk.Body, end bool) sdk.Action {
	text := b.Bytes()
	if !end && !bytes.HasSuffix(text, []byte("\n")) {
		return sdk.Pause
	}
	check(b.Replace(bytes.ToUpper(text)))
	return sdk.Continue
}

func (lines) Upstream(b sdk.Body, end bool) sdk.Action {
	if b.Len() > 0 {
		check(b.Prepend([]byte("> ")))
	}
	return sdk.Continue
}

func main() {}
