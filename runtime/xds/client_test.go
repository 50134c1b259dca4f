package xds_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typeurl "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"go.uber.org/goleak"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/identity"
	"github.com/meshc/meshc/runtime/publish"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ publish.Consumer = (*xds.Server)(nil)

const (
	cds  = typeurl.ClusterType
	eds  = typeurl.EndpointType
	ecds = typeurl.ExtensionConfigType
	lds  = typeurl.ListenerType
	rds  = typeurl.RouteType
	// probed is a type that meshc has nothing of, and answers at once.
	probed = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
)

// patience bounds what a test waits for; nothing in a test takes as long.
const patience = 2 * time.Minute

// rig is a running server.
type rig struct {
	t      testing.TB
	server *xds.Server
	board  *status.Board
	addr   string
	store  *identity.Store // nil for none
}

// start runs a server whose barriers wait as long as it takes.
func start(t testing.TB, change ...func(*xds.Config)) *rig {
	t.Helper()
	return startAt(t, "127.0.0.1:0", change...)
}

func startAt(t testing.TB, addr string, change ...func(*xds.Config)) *rig {
	t.Helper()
	r := &rig{t: t, board: &status.Board{}}
	cfg := xds.Config{
		GatewayAddr: gatewayAddr, Board: r.board, BarrierTimeout: time.Hour,
		Log: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	r.store, _ = cfg.Identities.(*identity.Store)
	r.server = xds.New(cfg)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// publish makes snap serve.
func (r *rig) publish(snap snapshot.Snapshot) {
	r.t.Helper()
	consumers := []publish.Consumer{r.server}
	if r.store != nil {
		consumers = []publish.Consumer{r.store, r.server}
	}
	var commits []func()
	for _, c := range consumers {
		commit, _, err := c.Prepare(context.Background(), snap)
		if err != nil {
			r.t.Fatal(err)
		}
		commits = append(commits, commit)
	}
	for _, commit := range commits {
		commit()
	}
}

func (r *rig) dial() *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// eventually waits until the node that the board shows satisfies ok.
func (r *rig) eventually(what string, ok func(status.Node) bool) status.Node {
	r.t.Helper()
	var nodes []status.Node
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		nodes = r.board.Nodes()
		for _, n := range nodes {
			if ok(n) {
				return n
			}
		}
	}
	r.t.Fatalf("no node on the board %s: %+v", what, nodes)
	return status.Node{}
}

// deltaClient speaks the delta protocol word by word.
type deltaClient struct {
	t      testing.TB
	node   *corev3.Node
	stream grpc.BidiStreamingClient[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]
	close  func()
}

func (r *rig) delta(node string) *deltaClient {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(r.dial()).DeltaAggregatedResources(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &deltaClient{t: r.t, node: &corev3.Node{Id: node, UserAgentName: "test"}, stream: s, close: cancel}
	r.t.Cleanup(cancel)
	return c
}

func (c *deltaClient) request(r *discoveryv3.DeltaDiscoveryRequest) {
	c.t.Helper()
	r.Node, c.node = c.node, nil // in the first request only
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

func (c *deltaClient) subscribe(url string, names ...string) {
	c.t.Helper()
	c.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: url, ResourceNamesSubscribe: names})
}

func (c *deltaClient) unsubscribe(url string, names ...string) {
	c.t.Helper()
	c.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: url, ResourceNamesUnsubscribe: names})
}

// reconnect subscribes as a client does that has versions already.
func (c *deltaClient) reconnect(url string, have map[string]string, names ...string) {
	c.t.Helper()
	c.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: url, InitialResourceVersions: have, ResourceNamesSubscribe: names})
}

func (c *deltaClient) ack(r *discoveryv3.DeltaDiscoveryResponse) {
	c.t.Helper()
	c.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce})
}

func (c *deltaClient) nack(r *discoveryv3.DeltaDiscoveryResponse, message string) {
	c.t.Helper()
	c.request(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce, ErrorDetail: &rpcstatus.Status{Message: message}})
}

func (c *deltaClient) receive() *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// expect receives a response of type url with exactly these resources; a name
// with "-" before it is one that is removed.
func (c *deltaClient) expect(url string, names ...string) *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	r := c.receive()
	got := deltaNames(r)
	if r.TypeUrl != url || !slices.Equal(got, names) {
		c.t.Fatalf("received %s %q, not %s %q", r.TypeUrl, got, url, names)
	}
	return r
}

func deltaNames(r *discoveryv3.DeltaDiscoveryResponse) []string {
	var out []string
	for _, res := range r.Resources {
		out = append(out, res.Name)
	}
	for _, name := range r.RemovedResources {
		out = append(out, "-"+name)
	}
	return out
}

// quiet proves that the server has nothing more to say: it answers a question
// asked now before anything else.
func (c *deltaClient) quiet() {
	c.t.Helper()
	c.subscribe(probed, "nothing")
	c.expect(probed, "-nothing")
}

// versions returns the versions in responses by type and name.
func versions(responses ...*discoveryv3.DeltaDiscoveryResponse) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, r := range responses {
		if out[r.TypeUrl] == nil {
			out[r.TypeUrl] = map[string]string{}
		}
		for _, res := range r.Resources {
			out[r.TypeUrl][res.Name] = res.Version
		}
	}
	return out
}

// boot connects as Envoy does and takes everything; it returns what it has.
// services are those that use EDS.
func (c *deltaClient) boot(listeners, services []string) map[string]map[string]string {
	c.t.Helper()
	c.subscribe(cds)
	clusters := c.receive()
	c.subscribe(eds, services...)
	endpoints := c.expect(eds, services...)
	c.ack(endpoints)
	c.ack(clusters)
	c.subscribe(lds)
	all := c.expect(lds, listeners...)
	c.ack(all)
	c.subscribe(rds, listeners...)
	routes := c.expect(rds, listeners...)
	c.ack(routes)
	c.quiet()
	return versions(clusters, endpoints, all, routes)
}

// stateClient speaks the state-of-the-world protocol word by word.
type stateClient struct {
	t      testing.TB
	node   *corev3.Node
	stream grpc.BidiStreamingClient[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]
	names  map[string][]string // asked for, by type
	close  func()
}

func (r *rig) state(node string) *stateClient {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(r.dial()).StreamAggregatedResources(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(cancel)
	return &stateClient{t: r.t, node: &corev3.Node{Id: node, UserAgentName: "test"}, stream: s, names: map[string][]string{}, close: cancel}
}

func (c *stateClient) request(r *discoveryv3.DiscoveryRequest) {
	c.t.Helper()
	r.Node, c.node = c.node, nil
	r.ResourceNames = c.names[r.TypeUrl]
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

// ask asks for names in answer to after, which is nil in the beginning.
func (c *stateClient) ask(url string, after *discoveryv3.DiscoveryResponse, names ...string) {
	c.t.Helper()
	c.names[url] = names
	c.request(&discoveryv3.DiscoveryRequest{TypeUrl: url, ResponseNonce: after.GetNonce(), VersionInfo: after.GetVersionInfo()})
}

func (c *stateClient) ack(r *discoveryv3.DiscoveryResponse) {
	c.t.Helper()
	c.ask(r.TypeUrl, r, c.names[r.TypeUrl]...)
}

func (c *stateClient) nack(r *discoveryv3.DiscoveryResponse, message string) {
	c.t.Helper()
	c.request(&discoveryv3.DiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce, ErrorDetail: &rpcstatus.Status{Message: message}})
}

func (c *stateClient) expect(url string, names ...string) *discoveryv3.DiscoveryResponse {
	c.t.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	for _, a := range r.Resources {
		got = append(got, nameOf(c.t, a))
	}
	if r.TypeUrl != url || !slices.Equal(got, names) {
		c.t.Fatalf("received %s %q, not %s %q", r.TypeUrl, got, url, names)
	}
	return r
}

func (c *stateClient) quiet() {
	c.t.Helper()
	c.request(&discoveryv3.DiscoveryRequest{TypeUrl: probed})
	c.expect(probed)
}

// named is what every resource but one has.
type named interface{ GetName() string }

func nameOf(t testing.TB, a *anypb.Any) string {
	t.Helper()
	m, err := a.UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	switch m := m.(type) {
	case named:
		return m.GetName()
	case interface{ GetClusterName() string }:
		return m.GetClusterName()
	}
	t.Fatal(errors.New("a resource without a name"))
	return ""
}
