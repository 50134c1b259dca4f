package tracing

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/openzipkin/zipkin-go/model"

	"github.com/meshc/meshc/runtime/filter"
)

// extract returns the context that a request came with, in B3's headers or else
// in W3C's; ok is false where there is none that can be read.
func extract(h *filter.Headers) (c model.SpanContext, ok bool) {
	if v, there := h.Get("b3"); there {
		if c, ok := single(v); ok {
			return c, true
		}
	}
	if id := h.Value("x-b3-traceid"); id != "" {
		trace, err := traceID(id)
		span, ok := spanID(h.Value("x-b3-spanid"))
		if err != nil || !ok {
			return c, false
		}
		c = model.SpanContext{TraceID: trace, ID: span, Debug: h.Value("x-b3-flags") == "1"}
		if parent, ok := spanID(h.Value("x-b3-parentspanid")); ok {
			c.ParentID = &parent
		}
		c.Sampled = decision(h.Value("x-b3-sampled"))
		return c, true
	}
	return w3c(h.Value("traceparent"))
}

// sampledOf returns what a request says of sampling without naming a trace.
func sampledOf(h *filter.Headers) *bool {
	if v := decision(h.Value("b3")); v != nil {
		return v
	}
	return decision(h.Value("x-b3-sampled"))
}

func decision(v string) *bool {
	switch strings.ToLower(v) {
	case "1", "true", "d":
		return new(true)
	case "0", "false":
		return new(false)
	}
	return nil
}

// single reads TRACE-SPAN[-SAMPLED[-PARENT]].
func single(v string) (c model.SpanContext, ok bool) {
	parts := strings.Split(v, "-")
	if len(parts) < 2 || len(parts) > 4 {
		return c, false
	}
	trace, err := traceID(parts[0])
	span, ok := spanID(parts[1])
	if err != nil || !ok {
		return c, false
	}
	c = model.SpanContext{TraceID: trace, ID: span}
	if len(parts) > 2 {
		c.Debug, c.Sampled = parts[2] == "d", decision(parts[2])
	}
	if len(parts) > 3 {
		parent, ok := spanID(parts[3])
		if !ok {
			return c, false
		}
		c.ParentID = &parent
	}
	return c, true
}

// w3c reads a traceparent.
func w3c(v string) (c model.SpanContext, ok bool) {
	parts := strings.Split(v, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 || parts[0] == "ff" || parts[0] == "00" && len(parts) > 4 {
		return c, false
	}
	flags, err := hex.DecodeString(parts[3])
	if err != nil {
		return c, false
	}
	trace, err := traceID(parts[1])
	span, ok := spanID(parts[2])
	if err != nil || !ok {
		return c, false
	}
	return model.SpanContext{TraceID: trace, ID: span, Sampled: new(flags[0]&1 == 1)}, true
}

func traceID(s string) (model.TraceID, error) {
	if len(s) != 16 && len(s) != 32 {
		return model.TraceID{}, fmt.Errorf("%d digits", len(s))
	}
	id, err := model.TraceIDFromHex(s)
	if err == nil && id.Empty() {
		err = fmt.Errorf("no trace")
	}
	return id, err
}

func spanID(s string) (model.ID, bool) {
	if len(s) != 16 {
		return 0, false
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return 0, false
	}
	var id uint64
	for _, d := range b {
		id = id<<8 | uint64(d)
	}
	return model.ID(id), id != 0
}

func newID() model.ID {
	for {
		if id := rand.Uint64(); id != 0 {
			return model.ID(id)
		}
	}
}

// inject passes c on as Envoy does: in B3's one header where the request came
// with that, else in its several, and in W3C's.
func inject(c model.SpanContext, h *filter.Headers) {
	_, one := h.Get("b3")
	for _, name := range []string{"b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "traceparent"} {
		h.Remove(name)
	}
	sampled := "0"
	if c.Sampled != nil && *c.Sampled {
		sampled = "1"
	}
	if one {
		v := c.TraceID.String() + "-" + c.ID.String() + "-" + sampled
		if c.ParentID != nil {
			v += "-" + c.ParentID.String()
		}
		h.Add("b3", v)
	} else {
		h.Add("x-b3-traceid", c.TraceID.String())
		h.Add("x-b3-spanid", c.ID.String())
		if c.ParentID != nil {
			h.Add("x-b3-parentspanid", c.ParentID.String())
		}
		h.Add("x-b3-sampled", sampled)
	}
	h.Add("traceparent", fmt.Sprintf("00-%016x%016x-%s-0%s", c.TraceID.High, c.TraceID.Low, c.ID, sampled))
}
