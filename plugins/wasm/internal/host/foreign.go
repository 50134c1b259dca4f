package host

import (
	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/plugins/wasm/internal/foreign"
	"github.com/meshc/meshc/runtime/filter"
)

// foreign calls a foreign function; ok is false where there is none of that
// name. name and arguments lie in the guest's memory.
func (i *Instance) foreign(name string, arguments []byte) (result []byte, s abi.Status, ok bool) {
	r := i.current.root
	if r == nil {
		return nil, abi.NotFound, false
	}
	return r.functions.Call(environment{i}, name, arguments)
}

// environment is what foreign functions act on.
type environment struct{ *Instance }

// Property reads a declared property as what it was declared.
func (e environment) Property(path ...string) (filter.Value, bool) {
	v, s := e.property(path)
	if b, ok := v.([]byte); ok && len(path) == 1 && e.current.root.declared[path[0]].Type == foreign.String {
		v = string(b)
	}
	return v, s == abi.Ok
}

// SetFilterState finds none of Envoy's own objects here.
func (environment) SetFilterState(string, string, foreign.LifeSpan) abi.Status { return abi.NotFound }

// maxDeclared bounds the properties that one context may declare.
const maxDeclared = 1000

// DeclareProperty is part of foreign.Env. As in Envoy, a stream can declare, but
// only what its root declares has an effect.
func (e environment) DeclareProperty(p foreign.Property) abi.Status {
	c := e.current
	if _, known := c.declared[p.Name]; known {
		return abi.BadArgument
	}
	if len(c.declared) >= maxDeclared || !c.keep(len(p.Name)+len(p.Schema)+propertySize) {
		return abi.InternalFailure
	}
	if c.declared == nil {
		c.declared = map[string]foreign.Property{}
	}
	c.declared[p.Name] = p
	return abi.Ok
}

// ClearRouteCache is part of foreign.Env.
func (e environment) ClearRouteCache() {
	if s := e.current.stream; s != nil {
		s.ClearRoute()
	}
}

// Spend is part of foreign.Env.
func (e environment) Spend(n int) { e.spend(n) }

// Hold is part of foreign.Env.
func (e environment) Hold(n int) bool { return e.hold(n) }
