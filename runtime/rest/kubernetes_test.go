package rest_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func TestKubernetesObject(t *testing.T) {
	v := start(t, every()...)
	a := v.get("/api/v1/namespaces/shop/services/web", 200, nil)
	var meta struct {
		Metadata struct{ UID, ResourceVersion, CreationTimestamp string }
	}
	if err := json.Unmarshal([]byte(a.body), &meta); err != nil {
		t.Fatal(err)
	}
	m := meta.Metadata
	want := `{"kind":"Service","apiVersion":"v1","metadata":{"name":"web","namespace":"shop","uid":"` + m.UID +
		`","resourceVersion":"1","creationTimestamp":"` + m.CreationTimestamp + `","labels":{"app":"web"}},` +
		`"spec":{"ports":[{"port":80}]},"status":{"loadBalancer":{}}}` + "\n"
	if a.body != want {
		t.Errorf("got  %swant %s", a.body, want)
	}
	if len(m.UID) != 36 || m.UID[14] != '8' || m.CreationTimestamp == "" {
		t.Errorf("uid %q, created %q", m.UID, m.CreationTimestamp)
	}
}

type kubernetesList struct {
	Kind, APIVersion string
	Metadata         struct{ ResourceVersion string }
	Items            []map[string]any
}

func TestKubernetesListsAreSortedByTheBytesOfTheKey(t *testing.T) {
	docs := every()[:0:0]
	for _, scope := range []string{"a", "a-b", "b"} {
		for _, name := range []string{"x", "y"} {
			docs = append(docs, doc("kubernetes", "Service", scope, name, `{"kind":"Service","apiVersion":"v1"}`))
		}
	}
	v := start(t, docs[4], docs[0], docs[2], docs[5], docs[1], docs[3])
	var list kubernetesList
	v.get("/api/v1/services", 200, &list)
	var got []string
	for _, item := range list.Items {
		if item["kind"] != nil || item["apiVersion"] != nil {
			t.Error("an item says its kind")
		}
		meta := item["metadata"].(map[string]any)
		got = append(got, meta["namespace"].(string)+"/"+meta["name"].(string))
	}
	if want := "a-b/x a-b/y a/x a/y b/x b/y"; strings.Join(got, " ") != want { // '-' is before '/'
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestResourceVersionFollowsContent(t *testing.T) {
	v := start(t, every()...)
	object := func(kind, name string) (version int, uid, created string) {
		var o struct {
			Metadata struct{ UID, ResourceVersion, CreationTimestamp string }
		}
		v.get("/api/v1/namespaces/shop/"+kind+"/"+name, 200, &o)
		version, err := strconv.Atoi(o.Metadata.ResourceVersion)
		if err != nil {
			t.Fatal(err)
		}
		return version, o.Metadata.UID, o.Metadata.CreationTimestamp
	}
	list := func() int {
		var l kubernetesList
		v.get("/api/v1/services", 200, &l)
		n, err := strconv.Atoi(l.Metadata.ResourceVersion)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before, uid, created := object("services", "web")
	endpoints, _, _ := object("endpoints", "web")
	listed := list()

	v.commit(sealed(every()...)) // the same again
	if got := list(); got != listed {
		t.Errorf("the same snapshot moved the list from %d to %d", listed, got)
	}

	docs := every()
	docs[3].JSON = strings.Replace(docs[3].JSON, `"port":80`, `"port":81`, 1)
	v.commit(sealed(docs...))
	after, sameUID, sameCreated := object("services", "web")
	if after <= before || after != list() || list() <= listed {
		t.Errorf("the changed object went from %d to %d, the list from %d to %d", before, after, listed, list())
	}
	if uid != sameUID || created != sameCreated {
		t.Error("a change gave the object another identity")
	}
	if got, _, _ := object("endpoints", "web"); got != endpoints {
		t.Errorf("an object that did not change went from %d to %d", endpoints, got)
	}
}

// TestWhatWouldChangeTheAnswerIsRefused: a client that asked for a part must
// not take the whole for it.
func TestWhatWouldChangeTheAnswerIsRefused(t *testing.T) {
	v := start(t, every()...)
	for query, want := range map[string]int{
		"labelSelector=app%3Dweb": 400, "fieldSelector=metadata.name%3Dweb": 400, "limit=1&continue=abc": 400, "limit=x": 400, "timeoutSeconds=x": 400,
		"watch=1": 405, "watch=true": 405, "watch=": 405, "watch=banana": 405,
		"watch=0": 200, "watch=false": 200, "labelSelector=": 200, "labelSelector=%20": 200, "limit=1": 200, "banana=1": 200, "timeoutSeconds=1": 200,
	} {
		for _, path := range []string{"/api/v1/services", "/api/v1/namespaces/shop/endpoints", "/apis/discovery.k8s.io/v1/endpointslices"} {
			var status struct {
				Kind string
				Code int
			}
			v.get(path+"?"+query, want, &status)
			if want != 200 && (status.Kind != "Status" || status.Code != want) {
				t.Errorf("%s?%s: %+v is no Status of %d", path, query, status, want)
			}
		}
	}
	a := v.get("/apis/discovery.k8s.io/v1/endpointslices?watch=1", 405, nil)
	want := `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"watch is not supported on resources of kind \"endpointslices.discovery.k8s.io\"",` +
		`"reason":"MethodNotAllowed","details":{"group":"discovery.k8s.io","kind":"endpointslices"},"code":405}` + "\n"
	if a.body != want {
		t.Errorf("got %s", a.body)
	}
	// On one object, watch means nothing.
	v.get("/api/v1/namespaces/shop/services/web?watch=1", 200, nil)
}

func TestKubernetesNegotiation(t *testing.T) {
	v := start(t, every()...)
	for accept, want := range map[string]int{
		"application/vnd.kubernetes.protobuf,application/json":               200,
		"application/json;as=Table;v=v1;g=meta.k8s.io,application/json":      200,
		"application/json;as=Table;v=v1;g=meta.k8s.io":                       406,
		"application/json;q=0":                                               406,
		"application/json;q=0, */*":                                          200,
		"application/yaml":                                                   406,
		"application/vnd.kubernetes.protobuf":                                406,
		"application/json;charset=utf-8":                                     200,
		";;;":                                                                406,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/*;q=.8": 406,
	} {
		if a := v.do("GET", "/api/v1/services", "Accept", accept); a.StatusCode != want {
			t.Errorf("Accept %s: %s, want %d", accept, a.Status, want)
		}
	}
}
