package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// kubernetesResource is a resource of the API server that is shown here.
type kubernetesResource struct {
	group, version string // the group is empty for the core
	plural, kind   string
	status         bool // it has a /status, which reads as the whole object
}

var kubernetesResources = []kubernetesResource{
	{"", "v1", "services", "Service", true},
	{"", "v1", "endpoints", "Endpoints", false},
	{"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", false},
}

// apiVersion is as documents write it: "v1", "discovery.k8s.io/v1".
func (k *kubernetesResource) apiVersion() string {
	if k.group == "" {
		return k.version
	}
	return k.group + "/" + k.version
}

// resource is as messages name it: "services", "endpointslices.discovery.k8s.io".
func (k *kubernetesResource) resource() string { return strings.TrimSuffix(k.plural+"."+k.group, ".") }

// kubernetes answers as an API server does:
//
//	/api/v1/RESOURCE                             over all namespaces
//	/api/v1/namespaces/NAMESPACE/RESOURCE
//	/api/v1/namespaces/NAMESPACE/RESOURCE/NAME[/status]
//	/apis/GROUP/VERSION/…                        likewise
func (s *Server) kubernetes(w http.ResponseWriter, r *http.Request, path []string) {
	res, rest, known := kubernetesResourceOf(path)
	if res == nil && !known {
		sendText(w, http.StatusNotFound, "404 page not found\n")
		return
	}
	if res == nil {
		sendStatus(w, r, http.StatusNotFound, "NotFound", "the server could not find the requested resource", nameless)
		return
	}
	if r.Method != http.MethodGet {
		sendStatus(w, r, http.StatusMethodNotAllowed, "MethodNotAllowed", "the server does not allow this method on the requested resource", nameless)
		return
	}
	if !accepts(r, kubernetesMediaType) {
		sendStatus(w, r, http.StatusNotAcceptable, "NotAcceptable", "406: Not Acceptable\n\nAvailable representations: application/json, application/json;stream=watch", nameless)
		return
	}
	st := s.state.Load()
	if st == nil {
		sendStatus(w, r, http.StatusServiceUnavailable, "ServiceUnavailable", "no snapshot serves yet", nil)
		return
	}
	namespace := ""
	if rest[0] == "namespaces" {
		namespace, rest = rest[1], rest[2:]
	}
	if len(rest) == 1 {
		res.list(w, r, st, namespace)
		return
	}
	res.get(w, r, st, namespace, rest[1])
}

// kubernetesResourceOf finds the resource that a path leads to, and the rest
// of the path from its namespaces or resource on. Without a resource, known
// says whether the path is one that the API server answers with a Status.
func kubernetesResourceOf(path []string) (res *kubernetesResource, rest []string, known bool) {
	group, version := "", ""
	switch {
	case path[0] == "api" && len(path) > 1:
		version, rest = path[1], path[2:]
		known = true
	case path[0] == "apis" && len(path) > 2:
		group, version, rest = path[1], path[2], path[3:]
	default:
		return nil, nil, path[0] == "api"
	}
	plural, tail := "", []string(nil)
	switch {
	case len(rest) >= 3 && rest[0] == "namespaces":
		plural, tail = rest[2], rest[3:]
	case len(rest) == 1:
		plural = rest[0]
	}
	for i := range kubernetesResources {
		k := &kubernetesResources[i]
		if k.group != group || k.version != version {
			continue
		}
		known = true
		if k.plural != plural {
			continue
		}
		if len(tail) <= 1 || len(tail) == 2 && tail[1] == "status" && k.status {
			return k, rest, true
		}
	}
	return nil, nil, known
}

// kubernetesMediaType says which representations there are. application/* is
// refused by the API server too.
func kubernetesMediaType(mediaType string, params map[string]string) bool {
	return mediaType == typeJSON && params["as"] == ""
}

func (k *kubernetesResource) list(w http.ResponseWriter, r *http.Request, st *state, namespace string) {
	q := r.URL.Query()
	if watching(q) {
		// Ignoring it would be the one wrong answer: a client would wait for ever
		// for what a watch begins with. An error sends it back to lists.
		sendStatus(w, r, http.StatusMethodNotAllowed, "MethodNotAllowed", fmt.Sprintf("watch is not supported on resources of kind %q", k.resource()),
			&statusDetails{Group: k.group, Kind: k.plural})
		return
	}
	if message := unsupportedList(q); message != "" {
		sendStatus(w, r, http.StatusBadRequest, "BadRequest", message, nil)
		return
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"kind":"%sList","apiVersion":"%s","metadata":{"resourceVersion":"%d"},"items":[`, k.kind, k.apiVersion(), st.revision)
	for i, o := range st.list("kubernetes", k.kind, namespace) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(o.content.body)
	}
	b.WriteString("]}\n")
	sendKubernetes(w, r, http.StatusOK, b.Bytes())
}

// unsupportedList says why a list cannot be answered. What would change the
// answer is refused rather than ignored: a client that asked for a part would
// take the whole for it. (limit is only a wish; the whole list fulfils it.)
func unsupportedList(q url.Values) string {
	for _, name := range []string{"limit", "timeoutSeconds"} {
		if v, ok := q[name]; ok {
			if _, err := strconv.ParseInt(v[0], 10, 64); err != nil {
				return err.Error()
			}
		}
	}
	for _, name := range []string{"labelSelector", "fieldSelector", "continue"} {
		if strings.TrimSpace(q.Get(name)) != "" {
			return name + " is not supported by this server"
		}
	}
	return ""
}

// watching reports whether a list is to be a watch. Only two values mean no:
// Convert_Slice_string_To_bool of apimachinery.
func watching(q url.Values) bool {
	v, ok := q["watch"]
	return ok && v[0] != "false" && v[0] != "0"
}

func (k *kubernetesResource) get(w http.ResponseWriter, r *http.Request, st *state, namespace, name string) {
	o := st.get("kubernetes", k.kind, namespace, name)
	if o == nil {
		sendStatus(w, r, http.StatusNotFound, "NotFound", fmt.Sprintf("%s %q not found", k.resource(), name), &statusDetails{Name: name, Group: k.group, Kind: k.plural})
		return
	}
	head := fmt.Sprintf(`{"kind":"%s","apiVersion":"%s",`, k.kind, k.apiVersion())
	body := append([]byte(head), o.content.body[1:]...)
	sendKubernetes(w, r, http.StatusOK, append(body, '\n'))
}

// kubernetesStatus is metav1.Status, with its fields in the API server's order.
type kubernetesStatus struct {
	Kind       string         `json:"kind"`
	APIVersion string         `json:"apiVersion"`
	Metadata   struct{}       `json:"metadata"`
	Status     string         `json:"status"`
	Message    string         `json:"message"`
	Reason     string         `json:"reason"`
	Details    *statusDetails `json:"details,omitempty"`
	Code       int            `json:"code"`
}

type statusDetails struct {
	Name  string `json:"name,omitempty"`
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind,omitempty"`
}

// nameless are the details of a Status that is about no object.
var nameless = &statusDetails{}

func sendStatus(w http.ResponseWriter, r *http.Request, code int, reason, message string, details *statusDetails) {
	sendKubernetes(w, r, code, marshal(kubernetesStatus{
		Kind: "Status", APIVersion: "v1", Status: "Failure", Message: message, Reason: reason, Details: details, Code: code,
	}))
}

// sendKubernetes writes compact JSON, indented for people.
func sendKubernetes(w http.ResponseWriter, r *http.Request, code int, body []byte) {
	if pretty(r) {
		var b bytes.Buffer
		if err := json.Indent(&b, bytes.TrimSuffix(body, []byte("\n")), "", "  "); err == nil {
			body = b.Bytes()
		}
	}
	send(w, code, typeJSON, body)
}

// pretty is the API server's rule: the parameter decides, and without it
// whether the client is one that shows answers to people.
func pretty(r *http.Request) bool {
	if v, ok := r.URL.Query()["pretty"]; ok {
		yes, err := strconv.ParseBool(v[0])
		return err == nil && yes
	}
	agent := r.UserAgent()
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}
