// Package xds serves snapshots to Envoy and other xDS clients.
//
// Package envoy, below it, turns a snapshot into Envoy's resources; this one
// keeps them encoded, shared and versioned by content, and pushes what
// changed over ADS, in the delta protocol and the state-of-the-world one, in
// an order that lets no request fail on the way.
package xds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// Config says how a Server serves.
type Config struct {
	// GatewayAddr is the HOST:PORT that Envoy's gateway listener binds. HOST
	// is an IP address, "localhost", or empty for all addresses.
	GatewayAddr string
	// GatewayTLSAddr is that of the gateway's listener for TLS, which Envoys do
	// not get where it is "".
	GatewayTLSAddr string
	// Filter says what Envoy runs for a filter of the snapshot. Nil means that
	// no filter has a form in Envoy: a snapshot with one is refused.
	Filter FilterFunc
	// Identities are where the secrets come from that SDS serves; nil for none.
	// They are fetched for clients that ask, and again whenever they change.
	Identities Identities
	// AccessLog takes what Envoys log to this address; nil for nothing.
	AccessLog AccessLogFunc
	// TLS is how the server proves who it is and asks clients who they are; nil
	// for neither.
	TLS *TLS
	// Board is told of clients and what they refuse. Nil tells nobody.
	Board *status.Board
	// Log defaults to slog.Default().
	Log *slog.Logger
	// BarrierTimeout bounds the wait for a client's answer between the steps
	// of an update, to which comes 2 ms for each resource that the client has
	// to work on; 0 means 5 seconds.
	BarrierTimeout time.Duration
	// Unordered switches the barriers off. It exists for the test that
	// proves that they are needed.
	Unordered bool
}

const (
	// defaultBarrierTimeout is below the 15 s after which Envoy itself stops
	// waiting for a cluster's endpoints, and far beyond a round trip.
	defaultBarrierTimeout = 5 * time.Second
	// maxRequest holds the names and versions of 100,000 clusters.
	maxRequest = 16 << 20
	// maxStreams bounds what one connection may open; a client needs one.
	maxStreams = 100
	// maxGone is how many clients are remembered after they left.
	maxGone = 100
)

// Server is an ADS server. It serves what was last committed; before the
// first snapshot it lets clients wait, for an empty answer would make an
// Envoy that outlived its control plane drop all it has.
type Server struct {
	cfg     Config
	gateway func() (envoy.Gateway, error)
	current atomic.Pointer[generation]
	grpc    *grpc.Server
	metrics metrics
	// rotation is announced when secrets change.
	rotation *rotation
	told     seldom        // of clients that were refused
	stop     chan struct{} // closed by Shutdown
	stopped  sync.Once

	mu      sync.Mutex
	streams uint64
	gone    []departed // oldest first
}

// departed is a stream that ended and still stands on the board.
type departed struct {
	key, nodeID string
	refused     bool // it never was that node
}

// New returns a Server that does not listen yet.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.BarrierTimeout <= 0 {
		cfg.BarrierTimeout = defaultBarrierTimeout
	}
	s := &Server{
		cfg:      cfg,
		gateway:  sync.OnceValues(func() (envoy.Gateway, error) { return parseGateway(cfg.GatewayAddr, cfg.GatewayTLSAddr) }),
		metrics:  newMetrics(),
		rotation: newRotation(),
		stop:     make(chan struct{}),
	}
	s.current.Store(&generation{superseded: make(chan struct{})})
	if cfg.Identities != nil {
		cfg.Identities.OnChange(s.rotation.announce)
	}
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(maxStreams),
		// Timeout is also how long data may wait to be read, and an Envoy that
		// compiles plugins reads nothing.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 2 * time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.UnknownServiceHandler(refuseService),
	}
	if cfg.TLS != nil {
		options = append(options, grpc.Creds(cfg.TLS.credentials(s.handshakeFailed)))
	}
	s.grpc = grpc.NewServer(options...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s.grpc, ads{server: s})
	if cfg.AccessLog != nil {
		alsv3.RegisterAccessLogServiceServer(s.grpc, als{server: s})
	}
	return s
}

// parseGateway reads the addresses of the gateway's listeners; tls may be "".
func parseGateway(addr, tls string) (out envoy.Gateway, err error) {
	if out.Addr, err = envoy.ParseGatewayAddr(addr); err == nil && tls != "" {
		out.TLSAddr, err = envoy.ParseGatewayAddr(tls)
	}
	return out, err
}

// refuseService answers for every service but ADS: on streams of their own,
// clusters, listeners and routes would come in no order.
func refuseService(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return grpcstatus.Errorf(codes.Unimplemented,
		"%s is not offered: meshc serves xDS over ADS only; set ads_config in dynamic_resources and `ads: {}` as the config source", method)
}

// Name implements publish.Consumer.
func (s *Server) Name() string { return "xds" }

// Prepare builds and checks the resources of what next has anew, and keeps
// the rest. All mistakes are returned together, each with its file and line.
// It must not run twice at once; publish.Publisher sees to that.
func (s *Server) Prepare(ctx context.Context, next snapshot.Snapshot) (commit, abort func(), err error) {
	gateway, err := s.gateway()
	if err != nil {
		return nil, nil, err
	}
	old := s.current.Load()
	g, err := build(ctx, next, gateway, s.cfg.Filter, old)
	if err != nil {
		return nil, nil, err
	}
	if s.cfg.Identities != nil {
		if g.identities = s.cfg.Identities.View(next.Version); g.identities == nil {
			return nil, nil, fmt.Errorf("the identities of version %s are not prepared", next.Version.Short())
		}
	}
	old.follow(g)
	commit = func() {
		s.current.Store(g)
		close(old.superseded)
	}
	return commit, func() {}, nil
}

// Serve answers clients on l until Shutdown, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving xDS on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown ends all streams, which makes clients look for another server and
// keep what they have, and waits until they have ended or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopped.Do(func() { close(s.stop) })
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return ctx.Err()
	}
}

// ads is the gRPC face of a Server.
type ads struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server *Server
}

// DeltaAggregatedResources serves one delta stream.
func (a ads) DeltaAggregatedResources(g discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return a.server.serveStream(g, true, func() (*request, error) {
		r, err := g.Recv()
		if err != nil {
			return nil, err
		}
		return deltaRequest(r), nil
	})
}

// StreamAggregatedResources serves one state-of-the-world stream.
func (a ads) StreamAggregatedResources(g discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return a.server.serveStream(g, false, func() (*request, error) {
		r, err := g.Recv()
		if err != nil {
			return nil, err
		}
		return stateRequest(r), nil
	})
}
