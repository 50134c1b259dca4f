package proxy

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// check is an active health check of a cluster, made ready.
type check struct {
	snapshot.HealthCheck
	prober func(dialer) prober
}

// dialer opens a bare connection to the endpoint that is checked.
type dialer func(ctx context.Context) (net.Conn, error)

// prober makes the checks of one endpoint, one at a time. It may keep a
// connection between them.
type prober interface {
	// probe returns nil where the endpoint is well; ctx bounds it.
	probe(ctx context.Context, host string) error
	close()
}

// checker runs the active checks of a cluster while it serves: one timer for
// each check and endpoint, and a goroutine only while a check is under way.
type checker struct {
	state *clusterState
	// dial replaces that of the pool, in tests.
	dial func(ctx context.Context, c *cluster, p *pool) (net.Conn, error)

	// unjudged is how many endpoints that were new have not had all their
	// first checks; ready says that there was a time when there were none.
	unjudged atomic.Int64
	ready    atomic.Bool

	mu       sync.Mutex
	cluster  *cluster // that serves; nil where it has no checks
	checks   snapshot.Digest
	examined map[*standing]*examination
	judged   chan struct{} // closed with the next first check; nil where nobody waits

	succeeded, failed atomic.Uint64
}

// examination is all checks of one endpoint.
type examination struct {
	endpoint *endpoint
	checkups []*checkup
	pending  int // first checks that an endpoint that was new has before it
}

// checkup is one check of one endpoint. The checker's mu guards it.
type checkup struct {
	checker *checker
	of      *examination
	check   *check
	fault   uint32
	prober  prober
	over    *pool // what its connection, where it keeps one, is of
	timer   *time.Timer
	stop    context.CancelFunc
	ctx     context.Context
	judged  bool   // the first check is done
	row     uint32 // of checks that say other than what counts
	busy    bool
	ended   bool
}

// serve makes c the cluster whose endpoints are checked, which may have no
// checks; nil ends them. What goes on as it was is not begun anew.
func (h *checker) serve(c *cluster) {
	h.mu.Lock()
	defer h.mu.Unlock()
	checked := c != nil && len(c.checks) > 0
	if h.cluster != nil && (!checked || h.checks != c.checksDigest) {
		gone := ^ejected // faults that nothing will take away any more
		if checked {
			gone = -(firstCheck << len(c.checks))
		}
		for s, x := range h.examined {
			h.end(x)
			h.state.set(s, gone, false)
		}
		h.examined = nil
	}
	if !checked {
		h.cluster = nil
		h.ready.Store(true)
		if c != nil {
			for _, e := range c.known() {
				e.standing.known = true
			}
		}
		return
	}
	h.cluster, h.checks = c, c.checksDigest
	h.follow(c.known())
}

// changed says that the names of c have other addresses now.
func (h *checker) changed(c *cluster) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cluster == c {
		h.follow(c.known())
	}
}

// follow begins to check those of endpoints that are not checked, and lets go
// the others; h.mu is held.
func (h *checker) follow(endpoints []*endpoint) {
	if h.examined == nil {
		h.examined = map[*standing]*examination{}
	}
	wanted := make(map[*standing]bool, len(endpoints))
	for _, e := range endpoints {
		wanted[e.standing] = true
		if x := h.examined[e.standing]; x != nil {
			x.endpoint = e
			continue
		}
		h.begin(e)
	}
	for s, x := range h.examined {
		if !wanted[s] {
			h.end(x)
			delete(h.examined, s)
		}
	}
	h.settle()
}

// begin begins to check e; h.mu is held. As in Envoy an endpoint is not well
// before its first check. One that served until now without is well, so that a
// policy that comes to it costs no request.
func (h *checker) begin(e *endpoint) {
	x := &examination{endpoint: e}
	h.examined[e.standing] = x
	s := e.standing
	first := !s.known
	for i := range h.cluster.checks {
		c := &h.cluster.checks[i]
		n := &checkup{checker: h, of: x, check: c, fault: firstCheck << i}
		n.prober = c.prober(n.dial)
		n.ctx, n.stop = context.WithCancel(context.Background())
		if first {
			x.pending++
			h.state.set(s, n.fault, true)
		}
		n.timer = time.AfterFunc(jitter(time.Duration(c.InitialJitter)), n.run)
		x.checkups = append(x.checkups, n)
	}
	if first {
		h.unjudged.Add(1)
	}
	s.known = true
}

// end lets go an endpoint; h.mu is held.
func (h *checker) end(x *examination) {
	for _, n := range x.checkups {
		n.ended = true
		n.stop()
		n.timer.Stop()
		if !n.busy {
			n.prober.close()
		}
	}
	if x.pending > 0 {
		x.pending = 0
		h.unjudged.Add(-1)
	}
	h.settle()
}

// settle wakes those who wait for first checks; h.mu is held.
func (h *checker) settle() {
	if h.unjudged.Load() == 0 && len(h.examined) > 0 {
		h.ready.Store(true)
	}
	if h.judged != nil {
		close(h.judged)
		h.judged = nil
	}
}

// wait waits for the next first check, and reports whether to look again. It
// does not where none is under way.
func (h *checker) wait(ctx context.Context) bool {
	h.mu.Lock()
	if h.unjudged.Load() == 0 {
		h.mu.Unlock()
		return true
	}
	if h.judged == nil {
		h.judged = make(chan struct{})
	}
	judged := h.judged
	h.mu.Unlock()
	select {
	case <-judged:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *checkup) dial(ctx context.Context) (net.Conn, error) {
	h := n.checker
	h.mu.Lock()
	c, p := h.cluster, n.of.endpoint.pool
	h.mu.Unlock()
	if c == nil {
		return nil, context.Canceled
	}
	if h.dial != nil {
		return h.dial(ctx, c, p)
	}
	return p.connect(ctx, c)
}

// run makes one check, by the timer.
func (n *checkup) run() {
	h := n.checker
	h.mu.Lock()
	if n.ended {
		h.mu.Unlock()
		return
	}
	n.busy = true
	host := n.of.endpoint.hostname
	if host == "" {
		host = h.cluster.service
	}
	over := n.of.endpoint.pool
	if over.proxy != nil {
		over.proxy.checks.Add(1)
		defer over.proxy.checks.Done()
	}
	h.mu.Unlock()
	if over != n.over { // requests connect otherwise now, over TLS for one
		n.prober.close()
		n.over = over
	}
	ctx, cancel := context.WithTimeout(n.ctx, time.Duration(n.check.Timeout))
	err := n.prober.probe(ctx, host)
	cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	n.busy = false
	if n.ended {
		n.prober.close()
		return
	}
	if err == nil {
		h.succeeded.Add(1)
	} else {
		h.failed.Add(1)
	}
	n.judge(err)
	n.timer.Reset(n.interval())
}

// judge takes note of a check: the first decides, then as many in a row as the
// threshold says (Envoy's HealthCheckerImplBase).
func (n *checkup) judge(err error) {
	h, s := n.checker, n.of.endpoint.standing
	failed := s.has(n.fault)
	if failed == (err != nil) {
		n.row = 0
	} else {
		n.row++
		threshold := n.check.Unhealthy
		if failed {
			threshold = n.check.Healthy
		}
		if !n.judged || n.row >= threshold {
			n.row = 0
			h.state.set(s, n.fault, !failed)
			n.log(err)
		}
	}
	if err == nil {
		h.state.detector.checked(s)
	}
	if !n.judged {
		n.judged = true
		if x := n.of; x.pending > 0 {
			if x.pending--; x.pending == 0 {
				h.unjudged.Add(-1)
			}
			h.settle()
		}
	}
}

// log says that the endpoint's health has changed; err is nil where it is well.
func (n *checkup) log(err error) {
	p := n.of.endpoint.pool
	if p.proxy == nil {
		return
	}
	if err == nil {
		p.proxy.log.Info("endpoint passes its health check", "cluster", n.checker.cluster.name, "endpoint", p.text)
	} else {
		p.proxy.log.Warn("endpoint fails its health check", "cluster", n.checker.cluster.name, "endpoint", p.text, "error", err)
	}
}

// noTraffic is the interval where a cluster has never been connected to for a
// request and nothing is said.
const noTraffic = time.Minute

// interval returns the time to the next check.
func (n *checkup) interval() time.Duration {
	d := time.Duration(n.check.Interval)
	out := n.of.endpoint.standing.has(n.fault)
	if n.checker.state.meter.connects.Load() == 0 {
		d = or(n.check.NoTrafficInterval, noTraffic)
		out = out || n.row > 0
	}
	if out && n.check.OutInterval > 0 {
		d = time.Duration(n.check.OutInterval)
	}
	d += jitter(d*time.Duration(min(n.check.JitterPercent, 100))/100) + jitter(time.Duration(n.check.Jitter))
	return max(d, time.Millisecond)
}

// jitter returns a random time below d, which may be 0.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// newChecks makes the checks of spec ready. More than there are bits for are
// left out; the compiler makes no more than two.
func newChecks(spec snapshot.Cluster) (checks []check, err error) {
	if spec.Checks.Len() == 0 {
		return nil, nil
	}
	for _, s := range spec.Checks.All() {
		c := check{HealthCheck: s}
		switch {
		case s.HTTP.Path == "":
			if c.prober, err = newTCPProber(s); err != nil {
				return nil, err
			}
		case s.HTTP.HTTP2:
			c.prober = newHTTP2Prober(s)
		default:
			c.prober = newHTTPProber(s)
		}
		checks = append(checks, c)
	}
	return slices.Clip(checks[:min(len(checks), maxChecks)]), nil
}
