package wasm

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCommittedModules: what other SDKs have built starts, and serves a stream.
// What each of them does is for the tests beside them.
func TestCommittedModules(t *testing.T) {
	for dir, configuration := range map[string]string{
		"testdata/modules/abi010-rust":       "",
		"testdata/modules/everything-rust":   "",
		"testdata/modules/everything-as":     "backend",
		"testdata/modules/everything-c":      "backend",
		"../../examples/filters/count-c":     "",
		"../../examples/filters/redact-as":   "",
		"../../examples/filters/apikey-rust": `{"service":"backend","path":"/check","timeoutMs":500}`,
	} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			code, err := os.ReadFile(filepath.Join(dir, filepath.Base(dir)+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, 1)
			u := use(code, with("memory", 32<<20), with("callTimeout", "60s"), with("configuration", configuration))
			u.Clusters = []string{"backend"}
			f, err := r.maker.New(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			x := r.stream(0, f)
			if x.request(); x.client() == "503" {
				t.Error("the stream failed")
			}
			x.end()
			f.Close()
			if len(r.heard) != 0 {
				t.Errorf("%+v", <-r.heard)
			}
		})
	}
}
