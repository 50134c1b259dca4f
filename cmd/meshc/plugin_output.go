package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/meshc/meshc/cmd/meshc/internal/offline"
	"github.com/meshc/meshc/plugins/wasm"
)

// What plugin run prints are the sections of a test case. Like all output of a
// command, it is not checked for having been written: a reader that went away
// has seen enough.

func writeOutcome(w io.Writer, o offline.Outcome) {
	var b bytes.Buffer
	writeCalls(&b, o.Calls)
	b.WriteString("-- upstream --\n")
	if o.Upstream != nil {
		fmt.Fprintf(&b, "%s\n", o.Upstream)
	}
	b.WriteString("-- response --\n")
	if o.Response != nil {
		fmt.Fprintf(&b, "%s\n", o.Response)
	}
	if o.Reset {
		b.WriteString("reset\n")
	}
	w.Write(b.Bytes())
}

func writePassed(w io.Writer, p offline.Passed) {
	var b bytes.Buffer
	writeCalls(&b, p.Calls)
	fmt.Fprintf(&b, "-- upstream --\n%q\n-- downstream --\n%q\n", p.Upstream, p.Downstream)
	if p.Closed {
		b.WriteString("closed\n")
	}
	w.Write(b.Bytes())
}

func writeCalls(b *bytes.Buffer, calls []offline.Call) {
	for _, call := range calls {
		fmt.Fprintf(b, "-- called %s --\n%s\n", call.Service, call.Request)
	}
}

func writeObserved(w io.Writer, log []string, metrics []offline.Metric) error {
	var b bytes.Buffer
	if len(log) > 0 {
		b.WriteString("-- log --\n")
		for _, line := range log {
			b.WriteString(line + "\n")
		}
	}
	if len(metrics) > 0 {
		b.WriteString("-- metrics --\n")
		for _, m := range metrics {
			b.WriteString(m.Name + " " + strconv.FormatFloat(m.Value, 'g', -1, 64) + "\n")
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeInspection writes what is known of a module.
func writeInspection(w io.Writer, format, path string, r wasm.Report) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(inspectionJSON(path, r))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", path)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s "+format+"\n", append([]any{what}, args...)...)
	}
	line("size", "%d bytes", r.Size)
	if r.SHA256 != "" {
		line("sha256", "%s", r.SHA256)
		line("ABI", "%s", r.ABI)
		for _, p := range r.Producers {
			line(p.Field, "%s", strings.TrimSpace(p.Name+" "+p.Version))
		}
		most := "no maximum of its own"
		if r.MaxPages > 0 {
			most = "at most " + mebibytes(r.MaxPages)
		}
		line("memory", "%s at the start, %s", mebibytes(r.MinPages), most)
		line("functions", "%d", r.Functions)
		for _, c := range r.Callbacks {
			line("callback", "%s", c)
		}
		for _, i := range r.Imports {
			line("import", "%s.%s %s", i.Module, i.Name, i.Signature)
		}
		for _, x := range r.Exports {
			if x.Kind.String() == "function" {
				line("export", "%s %s", x.Name, x.Signature)
			} else {
				line("export", "%s (%s)", x.Name, x.Kind)
			}
		}
	}
	if len(r.Problems) == 0 {
		b.WriteString("  nothing it would be refused for\n")
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "  REFUSED: %s\n", p)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// mebibytes writes a number of pages of 64 KiB.
func mebibytes(pages uint64) string {
	return strconv.FormatFloat(float64(pages)/16, 'f', -1, 64) + " MiB"
}

// inspectionJSON is the machine's form; its keys are a public interface.
func inspectionJSON(path string, r wasm.Report) any {
	type function struct {
		Module    string `json:"module,omitempty"`
		Name      string `json:"name"`
		Kind      string `json:"kind"`
		Signature string `json:"signature,omitempty"`
	}
	type producer struct {
		Field   string `json:"field"`
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	out := struct {
		File       string     `json:"file"`
		Size       int        `json:"size"`
		SHA256     string     `json:"sha256,omitempty"`
		ABI        string     `json:"abi"`
		Producers  []producer `json:"producers"`
		MinPages   uint64     `json:"minPages"`
		MaxPages   uint64     `json:"maxPages,omitempty"`
		Functions  int        `json:"functions"`
		Callbacks  []string   `json:"callbacks"`
		Imports    []function `json:"imports"`
		Exports    []function `json:"exports"`
		Problems   []string   `json:"problems"`
		Acceptable bool       `json:"acceptable"`
	}{
		path, r.Size, r.SHA256, r.ABI.String(), []producer{}, r.MinPages, r.MaxPages, r.Functions,
		append([]string{}, r.Callbacks...), []function{}, []function{}, append([]string{}, r.Problems...), len(r.Problems) == 0,
	}
	for _, p := range r.Producers {
		out.Producers = append(out.Producers, producer{p.Field, p.Name, p.Version})
	}
	add := func(list []function, module, name, kind, signature string) []function {
		if kind != "function" {
			signature = ""
		}
		return append(list, function{module, name, kind, signature})
	}
	for _, i := range r.Imports {
		out.Imports = add(out.Imports, i.Module, i.Name, i.Kind.String(), i.Signature.String())
	}
	for _, x := range r.Exports {
		out.Exports = add(out.Exports, "", x.Name, x.Kind.String(), x.Signature.String())
	}
	return out
}
