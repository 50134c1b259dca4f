package rest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

type kumaList struct {
	Total int
	Items []struct{ Type, Mesh, Name string }
	Next  *string
}

func (l kumaList) names() string {
	var names []string
	for _, i := range l.Items {
		names = append(names, strings.TrimPrefix(i.Mesh+"."+i.Name, "."))
	}
	return strings.Join(names, " ")
}

func TestKumaResource(t *testing.T) {
	v := start(t, doc("kuma", "TrafficRoute", "default", "r",
		`{"conf":{"big":12345678901234567890,"split":[{"destination":null,"weight":1}],"text":"null <&> \u001b"},"creationTime":"2020-01-02T03:04:05Z","mesh":"default","modificationTime":"2021-01-02T03:04:05.5Z","name":"r","sources":null,"type":"TrafficRoute"}`))
	want := `{
 "type": "TrafficRoute",
 "mesh": "default",
 "name": "r",
 "creationTime": "2020-01-02T03:04:05Z",
 "modificationTime": "2021-01-02T03:04:05.5Z",
 "conf": {
  "big": 12345678901234567890,
  "split": [
   {
    "weight": 1
   }
  ],
  "text": "null <&> \u001b"
 }
}`
	if a := v.get("/meshes/default/traffic-routes/r", 200, nil); a.body != want {
		t.Errorf("got %s\nwant %s", a.body, want)
	}
}

func TestKumaIndex(t *testing.T) {
	var index struct {
		Hostname *string
		Tagline  string
		Version  string
	}
	start(t).get("/", 200, &index)
	if index.Hostname == nil || index.Tagline != "meshc" || index.Version != "1.2.3" {
		t.Errorf("got %+v", index)
	}
}

func TestMeshDefaultIsAlwaysThere(t *testing.T) {
	v := start(t, doc("kuma", "Dataplane", "payments", "a", `{}`))
	var list kumaList
	v.get("/meshes", 200, &list)
	if list.names() != "default" || list.Total != 1 {
		t.Errorf("without documents: %+v", list)
	}
	var first, second struct{ Type, Name, CreationTime, ModificationTime string }
	v.get("/meshes/default", 200, &first)
	if first.Type != "Mesh" || first.Name != "default" || first.CreationTime == "" {
		t.Errorf("got %+v", first)
	}
	v.commit(sealed(doc("kuma", "Mesh", "", "default", `{"mtls":{}}`), doc("kuma", "Mesh", "", "alpha", `{}`)))
	v.get("/meshes", 200, &list)
	if list.names() != "alpha default" {
		t.Errorf("with documents: %s", list.names())
	}
	v.get("/meshes/default", 200, &second)
	if second.CreationTime != first.CreationTime || second.ModificationTime == first.ModificationTime {
		t.Errorf("was %+v, is %+v: want the same creation and another modification", first, second)
	}
}

func TestKumaListsAreByMeshThenName(t *testing.T) {
	var docs []snapshot.Document
	for _, mesh := range []string{"a-b", "a"} {
		for _, name := range []string{"y", "x"} {
			docs = append(docs, doc("kuma", "Dataplane", mesh, name, `{}`))
		}
	}
	v := start(t, docs...)
	var list kumaList
	v.get("/dataplanes", 200, &list)
	if want := "a.x a.y a-b.x a-b.y"; list.names() != want {
		t.Errorf("got %s, want %s", list.names(), want)
	}
	v.get("/meshes/a/dataplanes", 200, &list)
	if want := "a.x a.y"; list.names() != want || list.Total != 2 {
		t.Errorf("of one mesh: %s", list.names())
	}
	v.get("/meshes/nope/dataplanes", 200, &list)
	if list.Total != 0 || list.Items == nil {
		t.Errorf("of a mesh that is not there: %+v", list)
	}
}

func TestKumaPages(t *testing.T) {
	var docs []snapshot.Document
	for i := range 1005 {
		docs = append(docs, doc("kuma", "Dataplane", "default", fmt.Sprintf("dp-%04d", i), `{}`))
	}
	v := start(t, docs...)
	const path = "/meshes/default/dataplanes"
	for query, want := range map[string]struct {
		items int
		next  string
	}{
		"":                             {1000, "?offset=1000"},
		"?size=":                       {1000, "?offset=1000&size="},
		"?size=10000":                  {1005, ""},
		"?size=0":                      {1005, ""},
		"?size=2&offset=3":             {2, "?offset=5&size=2"},
		"?z=1&size=2&a=%26":            {2, "?a=%26&offset=2&size=2&z=1"},
		"?size=5&offset=1000":          {5, ""},
		"?offset=1005":                 {0, ""},
		"?offset=99999999":             {0, ""},
		"?offset=9223372036854775807":  {0, ""},
		"?size=10&offset=1003&size=99": {2, ""},
	} {
		var list kumaList
		v.get(path+query, 200, &list)
		next := ""
		if list.Next != nil {
			next = *list.Next
		}
		if want.next != "" {
			want.next = v.url + path + want.next
		}
		if list.Total != 1005 || len(list.Items) != want.items || next != want.next {
			t.Errorf("%s: total %d, %d items, next %q; want 1005, %d, %q", query, list.Total, len(list.Items), next, want.items, want.next)
		}
	}
	for query, cause := range map[string]string{
		"?size=x": "size", "?size=-1": "size", "?size=10001": "size", "?size=1.5": "size",
		"?offset=x": "offset", "?offset=-1": "offset", "?offset=99999999999999999999": "offset",
	} {
		var e struct {
			Title, Details string
			Causes         []struct{ Field, Message string }
		}
		v.get(path+query, 400, &e)
		if e.Title != "Could not retrieve resources" || len(e.Causes) != 1 || e.Causes[0].Field != cause {
			t.Errorf("%s: %+v", query, e)
		}
	}
}

func TestKumaNegotiation(t *testing.T) {
	v := start(t, every()...)
	for accept, want := range map[string]int{"application/json": 200, "*/*": 200, "application/*": 200, "text/plain": 406, "text/html, */*;q=0.1": 200} {
		if a := v.do("GET", "/meshes", "Accept", accept); a.StatusCode != want {
			t.Errorf("Accept %s: %s, want %d", accept, a.Status, want)
		}
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	const hidden = "c2VjcmV0LXZhbHVl"
	v := start(t,
		doc("kuma", "GlobalSecret", "", "g", `{"data":"`+hidden+`","name":"g","type":"GlobalSecret"}`),
		doc("kuma", "Secret", "default", "s", `{"data":"`+hidden+`","mesh":"default","name":"s","type":"Secret"}`),
		doc("kuma", "Secret", "default", "broken", `{"data":"`+hidden),
	)
	for path, name := range map[string]string{
		"/secrets": "s", "/meshes/default/secrets": "s", "/meshes/default/secrets/s": "s",
		"/global-secrets": "g", "/global-secrets/g": "g", "/meshc/snapshot": "s",
	} {
		a := v.get(path, 200, nil)
		if strings.Contains(a.body, hidden) {
			t.Errorf("%s shows the secret: %s", path, a.body)
		}
		if !strings.Contains(a.body, name) {
			t.Errorf("%s does not even name it: %s", path, a.body)
		}
	}
}
