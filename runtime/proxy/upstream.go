package proxy

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// upstream is a connection to an endpoint, in the hands of one stream or of
// its pool; or, of HTTP/2, one stream on a shared connection.
type upstream struct {
	pool   *pool
	nc     net.Conn
	codec  clientCodec
	reused bool
	terms  terms
	since  int64 // idle since, by the clock
	// writeTimeout is that of the cluster it was opened for.
	writeTimeout time.Duration
	// interim gets the interim responses of the exchange at hand.
	interim func(*filter.Headers)
	closed  atomic.Bool
	left    bool // the exchange counts no more

	// For a stream on a shared connection.
	shared bool
	inform func(*filter.Headers) // calls interim
	ending sync.Mutex            // an abort is going on, or none will be
	ended  bool
}

// release ends the exchange that u was taken for. With reuse, it went to its
// end on both sides, and the connection may serve another.
func (u *upstream) release(reuse bool) {
	p := u.pool
	u.leave()
	u.left = false
	if u.shared {
		u.end(reuse && !u.closed.Load())
		return
	}
	if !reuse || u.closed.Load() || !u.codec.Next() {
		u.close()
		return
	}
	u.since = p.proxy.clock.Load()
	p.put(u)
}

// leave ends the counting of the exchange, before the release of u or with it.
func (u *upstream) leave() {
	if !u.left {
		u.left = true
		u.pool.leave()
	}
}

// close closes a connection that its pool does not hold.
func (u *upstream) close() {
	u.codec.Close()
	u.pool.gone()
}

// abort ends the exchange on u while a goroutine may still be using it;
// whoever holds u closes the rest.
func (u *upstream) abort() {
	u.ending.Lock()
	defer u.ending.Unlock()
	if !u.ended && !u.closed.Swap(true) {
		u.codec.Abort()
	}
}
