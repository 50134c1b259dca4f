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

// module is what a filter of sample runs.
const module = "\x00asm\x01\x00\x00\x00"

// sample returns a sealed snapshot in which every field is set.
func sample() snapshot.Snapshot {
	sources := snapshot.ListOf("kuma/Dataplane/default/web")
	targets := snapshot.ListOf(snapshot.Target{Cluster: "web", Weight: 1})
	return snapshot.Seal(snapshot.Snapshot{
		Proxies: snapshot.ListOf(snapshot.Proxy{
			ID: "default.web", Mesh: "default", Raw: snapshot.ListOf(snapshot.RawResource{JSON: `{"@type":"a/b"}`, Sources: sources}), RawOnly: true,
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
						Filters: snapshot.ListOf("wasm/default/auth"),
					}),
				}),
				Targets: targets,
				Filters: snapshot.ListOf(snapshot.Filter{
					Name: "default/auth", Kind: "wasm", Config: `{"a":"<&>"}`, Blob: snapshot.Blob{Data: module}.Sum(),
					Clusters: snapshot.ListOf("web"), Match: snapshot.FilterMatch{PathPrefix: "/", Methods: snapshot.ListOf("GET")},
					PerRoute: true, Sources: sources,
				}),
				Sources: sources,
			}),
		}),
		Clusters: snapshot.ListOf(snapshot.Cluster{
			Name: "web", Service: "web", Mesh: "default", Protocol: snapshot.HTTP, Discovery: snapshot.Static,
			Balancing: snapshot.RoundRobin, ConnectTimeout: snapshot.Duration(5 * time.Second), HTTP2: true, Sources: sources,
		}),
		Endpoints: snapshot.ListOf(snapshot.EndpointSet{
			Name: "web", Endpoints: snapshot.ListOf(snapshot.Endpoint{Address: "127.0.0.1", Port: 8080, Hostname: "web.example", Weight: 3}), Sources: sources,
		}),
		Documents: snapshot.ListOf(snapshot.Document{
			ID: "kuma/Dataplane/default/web", Dialect: "kuma", Kind: "Dataplane", Namespace: "n", Mesh: "default", Name: "web", JSON: `{"type":"Dataplane"}`,
		}),
		Blobs:   snapshot.ListOf(snapshot.Blob{Data: module}),
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
	if len(parts) != 4 {
		t.Fatalf("the file has %d entries, want 4", len(parts))
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
		"another format":     {with(0, "snapshot 5", "snapshot 3"), `its format is "meshc-snapshot 3"`, false},
		"control characters": {with(0, "snapshot 5", "snapshot \x1b[31m"), `\x1b[31m`, false},
		"cut in the body":    {good[:2000], "damaged: snapshot.json", false},
		"cut between":        {good[:1024], "damaged", false},
		"one entry":          {archive(t, tar.FormatUSTAR, parts[0]), "ends before snapshot.json", false},
		"order":              {archive(t, tar.FormatUSTAR, parts[0], parts[2], parts[1], parts[3]), `"origins.json" where snapshot.json`, false},
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
		"an element less":    {archive(t, tar.FormatUSTAR, parts[0], entry{parts[1].name, cut(t, parts[1].data, "clusters")}, parts[2], parts[3]), "does not match the version", false},
		"no blob":            {archive(t, tar.FormatUSTAR, parts[:3]...), "ends before blobs/", false},
		"another blob":       {with(3, "asm", "ASM"), "does not match its digest", false},
		"a blob's name":      {archive(t, tar.FormatUSTAR, parts[0], parts[1], parts[2], entry{"blobs/" + strings.Repeat("0", 64), parts[3].data}), "where blobs/", false},
		"a blob that no one lists": {archive(t, tar.FormatUSTAR, parts[0], entry{parts[1].name, cut(t, parts[1].data, "blobs")}, parts[2], parts[3]),
			"something follows", false},
		"origins in body": {with(1, `"origins":[]`, `"origins":[{"id":"a","file":"b","line":1,"column":1}]`), "holds origins", false},
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
	s.Blobs, s.Proxies = snapshot.List[snapshot.Blob]{}, snapshot.List[snapshot.Proxy]{}
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

func cut(t *testing.T, body, list string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	m[list] = json.RawMessage("[]")
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

func TestBlobsAreBounded(t *testing.T) {
	large := snapshot.Seal(snapshot.Snapshot{Blobs: snapshot.ListOf(snapshot.Blob{Data: strings.Repeat("x", snapshot.MaxBlob+1)})})
	if err := snapshot.Write(io.Discard, large); err == nil || !strings.Contains(err.Error(), "more than the") {
		t.Errorf("error %v, want one about the limit", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	parts := entries(t, write(t, sample()))
	for i, e := range parts {
		size := int64(len(e.data))
		if i == 3 {
			size = snapshot.MaxBlob + 1
		}
		if err := w.WriteHeader(&tar.Header{Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Name: e.name, Size: size, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := snapshot.Read(&b); err == nil || !strings.Contains(err.Error(), "more than the limit") {
		t.Errorf("error %v, want one about the limit", err)
	}
}

// What a filter runs is in the file, and what is in the file a filter runs.
func TestReadRefusesBlobsThatAreNotThoseOfFilters(t *testing.T) {
	with := func(blobs ...snapshot.Blob) snapshot.Snapshot {
		s := sample()
		s.Blobs = snapshot.ListOf(blobs...)
		return snapshot.Seal(s)
	}
	one, other := sample().Blobs.At(0), snapshot.Blob{Data: "other"}
	sorted := []snapshot.Blob{one, {Digest: other.Sum(), Data: other.Data}}
	slices.SortFunc(sorted, func(a, b snapshot.Blob) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
	for name, tc := range map[string]struct {
		s    snapshot.Snapshot
		want string
	}{
		"missing":    {with(), `filter "default/auth" runs a blob that is not there`},
		"not run":    {with(sorted...), "no filter runs blob " + other.Sum().String()},
		"not sorted": {with(sorted[1], sorted[0]), "blobs are not sorted"},
		"twice":      {with(one, one), "blobs are not sorted"},
	} {
		_, err := snapshot.Read(bytes.NewReader(write(t, tc.s)))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
}

func TestSensitive(t *testing.T) {
	if !sample().Sensitive() || snapshot.Seal(snapshot.Snapshot{}).Sensitive() {
		t.Error("a snapshot is sensitive when, and only when, it holds the configuration of a filter")
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
		parts := []entry{{"meshc-snapshot", "meshc-snapshot 3\n"}, {"snapshot.json", body}, {"origins.json", origins}}
		if digest := (snapshot.Blob{Data: module}).Sum().String(); strings.Contains(body, `"blobs":[{"digest":"`+digest) {
			parts = append(parts, entry{"blobs/" + digest, module})
		}
		readAndWriteBack(t, archive(t, tar.FormatUSTAR, parts...))
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
