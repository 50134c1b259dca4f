// Package meshc holds the resources that only meshc has, as plain values.
package meshc

import (
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/kuma"
	"github.com/meshc/meshc/schema/tree"
)

// WasmPlugin attaches a Proxy-Wasm filter to traffic.
type WasmPlugin struct {
	Mesh         string `json:"mesh"`
	Name         string `json:"name"`
	CreationTime string `json:"creationTime"`
	// Selectors say whose proxies run it; none means all of the mesh.
	Selectors []kuma.Selector `json:"selectors"`
	// Destinations say for traffic to which services; none means to all.
	Destinations []kuma.Selector `json:"destinations"`
	Conf         WasmConf        `json:"conf"`
}

// WasmConf says what a WasmPlugin runs, when, and within which bounds.
type WasmConf struct {
	Module    WasmModule `json:"module"`
	Listeners []string   `json:"listeners"` // of inbound, outbound, gateway
	Protocol  string     `json:"protocol"`  // http or tcp
	// Match is nil where the filter is for all requests.
	Match *WasmMatch `json:"match"`
	// Routes are the names of Kong's routes that it is limited to; none means
	// no limit. Beside them, Listeners is gateway alone.
	Routes []string `json:"routes"`
	Phase  string   `json:"phase"` // authn, authz or default, in this order
	Order  int32    `json:"order"` // within the phase, lowest first
	// Configuration and VMConfiguration are any value; a string is handed to
	// the module as it is, anything else as JSON.
	Configuration   Value             `json:"configuration"`
	VMConfiguration Value             `json:"vmConfiguration"`
	Env             map[string]string `json:"env"`
	RootID          string            `json:"rootId"`
	VMID            string            `json:"vmId"`
	Services        []string          `json:"services"` // that its own calls may reach
	Limits          WasmLimits        `json:"limits"`
	FailurePolicy   string            `json:"failurePolicy"` // closed or open
}

// WasmModule is a .wasm file.
type WasmModule struct {
	// Path is relative to the folder of the document.
	Path string `json:"path"`
	// SHA256 is the digest of the file in hexadecimal, or "" where any will do.
	SHA256 string `json:"sha256"`
}

// WasmMatch selects requests; what is not set selects all.
type WasmMatch struct {
	PathPrefix string   `json:"pathPrefix"`
	Methods    []string `json:"methods"`
}

// WasmLimits bound one instance of a module.
type WasmLimits struct {
	Memory      Memory        `json:"memory"`      // in bytes
	CallTimeout kuma.Duration `json:"callTimeout"` // of one call into the module
}

// Memory is an amount of memory in bytes, written as 64MiB or 1GiB.
type Memory int64

// DecodeScalar reads what the schema has let pass.
func (m *Memory) DecodeScalar(n *tree.Node) error {
	unit := int64(1 << 20)
	digits, ok := strings.CutSuffix(n.Text, "MiB")
	if !ok {
		digits, unit = strings.TrimSuffix(n.Text, "GiB"), 1<<30
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	*m = Memory(v * unit)
	return err
}

// Value is a value of any type; its Node is nil where there is none.
type Value struct{ Node *tree.Node }

// DecodeScalar keeps n, whatever it is.
func (v *Value) DecodeScalar(n *tree.Node) error {
	v.Node = n
	return nil
}
