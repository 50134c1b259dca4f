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
	update           func(key string, change func([]byte) []byte) error // sdk.UpdateShared
}

// The buckets' names in the shared data. Callers whose own bucket does not fit
// into it have one together, which is made at the start, when there is room:
// else whoever fills it, with keys that he invents, would be without a limit.
const (
	bucketOf = "ratelimit/"
	others   = "ratelimit others"
)

func init() {
	sdk.Register(func(p *sdk.Plugin) error {
		c, err := parse(p.Config())
		if err != nil {
			return err
		}
		l := &limiter{
			config: c, allowed: p.Counter("ratelimit_allowed"), limited: p.Counter("ratelimit_limited"),
			now: time.Now, update: sdk.UpdateShared,
		}
		if err := l.reserve(); err != nil {
			return fmt.Errorf("shared data: %w", err)
		}
		p.HTTP(func(s sdk.Stream) sdk.HTTPFilter { return &filter{limiter: l, stream: s} })
		return nil
	})
}

type filter struct {
	*limiter
	stream sdk.Stream
}

func (f *filter) RequestHeaders(h sdk.Headers, end bool) sdk.Action {
	wait := f.charge(f.caller(h))
	if wait == 0 {
		f.allowed.Add(1)
		return sdk.Continue
	}
	f.limited.Add(1)
	seconds := strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10)
	return f.stream.Reply(429, "too many requests\n", sdk.Header{Name: "retry-after", Value: seconds})
}

// reserve makes the bucket of those whose own does not fit.
func (l *limiter) reserve() error {
	return l.update(others, func(b []byte) []byte {
		if b != nil {
			return nil // another thread has made it
		}
		return bucket(l.Burst, l.now().UnixNano(), nil)
	})
}

// charge takes a token of a caller, or says how long until there is one.
func (l *limiter) charge(caller string) time.Duration {
	var wait time.Duration
	now := l.now()
	take := func(b []byte) []byte {
		b, wait = l.take(b, now)
		return b
	}
	if l.update(bucketOf+caller, take) == nil || l.update(others, take) == nil {
		return wait
	}
	return time.Second // there is no telling
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
	return bucket(tokens, at, b), wait
}

// bucket writes a bucket, into b where that has room.
func bucket(tokens float64, at int64, b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b[:0], math.Float64bits(tokens))
	return binary.LittleEndian.AppendUint64(b, uint64(at))
}

func main() {}
