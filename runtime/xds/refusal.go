package xds

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/runtime/status"
)

const (
	maxMessage  = 4096 // bytes of a client's message that are kept
	maxRefusals = 100  // shown of one stream
)

// refusal is a NACK. It stands until one of its resources is offered in
// another version: the same version is never sent again on a guess, and an
// ACK of something else says nothing about it.
type refusal struct {
	// versions are those refused, by name: one where the client named the
	// culprit; else all of the response, any of which may be it.
	versions map[string]string
	target   *generation
	entry    status.Refusal
}

// refuse records that the client did not take r. What the target has an answer
// to already, because r belongs to an update before, holds nothing up.
func (s *stream) refuse(r *response, message string) {
	sub := s.subs[r.kind]
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "")
	}
	named := culprits(message, r.changed)
	if len(named) == 0 {
		named = blamed(message, r.resources)
	}
	groups := [][]*resource{r.changed}
	if len(named) > 0 {
		sub.accept(r, named) // Envoy takes the others
		groups = groups[:0]
		for _, res := range named {
			groups = append(groups, []*resource{res})
		}
	}
	for _, group := range groups {
		n := &refusal{versions: map[string]string{}, target: s.target, entry: status.Refusal{
			Time: time.Now(), Type: r.kind.String(), Version: r.version, Message: message,
			Origins: s.origins(r.kind, group, message),
		}}
		for _, res := range group {
			n.versions[res.name] = res.version
		}
		if len(group) == 1 {
			n.entry.Resource, n.entry.Version = group[0].name, group[0].version
		}
		sub.refusals = slices.DeleteFunc(sub.refusals, func(o *refusal) bool { return maps.Equal(o.versions, n.versions) })
		sub.refusals = append(sub.refusals, n)
		s.refusedNow = s.refusedNow || s.stands(r.kind, n)
		s.server.metrics.nacks.WithLabelValues(n.entry.Type).Inc()
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "Envoy refused a resource",
			slog.String("type", n.entry.Type), slog.String("resource", n.entry.Resource), slog.String("version", n.entry.Version),
			slog.String("message", message), slog.Any("origins", n.entry.Origins))
	}
	s.reportRefusals()
	s.prune(r.kind)
}

// prune drops the refusals of kind k that the target has an answer to. What
// was refused along with an unnamed culprit never reached the client, so it is
// asked for again on the client's behalf.
func (s *stream) prune(k kind) {
	sub := s.subs[k]
	before := len(sub.refusals)
	sub.refusals = slices.DeleteFunc(sub.refusals, func(r *refusal) bool {
		if s.stands(k, r) {
			return false
		}
		for name := range r.versions {
			switch {
			case len(r.versions) > 1 && sub.has(name):
				delete(sub.sent, name)
				sub.asked[name] = struct{}{}
			case !s.delta && s.lookup(k, name) == nil:
				// It is not to be repeated while it waits for its removal.
				if sub.sent[name] = sub.accepted[name]; sub.sent[name] == nil {
					delete(sub.sent, name)
				}
			}
		}
		return true
	})
	if len(sub.refusals) != before {
		s.reportRefusals()
	}
}

// stands reports whether the target still has all that r refused.
func (s *stream) stands(k kind, r *refusal) bool {
	for name, version := range r.versions {
		if want := s.lookup(k, name); want == nil || want.version != version {
			return false
		}
	}
	return len(r.versions) > 0 || r.target == s.target
}

// refused reports whether a refusal of one of kinds stands.
func (s *stream) refused(of ...kind) bool {
	return slices.ContainsFunc(of, func(k kind) bool {
		return slices.ContainsFunc(s.subs[k].refusals, func(r *refusal) bool { return s.stands(k, r) })
	})
}

func (s *stream) reportRefusals() {
	var all []status.Refusal
	for _, sub := range s.subs {
		for _, r := range sub.refusals {
			if len(all) < maxRefusals {
				all = append(all, r.entry)
			}
		}
	}
	s.report(func(n *status.Node) { n.Refusals = all })
}

// culprits returns those of resources that message blames: the only one there
// is, or those that Envoy names at the start of a complaint ("Error
// adding/updating cluster(s) a: ..., b: ...") or in quotes. None when it
// names none.
func culprits(message string, resources []*resource) []*resource {
	if len(resources) == 1 {
		return resources
	}
	return blamed(message, resources)
}

// blamed returns those of resources that message names.
func blamed(message string, resources []*resource) []*resource {
	var out []*resource
	for _, r := range resources {
		if complains(message, r.name) || quotes(message, r.name) {
			out = append(out, r)
		}
	}
	return out
}

// complains reports whether a complaint in message begins with name.
func complains(message, name string) bool {
	for _, before := range []string{"(s) ", ", ", "\n"} {
		if name != "" && strings.Contains(message, before+name+": ") {
			return true
		}
	}
	return name != "" && strings.HasPrefix(message, name+": ")
}

// quotes reports whether message has name in quotes.
func quotes(message, name string) bool {
	return name != "" && (strings.Contains(message, "'"+name+"'") || strings.Contains(message, `"`+name+`"`))
}
