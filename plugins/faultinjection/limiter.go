package faultinjection

import "time"

// interval is how often more of a response is sent, as in Envoy.
const interval = 50 * time.Millisecond

// limiter is a token bucket of bytes, as Envoy's StreamRateLimiter: it holds a
// second's worth at most and begins with that of one interval.
type limiter struct {
	speed  float64 // bytes a second
	tokens float64
	at     time.Time // when tokens was right
}

func newLimiter(kibPerSecond uint64, now time.Time) *limiter {
	speed := float64(kibPerSecond) * 1024
	return &limiter{speed: speed, tokens: speed * interval.Seconds(), at: now}
}

// take returns how many of n bytes may be sent now, and counts them as sent.
func (l *limiter) take(n int, now time.Time) int {
	l.tokens = min(l.tokens+l.speed*now.Sub(l.at).Seconds(), l.speed)
	l.at = now
	n = int(min(float64(n), l.tokens))
	l.tokens -= float64(n)
	return n
}

// takeAll is take where either all may be sent or none is.
func (l *limiter) takeAll(n int, now time.Time) bool {
	l.take(0, now)
	if float64(n) > l.tokens {
		return false
	}
	l.tokens -= float64(n)
	return true
}
