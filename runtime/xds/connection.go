package xds

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/meshc/meshc/runtime/status"
)

// serveStream serves one client until it goes.
func (s *Server) serveStream(g grpc.ServerStream, delta bool, receive func() (*request, error)) error {
	s.mu.Lock()
	s.streams++
	st := &stream{server: s, key: fmt.Sprintf("stream-%d", s.streams), delta: delta, log: s.cfg.Log}
	s.mu.Unlock()
	if p, ok := peer.FromContext(g.Context()); ok {
		st.address = p.Addr.String()
		st.log = st.log.With("address", st.address)
	}
	for k := range st.subs {
		st.subs[k] = newSubscription()
	}
	st.send = func(r *response) error {
		b := r.encode()
		s.metrics.pushes.WithLabelValues(r.kind.String()).Inc()
		s.metrics.bytes.WithLabelValues(r.kind.String()).Add(float64(b.Len()))
		return g.SendMsg(b)
	}
	err := st.run(g.Context(), receive)
	if st.known {
		s.disconnected(st, err)
	}
	return err
}

func (st *stream) protocol() string {
	if st.delta {
		return "delta"
	}
	return "sotw"
}

// connected enters a stream that said who it is on the board, in place of
// streams of the same node that ended.
func (s *Server) connected(st *stream) {
	s.metrics.nodes.WithLabelValues(st.protocol()).Inc()
	st.log.Info("xDS client connected", "agent", st.agent, "protocol", st.protocol())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = slices.DeleteFunc(s.gone, func(d departed) bool {
		if d.nodeID == st.nodeID {
			s.forget(d.key)
		}
		return d.nodeID == st.nodeID
	})
	st.appear()
}

// appear puts the stream on the board.
func (st *stream) appear() {
	st.report(func(n *status.Node) {
		n.ID, n.UserAgent, n.Address = st.nodeID, st.agent, st.address
		n.Protocol, n.Connected = st.protocol(), time.Now()
	})
}

// refused notes a client that may not be the node that it says it is. The board
// shows the last one for a node beside the node itself.
func (s *Server) refused(st *stream, err error) {
	s.told.do(func(others uint64) {
		st.log.Warn("xDS client refused", "reason", grpcstatus.Convert(err).Message(), "others since the last line", others)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = slices.DeleteFunc(s.gone, func(d departed) bool {
		again := d.refused && d.nodeID == st.nodeID
		if again {
			s.forget(d.key)
		}
		return again
	})
	st.appear()
	st.report(func(n *status.Node) { n.Disconnected, n.Refused = time.Now(), grpcstatus.Convert(err).Message() })
	s.depart(departed{st.key, st.nodeID, true})
}

// disconnected notes that the stream ended; the board shows it until its node
// comes back or many others have gone.
func (s *Server) disconnected(st *stream, err error) {
	s.metrics.nodes.WithLabelValues(st.protocol()).Dec()
	st.log.Info("xDS client disconnected", "reason", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	st.report(func(n *status.Node) { n.Disconnected = time.Now() })
	s.depart(departed{st.key, st.nodeID, false})
}

// depart keeps d on the board until maxGone others have gone. s.mu is held.
func (s *Server) depart(d departed) {
	s.gone = append(s.gone, d)
	if len(s.gone) > maxGone {
		s.forget(s.gone[0].key)
		s.gone = slices.Delete(s.gone, 0, 1)
	}
}

func (s *Server) forget(key string) {
	if s.cfg.Board != nil {
		s.cfg.Board.RemoveNode(key)
	}
}
