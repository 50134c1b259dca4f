package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema/diag"
)

// TestReloadEqualsColdStart edits a tree of files at random. After each edit
// one that has loaded the states before, one that has a cache of them on disk
// and one that has seen nothing must say the same: the same bytes as snapshot,
// the same findings, the same numbers.
func TestReloadEqualsColdStart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		top, err := os.MkdirTemp("", "reload")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(top)
		e := edits{t: t, dir: filepath.Join(top, "in")}
		for _, dir := range []string{"sub", "lib", "cue.mod"} {
			e.must(os.MkdirAll(filepath.Join(e.dir, dir), 0o755))
		}
		e.must(os.WriteFile(filepath.Join(e.dir, "cue.mod", "module.cue"), []byte("module: \"in.test/in\"\nlanguage: version: \"v0.17.0\"\n"), 0o644))
		warm := newDocuments([]string{e.dir}, nil, toServe)
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			for range rapid.IntRange(1, 4).Draw(t, "edits") {
				e.edit()
			}
			cold := outcome(t, newDocuments([]string{e.dir}, nil, toServe), "")
			for name, got := range map[string]string{
				"a reload":  outcome(t, warm, ""),
				"the cache": outcome(t, newDocuments([]string{e.dir}, nil, toServe), filepath.Join(top, "cache")),
			} {
				if got != cold {
					t.Fatalf("%s gives\n%s\na cold start gives\n%s\nof\n%s", name, got, cold, e.tree())
				}
			}
		}
	})
}

// outcome loads once and returns all that came of it.
func outcome(t *rapid.T, d *documents, cache string) string {
	var warnings bytes.Buffer
	save := d.useCache(cache, &warnings)
	l, err := d.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	save()
	if warnings.Len() > 0 {
		t.Fatal(warnings.String())
	}
	var b bytes.Buffer
	if err := snapshot.Write(&b, l.snapshot); err != nil {
		t.Fatal(err)
	}
	if err := diag.Write(&b, diag.JSON, l.diags, l.summary, diag.Options{}); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "\x00", "")
}

// edits makes random changes in a directory.
type edits struct {
	t   *rapid.T
	dir string
}

func (e *edits) must(err error) {
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *edits) pick(what string, of ...string) string {
	return rapid.SampledFrom(of).Draw(e.t, what)
}

// place draws the path of a file that is there or might be.
func (e *edits) place() string {
	name := e.pick("file", "a.yaml", "b.yaml", "c.yaml", "d.json", "e.yml", "x.cue", "y.cue", ".meshcignore", "name.txt", "web.pem", "db.pem", "m.wasm")
	return filepath.Join(e.dir, e.pick("folder", "", "", "", "sub", "other", "lib"), name)
}

// edit changes one thing. What cannot be done is no change.
func (e *edits) edit() {
	path := e.place()
	switch e.pick("edit", "write", "write", "write", "write", "append", "cut", "remove", "rename", "link", "move folder", "restore", "chmod", "embed") {
	case "write":
		_ = os.WriteFile(path, []byte(e.content(path)), 0o644)
	case "append":
		old, _ := os.ReadFile(path)
		_ = os.WriteFile(path, []byte(string(old)+"\n---\n"+e.content(path)), 0o644)
	case "cut": // most often in the midst of a document, and broken then
		if old, err := os.ReadFile(path); err == nil {
			n := rapid.IntRange(0, len(old)).Draw(e.t, "length")
			_ = os.WriteFile(path, old[:n], 0o644)
		}
	case "restore": // the same content, another file
		if old, err := os.ReadFile(path); err == nil {
			_ = os.Remove(path)
			_ = os.WriteFile(path, old, 0o644)
		}
	case "embed": // a package that is no input takes a name from a file
		lib := filepath.Join(e.dir, "lib")
		_ = os.WriteFile(filepath.Join(lib, "name.txt"), []byte(e.name()), 0o644)
		if e.pick("change", "the name", "all") == "all" {
			_ = os.WriteFile(filepath.Join(lib, "lib.cue"), []byte(embedded), 0o644)
			_ = os.WriteFile(filepath.Join(e.dir, "x.cue"), []byte(importing), 0o644)
			_ = os.WriteFile(filepath.Join(e.dir, ".meshcignore"), []byte("lib/\n"), 0o644)
		}
	case "chmod":
		_ = os.Chmod(path, rapid.SampledFrom([]os.FileMode{0o600, 0o640, 0o644}).Draw(e.t, "mode"))
	case "remove":
		_ = os.Remove(path)
	case "rename":
		_ = os.Rename(path, e.place())
	case "link":
		_ = os.Symlink(e.place(), path)
	case "move folder":
		from, to := filepath.Join(e.dir, "sub"), filepath.Join(e.dir, "other")
		if os.Rename(from, to) != nil {
			_ = os.Rename(to, from)
		}
	}
}

// content draws what a file holds.
func (e *edits) content(path string) string {
	switch filepath.Ext(path) {
	case ".cue":
		if filepath.Base(filepath.Dir(path)) == "lib" {
			return e.pick("imported", "package lib\none: \"web\"\n", "package lib\none: \"db\"\n", embedded)
		}
		return e.cue()
	case ".txt":
		return e.name()
	case ".pem":
		return string(rapid.SampledFrom(pems()).Draw(e.t, "pem"))
	case ".wasm":
		return e.pick("module", string(moduleNumber('1')), string(moduleNumber('2')), "no module")
	case ".meshcignore":
		return e.pick("ignored", "", "lib/\n", "lib/\n", "a.yaml\n", "sub/\n", "*.yaml\n!b.yaml\n", "*.cue\n")
	case ".json":
		return strings.ReplaceAll(e.pick("json", `{"type": "Mesh", "name": "NAME"}`, `{"host": "NAME.test", "name": "NAME"}`, `{"type": `, `{"type": "Mesh", "type": "Mesh"}`),
			"NAME", e.name())
	}
	return e.pick("comment", "", "", "# a comment\n", "# meshc:ignore MC0402\n", "# meshc:ignore MC0407 MC0502\n") + e.document()
}

func (e *edits) name() string { return e.pick("name", "web", "db", "cart") }

// Files of CUE that take a name from elsewhere.
const (
	embedding = "@extern(embed)\npackage p\nembedded: {type: \"Mesh\", name: _embedded}\n_embedded: _ @embed(file=name.txt,type=text)\n"
	embedded  = "@extern(embed)\npackage lib\none: _ @embed(file=name.txt,type=text)\n"
	importing = "package p\nimport \"in.test/in/lib\"\nimported: {type: \"Mesh\", name: lib.one}\n"
)

// pems are two certificates with their keys, and nonsense.
var pems = sync.OnceValue(func() [][]byte {
	out := [][]byte{[]byte("no PEM\n")}
	for i := range 2 {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i)}, ed25519.SeedSize))
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Unix(1<<33, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		cert, err := x509.CreateCertificate(nil, c, c, key.Public(), key)
		if err != nil {
			panic(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			panic(err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	}
	return out
})

// emptyModule is a module of ABI 0.2.1 without a callback; what follows it is a
// section that nobody looks into.
var emptyModule, _ = base64.StdEncoding.DecodeString("AGFzbQEAAAABCQJgAABgAX8BfwMDAgABBQMBAAEHLQMGbWVtb3J5AgAXcHJveHlfYWJpX3ZlcnNpb25fMF8yXzEAAAZtYWxsb2MAAQoKAgIACwUAQYAICw==")

// moduleNumber returns the module that differs from all others by a letter.
func moduleNumber(n byte) []byte {
	return append(emptyModule[:len(emptyModule):len(emptyModule)], 0, 2, 1, n)
}

// cue draws a file of a package or of its own.
func (e *edits) cue() string {
	if s := e.pick("outside", "", "", "", embedding, importing); s != "" {
		return s
	}
	return e.pick("package", "", "", "", "package p\n", "package p\n", "package p\n", "package p\n", "package p\nimport \"meshc.dev/schema\"\nx: schema.#Mesh & {type: \"Mesh\", name: \"m\"}\n") +
		fmt.Sprintf(e.pick("cue", "mesh: {type: \"Mesh\", name: %q}\n", "y: {type: \"Mesh\", name: _name}\n_name: %q\n", "y: {type: \"Mesh\"\nz: %q\n", "#x: %q\n"), e.name())
}

// document draws a document that may be wrong, and whose names often meet those
// of others or lead nowhere.
func (e *edits) document() string {
	text := e.pick("document",
		"apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {clusterIP: 10.0.0.$, ports: [{name: http, port: 80}, {name: x, port: 8$}]}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: NAME, annotations: {meshc.dev/ignore: MC0407}}\nspec: {type: NodePort, ports: [{port: 80}]}\n",
		"apiVersion: v1\nkind: Endpoints\nmetadata: {name: NAME}\nsubsets: [{addresses: [{ip: 10.1.0.$}], ports: [{name: http, port: 80}]}]\n",
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: NAME}, spec: {ports: [{port: $}]}}\n- {apiVersion: v1, kind: Pod}\n",
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: NAME-$, labels: {kubernetes.io/service-name: NAME}}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.5.0.$]}]\n",
		"type: Mesh\nname: OTHER\n",
		"type: Mesh\nname: default\nmtls: {enabledBackend: ca, backends: [{name: ca, type: builtin}]}\n",
		"type: Mesh\nname: default\nmtls: {backends: [{name: ca, type: provided, conf: {cert: {file: web.pem}, key: {file: db.pem}}}]}\n",
		"type: Mesh\nname: default\nmtls: {backends: [{name: ca, type: provided, conf: {cert: {secret: NAME}, key: {secret: OTHER}}}]}\n",
		"type: Timeout\nname: NAME-$\nsources: [{match: {kuma.io/service: NAME, version: v$}}]\ndestinations: [{match: {kuma.io/service: '*'}}]\nconf: {connectTimeout: 1s}\n",
		"type: Timeout\nname: NAME\nsources: [{match: {kuma.io/service: NAME}}]\ndestinations: [{match: {kuma.io/service: '*'}}]\nconf: {connectTimeout: 1s}\n",
		"type: Dataplane\nmesh: MESH\nname: NAME-$\nnetworking:\n  address: 10.2.0.$\n  inbound: [{port: 80, tags: {kuma.io/service: NAME, kuma.io/protocol: http, version: v$}}]\n  outbound: [{port: 2000$, tags: {kuma.io/service: OTHER}}]\n",
		"type: TrafficRoute\nmesh: MESH\nname: NAME\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: OTHER}}]\nconf: {split: [{weight: $, destination: {kuma.io/service: OTHER, version: v1}}, {weight: 1, destination: {kuma.io/service: '*'}}]}\n",
		"type: ExternalService\nmesh: MESH\nname: NAME\ntags: {kuma.io/service: OTHER}\nnetworking: {address: '10.3.0.$:80'}\n",
		"type: TrafficLog\nmesh: MESH\nname: NAME\nsources: [{match: {kuma.io/service: NAME}}]\ndestinations: [{match: {kuma.io/service: OTHER}}]\nconf: {backend: OTHER}\n",
		"type: Mesh\nname: default\nlogging: {defaultBackend: web, backends: [{name: web, type: file, conf: {path: /tmp/$}}]}\ntracing: {defaultBackend: web, backends: [{name: web, type: zipkin, conf: {url: 'http://10.9.0.$:9411/api/v2/spans'}}]}\n",
		"type: TrafficLog\nname: NAME\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: OTHER}}]\nconf: {backend: web}\n",
		"type: TrafficTrace\nname: NAME\nselectors: [{match: {kuma.io/service: OTHER}}]\nconf: {}\n",
		"type: FaultInjection\nname: NAME\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: OTHER, kuma.io/protocol: http, version: v$}}]\nconf: {abort: {percentage: $, httpStatus: 500}}\n",
		"type: ProxyTemplate\nname: NAME\nselectors: [{match: {kuma.io/service: OTHER}}]\nconf: {imports: [default-proxy], resources: [{name: r, version: v, resource: '{\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: c$}'}]}\n",
		"type: TrafficPermission\nname: NAME\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: OTHER}}]\n",
		"type: TrafficRoute\nname: NAME\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: OTHER}}]\nconf: {http: [{match: {path: {prefix: /$}}, modify: {host: {value: NAME.test}}, destination: {kuma.io/service: NAME}}], destination: {kuma.io/service: '*'}}\n",
		"type: Retry\nname: NAME\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: OTHER}}]\nconf: {http: {numRetries: $}}\n",
		"type: HealthCheck\nname: NAME\nsources: [{match: {kuma.io/service: '*'}}]\ndestinations: [{match: {kuma.io/service: OTHER}}]\nconf: {interval: $s, timeout: 1s, unhealthyThreshold: 1, healthyThreshold: 1}\n",
		"type: Secret\nname: NAME\ndata: c2VjcmV0\n",
		"type: Secret\nname: NAME\nfile: a.yaml\n",
		"type: Secret\nname: NAME\nfile: web.pem\n",
		"type: Secret\nname: NAME\nfile: db.pem\n",
		"type: WasmPlugin\nname: NAME\nconf: {module: {path: m.wasm}, listeners: [inbound, gateway], configuration: {a: $}}\n",
		"type: WasmPlugin\nname: NAME\ndestinations: [{match: {kuma.io/service: OTHER}}]\nconf: {module: {path: m.wasm}, listeners: [gateway], services: [NAME], order: $}\n",
		"_format_version: '3.0'\nservices:\n- name: NAME\n  host: OTHER\n  port: 80$\n  routes: [{name: NAME, paths: [/NAME], hosts: [OTHER.test]}]\nupstreams:\n- {name: OTHER, targets: [{target: '10.4.0.$:80'}]}\n",
		"_format_version: '3.0'\nroutes:\n- {name: NAME-$, service: {name: OTHER}, paths: [/$]}\nplugins:\n- {name: cors}\n",
		"type: Dataplane\nname: NAME\nnetworking: {address: 10.2.0.$, inbound: [{port: 700000, tags: {}}], outbond: []}\n",
		"type: Mesh\nname: NAME\n  indented: wrong\n",
		"kind: [\n",
		"services: {NAME: {image: x}}\n",
	)
	for _, r := range []struct {
		name string
		of   []string
	}{
		{"NAME", []string{"web", "db", "cart"}}, {"OTHER", []string{"web", "db", "nobody"}},
		{"MESH", []string{"default", "default", "web"}}, {"$", []string{"1", "2", "3"}},
	} {
		if strings.Contains(text, r.name) {
			text = strings.ReplaceAll(text, r.name, e.pick(r.name, r.of...))
		}
	}
	return text
}

// tree returns all that is in the directory.
func (e *edits) tree() string {
	var b strings.Builder
	_ = filepath.WalkDir(e.dir, func(path string, _ os.DirEntry, _ error) error {
		data, _ := os.ReadFile(path)
		fmt.Fprintf(&b, "-- %s --\n%s\n", path, data)
		return nil
	})
	return b.String()
}
