package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meshc/meshc/compiler"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/files"
)

// realworld is a folder of manifests as people wrote them, with the verdicts
// of a Kubernetes API server in manifest.json. They are not ours to pass on, so
// the folder is named by an environment variable, which .ci/run sets.
var realworld = os.Getenv("MESHC_REALWORLD")

// disputed are objects whose recorded verdict is not followed, and why.
var disputed = map[string]string{}

func init() {
	for i := 1; i <= 5; i++ {
		// The server that recorded them refused the clusterIP before it looked
		// at the rest, and the record leaves that refusal out. What it did not
		// come to: ports without a name beside other ports, which it demands.
		disputed[fmt.Sprintf("kuma__pkg__plugins__runtime__k8s__controllers__testdata__meshservice__%02d.resources.yaml", i)] = "ports without a name"
	}
}

type realworldFile struct {
	File    string
	Objects []struct {
		Kind, Name string
		Namespace  string
		Accepted   bool `json:"v1.36"`
	}
}

// TestRealworld wants of every Service and Endpoints the verdict that the API
// server gave, whatever else lies in the file; and that the version of what
// was accepted does not depend on the order of documents nor on their folder.
func TestRealworld(t *testing.T) {
	t.Parallel()
	if realworld == "" {
		return // .ci/check says so
	}
	data, err := os.ReadFile(filepath.Join(realworld, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest []realworldFile
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	objects := 0
	for _, f := range manifest {
		objects += len(f.Objects)
		t.Run(f.File, func(t *testing.T) { checkRealworld(t, f) })
	}
	t.Logf("%d objects in %d files", objects, len(manifest))
}

func checkRealworld(t *testing.T, f realworldFile) {
	tree, err := files.NewReader([]string{filepath.Join(realworld, f.File)}, nil).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := schema.NewLoader().Load(t.Context(), tree)
	accepted := map[string]bool{}
	for _, d := range got.Documents {
		accepted[d.ID()] = true
	}
	agrees := true
	for _, o := range f.Objects {
		namespace := o.Namespace
		if namespace == "" {
			namespace = "default"
		}
		id := fmt.Sprintf("kubernetes/%s/%s/%s", o.Kind, namespace, o.Name)
		if accepted[id] == o.Accepted {
			continue
		}
		agrees = false
		if disputed[f.File] == "" {
			t.Errorf("%s: accepted: %v, by the API server: %v\n%v", id, accepted[id], o.Accepted, got.Diagnostics)
		}
	}
	if agrees && disputed[f.File] != "" {
		t.Errorf("the verdict is no longer disputed: take the entry out")
	}

	// The same documents, the last first, each in a file and folder of its own.
	var elsewhere files.Tree
	for i, d := range got.Documents {
		name := fmt.Sprintf("%03d/x.json", len(got.Documents)-i)
		elsewhere.Files = append(elsewhere.Files, files.File{Name: name, Shown: "/elsewhere/" + name, Data: []byte(d.JSON), Sum: [32]byte{byte(i), byte(i >> 8)}})
	}
	slices.Reverse(elsewhere.Files)
	again := schema.NewLoader().Load(t.Context(), elsewhere)
	want := compiler.New().Compile(got.Documents).Snapshot.Version
	if v := compiler.New().Compile(again.Documents).Snapshot.Version; v != want {
		t.Errorf("the version depends on the layout; findings: %v", again.Diagnostics)
	}
}
