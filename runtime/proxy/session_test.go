package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2client returns a client that speaks HTTP/2 with prior knowledge, for one
// connection to address whatever the URL says.
func h2client(t testing.TB, address string) *http.Client {
	tr := &http.Transport{
		Protocols:          new(http.Protocols),
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// fetch makes a request and returns the response with its whole body.
func fetch(t testing.TB, c *http.Client, method, url, body string) (*http.Response, string) {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, url, err)
	}
	return res, string(b)
}

// framed is a raw client connection of HTTP/2.
type framed struct {
	t   testing.TB
	nc  net.Conn
	fr  *http2.Framer
	enc *hpack.Encoder
	buf bytes.Buffer
}

// dialFrames opens a connection and says the preface and empty settings.
func dialFrames(t testing.TB, address string) *framed {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	f := &framed{t: t, nc: nc, fr: http2.NewFramer(nc, nc)}
	f.enc = hpack.NewEncoder(&f.buf)
	f.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	io.WriteString(nc, http2.ClientPreface)
	f.fr.WriteSettings()
	return f
}

// request begins a request; fields are names and values in turn.
func (f *framed) request(id uint32, end bool, fields ...string) {
	f.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		f.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	// Where it fails, reading says so.
	f.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.buf.Bytes(), EndStream: end, EndHeaders: true})
}

func (f *framed) get(id uint32, host string) {
	f.request(id, true, ":method", "GET", ":scheme", "http", ":path", "/", ":authority", host)
}

// next returns the next frame for which want is true.
func (f *framed) next(what string, want func(http2.Frame) bool) http2.Frame {
	f.t.Helper()
	for {
		fr, err := f.fr.ReadFrame()
		if err != nil {
			f.t.Fatalf("no %s: %v", what, err)
		}
		if want(fr) {
			return fr
		}
	}
}

func (f *framed) headers(id uint32) *http2.MetaHeadersFrame {
	f.t.Helper()
	return f.next(fmt.Sprintf("response on %d", id), func(fr http2.Frame) bool {
		m, ok := fr.(*http2.MetaHeadersFrame)
		return ok && m.StreamID == id
	}).(*http2.MetaHeadersFrame)
}

func (f *framed) reset(id uint32) http2.ErrCode {
	f.t.Helper()
	return f.next(fmt.Sprintf("reset of %d", id), func(fr http2.Frame) bool {
		r, ok := fr.(*http2.RSTStreamFrame)
		return ok && r.StreamID == id
	}).(*http2.RSTStreamFrame).ErrCode
}

func (f *framed) goAway() *http2.GoAwayFrame {
	f.t.Helper()
	return f.next("GOAWAY", func(fr http2.Frame) bool { _, ok := fr.(*http2.GoAwayFrame); return ok }).(*http2.GoAwayFrame)
}

// ended reads until the connection is closed.
func (f *framed) ended() {
	f.t.Helper()
	for {
		if _, err := f.fr.ReadFrame(); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				f.t.Fatal("the connection stays open")
			}
			return
		}
	}
}

func TestHTTP2Downstream(t *testing.T) {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("X-Seen", fmt.Sprint(r.Method, " ", r.Host, r.URL, " ", r.ContentLength, " ", r.TransferEncoding, " ", r.Header.Get("Cookie"), " ", r.Header.Get("X-Forwarded-Proto"), " ", r.Trailer.Get("X-After")))
		w.Header().Set("Trailer", "X-Sum")
		w.Write(body)
		w.Header().Set("X-Sum", fmt.Sprint(len(body)))
	}))
	w.host("a", "a")
	p := run(t, w)
	c := h2client(t, p.address(t, "gateway"))

	t.Run("get", func(t *testing.T) {
		res, body := fetch(t, c, "GET", "http://a/x?y=1", "")
		if res.ProtoMajor != 2 || res.StatusCode != 200 || body != "" {
			t.Errorf("%v %q", res, body)
		}
		if got, want := res.Header.Get("X-Seen"), "GET a/x?y=1 0 []  http"; got != want {
			t.Errorf("the backend saw %q, want %q", got, want)
		}
		if res.Header.Get("Date") == "" || res.Header.Get("Transfer-Encoding") != "" || res.Header.Get("Connection") != "" {
			t.Errorf("headers: %v", res.Header)
		}
	})
	t.Run("post", func(t *testing.T) {
		body := strings.Repeat("0123456789", 30)
		res, got := fetch(t, c, "POST", "http://a/", body)
		if got != body || !strings.HasPrefix(res.Header.Get("X-Seen"), "POST a/ 300 []") || res.Trailer.Get("X-Sum") != "300" {
			t.Errorf("%v %q", res, got)
		}
	})
	t.Run("large", func(t *testing.T) {
		body := strings.Repeat("0123456789", 500_000)
		_, got := fetch(t, c, "POST", "http://a/", body)
		if got != body {
			t.Errorf("%d bytes came back of %d", len(got), len(body))
		}
	})
	t.Run("head", func(t *testing.T) {
		if res, _ := fetch(t, c, "HEAD", "http://a/", ""); res.StatusCode != 200 {
			t.Errorf("%v", res)
		}
	})
	t.Run("trailers and chunks", func(t *testing.T) {
		req, _ := http.NewRequest("POST", "http://a/", io.MultiReader(strings.NewReader("one"), strings.NewReader("two")))
		req.Header["Cookie"] = []string{"a=1", "b=2"}
		req.Trailer = http.Header{"X-After": {"late"}}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		if got, want := res.Header.Get("X-Seen"), "POST a/ -1 [chunked] a=1; b=2 http late"; got != want || string(body) != "onetwo" {
			t.Errorf("the backend saw %q, want %q; body %q", got, want, body)
		}
	})
	t.Run("no route", func(t *testing.T) {
		if res, _ := fetch(t, c, "GET", "http://b/", ""); res.StatusCode != 404 {
			t.Errorf("%v", res)
		}
	})
	t.Run("gRPC gets no route", func(t *testing.T) {
		req, _ := http.NewRequest("POST", "http://b/s/m", strings.NewReader("x"))
		req.Header.Set("Content-Type", "application/grpc")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || res.Header.Get("Grpc-Status") != "12" || res.Header.Get("Content-Type") != "application/grpc" {
			t.Errorf("%v", res)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				body := strings.Repeat(fmt.Sprint(i), 10_000)
				res, err := c.Post("http://a/", "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				if b, err := io.ReadAll(res.Body); err != nil || string(b) != body {
					t.Errorf("%d: %d bytes of %d: %v", i, len(b), len(body), err)
				}
			})
		}
		wg.Wait()
	})
}
