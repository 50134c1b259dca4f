package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// kumaKind is a kind of Kuma resource and the path segment of its collection.
type kumaKind struct {
	collection, kind string
	global           bool // it belongs to no mesh
}

var kumaKinds = []kumaKind{
	{"meshes", "Mesh", true},
	{"dataplanes", "Dataplane", false},
	{"external-services", "ExternalService", false},
	{"health-checks", "HealthCheck", false},
	{"proxytemplates", "ProxyTemplate", false},
	{"traffic-permissions", "TrafficPermission", false},
	{"traffic-logs", "TrafficLog", false},
	{"traffic-routes", "TrafficRoute", false},
	{"traffic-traces", "TrafficTrace", false},
	{"fault-injections", "FaultInjection", false},
	{"circuit-breakers", "CircuitBreaker", false},
	{"retries", "Retry", false},
	{"timeouts", "Timeout", false},
	{"secrets", "Secret", false},
	{"zones", "Zone", true},
	{"global-secrets", "GlobalSecret", true},
}

var kumaByCollection = func() map[string]*kumaKind {
	m := map[string]*kumaKind{}
	for i := range kumaKinds {
		m[kumaKinds[i].collection] = &kumaKinds[i]
	}
	return m
}()

// The sizes of a page of a list.
const (
	kumaPage    = 1000
	kumaMaxPage = 10_000
)

// kuma answers as Kuma's control plane does:
//
//	/                                 the index
//	/COLLECTION                       over all meshes
//	/COLLECTION/NAME                  of global kinds
//	/meshes/MESH/COLLECTION[/NAME]    of the others
func (s *Server) kuma(w http.ResponseWriter, r *http.Request, path []string) {
	k, mesh, name, ok := kumaRoute(path)
	if !ok {
		sendText(w, http.StatusNotFound, "404: Page Not Found")
		return
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPut, http.MethodDelete, http.MethodPatch:
		sendText(w, http.StatusMethodNotAllowed, "405: Method Not Allowed: this view is read-only; change the files that meshc reads\n")
		return
	default:
		sendText(w, http.StatusMethodNotAllowed, "405: Method Not Allowed")
		return
	}
	if !accepts(r, func(mediaType string, _ map[string]string) bool {
		return mediaType == typeJSON || mediaType == "application/*"
	}) {
		sendText(w, http.StatusNotAcceptable, "406: Not Acceptable\n\nAvailable representations: application/json")
		return
	}
	if k == nil {
		sendKuma(w, http.StatusOK, marshal(struct {
			Hostname string `json:"hostname"`
			Tagline  string `json:"tagline"`
			Version  string `json:"version"`
		}{s.hostname, "meshc", s.Version}))
		return
	}
	st := s.state.Load()
	if st == nil {
		sendKumaError(w, http.StatusServiceUnavailable, "Could not retrieve resources", "No snapshot serves yet")
		return
	}
	if name == "" {
		k.list(w, r, st, mesh)
		return
	}
	o := st.get("kuma", k.kind, mesh, name)
	if o == nil {
		sendKumaError(w, http.StatusNotFound, "Could not retrieve a resource", "Not found")
		return
	}
	sendKuma(w, http.StatusOK, o.content.body)
}

// kumaRoute finds what a path leads to: the index (no kind), a list (no name)
// or a resource.
func kumaRoute(path []string) (k *kumaKind, mesh, name string, ok bool) {
	if path[0] == "meshes" && len(path) > 2 {
		mesh, path = path[1], path[2:]
		if k = kumaByCollection[path[0]]; k == nil || k.global || mesh == "" {
			return nil, "", "", false
		}
	} else if path[0] != "" || len(path) > 1 {
		if k = kumaByCollection[path[0]]; k == nil || len(path) > 1 && !k.global {
			return nil, "", "", false
		}
	}
	switch len(path) {
	case 1:
		return k, mesh, "", true
	case 2:
		return k, mesh, path[1], path[1] != ""
	}
	return nil, "", "", false
}

// kumaCause says which parameter is wrong.
type kumaCause struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (k *kumaKind) list(w http.ResponseWriter, r *http.Request, st *state, mesh string) {
	all := st.list("kuma", k.kind, mesh)
	query := r.URL.Query()
	size, offset, details, cause := page(query)
	if cause.Field != "" {
		sendKumaError(w, http.StatusBadRequest, "Could not retrieve resources", details, cause)
		return
	}
	from := min(offset, len(all))
	to := len(all)
	if size > 0 {
		to = min(from+size, to)
	}
	list := struct {
		Total int               `json:"total"`
		Items []json.RawMessage `json:"items"`
		Next  *string           `json:"next"`
	}{Total: len(all), Items: make([]json.RawMessage, 0, to-from)}
	for _, o := range all[from:to] {
		list.Items = append(list.Items, o.content.body)
	}
	if to < len(all) && size > 0 {
		query.Set("offset", strconv.Itoa(to))
		next := (&url.URL{Scheme: scheme(r), Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: query.Encode()}).String()
		list.Next = &next
	}
	sendKuma(w, http.StatusOK, marshal(list))
}

// page reads the size and offset of a list. Size 0 means everything. A cause
// with a field means that they are wrong.
func page(q url.Values) (size, offset int, details string, cause kumaCause) {
	size = kumaPage
	if v := q.Get("size"); v != "" {
		n, err := strconv.Atoi(v)
		switch {
		case err != nil || n < 0:
			return 0, 0, "Invalid page size", kumaCause{"size", "Invalid format"}
		case n > kumaMaxPage:
			return 0, 0, "Invalid page size", kumaCause{"size", "Invalid page size of " + strconv.Itoa(n) + ". Maximum page size is " + strconv.Itoa(kumaMaxPage)}
		}
		size = n
	}
	if v := q.Get("offset"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return 0, 0, "Invalid offset", kumaCause{"offset", "Invalid format"}
		}
		offset = n
	}
	return size, offset, "", kumaCause{}
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func sendKumaError(w http.ResponseWriter, code int, title, details string, causes ...kumaCause) {
	sendKuma(w, code, marshal(struct {
		Title   string      `json:"title"`
		Details string      `json:"details"`
		Causes  []kumaCause `json:"causes,omitempty"`
	}{title, details, causes}))
}

// sendKuma writes compact JSON indented by one space, as Kuma does.
func sendKuma(w http.ResponseWriter, code int, body []byte) {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSuffix(body, []byte("\n")), "", " "); err == nil {
		body = b.Bytes()
	}
	send(w, code, typeJSON, body)
}
