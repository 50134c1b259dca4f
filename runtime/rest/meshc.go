package rest

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// own answers what belongs to meshc alone.
func (s *Server) own(w http.ResponseWriter, r *http.Request, path []string) {
	answer := s.ownRoute(strings.Join(path, "/"))
	if answer == nil {
		sendText(w, http.StatusNotFound, "404 page not found\n")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		sendText(w, http.StatusMethodNotAllowed, "405 method not allowed: this view is read-only\n")
		return
	}
	answer(w, r)
}

// ownRoute returns what answers a path; nil for an unknown one.
func (s *Server) ownRoute(path string) http.HandlerFunc {
	switch path {
	case "healthz":
		return func(w http.ResponseWriter, _ *http.Request) { sendText(w, http.StatusOK, "ok") }
	case "readyz":
		return s.ready
	case "metrics":
		if s.Metrics != nil {
			return s.Metrics.ServeHTTP
		}
	case "meshc/snapshot":
		return s.snapshot
	case "meshc/diagnostics":
		return s.diagnostics
	case "meshc/reloads":
		return s.reloads
	case "meshc/xds/nodes":
		return s.nodes
	case "meshc/identities":
		if s.Identities != nil {
			return func(w http.ResponseWriter, _ *http.Request) {
				send(w, http.StatusOK, typeJSON, marshal(s.Identities()))
			}
		}
	case "meshc/health":
		if s.Health != nil {
			return func(w http.ResponseWriter, _ *http.Request) {
				send(w, http.StatusOK, typeJSON, marshal(s.Health()))
			}
		}
	case "meshc/plugins":
		return s.plugins
	}
	return nil
}

// ready answers 200 once a whole snapshot serves, here and everywhere else.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if !s.Board.Ready() || s.state.Load() == nil {
		sendText(w, http.StatusServiceUnavailable, "no snapshot serves yet\n")
		return
	}
	sendText(w, http.StatusOK, "ok")
}

// diagnostics shows the findings of the last load, in the JSON format of
// meshc validate; none before the first.
func (s *Server) diagnostics(w http.ResponseWriter, _ *http.Request) {
	b := s.Board.Diagnostics()
	if b == nil {
		b = []byte(`{"diagnostics":[],"summary":{"files":0,"documents":0,"ignored":0,"errors":0,"warnings":0}}` + "\n")
	}
	send(w, http.StatusOK, typeJSON, b)
}

// reloads shows the last attempts to put new input into effect, oldest first.
func (s *Server) reloads(w http.ResponseWriter, _ *http.Request) {
	list := append([]status.Reload{}, s.Board.Reloads()...)
	for i := range list {
		list[i].Steps = append([]status.Step{}, list[i].Steps...) // [] and not null
	}
	send(w, http.StatusOK, typeJSON, marshal(list))
}

// nodes shows the xDS clients.
func (s *Server) nodes(w http.ResponseWriter, _ *http.Request) {
	list := append([]status.Node{}, s.Board.Nodes()...)
	for i := range list {
		list[i].Refusals = append([]status.Refusal{}, list[i].Refusals...)
		for j := range list[i].Refusals {
			refusal := &list[i].Refusals[j]
			refusal.Origins = append([]snapshot.Origin{}, refusal.Origins...)
		}
	}
	send(w, http.StatusOK, typeJSON, marshal(list))
}

// whole is the answer of /meshc/snapshot.
type whole struct{ plain, gzip []byte }

// wholeOf returns a function that writes s when it is first called: nobody may
// ever ask.
func wholeOf(s snapshot.Snapshot) func() whole {
	return sync.OnceValue(func() whole {
		s.Documents = each(s.Documents, withoutData)
		s.Proxies = withoutConfigs(s.Proxies)
		s.Secrets = each(s.Secrets, withoutValue)
		body := marshal(s)
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body) // a Buffer takes everything
		_ = z.Close()
		return whole{body, b.Bytes()}
	})
}

// snapshot shows everything but secrets, among which the configurations of
// filters and raw resources count, and what blobs hold. Its ETag is the version, and weak: the version
// leaves out origins, and the same snapshot may come compressed.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	st := s.state.Load()
	if st == nil {
		sendText(w, http.StatusServiceUnavailable, "no snapshot serves yet\n")
		return
	}
	tag := `"` + st.snapshot.Version.String() + `"`
	h := w.Header()
	h.Set("ETag", "W/"+tag)
	h.Set("Vary", "Accept-Encoding")
	if matches(r, tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := st.whole()
	if acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		send(w, http.StatusOK, typeJSON, body.gzip)
		return
	}
	send(w, http.StatusOK, typeJSON, body.plain)
}

// matches reports whether If-None-Match names tag, which it compares weakly
// (RFC 9110, 13.1.2).
func matches(r *http.Request, tag string) bool {
	for _, v := range strings.Split(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if v = strings.TrimSpace(v); v == "*" || strings.TrimPrefix(v, "W/") == tag {
			return true
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3); what names gzip counts
// for more than what names *.
func acceptsGzip(r *http.Request) bool {
	gzip, star := -1.0, 0.0
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				q = 0
			}
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip":
			gzip = q
		case "*":
			star = q
		}
	}
	if gzip < 0 {
		gzip = star
	}
	return gzip > 0
}
