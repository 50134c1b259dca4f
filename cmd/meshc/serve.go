package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/urfave/cli/v2"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/plugins/accesslog"
	"github.com/meshc/meshc/runtime/identity"
	"github.com/meshc/meshc/runtime/proxy"
	"github.com/meshc/meshc/runtime/publish"
	"github.com/meshc/meshc/runtime/rest"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

// The addresses that serve uses when no flag says otherwise.
const (
	defaultProxy           = "127.0.0.1:8080"
	defaultProxyTLS        = "127.0.0.1:8443"
	defaultEnvoyGateway    = "127.0.0.1:8081" // beside the built-in proxy's own
	defaultEnvoyGatewayTLS = "127.0.0.1:8444"
	defaultXDS             = "127.0.0.1:5678"
	defaultREST            = "127.0.0.1:5681"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "run documents or a built snapshot: proxy, xDS and REST",
		ArgsUsage: "[PATH…]",
		Description: `PATH is a file or directory of documents, - for standard input, or one file that meshc build wrote. A change of the
input is put into effect as soon as it is whole and right; until then the last good state serves. SIGHUP reloads at once.
SIGINT or SIGTERM ends what is in flight and stops; a second one stops at once.
Exit code: 0 stopped by a signal, 1 the input has errors and there is no last good state, 2 serving is not possible.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "proxy-addr", Value: defaultProxy, Usage: "address of the gateway listener; empty for none"},
			&cli.StringFlag{Name: "proxy-tls-addr", Value: defaultProxyTLS, Usage: "address of the gateway's listener for TLS, which is opened where the input has certificates with server names, or routes for https alone; empty for none"},
			&cli.StringFlag{Name: "xds-addr", Value: defaultXDS, Usage: "address of the xDS server; empty for none"},
			&cli.StringFlag{Name: "xds-tls-cert", Usage: "certificate `FILE` of the xDS server, in PEM, which then speaks TLS; followed when it changes"},
			&cli.StringFlag{Name: "xds-tls-key", Usage: "its private key `FILE`"},
			&cli.StringFlag{Name: "xds-client-ca", Usage: "`FILE` with the authorities of clients, whose certificates say by the URI SAN meshc:MESH.NAME (or meshc:gateway, meshc:MESH.*, meshc:*) which nodes they may be"},
			&cli.StringFlag{Name: "rest-addr", Value: defaultREST, Usage: "address of the REST view; empty for none"},
			&cli.StringSliceFlag{Name: "dataplane", Usage: "serve this dataplane instead of the gateway: MESH.NAME, MESH.* or '*'; repeatable, and gateway may be one of them"},
			&cli.BoolFlag{Name: "no-proxy", Usage: "run no built-in proxy; Envoy's gateway listener then binds --proxy-addr"},
			&cli.StringFlag{Name: "xds-gateway-addr", Usage: "address that Envoy's gateway listener binds beside the built-in proxy (default: " + defaultEnvoyGateway + ")"},
			&cli.StringFlag{Name: "xds-gateway-tls-addr", Usage: "the same of its listener for TLS; with --no-proxy it binds --proxy-tls-addr (default: " + defaultEnvoyGatewayTLS + ")"},
			&cli.StringFlag{Name: "state-dir", Usage: "directory, of this process alone, that keeps the last good snapshot, certificate authorities and compiled modules over restarts"},
			&cli.BoolFlag{Name: "watch", Value: true, Usage: "reload when the input changes"},
			&cli.DurationFlag{Name: "poll", Usage: "look for changes at this interval, where file events do not arrive"},
			&cli.BoolFlag{Name: "allow-empty", Usage: "an input that falls to no documents at all is meant"},
			&cli.DurationFlag{Name: "drain-timeout", Value: 10 * time.Second, Usage: "how long what is in flight may take to end: at shutdown, or when its client is not admitted any more"},
			&cli.StringFlag{Name: "log-format", Value: "text", Usage: "text or json"},
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "debug, info, warn or error"},
			nodePortsFlag(), nodeFlag(), nodeLabelFlag(),
		},
		Action: func(c *cli.Context) error {
			node, err := nodeOf(c)
			if err != nil {
				return err
			}
			for _, name := range []string{"poll", "drain-timeout"} {
				if c.Duration(name) < 0 {
					return failed("--%s: a duration below zero", name)
				}
			}
			for _, pattern := range c.StringSlice("dataplane") {
				if err := checkPattern(pattern); err != nil {
					return failed("--dataplane %s: %v", pattern, err)
				}
			}
			if dir := c.String("state-dir"); dir != "" {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return failed("--state-dir: %v", err)
				}
				lock, err := lockState(dir)
				if err != nil {
					return failed("--state-dir: %v", err)
				}
				defer lock.Close()
			}
			log, err := newLogger(c)
			if err != nil {
				return failed("%v", err)
			}
			s := &server{c: c, log: log, in: openInput(c.Args().Slice(), c.App.Reader, c.Bool("allow-empty"))}
			if d, ok := s.in.(*documents); ok {
				d.compiler.Node = node
			} else if node.Ports || node.Name != "" || len(node.Labels) > 0 {
				return failed("--node-ports, --node and --node-label say what a snapshot is made for: give them to meshc build")
			}
			return s.run(c.Context)
		},
	}
}

func newLogger(c *cli.Context) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, errors.New("--log-level must be debug, info, warn or error")
	}
	o := &slog.HandlerOptions{Level: level}
	switch c.String("log-format") {
	case "text":
		return slog.New(slog.NewTextHandler(c.App.ErrWriter, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.App.ErrWriter, o)), nil
	}
	return nil, errors.New("--log-format must be text or json")
}

// server is one run of meshc serve.
type server struct {
	c     *cli.Context
	log   *slog.Logger
	in    input
	board status.Board

	identity *identity.Store

	proxy *proxy.Proxy        // nil with --no-proxy
	kinds openKinds           // none with --no-proxy
	logs  *accesslog.Receiver // nil without xDS
	xds   *xds.Server         // nil without an address
	rest  *http.Server        // nil without an address

	xdsAddr net.Addr // where xds listens
	xdsTLS  *xds.TLS // nil for none

	publisher *publish.Publisher
}

// run serves until ctx ends.
func (s *server) run(ctx context.Context) error {
	failures := make(chan error, 2)
	addresses, err := s.start(failures)
	if err != nil {
		s.stop()
		return failed("%v", err)
	}
	// The watch stands before the first read, so that no change falls between.
	reload, err := newReloader(ctx, s)
	if err != nil {
		s.stop()
		return failed("%v", err)
	}
	defer reload.close()
	if err := reload.first(ctx); err != nil {
		s.stop()
		return err
	}
	if s.proxy != nil {
		if a, ok := s.proxy.Addresses()[snapshot.GatewayTLS]; ok {
			addresses = append([]any{"proxy-tls", a.String()}, addresses...)
		}
		if a, ok := s.proxy.Addresses()[snapshot.GatewayID]; ok {
			addresses = append([]any{"proxy", a.String()}, addresses...)
		}
	}
	s.log.Info("serving", addresses...)
	done := make(chan struct{})
	loopCtx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		go s.identity.Run(loopCtx)
		reload.loop(loopCtx)
	}()
	select {
	case <-ctx.Done():
		s.log.Info("stopping: ending what is in flight", "at most", s.c.Duration("drain-timeout"))
	case err = <-failures:
	}
	cancel()
	<-done
	s.stop()
	if err != nil {
		return failed("%v", err)
	}
	return nil
}

// start opens the listening sockets of the servers and begins to serve on
// them; it returns their addresses as log attributes.
func (s *server) start(failures chan<- error) ([]any, error) {
	var consumers []publish.Consumer
	var addresses []any
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics.MustRegister(reloadMetrics(&s.board)...)

	// First, for the others ask it for what the snapshot at hand needs.
	config := identity.Config{Roots: s.in.roots(), Log: s.log}
	if dir := s.c.String("state-dir"); dir != "" {
		config.Dir = filepath.Join(dir, "identity")
	}
	s.identity = identity.New(config)
	metrics.MustRegister(s.identity)
	consumers = append(consumers, publish.Source(s.identity))

	envoyGateway := s.envoyAddr("xds-gateway-addr", defaultEnvoyGateway, "proxy-addr")
	envoyGatewayTLS := s.envoyAddr("xds-gateway-tls-addr", defaultEnvoyGatewayTLS, "proxy-tls-addr")
	if !s.c.Bool("no-proxy") {
		serve := servedBy(s.c.StringSlice("dataplane"))
		gateway := s.c.String("proxy-addr")
		gatewayTLS := s.c.String("proxy-tls-addr")
		if !serve(snapshot.GatewayID) {
			gateway, gatewayTLS = "", ""
		}
		s.proxy = proxy.New(proxy.Config{
			Gateway: gateway, GatewayTLS: gatewayTLS, Serve: serve, Identities: s.identity, NewFilter: s.kinds.newFilter,
			Log: s.log, DrainTimeout: s.c.Duration("drain-timeout"),
		})
		metrics.MustRegister(s.proxy.Metrics())
		if err := s.kinds.open(s.proxy, s.c.String("state-dir"), &s.board, metrics, s.log); err != nil {
			return nil, err
		}
		consumers = append(consumers, s.proxy)
	}
	var err error
	if s.xdsTLS, err = openXDSTLS(s.c, s.log); err != nil {
		return nil, err
	}
	if addr := s.c.String("xds-addr"); addr != "" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("--xds-addr: %w", err)
		}
		s.xdsAddr = l.Addr()
		addresses = append(addresses, "xds", l.Addr().String())
		// For the test that shows what the barriers are for.
		unordered := os.Getenv("MESHC_XDS_UNORDERED") != ""
		if unordered {
			s.log.Warn("MESHC_XDS_UNORDERED is set: Envoys will lose requests when the configuration changes")
		}
		s.logs = accesslog.NewReceiver(s.log)
		metrics.MustRegister(s.logs)
		consumers = append(consumers, accessLogs{s.logs})
		s.xds = xds.New(xds.Config{
			GatewayAddr: envoyGateway, GatewayTLSAddr: envoyGatewayTLS, Filter: envoyFilter, Identities: s.identity, TLS: s.xdsTLS, Board: &s.board, Log: s.log,
			AccessLog: s.logs.Receive, Unordered: unordered,
		})
		metrics.MustRegister(s.xds)
		consumers = append(consumers, s.xds)
		go func() {
			if err := s.xds.Serve(l); err != nil {
				failures <- err
			}
		}()
	}
	if addr := s.c.String("rest-addr"); addr != "" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("--rest-addr: %w", err)
		}
		addresses = append(addresses, "rest", l.Addr().String())
		var health func() any
		if s.proxy != nil {
			health = func() any { return s.proxy.Health() }
		}
		view := rest.New(rest.Config{
			Board: &s.board, Log: s.log, Version: version(),
			Metrics:    promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
			Identities: func() any { return s.identity.Status() },
			Health:     health,
		})
		s.rest = view.HTTPServer()
		consumers = append(consumers, view)
		go func() {
			if err := s.rest.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failures <- err
			}
		}()
	}
	s.publisher = publish.New(consumers...)
	return addresses, nil
}

// envoyAddr is where a listener of an Envoy's gateway binds: what the flag says,
// or else, where there is no built-in proxy, what that would bind.
func (s *server) envoyAddr(flag, otherwise, proxys string) string {
	if addr := s.c.String(flag); addr != "" {
		return addr
	}
	if s.c.Bool("no-proxy") {
		return s.c.String(proxys)
	}
	return otherwise
}

// lastRest is how long xDS and REST have to end at least.
const lastRest = time.Second

// stop ends the servers in the order in which nobody is cut off: the proxy
// first, for its clients wait; then those who only look on.
func (s *server) stop() {
	s.board.Stop() // readiness ends first: who balances over us goes elsewhere
	ctx, cancel := context.WithTimeout(context.Background(), s.c.Duration("drain-timeout"))
	defer cancel()
	if s.proxy != nil {
		if err := s.proxy.Shutdown(ctx); err != nil {
			s.log.Warn("requests were cut off at shutdown", "error", err)
		}
	}
	s.kinds.close()
	if s.logs != nil {
		s.logs.Close()
	}
	if deadline, _ := ctx.Deadline(); time.Until(deadline) < lastRest {
		// The proxy took the time: who is told to go now needs some, too.
		cancel()
		ctx, cancel = context.WithTimeout(context.Background(), lastRest)
		defer cancel()
	}
	if s.xds != nil {
		if err := s.xds.Shutdown(ctx); err != nil {
			s.log.Warn("xDS streams were cut off at shutdown", "error", err)
		}
	}
	if s.rest != nil {
		if err := s.rest.Shutdown(ctx); err != nil {
			s.log.Warn("REST requests were cut off at shutdown", "error", err)
		}
	}
}

// checkPattern refuses what can name no proxy of any snapshot.
func checkPattern(pattern string) error {
	if pattern == snapshot.GatewayID || pattern == "*" {
		return nil
	}
	mesh, name, dotted := strings.Cut(pattern, ".")
	switch {
	case !dotted && mesh != "" && !strings.Contains(mesh, "*"):
		return fmt.Errorf("the mesh is missing; write MESH.NAME, such as default.%s", mesh)
	case mesh == "" || name == "" || strings.Contains(strings.TrimSuffix(pattern, ".*"), "*"):
		return errors.New("must be MESH.NAME, MESH.*, '*' or gateway")
	}
	return nil
}

// servedBy returns which proxies of the snapshot this process runs: the
// gateway, or the dataplanes that the patterns name.
func servedBy(patterns []string) func(id string) bool {
	if len(patterns) == 0 {
		patterns = []string{snapshot.GatewayID}
	}
	return func(id string) bool {
		for _, p := range patterns {
			prefix, wild := strings.CutSuffix(p, "*")
			switch {
			case id == p:
				return true
			case id == snapshot.GatewayID:
				continue // only its own name means the gateway
			case wild && (prefix == "" || strings.HasSuffix(prefix, ".") && strings.HasPrefix(id, prefix)):
				return true
			}
		}
		return false
	}
}
