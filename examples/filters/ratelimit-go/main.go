// Ratelimit lets each caller make so many requests a second, and refuses the
// rest with 429. Callers are told apart by a header, or by their address. What
// they have left is shared by all threads of the proxy.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/meshc/meshc/plugins/wasm/sdk"
)

type config struct {
	// Rate is how many requests a second a caller may make.
	Rate float64 `json:"rate"`
	// Burst is how many may come at once; by default Rate, and at least 1.
	Burst float64 `json:"burst"`
	// Header names the header that tells callers apart. Requests without it, and
	// all of them when it is not given, are told apart by address.
	Header string `json:"header"`
}

func parse(text []byte) (config, error) {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		// The error could quote the text, and with it a secret.
		return c, errors.New("want an object with rate, burst and header")
	}
	if c.Burst == 0 {
		c.Burst = max(c.Rate, 1)
	}
	if !(c.Rate > 0) || !(c.Burst >= 1) {
		return c, fmt.Errorf("want a rate over 0 and a burst of at least 1, got %g and %g", c.Rate, c.Burst)
	}
	return c, nil
}

type limiter struct {
	sdk.PassThrough
	config
	allowed, limited sdk.Counter
	now              func() time.Time
}

func init() {
	sdk.Register(func(p *sdk.Plugin) error {
		c, err := parse(p.Config())
		if err != nil {
			return err
		}
		l := &limiter{config: c, allowed: p.Counter("ratelimit_allowed"), limited: p.Counter("ratelimit_limited"), now: time.Now}
		p.HTTP(func(s sdk.Stream) sdk.HTTPFilter { return &filter{limiter: l, stream: s} })
		return nil
	})
}

type filter struct {
	*limiter
	stream sdk.Stream
}

func (f *filter) RequestHeaders(h sdk.Headers, end bool) sdk.Action {
	var wait time.Duration
	now := f.now()
	err := sdk.UpdateShared("ratelimit/"+f.caller(h), func(b []byte) []byte {
		b, wait = f.take(b, now)
		return b
	})
	if err != nil {
		// Better a request too many than none at all.
		sdk.Log(sdk.Error, "shared data: ", err.Error())
	}
	if wait == 0 {
		f.allowed.Add(1)
		return sdk.Continue
	}
	f.limited.Add(1)
	seconds := strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10)
	return f.stream.Reply(429, "too many requests\n", sdk.Header{Name: "retry-after", Value: seconds})
}

// caller names who asks. The address is without its port: that differs by
// connection.
func (f *filter) caller(h sdk.Headers) string {
	if f.Header != "" {
		if key := h.Get(f.Header); key != "" {
			return "key/" + key
		}
	}
	address := sdk.Property("source", "address").String()
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		address = address[:i]
	}
	return "address/" + address
}

// take takes a token out of a bucket, or says how long until there is one. A
// bucket is the tokens left, and when that was so, in Unix nanoseconds.
func (l *limiter) take(b []byte, now time.Time) ([]byte, time.Duration) {
	tokens, at := l.Burst, now.UnixNano()
	if len(b) == 16 {
		tokens = math.Float64frombits(binary.LittleEndian.Uint64(b))
		before := int64(binary.LittleEndian.Uint64(b[8:]))
		at = max(at, before) // clocks of threads may differ
		tokens = min(tokens+float64(at-before)/1e9*l.Rate, l.Burst)
	}
	var wait time.Duration
	if tokens >= 1 {
		tokens--
	} else {
		wait = max(1, time.Duration((1-tokens)/l.Rate*float64(time.Second)))
	}
	b = binary.LittleEndian.AppendUint64(b[:0], math.Float64bits(tokens))
	return binary.LittleEndian.AppendUint64(b, uint64(at)), wait
}

func main() {}
