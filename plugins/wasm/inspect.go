package wasm

import "github.com/meshc/meshc/plugins/wasm/internal/module"

// Report is what can be said of a module without running it. It is empty but
// for Problems where the bytes are no module.
type Report = module.Report

// Inspect reports on a .wasm file. Its Problems are everything that the most
// generous WasmPlugin would be refused for.
func Inspect(data []byte) Report {
	m, err := module.Parse(data)
	if err != nil {
		return Report{Size: len(data), Problems: []string{err.Error()}}
	}
	return m.Inspect(maxMemory / pageSize)
}
