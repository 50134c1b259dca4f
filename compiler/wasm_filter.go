package compiler

import (
	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
)

// WasmFilter returns the filter that a WasmPlugin document with its module
// becomes wherever it is attached as a whole, for those who run it alone. tcp
// says that it is for connections.
func WasmFilter(d *schema.Document, m *schema.Module) (f snapshot.Filter, tcp bool) {
	p := newPlugin(d, m, nil)
	return p.filter, p.body.Conf.Protocol == "tcp"
}
