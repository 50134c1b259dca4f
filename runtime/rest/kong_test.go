package rest_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

type kongList struct {
	Data   []map[string]any
	Next   *string
	Offset string
}

// kongServices returns n services, tagged by what divides their number.
func kongServices(n int) []snapshot.Document {
	docs := []snapshot.Document{doc("kuma", "Mesh", "", "default", `{}`)}
	for i := range n {
		tags := `"all"`
		if i%2 == 0 {
			tags += `,"two"`
		}
		if i%3 == 0 {
			tags += `,"three"`
		}
		docs = append(docs, doc("kong", "Service", "", fmt.Sprintf("svc-%03d", i), fmt.Sprintf(`{"host":"h","name":"svc-%03d","tags":[%s]}`, i, tags)))
	}
	return docs
}

func TestKongService(t *testing.T) {
	v := start(t, doc("kong", "Service", "", "web", kongWeb),
		doc("kong", "Service", "", "h-80", `{"created_at":7,"host":"h","id":"c8b8f724-7e73-4df6-b1a8-8df19642d388","port":80,"updated_at":8}`))
	a := v.get("/services/h-80", 200, nil)
	want := `{"host":"h","created_at":7,"connect_timeout":null,"id":"c8b8f724-7e73-4df6-b1a8-8df19642d388","protocol":null,"name":null,"read_timeout":null,` +
		`"port":80,"path":null,"updated_at":8,"retries":null,"write_timeout":null,"tags":null,"client_certificate":null}` + "\n"
	if a.body != want {
		t.Errorf("got  %swant %s", a.body, want)
	}
	if b := v.get("/services/c8b8f724-7e73-4df6-b1a8-8df19642d388", 200, nil); b.body != a.body {
		t.Errorf("by id: %s", b.body)
	}
	var web map[string]any
	v.get("/services/web", 200, &web)
	for _, k := range []string{"routes", "url"} {
		if _, ok := web[k]; ok {
			t.Errorf("%s is shown", k)
		}
	}
	id, _ := web["id"].(string)
	if created, ok := web["created_at"].(float64); id == "" || !ok || created < 1e9 {
		t.Errorf("id %q, created_at %v", id, web["created_at"])
	}
	v.get("/services/"+id, 200, nil)
}

func TestKongEmptyList(t *testing.T) {
	if a := start(t, kongServices(0)...).get("/services", 200, nil); a.body != `{"data":[],"next":null}`+"\n" {
		t.Errorf("got %s", a.body)
	}
}

func TestKongPages(t *testing.T) {
	v := start(t, kongServices(10)...)
	for _, tc := range []struct {
		query string
		want  []int
	}{
		{"?size=3", []int{3, 3, 3, 1}},
		{"?size=5", []int{5, 5}},
		{"?size=2&tags=all,two", []int{2, 2, 1}},
		{"?tags=two,three", []int{2}},
		{"?tags=two/three", []int{7}},
		{"?tags=none", []int{0}},
		{"?foo=bar", []int{10}},
	} {
		seen := map[any]bool{}
		path, pages := "/services"+tc.query, []int{}
		for path != "" {
			var list kongList
			v.get(path, 200, &list)
			pages = append(pages, len(list.Data))
			for _, s := range list.Data {
				if seen[s["name"]] {
					t.Errorf("%s: %v twice", tc.query, s["name"])
				}
				seen[s["name"]] = true
			}
			if (list.Next == nil) != (list.Offset == "") {
				t.Errorf("%s: next %v, offset %q", tc.query, list.Next, list.Offset)
			}
			path = ""
			if list.Next != nil {
				path = *list.Next
			}
		}
		if fmt.Sprint(pages) != fmt.Sprint(tc.want) {
			t.Errorf("%s: pages of %v, want %v", tc.query, pages, tc.want)
		}
	}
	var list kongList
	v.get("/services?size=1&tags=all,two", 200, &list)
	if want := "/services?offset=" + url.QueryEscape(list.Offset) + "&tags=all%2Ctwo&size=1"; *list.Next != want {
		t.Errorf("next is %s, want %s", *list.Next, want)
	}
}

func TestKongPagesWhileServicesComeAndGo(t *testing.T) {
	v := start(t, kongServices(10)...)
	var list kongList
	v.get("/services?size=3", 200, &list)
	docs := kongServices(10)
	v.commit(sealed(append(docs[4:], doc("kong", "Service", "", "aaa", `{"name":"aaa"}`))...)) // all of the first page go, one comes before it
	v.get(*list.Next, 200, &list)
	if got := list.Data[0]["name"]; got != "svc-003" {
		t.Errorf("the second page begins with %v", got)
	}
}

func TestKongDefaultPageIs100(t *testing.T) {
	var list kongList
	start(t, kongServices(150)...).get("/services", 200, &list)
	if len(list.Data) != 100 || list.Next == nil {
		t.Errorf("%d items, next %v", len(list.Data), list.Next)
	}
}

func TestKongRefusals(t *testing.T) {
	v := start(t, kongServices(1)...)
	for query, want := range map[string]string{
		"size=1001": `{"message":"size must be an integer between 1 and 1000","name":"invalid size","code":9}`,
		"size=0":    `"code":9`, "size=-1": `"code":9`, "size=x": `"code":9`, "size=": `"code":9`,
		"offset=*": `{"message":"'*' is not a valid offset","name":"invalid offset","code":7}`, "offset=abcd": `"code":7`, "offset=W10%3D": `"code":7`,
	} {
		if a := v.get("/services?"+query, 400, nil); !strings.Contains(a.body, want) {
			t.Errorf("%s: %s, want %s", query, a.body, want)
		}
	}
}
