package xds

import (
	"maps"
	"slices"
)

// names is a set.
type names = map[string]struct{}

// maxPending bounds the responses of one type whose ACK is remembered as
// missing, for a client that never sends any.
const maxPending = 64

// subscription is one stream's interest in one kind of resource, and what the
// client was offered so far.
type subscription struct {
	started  bool // the client has asked for this kind
	wildcard bool
	named    bool  // state of the world: it has given names before
	names    names // subscribed to by name

	// sent is what the client was offered last, accepted or not; nil for a
	// name of which it was told that there is nothing. After a reconnection
	// it holds what the client said it has, without content.
	sent map[string]*resource
	// asked are names that want an answer even if nothing changed.
	asked names
	// askedAll says the same of a wildcard.
	askedAll bool
	// unsure says that sent must be compared with everything there is,
	// and not only with what changed of late.
	unsure bool
	// forced are names to be sent anew although the client has them, for
	// Envoy waits for the endpoints of a cluster that it was just sent.
	forced names
	// awaited are names that the client will ask for, because of a resource
	// that it was sent; the barrier waits until it has.
	awaited names

	// accepted is what the client took last. It is kept for kinds of which a
	// state-of-the-world response must repeat all, for what was refused must
	// not be repeated.
	accepted map[string]*resource

	answered bool        // some response was sent
	nonce    string      // of the last response
	pending  []*response // sent and not yet answered, oldest first
	refusals []*refusal
}

func newSubscription() *subscription {
	return &subscription{names: names{}, sent: map[string]*resource{}, asked: names{}, forced: names{}, awaited: names{}}
}

// applyDelta takes in a delta request of kind k and reports whether it wants
// an answer.
func (s *subscription) applyDelta(k kind, r *request) bool {
	first := !s.started
	s.started = true
	before := len(s.asked)
	if first {
		for name, version := range r.initial {
			if _, again := s.forced[name]; !again {
				s.sent[name] = &resource{name: name, version: version}
			}
		}
		s.unsure = s.unsure || len(r.initial) > 0
		if k.whole() && len(r.subscribe) == 0 {
			s.wild()
		}
	}
	for _, name := range r.subscribe {
		if name == wildcard {
			s.wild()
			continue
		}
		s.names[name] = struct{}{}
		s.asked[name] = struct{}{}
		if _, has := r.initial[name]; !first || !has {
			delete(s.sent, name) // it may have dropped what it had
		}
	}
	for _, name := range r.unsubscribe {
		if name == wildcard {
			s.wildcard = false
			maps.DeleteFunc(s.sent, func(n string, _ *resource) bool { return !s.has(n) })
			continue
		}
		delete(s.names, name)
		delete(s.asked, name)
		delete(s.awaited, name)
		delete(s.sent, name)
		if s.wildcard {
			// It forgets the name, and may still want it with all others.
			s.asked[name] = struct{}{}
		}
	}
	return s.askedAll || len(s.asked) > before
}

// applyNames takes in the whole interest of a state-of-the-world client of
// kind k and reports whether it wants an answer.
func (s *subscription) applyNames(k kind, all []string) bool {
	first := !s.started
	s.started = true
	if len(all) == 0 && k.whole() && !s.named {
		if !s.wildcard {
			s.wild()
		}
		return s.askedAll
	}
	s.named = s.named || len(all) > 0
	next, star := make(names, len(all)), false
	for _, name := range all {
		if name == wildcard {
			star = true
			continue
		}
		next[name] = struct{}{}
		if _, has := s.names[name]; !has {
			s.asked[name] = struct{}{}
			delete(s.sent, name)
		}
	}
	dropped := s.wildcard && !star
	for name := range s.names {
		if _, still := next[name]; !still {
			delete(s.asked, name)
			delete(s.awaited, name)
			dropped = true
		}
	}
	if star && !s.wildcard {
		s.wild()
	}
	s.wildcard, s.names = star, next
	if dropped {
		maps.DeleteFunc(s.sent, func(n string, _ *resource) bool { return !s.has(n) })
	}
	return first || s.askedAll || len(s.asked) > 0
}

func (s *subscription) wild() {
	s.wildcard, s.askedAll, s.unsure = true, true, true
}

// has reports whether the client is interested in name.
func (s *subscription) has(name string) bool {
	_, named := s.names[name]
	return named || s.wildcard
}

// acknowledge returns the response that nonce answers, and forgets it; nil
// when there is none. A state-of-the-world client may answer several at once.
func (s *subscription) acknowledge(nonce string, delta bool) *response {
	i := slices.IndexFunc(s.pending, func(r *response) bool { return r.nonce == nonce })
	if i < 0 {
		return nil
	}
	r, from := s.pending[i], 0
	if delta {
		from = i
	}
	s.pending = slices.Delete(s.pending, from, i+1)
	return r
}

// accept notes that the client took r, but for refused.
func (s *subscription) accept(r *response, refused []*resource) {
	if r.delta || !r.kind.whole() {
		return
	}
	before := s.accepted
	s.accepted = make(map[string]*resource, len(r.resources))
	for _, res := range r.resources {
		s.accepted[res.name] = res
	}
	for _, res := range refused {
		delete(s.accepted, res.name)
		if old := before[res.name]; old != nil {
			s.accepted[res.name] = old
		}
	}
}

// standing returns what the client has or is offered, in no order: of a
// resource that it refused, what it took before.
func (s *subscription) standing() []*resource {
	refused := map[string]string{}
	for _, r := range s.refusals {
		maps.Copy(refused, r.versions)
	}
	out := make([]*resource, 0, len(s.sent))
	for name, r := range s.sent {
		if r != nil && refused[name] == r.version {
			r = s.accepted[name]
		}
		if r != nil {
			out = append(out, r)
		}
	}
	return out
}

// expect remembers r until it is answered.
func (s *subscription) expect(r *response) {
	if len(s.pending) == maxPending {
		s.pending = slices.Delete(s.pending, 0, 1)
	}
	s.pending = append(s.pending, r)
	s.nonce, s.answered = r.nonce, true
}

// settled reports whether the client has answered everything, and asked for
// everything that it was bound to ask for.
func (s *subscription) settled() bool {
	for name := range s.awaited {
		if !s.has(name) {
			return false
		}
		delete(s.awaited, name)
	}
	return !slices.ContainsFunc(s.pending, func(r *response) bool { return !r.late })
}

// giveUp makes s count as settled though the client stayed silent.
func (s *subscription) giveUp() {
	clear(s.awaited)
	for _, r := range s.pending {
		r.late = true
	}
}
