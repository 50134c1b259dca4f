package xds_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"
	grpcxds "google.golang.org/grpc/xds"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// echoing is a gRPC server that says its name by the error of Check, and whose
// Watch waits until the client has had enough.
type echoing struct {
	healthv1.UnimplementedHealthServer
	name string
}

func (n echoing) Check(context.Context, *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return nil, grpcstatus.Error(codes.DataLoss, n.name)
}

func (n echoing) Watch(_ *healthv1.HealthCheckRequest, s grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	<-s.Context().Done()
	return s.Context().Err()
}

// serveGRPC runs one called name and returns its endpoint.
func serveGRPC(t *testing.T, name string) snapshot.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	healthv1.RegisterHealthServer(s, echoing{name: name})
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return at("127.0.0.1", uint16(l.Addr().(*net.TCPAddr).Port))
}

// withoutProxy dials target as a gRPC client that is the node and has no proxy.
func (r *rig) withoutProxy(node, target string) healthv1.HealthClient {
	r.t.Helper()
	bootstrap := fmt.Sprintf(`{
		"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
		"node": {"id": %q}
	}`, r.addr, node)
	resolver, err := grpcxds.NewXDSResolverWithConfigForTesting([]byte(bootstrap))
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///"+target, grpc.WithResolvers(resolver), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return healthv1.NewHealthClient(conn)
}

// answers returns who answers a call, or how it fails.
func answers(t *testing.T, c healthv1.HealthClient) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := c.Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	return grpcstatus.Convert(err).Message()
}

// TestGRPCWithoutProxy: grpc-go's own xDS client finds a service by its name,
// follows its endpoints and routes, and has its time-out.
func TestGRPCWithoutProxy(t *testing.T) {
	one, two := serveGRPC(t, "one"), serveGRPC(t, "two")
	r := start(t)
	stock := func(more ...func(*snapshot.Route)) snapshot.Proxy {
		route := snapshot.Route{Name: "stock", PathPrefix: "/", Targets: targets("stock")}
		for _, m := range more {
			m(&route)
		}
		l := outbound(20000, snapshot.VirtualHost{Name: "stock", Domains: snapshot.ListOf("*"), Routes: snapshot.ListOf(route)})
		l.Service = "stock"
		return proxy("default.shop", l)
	}
	r.publish(world([]service{{name: "stock", endpoints: []snapshot.Endpoint{one}, http2: true}}, stock()))

	c, byPort := r.withoutProxy("default.shop", "stock"), r.withoutProxy("default.shop", "stock:20000")
	if a, b := answers(t, c), answers(t, byPort); a != "one" || b != "one" {
		t.Fatalf("answered: %q and %q", a, b)
	}
	r.eventually("is a gRPC client that has it all", func(n status.Node) bool {
		return strings.HasPrefix(n.UserAgent, "gRPC") && !n.Unknown && !n.Acked.IsZero() && len(n.Refusals) == 0
	})

	// An endpoint that moves.
	r.publish(world([]service{{name: "stock", endpoints: []snapshot.Endpoint{two}, http2: true}}, stock()))
	awaitAnswer(t, c, "two")

	// A route elsewhere, balanced in a way that gRPC does not know.
	random := func(c *snapshot.Cluster) { c.Balancing = snapshot.Random }
	r.publish(world([]service{
		{name: "stock", endpoints: []snapshot.Endpoint{two}, http2: true},
		{name: "other", endpoints: []snapshot.Endpoint{one}, http2: true, more: random},
	}, stock(func(route *snapshot.Route) { route.Targets = targets("other") })))
	awaitAnswer(t, c, "one")

	// A time-out of the route.
	r.publish(world([]service{{name: "stock", endpoints: []snapshot.Endpoint{two}, http2: true}},
		stock(func(route *snapshot.Route) { route.Timeout = second })))
	awaitAnswer(t, c, "two")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := c.Watch(ctx, &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = s.Recv()
	}
	if grpcstatus.Code(err) != codes.DeadlineExceeded || ctx.Err() != nil {
		t.Errorf("a stream without end: %v", err)
	}
	for _, n := range r.board.Nodes() {
		if len(n.Refusals) > 0 {
			t.Errorf("refused: %+v", n.Refusals)
		}
	}
}

// awaitAnswer calls until who answers.
func awaitAnswer(t *testing.T, c healthv1.HealthClient, who string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = answers(t, c); got == who {
			return
		}
	}
	t.Fatalf("%s answers, not %s", got, who)
}

// TestGRPCWithoutProxyTLS: what wants TLS is not offered, and all else is.
func TestGRPCWithoutProxyTLS(t *testing.T) {
	one := serveGRPC(t, "one")
	r := start(t)
	mesh := func(c *snapshot.Cluster) {
		c.Transports = snapshot.ListOf(snapshot.Transport{Name: "mesh:closed", Mesh: "default", Peers: snapshot.ListOf("spiffe://default/closed")})
	}
	listen := func(port uint16, service string) snapshot.Listener {
		l := outbound(port, host(service, []string{"*"}, "/", service))
		l.Service = service
		return l
	}
	r.publish(world([]service{
		{name: "open", endpoints: []snapshot.Endpoint{one}, http2: true},
		{name: "closed", endpoints: []snapshot.Endpoint{one}, http2: true, more: mesh},
	}, proxy("default.shop", listen(20000, "open"), listen(20001, "closed"))))
	if who := answers(t, r.withoutProxy("default.shop", "open")); who != "one" {
		t.Errorf("answered: %q", who)
	}
	c := r.withoutProxy("default.shop", "closed")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Check(ctx, &healthv1.HealthCheckRequest{}); grpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("over TLS: %v", err)
	}
}
