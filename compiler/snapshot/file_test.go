package snapshot_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// sample returns a sealed snapshot in which every field is set.
func sample() snapshot.Snapshot {
	sources := snapshot.ListOf("kuma/Dataplane/default/web")
	targets := snapshot.ListOf(snapshot.Target{Cluster: "web", Weight: 1})
	return snapshot.Seal(snapshot.Snapshot{
		Proxies: snapshot.ListOf(snapshot.Proxy{
			ID: "default.web", Mesh: "default",
			Listeners: snapshot.ListOf(snapshot.Listener{
				Name: "inbound:10.0.0.1:80", Direction: snapshot.Inbound, Protocol: snapshot.HTTP,
				Address: "10.0.0.1", Port: 80, Service: "web",
				VirtualHosts: snapshot.ListOf(snapshot.VirtualHost{
					Name: "web", Domains: snapshot.ListOf("*"), Sources: sources,
					Routes: snapshot.ListOf(snapshot.Route{
						Name: "web", PathPrefix: "/", PathExact: "/", PathRegex: "/", Methods: snapshot.ListOf("GET"),
						Headers: snapshot.ListOf(snapshot.HeaderMatch{Name: "x", Values: snapshot.ListOf("1"), Regex: ".*"}),
						Rewrite: snapshot.PathRewrite{Regex: "^/", Substitution: "/web/"},
						Targets: targets, HostFromEndpoint: true,
					}),
				}),
				Targets: targets,
				Filters: snapshot.ListOf(snapshot.Filter{Kind: "faultinjection", Config: `{"a":"<&>"}`, Sources: sources}),
				Sources: sources,
			}),
		}),
		Clusters: snapshot.ListOf(snapshot.Cluster{
			Name: "web", Service: "web", Mesh: "default", Protocol: snapshot.HTTP, Discovery: snapshot.Static,
			Balancing: snapshot.RoundRobin, ConnectTimeout: snapshot.Duration(5 * time.Second), Sources: sources,
		}),
		Endpoints: snapshot.ListOf(snapshot.EndpointSet{
			Name: "web", Endpoints: snapshot.ListOf(snapshot.Endpoint{Address: "127.0.0.1", Port: 8080, Hostname: "web.example", Weight: 3}), Sources: sources,
		}),
		Documents: snapshot.ListOf(snapshot.Document{
			ID: "kuma/Dataplane/default/web", Dialect: "kuma", Kind: "Dataplane", Namespace: "n", Mesh: "default", Name: "web", JSON: `{"type":"Dataplane"}`,
		}),
		Origins: snapshot.ListOf(snapshot.Origin{ID: "kuma/Dataplane/default/web", File: "mesh/web.yaml", Line: 3, Column: 1}),
	})
}

func write(t testing.TB, s snapshot.Snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := snapshot.Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFileGivesBackWhatWasWritten(t *testing.T) {
	for name, s := range map[string]snapshot.Snapshot{"sample": sample(), "empty": snapshot.Seal(snapshot.Snapshot{})} {
		t.Run(name, func(t *testing.T) {
			file := write(t, s)
			got, err := snapshot.Read(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, s) {
				t.Errorf("read %+v\nwrote %+v", got, s)
			}
			if !bytes.Equal(write(t, got), file) {
				t.Error("writing it again gives other bytes")
			}
		})
	}
}

func TestWriteRefusesASnapshotWithoutVersion(t *testing.T) {
	if err := snapshot.Write(io.Discard, snapshot.Snapshot{}); err == nil {
		t.Error("no error")
	}
}

// entry is one file of an archive under test.
type entry struct{ name, data string }

func entries(t testing.TB, file []byte) []entry {
	t.Helper()
	var out []entry
	r := tar.NewReader(bytes.NewReader(file))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, entry{h.Name, string(b)})
	}
}

func archive(t testing.TB, format tar.Format, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := tar.Header{Format: format, Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.data)), Mode: 0o644}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadRefusesWhatWriteDidNotWrite(t *testing.T) {
	good := write(t, sample())
	parts := entries(t, good)
	if len(parts) != 3 {
		t.Fatalf("the file has %d entries, want 3", len(parts))
	}
	with := func(i int, old, new string) []byte {
		changed := slices.Clone(parts)
		changed[i].data = strings.Replace(changed[i].data, old, new, 1)
		if changed[i] == parts[i] {
			t.Fatalf("%q is not in %s", old, parts[i].name)
		}
		return archive(t, tar.FormatUSTAR, changed...)
	}
	version := `"version":"` + sample().Version.String()
	for name, tc := range map[string]struct {
		file    []byte
		want    string
		foreign bool
	}{
		"nothing":            {nil, "not a meshc snapshot", true},
		"YAML":               {[]byte("kind: Service\n"), "not a meshc snapshot", true},
		"long text":          {bytes.Repeat([]byte("kind: Service\n"), 1000), "not a meshc snapshot", true},
		"another archive":    {archive(t, tar.FormatUSTAR, entry{"a.txt", "a"}), "not a meshc snapshot", true},
		"a later format":     {with(0, "2", "3"), `its format is "meshc-snapshot 3"`, false},
		"control characters": {with(0, "2", "\x1b[31m"), `\x1b[31m`, false},
		"cut in the body":    {good[:2000], "damaged: snapshot.json", false},
		"cut between":        {good[:1024], "damaged", false},
		"one entry":          {archive(t, tar.FormatUSTAR, parts[0]), "ends before snapshot.json", false},
		"order":              {archive(t, tar.FormatUSTAR, parts[0], parts[2], parts[1]), `"origins.json" where snapshot.json`, false},
		"one more":           {archive(t, tar.FormatUSTAR, append(slices.Clone(parts), entry{"x", "y"})...), "something follows", false},
		"GNU archive":        {archive(t, tar.FormatGNU, parts...), "not a plain ustar file", false},
		"not JSON":           {with(1, "{", "["), "damaged: snapshot.json", false},
		"two values":         {with(1, "}\n", "}{}\n"), "something follows the JSON value", false},
		"unknown field":      {with(1, `"pathPrefix"`, `"x":1,"pathPrefix"`), "unknown field", false},
		"version":            {with(1, version[:len(version)-64], version[:len(version)-65]+"X"), "damaged", false},
		"other version":      {with(1, version, `"version":"`+strings.Repeat("0", 64)), "does not match the version", false},
		"short digest":       {with(1, version, `"version":"00`), "64 hex digits", false},
		"virtual host":       {with(1, `"domains":["*"]`, `"domains":["x"]`), `virtual host "web" does not match`, false},
		"listener":           {with(1, `"port":80,`, `"port":81,`), `listener "inbound:10.0.0.1:80" does not match`, false},
		"proxy":              {with(1, `"id":"default.web"`, `"id":"default.api"`), `proxy "default.api" does not match`, false},
		"cluster":            {with(1, `"5s"`, `"6s"`), `cluster "web" does not match`, false},
		"endpoint":           {with(1, `"port":8080`, `"port":8081`), `endpoints "web" does not match`, false},
		"document":           {with(1, `"name":"web","json"`, `"name":"api","json"`), `document "kuma/Dataplane/default/web" does not match`, false},
		"an element less":    {archive(t, tar.FormatUSTAR, parts[0], entry{parts[1].name, cutClusters(t, parts[1].data)}, parts[2]), "does not match the version", false},
		"origins in body":    {with(1, `"origins":[]`, `"origins":[{"id":"a","file":"b","line":1,"column":1}]`), "holds origins", false},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := snapshot.Read(bytes.NewReader(tc.file))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
			if errors.Is(err, snapshot.ErrNotSnapshot) != tc.foreign {
				t.Errorf("ErrNotSnapshot is %t, want %t: %v", !tc.foreign, tc.foreign, err)
			}
			if !reflect.DeepEqual(s, snapshot.Snapshot{}) {
				t.Error("an error came with a snapshot")
			}
		})
	}
}

func TestReadRefusesWhatIsNotSorted(t *testing.T) {
	s := sample()
	for name, wrong := range map[string]func(*snapshot.Snapshot){
		"proxies": func(s *snapshot.Snapshot) {
			s.Proxies = snapshot.ListOf(snapshot.Proxy{ID: "b"}, snapshot.Proxy{ID: "a"})
		},
		"clusters": func(s *snapshot.Snapshot) { s.Clusters = snapshot.ListOf(s.Clusters.At(0), s.Clusters.At(0)) },
		"endpoints": func(s *snapshot.Snapshot) {
			s.Endpoints = snapshot.ListOf(s.Endpoints.At(0), snapshot.EndpointSet{Name: "a"})
		},
		"documents": func(s *snapshot.Snapshot) {
			s.Documents = snapshot.ListOf(s.Documents.At(0), snapshot.Document{ID: "a"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := s
			wrong(&s)
			_, err := snapshot.Read(bytes.NewReader(write(t, snapshot.Seal(s))))
			if err == nil || !strings.Contains(err.Error(), name+" are not sorted") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func cutClusters(t *testing.T, body string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	m["clusters"] = json.RawMessage("[]")
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReadRefusesAnEntryThatIsTooLarge(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := tar.Header{Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Name: "meshc-snapshot", Size: 1<<30 + 1, Mode: 0o644}
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.Read(&b); err == nil || !strings.Contains(err.Error(), "more than the limit") {
		t.Errorf("error %v, want one about the limit", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(write(f, sample()))
	f.Add(write(f, snapshot.Seal(snapshot.Snapshot{})))
	f.Fuzz(func(t *testing.T, file []byte) { readAndWriteBack(t, file) })
}

// FuzzReadBody gets past the checksums of the archive.
func FuzzReadBody(f *testing.F) {
	for _, s := range []snapshot.Snapshot{sample(), snapshot.Seal(snapshot.Snapshot{})} {
		parts := entries(f, write(f, s))
		f.Add(parts[1].data, parts[2].data)
	}
	f.Fuzz(func(t *testing.T, body, origins string) {
		readAndWriteBack(t, archive(t, tar.FormatUSTAR, entry{"meshc-snapshot", "meshc-snapshot 1\n"}, entry{"snapshot.json", body}, entry{"origins.json", origins}))
	})
}

func readAndWriteBack(t *testing.T, file []byte) {
	s, err := snapshot.Read(bytes.NewReader(file))
	if err != nil {
		return
	}
	again, err := snapshot.Read(bytes.NewReader(write(t, s)))
	if err != nil || !reflect.DeepEqual(s, again) {
		t.Errorf("what was read cannot be written and read again: %v", err)
	}
}
