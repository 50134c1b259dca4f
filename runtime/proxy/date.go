package proxy

import (
	"sync/atomic"
	"time"
)

// httpDate is the value of a date header, made once a second.
type httpDate struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[httpDate]

// date returns the time for a date header (RFC 9110, 5.6.7).
func (p *Proxy) date() string {
	second := p.clock.Load() / int64(time.Second)
	d := lastDate.Load()
	if d == nil || d.second != second {
		const layout = "Mon, 02 Jan 2006 15:04:05 GMT"
		d = &httpDate{second, time.Unix(second, 0).UTC().Format(layout)}
		lastDate.Store(d)
	}
	return d.text
}
