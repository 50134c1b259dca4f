package http1_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

var (
	drawName  = rapid.StringMatching("x-[!#$%&'*+.^_`|~0-9a-z-]{1,20}")
	drawValue = rapid.StringMatching("|[!-~\u0080-\u00ff]([\t -~\u0080-\u00ff]{0,100}[!-~])?")
	drawPath  = rapid.StringMatching(`/([!"$-~]{0,60}[!$-~])?`)
	drawHost  = rapid.StringMatching(`([a-z0-9.-]{1,20}|\[::[0-9a-f]{1,4}\])(:[0-9]{1,5})?`)
)

func drawFields(t *rapid.T, label string) *filter.Headers {
	h := &filter.Headers{}
	for range rapid.IntRange(0, 8).Draw(t, label) {
		h.Add(drawName.Draw(t, "name"), drawValue.Draw(t, "value"))
	}
	return h
}

// writer is what ServerConn and ClientConn have in common.
type writer interface {
	WriteHeaders(*filter.Headers, bool) error
	WriteData([]byte, bool) error
	WriteTrailers(*filter.Headers) error
	Flush() error
}

// writeDrawn draws a body and trailers for h, writes the message to w, and
// returns what is to be read.
func writeDrawn(t *rapid.T, w writer, h *filter.Headers) message {
	var pieces []string
	for range rapid.IntRange(0, 4).Draw(t, "pieces") {
		size := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 40_000)).Draw(t, "size")
		pieces = append(pieces, strings.Repeat(rapid.StringN(1, 1, 1).Draw(t, "fill"), size))
	}
	var trailers *filter.Headers
	body := strings.Join(pieces, "")
	switch {
	case pieces == nil && rapid.Bool().Draw(t, "says 0"), pieces != nil && rapid.Bool().Draw(t, "says length"):
		h.Add("content-length", strconv.Itoa(len(body)))
	case pieces != nil && rapid.Bool().Draw(t, "has trailers"):
		trailers = drawFields(t, "trailers")
	}
	want := message{Headers: show(h), Body: body}
	if trailers != nil {
		want.Trailers = show(trailers)
	}
	err := w.WriteHeaders(h, pieces == nil)
	for i, p := range pieces {
		err = errors.Join(err, w.WriteData([]byte(p), trailers == nil && i == len(pieces)-1))
	}
	if trailers != nil {
		err = errors.Join(err, w.WriteTrailers(trailers))
	}
	if err := errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	return want
}

// sorted makes messages comparable: the place of content-length is the writer's.
func sorted(m message) message {
	lines := strings.SplitAfter(m.Headers, "\n")
	slices.SortStableFunc(lines, func(a, b string) int {
		return strings.Compare(a[:strings.Index(a+":", ": ")+1], b[:strings.Index(b+":", ": ")+1])
	})
	m.Headers = strings.Join(lines, "")
	return m
}

// TestRequestRoundTrip writes a few requests and reads them as one stream, cut
// into pieces of any size.
func TestRequestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wire := &script{}
		var want []message
		for range rapid.IntRange(1, 4).Draw(t, "requests") {
			h := headers(":method", rapid.SampledFrom([]string{"GET", "HEAD", "POST", "DELETE", "x"}).Draw(t, "method"),
				":path", drawPath.Draw(t, "path"), ":authority", drawHost.Draw(t, "host"), ":scheme", "http")
			for i, f := 0, drawFields(t, "fields"); i < f.Len(); i++ {
				h.Add(f.At(i).Name, f.At(i).Value)
			}
			m := writeDrawn(t, http1.NewClientConn(wire, http1.Limits{}), h)
			if strings.HasPrefix(m.Headers, ":method: POST") && m.Body == "" && !strings.Contains(m.Headers, "\ncontent-length: 0") && strings.HasSuffix(wire.out.String(), "\r\ncontent-length: 0\r\n\r\n") {
				m.Headers += "content-length: 0\n"
			}
			want = append(want, sorted(m))
		}
		got, verdict := serve(&script{in: wire.out.String(), step: rapid.IntRange(0, 5000).Draw(t, "step")},
			http1.Limits{}, rapid.IntRange(1, 50_000).Draw(t, "read size"))
		for i := range got {
			got[i] = sorted(got[i])
		}
		if verdict != "" || !slices.Equal(got, want) {
			t.Fatalf("%q\n got %.2000q\nwant %.2000q", verdict, got, want)
		}
	})
}

// TestResponseRoundTrip does the same with responses to GET.
func TestResponseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wire := &script{in: get}
		s := http1.NewServerConn(wire, http1.Limits{})
		if _, err := s.ReadHeaders(headers()); err != nil {
			t.Fatal(err)
		}
		h := headers(":status", rapid.SampledFrom([]string{"200", "201", "404", "503", "999"}).Draw(t, "status"))
		for i, f := 0, drawFields(t, "fields"); i < f.Len(); i++ {
			h.Add(f.At(i).Name, f.At(i).Value)
		}
		want := writeDrawn(t, s, h)
		if strings.HasSuffix(wire.out.String(), "\r\ncontent-length: 0\r\n\r\n") && !strings.Contains(want.Headers, "content-length") {
			want.Headers += "content-length: 0\n"
		}
		if strings.Contains(wire.out.String(), "\r\ntransfer-encoding: chunked\r\n") {
			want.Headers += "transfer-encoding: chunked\n"
		}
		got, _, verdict, reuse := fetch(wire.out.String(), "GET", rapid.IntRange(0, 5000).Draw(t, "step"), http1.Limits{})
		if verdict != "" || !reuse || sorted(got) != sorted(want) {
			t.Fatalf("%q, reuse %v\n got %.2000q\nwant %.2000q", verdict, reuse, got, want)
		}
	})
}
