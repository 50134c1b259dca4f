package rest_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// Not even the digest of a secret is shown: a short one could be guessed by it.
func TestSnapshotHidesSecrets(t *testing.T) {
	v := start(t)
	s := snapshot.Seal(snapshot.Snapshot{Secrets: snapshot.ListOf(
		snapshot.Secret{ID: "default/a", Data: "czNjcjN0"}, snapshot.Secret{ID: "default/b", Env: "B"})})
	v.commit(s)
	var got snapshot.Snapshot
	a := v.get("/meshc/snapshot", 200, &got)
	if strings.Contains(a.body, "czNjcjN0") || strings.Contains(a.body, s.Secrets.At(0).Digest.String()) {
		t.Error("a secret is shown")
	}
	if got.Secrets.Len() != 2 || got.Secrets.At(1).Env != "B" {
		t.Errorf("the secrets are %+v", got.Secrets)
	}
}

func TestWholeSnapshot(t *testing.T) {
	s := sealed(every()...)
	s.Origins = snapshot.ListOf(snapshot.Origin{ID: "kong/Service//web", File: "kong.yaml", Line: 3, Column: 1})
	v := start(t)
	v.commit(s)
	var got snapshot.Snapshot
	a := v.get("/meshc/snapshot", 200, &got)
	if !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v", got)
	}
	tag := a.Header.Get("ETag")
	if want := `W/"` + s.Version.String() + `"`; tag != want {
		t.Errorf("ETag %s, want %s", tag, want)
	}
	for condition, want := range map[string]int{
		tag: 304, strings.TrimPrefix(tag, "W/"): 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "": 200,
	} {
		a := v.do("GET", "/meshc/snapshot", "If-None-Match", condition)
		if a.StatusCode != want || want == 304 && (a.body != "" || a.Header.Get("ETag") != tag) {
			t.Errorf("If-None-Match %s: %s, %d bytes, ETag %s; want %d", condition, a.Status, len(a.body), a.Header.Get("ETag"), want)
		}
	}
}

func TestWholeSnapshotCompressed(t *testing.T) {
	v := start(t, every()...)
	plain := v.get("/meshc/snapshot", 200, nil).body
	for encoding, want := range map[string]bool{
		"gzip": true, "br, gzip;q=0.5": true, "*": true, "GZIP": true,
		"identity": false, "gzip;q=0": false, "gzip;q=0, *": false, "br": false, "gzip;q=x": false,
	} {
		a := v.do("GET", "/meshc/snapshot", "Accept-Encoding", encoding)
		if got := a.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("Accept-Encoding %s: compressed %t, want %t", encoding, got, want)
			continue
		}
		body := a.body
		if want {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			body = string(b)
		}
		if body != plain || a.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %s: another body, or Vary %q", encoding, a.Header.Get("Vary"))
		}
	}
}

func TestStatusPages(t *testing.T) {
	v := start(t)
	for path, want := range map[string]string{
		"/healthz":           "ok",
		"/metrics":           "some_metric 1\n",
		"/meshc/reloads":     "[]\n",
		"/meshc/xds/nodes":   "[]\n",
		"/meshc/health":      "[]\n",
		"/meshc/diagnostics": `{"diagnostics":[],"summary":{"files":0,"documents":0,"ignored":0,"errors":0,"warnings":0}}` + "\n",
	} {
		if a := v.get(path, 200, nil); a.body != want {
			t.Errorf("%s: %q, want %q", path, a.body, want)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v.board.SetDiagnostics([]byte(`{"diagnostics":[1]}`))
	v.board.AddReload(status.Reload{Time: at, OK: true, Trigger: "start"})
	v.board.AddReload(status.Reload{Time: at, Trigger: "watch", Error: "bad", Steps: []status.Step{{Name: "read", Duration: snapshot.Duration(time.Millisecond)}}})
	v.board.UpdateNode("1", func(n *status.Node) {
		n.ID, n.Connected, n.Sent, n.Acked = "gateway", at, snapshot.Digest{1}, snapshot.Digest{1}
	})
	v.board.UpdateNode("2", func(n *status.Node) {
		n.ID, n.Connected, n.Refusals = "default.web", at, []status.Refusal{{Time: at, Type: "listener", Message: "no"}}
	})
	zero := strings.Repeat("0", 64)
	one := "01" + zero[2:]
	for path, want := range map[string]string{
		"/meshc/diagnostics": `{"diagnostics":[1]}`,
		"/meshc/reloads": `[{"time":"2026-01-02T03:04:05Z","ok":true,"version":"` + zero + `","trigger":"start","steps":[]},` +
			`{"time":"2026-01-02T03:04:05Z","ok":false,"version":"` + zero + `","trigger":"watch","error":"bad","steps":[{"name":"read","duration":"1ms"}]}]` + "\n",
		"/meshc/xds/nodes": `[{"id":"default.web","userAgent":"","address":"","protocol":"","connected":"2026-01-02T03:04:05Z",` +
			`"refusals":[{"time":"2026-01-02T03:04:05Z","type":"listener","version":"","message":"no","origins":[]}]},` +
			`{"id":"gateway","userAgent":"","address":"","protocol":"","connected":"2026-01-02T03:04:05Z","sent":"` + one + `","acked":"` + one + `","refusals":[]}]` + "\n",
	} {
		if a := v.get(path, 200, nil); a.body != want {
			t.Errorf("%s: %s\nwant %s", path, a.body, want)
		}
	}
}

// TestNoHalfState reads while snapshots are swapped. In snapshot n every
// document says n, and there are n%5+1 of each kind: whatever is read must be
// of one n, the ETag included.
func TestNoHalfState(t *testing.T) {
	const commits = 60
	numbered := func(n int) snapshot.Snapshot {
		var docs []snapshot.Document
		for i := range n%5 + 1 {
			name := "s" + strconv.Itoa(i)
			docs = append(docs,
				doc("kong", "Service", "", name, fmt.Sprintf(`{"name":%q,"port":%d}`, name, n)),
				doc("kubernetes", "Service", "shop", name, fmt.Sprintf(`{"spec":{"n":%d}}`, n)),
				doc("kuma", "Dataplane", "default", name, fmt.Sprintf(`{"n":%d}`, n)))
		}
		return sealed(docs...)
	}
	versions := map[string]int{}
	for n := range commits {
		versions[`W/"`+numbered(n).Version.String()+`"`] = n
	}
	v := start(t)
	v.commit(numbered(0))

	// whole says what is wrong with the numbers of one answer.
	whole := func(path string, numbers []int, from int) {
		for _, n := range numbers {
			if n != numbers[0] {
				t.Errorf("%s: numbers %v", path, numbers)
				return
			}
		}
		if len(numbers) != numbers[0]%5+1 || from >= 0 && from != numbers[0] {
			t.Errorf("%s: %d documents of %d, ETag of %d", path, len(numbers), numbers[0], from)
		}
	}
	read := map[string]func(h http.Header, body []byte) ([]int, int, error){
		"/api/v1/services": func(_ http.Header, body []byte) (out []int, _ int, err error) {
			var l struct {
				Items []struct{ Spec struct{ N int } }
			}
			err = json.Unmarshal(body, &l)
			for _, i := range l.Items {
				out = append(out, i.Spec.N)
			}
			return out, -1, err
		},
		"/dataplanes": func(_ http.Header, body []byte) (out []int, _ int, err error) {
			var l struct{ Items []struct{ N int } }
			err = json.Unmarshal(body, &l)
			for _, i := range l.Items {
				out = append(out, i.N)
			}
			return out, -1, err
		},
		"/services": func(_ http.Header, body []byte) (out []int, _ int, err error) {
			var l struct{ Data []struct{ Port int } }
			err = json.Unmarshal(body, &l)
			for _, i := range l.Data {
				out = append(out, i.Port)
			}
			return out, -1, err
		},
		"/meshc/snapshot": func(h http.Header, body []byte) (out []int, n int, err error) {
			var s snapshot.Snapshot
			if err := json.Unmarshal(body, &s); err != nil {
				return nil, 0, err
			}
			n, ok := versions[h.Get("ETag")]
			if !ok || h.Get("ETag") != `W/"`+s.Version.String()+`"` {
				return nil, 0, fmt.Errorf("ETag %s, version %s", h.Get("ETag"), s.Version)
			}
			for _, d := range s.Documents.All() {
				var k struct{ Port int }
				if d.Dialect == "kong" {
					if err := json.Unmarshal([]byte(d.JSON), &k); err != nil {
						return nil, 0, err
					}
					out = append(out, k.Port)
				}
			}
			return out, n, nil
		},
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for path, numbers := range read {
		readers.Go(func() {
			for last := false; !last; {
				select {
				case <-done:
					last = true // once more, at the end state
				default:
				}
				resp, err := http.Get(v.url + path)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil {
					t.Error(err)
					return
				}
				n, from, err := numbers(resp.Header, body)
				if err != nil || len(n) == 0 {
					t.Errorf("%s: %v\n%s", path, err, body)
					return
				}
				whole(path, n, from)
			}
		})
	}
	for n := range commits {
		v.commit(numbered(n))
	}
	close(done)
	readers.Wait()
}
