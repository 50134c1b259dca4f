package xds

import (
	"maps"
	"slices"

	"github.com/meshc/meshc/runtime/xds/envoy"
)

// answer sends what the client has just asked for, if its time has come; else
// the step that pushes the kind will send it.
func (s *stream) answer(k kind) error {
	if s.target == nil || (!s.held && s.step < answeredFrom[k]) {
		return nil
	}
	if k == listener && !s.held && s.subs[k].askedAll && s.tries() {
		// It has them from another stream, and maybe of another version.
		s.step, s.entered = tryFilters, false
		s.stopTimer()
		return nil
	}
	if err := s.push(k, true); err != nil {
		return err
	}
	if k == cluster {
		if err := s.push(endpoint, true); err != nil { // those forced
			return err
		}
	}
	if !s.held && s.step > pushedIn[k] {
		// Later steps wait for what was sent now too.
		s.step, s.entered = pushedIn[k], true
		s.stopTimer()
	}
	return nil
}

// push offers the client what it lacks of kind k, and with askedOnly, no more
// than it asked for. Nothing is removed.
func (s *stream) push(k kind, askedOnly bool) error {
	sub := s.subs[k]
	if !sub.started {
		return nil
	}
	s.prune(k)
	var out []*resource
	var gone []string
	for _, name := range s.candidates(k, askedOnly) {
		want := s.lookup(k, name)
		have, told := sub.sent[name]
		switch {
		case want == nil && !told:
			gone = append(gone, name)
			if _, named := sub.names[name]; named {
				sub.sent[name] = nil
			}
		case want == nil: // it goes when nothing needs it any more
		case have != nil && have.version == want.version:
			sub.sent[name] = want
		case s.held && have != nil && k != secret: // the last good one stays; certificates expire
		default:
			out = append(out, want)
			sub.sent[name] = want
			delete(sub.forced, name)
		}
	}
	// A client waits for the first answer even if there is nothing to say;
	// the delta protocol says of each name that there is nothing of it.
	must := sub.askedAll || (!s.delta && !sub.answered)
	clear(sub.asked)
	sub.askedAll = false
	if !askedOnly && !k.whole() {
		sub.unsure = false
	}
	for _, r := range out {
		s.expectChildren(r)
	}
	if len(out) == 0 && len(gone) == 0 && !must {
		return nil
	}
	return s.respond(k, out, gone)
}

// expectChildren prepares for what the client does when it gets r.
func (s *stream) expectChildren(r *resource) {
	for _, c := range r.asks {
		child := s.subs[c.kind]
		child.awaited[c.name] = struct{}{}
		if c.kind == endpoint {
			// Envoy waits for the endpoints of a changed cluster as if it had
			// none, and does not ask for them again.
			child.forced[c.name] = struct{}{}
			delete(child.sent, c.name)
		}
	}
}

// try offers the trial listener, if it changed, before any other. To a client
// that has no listeners there is nothing to be kept from harm, and all come at
// once.
func (s *stream) try() error {
	sub := s.subs[listener]
	if !s.tries() || !sub.has(envoy.TrialListener) {
		return nil
	}
	s.prune(listener)
	trial, have := s.lookup(listener, envoy.TrialListener), sub.sent[envoy.TrialListener]
	if have != nil && have.version == trial.version {
		return nil
	}
	sub.sent[trial.name] = trial
	s.expectChildren(trial)
	return s.respond(listener, []*resource{trial}, nil)
}

// tries reports whether the client, which has listeners, must try filters
// before they change.
func (s *stream) tries() bool {
	return s.lookup(listener, envoy.TrialListener) != nil && len(s.subs[listener].sent) > 0
}

// candidates returns the names of kind k that may have to be sent, in order.
func (s *stream) candidates(k kind, askedOnly bool) []string {
	sub := s.subs[k]
	if sub.unsure && (!askedOnly || sub.askedAll) {
		all := slices.Collect(maps.Keys(sub.names))
		all = slices.AppendSeq(all, maps.Keys(sub.asked))
		if sub.wildcard {
			for _, name := range s.target.names(s.view, k) {
				if s.lookup(k, name) != nil { // a cluster may hold its endpoints itself
					all = append(all, name)
				}
			}
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	some, more := maps.Clone(sub.asked), []names{sub.forced}
	if !askedOnly {
		more = append(more, s.dirty[k])
	}
	for _, m := range more {
		for name := range m {
			if isIn(sub.names, name) || (sub.wildcard && s.lookup(k, name) != nil) {
				some[name] = struct{}{}
			}
		}
	}
	return slices.Sorted(maps.Keys(some))
}

func isIn(set names, name string) bool { _, ok := set[name]; return ok }

// leftovers returns what the client has of kind k and the target has not, in
// order.
func (s *stream) leftovers(k kind) []string {
	sub := s.subs[k]
	if !sub.unsure {
		return nil
	}
	var out []string
	for name, have := range sub.sent {
		if have != nil && s.lookup(k, name) == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// remove takes the leftovers of kind k away.
func (s *stream) remove(k kind) error {
	sub := s.subs[k]
	gone := s.leftovers(k)
	sub.unsure = false
	for _, name := range gone {
		delete(sub.sent, name)
		if isIn(sub.names, name) {
			sub.sent[name] = nil
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return s.respond(k, nil, gone)
}
