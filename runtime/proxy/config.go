package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
	"github.com/meshc/meshc/runtime/proxy/http1"
)

// Config says what a Proxy serves and how. Zero durations and limits mean the
// defaults given with them.
type Config struct {
	// Gateway is the address of the gateway listener, "host:port"; with ""
	// the gateway is not served.
	Gateway string
	// GatewayTLS is the address of the gateway's listener for TLS; with "" it is
	// not opened.
	GatewayTLS string
	// Serve says which other proxies of a snapshot, by ID, this process runs;
	// nil means none.
	Serve func(proxyID string) bool
	// NewFilter makes the factory for one use of a policy kind, for HTTP
	// streams or, with tcp, for connections; blob is the content of f.Blob. It
	// is called for each listener that has the filter, in Prepare. It may be
	// nil where no snapshot has filters.
	NewFilter func(ctx context.Context, f snapshot.Filter, tcp bool, blob string) (filter.Factory, error)
	// Identities may be nil where no snapshot has TLS.
	Identities Identities
	// Workers is the number of workers that filters run in: GOMAXPROCS.
	Workers int
	// Resolve looks a host name up, and says for how long the answer holds, 0
	// for as long as usual; nil means the resolver of the system. That there is
	// no such name is an answer, as by a net.DNSError; other errors are none.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, time.Duration, error)
	// Log is slog.Default where it is nil.
	Log *slog.Logger

	// DrainTimeout is how long Shutdown lets requests and connections go on: 30s.
	DrainTimeout time.Duration
	// IdleTimeout closes a downstream connection between two requests: 1h, as in Envoy.
	IdleTimeout time.Duration
	// HeaderTimeout is the time for a whole header section: 10s.
	HeaderTimeout time.Duration
	// HandshakeTimeout is the time for a TLS handshake of a client: 10s.
	HandshakeTimeout time.Duration
	// StreamIdleTimeout ends a request on which nothing moves, upgraded or not:
	// 5m, Envoy's stream_idle_timeout.
	StreamIdleTimeout time.Duration
	// TCPIdleTimeout ends a TCP connection on which nothing moves: 1h, the
	// idle_timeout of Envoy's tcp_proxy.
	TCPIdleTimeout time.Duration
	// UpstreamIdleTimeout closes a pooled upstream connection: 60s.
	UpstreamIdleTimeout time.Duration
	// BufferLimit is how much body one filter may keep, in bytes: 1 MiB.
	BufferLimit int
	// Limits bound what peers may send.
	Limits http1.Limits

	tick time.Duration // between two rounds of the janitor: 1s
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.DrainTimeout, 30 * time.Second},
		{&c.IdleTimeout, time.Hour},
		{&c.HeaderTimeout, 10 * time.Second},
		{&c.HandshakeTimeout, 10 * time.Second},
		{&c.StreamIdleTimeout, 5 * time.Minute},
		{&c.TCPIdleTimeout, time.Hour},
		{&c.UpstreamIdleTimeout, time.Minute},
		{&c.tick, time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.BufferLimit == 0 {
		c.BufferLimit = filter.DefaultBufferLimit
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Serve == nil {
		c.Serve = func(string) bool { return false }
	}
	if c.Resolve == nil {
		c.Resolve = lookup
	}
	return c
}
