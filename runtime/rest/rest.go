// Package rest shows the snapshot that serves, and what really happens, over
// HTTP. It only reads: nothing that it is asked changes anything.
//
// Documents are shown under the paths and in the forms of the systems that
// their dialects belong to, each with its own errors: kubernetes.go, kuma.go,
// kong.go. What is meshc's own is in meshc.go.
package rest

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// Config is what a Server is made of.
type Config struct {
	// Board is what the process writes its status to.
	Board *status.Board
	// Metrics serves /metrics; nil means 404.
	Metrics http.Handler
	// Identities returns what /meshc/identities shows; nil means 404.
	Identities func() any
	// Health returns what /meshc/health shows; nil means 404.
	Health func() any
	// Log takes what net/http complains of; nil means slog.Default.
	Log *slog.Logger
	// Version is meshc's own, for the index.
	Version string
}

// Server is the REST view. It is a publish.Consumer.
type Server struct {
	Config
	hostname string
	state    atomic.Pointer[state] // nil until the first commit
}

// New returns a Server that has no snapshot yet: it answers 503 where it needs one.
func New(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // it is shown, and nothing depends on it
	}
	return &Server{Config: c, hostname: hostname}
}

// Name returns "rest".
func (s *Server) Name() string { return "rest" }

// Prepare builds the indexes of next, reusing what did not change; commit
// swaps them in. One publication happens at a time: revisions are counted from
// what is committed when Prepare is called.
func (s *Server) Prepare(ctx context.Context, next snapshot.Snapshot) (commit, abort func(), err error) {
	st, err := newState(ctx, s.state.Load(), next, time.Now())
	if err != nil {
		return nil, nil, err
	}
	return func() { s.state.Store(st) }, func() {}, nil
}

// HTTPServer returns a server of the view with limits that a local API can
// live with. The caller serves and shuts it down.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
}

// Handler returns the whole view. Each request sees one snapshot from
// beginning to end.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// serve hands a request to the system that its first path segment belongs to.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, private")
	h.Set("X-Content-Type-Options", "nosniff")
	if !local(r) {
		sendText(w, http.StatusForbidden, "403: this address answers only to an IP address or localhost as the host\n")
		return
	}
	path, ok := segments(r.URL)
	if !ok {
		sendText(w, http.StatusBadRequest, "400: the path is not well formed\n")
		return
	}
	switch first := path[0]; {
	case first == "healthz" || first == "readyz" || first == "metrics" || first == "meshc":
		s.own(w, r, path)
	case first == "api" || first == "apis":
		s.kubernetes(w, r, path)
	case first == "services":
		s.kong(w, r, path)
	case first == "" || first == "meshes" || kumaByCollection[first] != nil:
		s.kuma(w, r, path)
	default:
		sendText(w, http.StatusNotFound, "404 page not found\n")
	}
}

// local reports whether the request may be answered as far as its Host goes. A
// page of any site can have its own name resolve to 127.0.0.1 and then read
// what answers there; it cannot make the browser send another Host. So on a
// loopback address only the names that DNS has no say in are served.
func local(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true // not a network server: a test or an in-process caller
	}
	if bound, err := netip.ParseAddrPort(addr.String()); err != nil || !bound.Addr().Unmap().IsLoopback() {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// segments splits the path at its slashes and decodes what is between them; a
// slash at the end does not count. The root is one empty segment.
func segments(u *url.URL) ([]string, bool) {
	path := strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	parts := strings.Split(path, "/")
	for i, p := range parts {
		decoded, err := url.PathUnescape(p)
		if err != nil {
			return nil, false
		}
		parts[i] = decoded
	}
	return parts, true
}
