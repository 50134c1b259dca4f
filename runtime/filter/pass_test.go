package filter_test

import (
	"testing"

	"github.com/meshc/meshc/runtime/filter"
)

// A filter that passes on a part of what it holds keeps the rest, and the end.
func TestPassPart(t *testing.T) {
	last := &script{}
	holder := &script{respData: func(*script, *filter.Buffer, bool) filter.DataStatus { return filter.DataStopAndWatermark }}
	r := newRig(t, 8, last, holder)
	r.chain.Headers(req, request(), true)
	r.wants(t, req, "headers end")
	r.chain.Headers(resp, response(), false)
	r.wants(t, resp, "headers:200")
	r.chain.Data(resp, []byte("0123456789"), true)
	if r.chain.Room(resp) {
		t.Error("the sender may go on though more than the limit is held")
	}
	r.wants(t, resp, "-")
	holder.stream.Pass(resp, 4)
	r.wants(t, resp, "data:0123")
	if !r.chain.Room(resp) {
		t.Error("the sender is held back though less than the limit is held")
	}
	holder.stream.Pass(resp, 0)
	r.wants(t, resp, "-")
	holder.stream.Post(func() {
		if got := string(holder.stream.Held(resp).Bytes()); got != "456789" {
			t.Errorf("held %q", got)
		}
		holder.stream.Pass(resp, 99)
	})
	r.wants(t, resp, "data:456789")
	holder.stream.Pass(resp, 1)
	r.wants(t, resp, "-")
	holder.stream.Continue(resp)
	r.wants(t, resp, "end")
}

// Headers that are held go with the first part.
func TestPassPartWithHeaders(t *testing.T) {
	holder := &script{
		respHeaders: func(*script, *filter.Headers, bool) filter.HeadersStatus { return filter.HeadersStop },
		respData:    func(*script, *filter.Buffer, bool) filter.DataStatus { return filter.DataStopAndWatermark },
	}
	r := newRig(t, 0, holder)
	r.chain.Headers(req, request(), true)
	r.chain.Headers(resp, response(), false)
	r.chain.Data(resp, []byte("abc"), false)
	r.wants(t, resp, "-")
	holder.stream.Pass(resp, 1)
	r.wants(t, resp, "headers:200 data:a")
	r.chain.Data(resp, []byte("d"), false)
	holder.stream.Pass(resp, 2)
	r.wants(t, resp, "data:bc")
	holder.stream.Continue(resp)
	r.wants(t, resp, "data:d")
}
