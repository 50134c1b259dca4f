package xds

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/meshc/meshc/runtime/status"
)

// stream is one client's ADS stream. One goroutine owns it: run. Another does
// nothing but receive.
type stream struct {
	server  *Server
	log     *slog.Logger
	key     string // in the status board
	delta   bool
	address string
	send    func(*response) error
	nonces  uint64
	nodeID  string
	agent   string
	known   bool // the first request, with the node's id, has come, and the client may be that node
	subs    [kinds]*subscription
	// secretProblem is the last one that was logged.
	secretProblem string

	update
}

// run serves the stream until it ends. A nil error says the client ended it.
func (s *stream) run(ctx context.Context, receive func() (*request, error)) error {
	requests := make(chan *request)
	var receiveErr error // set before requests is closed
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(requests)
		for {
			r, err := receive()
			if err != nil {
				receiveErr = err
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				receiveErr = ctx.Err()
				return
			}
		}
	}()
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	defer s.timer.Stop()
	rotated := s.server.rotation.awaited()
	s.newest = s.server.current.Load()
	for {
		if err := s.advance(); err != nil {
			return err
		}
		select {
		case r, ok := <-requests:
			if !ok {
				if receiveErr == io.EOF {
					return nil
				}
				return receiveErr
			}
			if err := s.handle(ctx, r); err != nil {
				return err
			}
		case <-s.newest.superseded:
			s.newest = s.server.current.Load()
		case <-rotated:
			rotated = s.server.rotation.awaited()
			if err := s.renew(); err != nil {
				return err
			}
		case <-s.timer.C:
			s.expired = true
		case <-s.server.stop:
			return grpcstatus.Error(codes.Unavailable, "meshc is shutting down")
		}
	}
}

// handle takes in one request.
func (s *stream) handle(ctx context.Context, r *request) error {
	if !s.known {
		if r.node.GetId() == "" {
			return grpcstatus.Error(codes.InvalidArgument, "the first request must have node.id: MESH.NAME of a dataplane, or gateway")
		}
		s.identify(r)
		if err := s.server.authorize(ctx, s.nodeID); err != nil {
			s.server.refused(s, err)
			return err
		}
		s.known = true
		s.server.connected(s)
	}
	k, ok := kindOf(r.typeURL)
	if !ok {
		return s.answerUnknown(r)
	}
	sub := s.subs[k]
	had, wants := len(sub.sent), false
	if answered := sub.acknowledge(r.nonce, s.delta); answered != nil && r.refused {
		s.refuse(answered, r.message)
		wants = len(sub.asked) > 0 && !s.refusedNow
	} else if answered != nil {
		sub.accept(answered, nil)
	}
	if s.delta {
		wants = sub.applyDelta(k, r) || wants
	} else {
		if sub.started && r.nonce != "" && r.nonce != sub.nonce {
			return nil // the client will repeat itself when it has read on
		}
		wants = sub.applyNames(k, r.names) || wants
	}
	if len(sub.sent) < had {
		s.disinherit()
	}
	if n := len(sub.names) + len(sub.sent); n > maxNames {
		return grpcstatus.Errorf(codes.ResourceExhausted, "a stream may name %d resources of a type, not %d", maxNames, n)
	}
	if wants {
		return s.answer(k)
	}
	return nil
}

// disinherit stops waiting for what a client would have asked for because of
// resources that it does not want any more.
func (s *stream) disinherit() {
	for k, child := range s.subs {
		if len(child.awaited) == 0 {
			continue
		}
		still := names{}
		for _, parent := range s.subs {
			for _, r := range parent.sent {
				if r == nil {
					continue
				}
				for _, c := range r.asks {
					if c.kind == kind(k) {
						still[c.name] = struct{}{}
					}
				}
			}
		}
		maps.DeleteFunc(child.awaited, func(name string, _ struct{}) bool { return !isIn(still, name) })
	}
}

// maxNames bounds what a client can make the server remember for it.
const maxNames = 1 << 18

// answerUnknown tells a client at once that there is nothing of a type that
// meshc does not serve, rather than let it wait.
func (s *stream) answerUnknown(r *request) error {
	if r.nonce != "" || (s.delta && len(r.subscribe) == 0) {
		return nil
	}
	s.nonces++
	resp := &response{kind: otherKind, typeURL: r.typeURL, delta: s.delta, nonce: strconv.FormatUint(s.nonces, 10)}
	if s.delta {
		resp.removed = r.subscribe
	}
	return s.send(resp)
}

// lookup returns what the target has under name for this client, or nil.
func (s *stream) lookup(k kind, name string) *resource {
	if k == secret {
		return s.secret(name)
	}
	return s.target.lookup(s.view, k, name)
}

// identify takes the node's id from the first request.
func (s *stream) identify(r *request) {
	s.nodeID = r.node.GetId()
	agent := r.node.GetUserAgentName()
	if v := r.node.GetUserAgentVersion(); v != "" {
		agent += "/" + v
	} else if b := r.node.GetUserAgentBuildVersion().GetVersion(); b != nil {
		agent += fmt.Sprintf("/%d.%d.%d", b.GetMajorNumber(), b.GetMinorNumber(), b.GetPatch())
	}
	s.agent = agent
	s.log = s.log.With("node", s.nodeID)
}

// report changes this stream's entry of the status board.
func (s *stream) report(change func(*status.Node)) {
	if s.server.cfg.Board != nil {
		s.server.cfg.Board.UpdateNode(s.key, change)
	}
}
