package xds

import (
	"context"
	"log/slog"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// update is how far a stream has got in bringing its client to a generation.
//
// It goes through steps. Whatever the client may come to need is made before
// anything is removed, and between the steps stands a barrier: the client has
// answered what it was sent, and has asked for and got what follows from it.
// A newer generation waits until the update is done or held, and then the
// next update goes straight to the newest.
type update struct {
	newest *generation // that the stream knows of
	target *generation // that it goes to, or has gone to; nil before the first
	view   *view       // of this client in target; nil if target does not know it
	// dirty is what changed since the last update that was done, by kind.
	dirty [kinds]names

	step    int
	entered bool // the step's resources are sent
	held    bool // the client refused something: no more of this generation
	// refusedNow says that the refusal came during this update.
	refusedNow bool

	timer   *time.Timer // of the barrier
	ticking bool
	expired bool
	acked   snapshot.Digest // as reported
}

// step is one part of an update. What it pushes is made, then what it removes
// is broken; then the barrier waits for the kinds in wait.
type step struct {
	push, remove, wait []kind
	// try offers the trial listener after what is pushed.
	try bool
	// routed waits, where clusters are about to be removed, until the client
	// has asked for its listeners and routes: after a reconnection it may
	// still route to what goes.
	routed bool
}

// The steps, in order.
const (
	makeClusters = iota
	tryFilters
	makeListeners
	makeRoutes
	dropListeners
	awaitRoutes
	dropClusters
)

var steps = []step{
	// Envoy answers clusters only when it has their endpoints and secrets.
	makeClusters: {push: []kind{cluster, endpoint, secret}, wait: []kind{cluster, endpoint, secret}},
	// Envoy would put a listener into service though it refused a filter's
	// configuration, so filters that are new are tried where nobody comes.
	tryFilters: {push: []kind{extension}, try: true, wait: []kind{extension, listener}},
	// A listener that is new waits for its filters, routes and secrets, and the
	// old one serves on.
	makeListeners: {push: []kind{listener}, wait: []kind{extension, listener, route, secret}},
	makeRoutes:    {push: []kind{route}, wait: []kind{route}},
	dropListeners: {remove: []kind{listener}, wait: []kind{listener}},
	awaitRoutes:   {wait: []kind{listener, route}, routed: true},
	dropClusters:  {remove: []kind{cluster}, wait: []kind{cluster}},
}

// pushedIn is the step that pushes a kind; answeredFrom is the first in which
// a request for it may be answered. Clusters must be there before them.
var (
	pushedIn     = [kinds]int{cluster: makeClusters, endpoint: makeClusters, extension: tryFilters, listener: makeListeners, route: makeRoutes, secret: makeClusters}
	answeredFrom = [kinds]int{cluster: makeClusters, endpoint: makeClusters, extension: tryFilters, listener: makeListeners, route: makeListeners, secret: makeClusters}
)

func (s *stream) done() bool { return s.target != nil && s.step == len(steps) }

// advance goes as far as it can without hearing from the client.
func (s *stream) advance() error {
	for {
		if s.target == nil || s.done() || s.held {
			if !s.known || !s.newest.ready || s.newest == s.target {
				s.noteAcked()
				return nil
			}
			s.begin(s.newest)
		}
		if !s.entered {
			if err := s.enter(); err != nil {
				return err
			}
		}
		if !s.refusedNow && !s.passed() {
			return nil
		}
		if s.refusedNow || s.mustHold() {
			if err := s.hold(); err != nil {
				return err
			}
			continue
		}
		s.step++
		s.entered = false
		if s.done() {
			s.finish()
		}
	}
}

// viewOf returns what g has for this client, nil for nothing.
func (s *stream) viewOf(g *generation) *view {
	if !isProxyless(s.agent) {
		return g.views[s.nodeID]
	}
	v, err := g.proxyless(s.nodeID, s.view)
	if err != nil {
		s.log.Error("a gRPC client cannot be served what changed", "problem", err)
		return s.view
	}
	if v != nil && v != s.view && len(v.unusable) > 0 {
		s.log.Warn("a gRPC client cannot use these clusters: they want TLS, or have several host names", "clusters", v.unusable)
	}
	return v
}

// begin starts the way to g.
func (s *stream) begin(g *generation) {
	v := s.viewOf(g)
	follows := s.done() && v == s.view
	for k := range s.dirty {
		s.dirty[k] = names{}
	}
	if follows {
		for at := s.target; at != g; at = at.next {
			for k, changed := range at.changed {
				for _, name := range changed {
					s.dirty[k][name] = struct{}{}
				}
			}
		}
	}
	if v == nil && (s.target == nil || s.view != nil) {
		s.log.Warn("no proxy has the id of this xDS client; it gets an empty configuration")
	}
	s.target, s.view = g, v
	s.step, s.entered, s.held, s.refusedNow = 0, false, false, false
	s.stopTimer()
	for _, sub := range s.subs {
		clear(sub.awaited)
		sub.unsure = sub.unsure || !follows
	}
	s.subs[secret].unsure = true // they may have changed with the snapshot and unseen in it
	s.report(func(n *status.Node) { n.Unknown = v == nil })
}

// enter sends what the step has to send.
func (s *stream) enter() error {
	for _, k := range steps[s.step].push {
		if err := s.push(k, false); err != nil {
			return err
		}
	}
	if steps[s.step].try {
		if err := s.try(); err != nil {
			return err
		}
	}
	for _, k := range steps[s.step].remove {
		if err := s.remove(k); err != nil {
			return err
		}
	}
	s.entered = true
	return nil
}

// passed reports whether the step's barrier is open, and starts its clock
// when it is not.
func (s *stream) passed() bool {
	open := s.server.cfg.Unordered
	if !open {
		open = s.settled()
	}
	if !open && s.expired {
		s.log.Warn("the client did not answer in time; going on without it",
			"timeout", s.patience(), "version", s.target.snap.Version.Short(), "step", s.step)
		for _, k := range steps[s.step].wait {
			s.subs[k].giveUp()
		}
		open = true
	}
	if open {
		s.stopTimer()
	} else if !s.ticking {
		s.timer.Reset(s.patience())
		s.ticking = true
	}
	return open
}

// patiencePerResource is added to the barrier's time-out for each resource
// under way: Envoy takes 0.7 ms to add a cluster, and is silent meanwhile.
const patiencePerResource = 2 * time.Millisecond

// patiencePerByte is added for each byte of filters under way. Envoy compiles a
// Wasm module of 2.6 MB in 8 s where the machine is busy, and is silent too.
const patiencePerByte = 10 * time.Microsecond

// patience returns how long the step's barrier waits for the client.
func (s *stream) patience() time.Duration {
	n, bytes, slow := 0, 0, time.Duration(0)
	for _, k := range steps[s.step].wait {
		n += len(s.subs[k].awaited)
		for _, r := range s.subs[k].pending {
			n += len(r.changed)
			for _, c := range r.changed {
				slow = max(slow, c.slow)
				if k == extension {
					bytes += c.size()
				}
			}
		}
	}
	return s.server.cfg.BarrierTimeout + time.Duration(n)*patiencePerResource + time.Duration(bytes)*patiencePerByte + slow
}

func (s *stream) settled() bool {
	for _, k := range steps[s.step].wait {
		if !s.subs[k].settled() {
			return false
		}
	}
	return !steps[s.step].routed || len(s.leftovers(cluster)) == 0 || s.routed()
}

// routed reports whether the client has asked for its listeners, and for the
// routes and filters of those that it has.
func (s *stream) routed() bool {
	if !s.subs[listener].started {
		return false
	}
	for _, r := range s.subs[listener].sent {
		if r == nil {
			continue
		}
		for _, child := range r.asks {
			if !s.subs[child.kind].has(child.name) {
				return false
			}
		}
	}
	return true
}

func (s *stream) stopTimer() {
	s.timer.Stop()
	s.ticking, s.expired = false, false
}

// mustHold reports whether an old refusal forbids what comes after the step:
// new routes, if clusters lack; new listeners, if filters lack; the removal of
// clusters, if anything lacks, for the client may still use what it had instead.
func (s *stream) mustHold() bool {
	switch s.step {
	case makeClusters:
		return s.refused(cluster, endpoint, secret)
	case tryFilters:
		return s.refused(extension)
	case awaitRoutes:
		return len(s.leftovers(cluster)) > 0 && s.refused(allKinds...)
	}
	return false
}

// hold leaves the client with what it has, until the next generation. What it
// has nothing of yet it gets when it asks, and if it has asked already, now.
func (s *stream) hold() error {
	s.stopTimer()
	s.held = true
	s.log.Warn("the client keeps what it has: the rest of this version waits for the next",
		"version", s.target.snap.Version.Short())
	for k := range kinds {
		if s.subs[k].askedAll || len(s.subs[k].asked) > 0 {
			if err := s.push(k, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish notes that everything is sent.
func (s *stream) finish() {
	for k := range s.dirty {
		s.dirty[k] = names{}
	}
	s.report(func(n *status.Node) { n.Sent = s.target.snap.Version })
	s.log.LogAttrs(context.Background(), slog.LevelDebug, "the client has been sent a version",
		slog.String("version", s.target.snap.Version.Short()))
}

// noteAcked notes that everything was accepted, when that is so.
func (s *stream) noteAcked() {
	if !s.done() || s.acked == s.target.snap.Version || s.refused(allKinds...) {
		return
	}
	for _, sub := range s.subs {
		if len(sub.pending) > 0 {
			return
		}
	}
	s.acked = s.target.snap.Version
	s.report(func(n *status.Node) { n.Acked = s.acked })
}
