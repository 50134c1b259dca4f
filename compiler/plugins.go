package compiler

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/meshc"
)

// wasmKind is the policy kind that runs a WasmPlugin.
const wasmKind = "wasm"

// plugin is a WasmPlugin whose module is at hand. It is not changed once made,
// and the same pointer means the same content.
type plugin struct {
	doc    *schema.Document
	body   *meshc.WasmPlugin
	module *schema.Module
	filter snapshot.Filter // as on a listener that it is for as a whole
	// services and routes are those that it is limited to; nil means no limit.
	services, routes map[string]bool
	found            []diag.Diagnostic // what is wrong with its module
}

// pluginUse is a plugin in one compile.
type pluginUse struct {
	*plugin
	attached bool
	routed   bool // to a route of the gateway
	// passedBy is the protocol of a listener that it would be attached to if it
	// were for that, "" if there is none.
	passedBy  snapshot.Protocol
	unguarded []string // those listeners, where traffic passes that it was to check
}

// phases are in the order in which they run.
var phases = []string{"authn", "authz", "default"}

// runPlugins attaches WasmPlugins to the listeners of the proxies that they
// select, and on the gateway's to the routes that they are for.
func runPlugins(b *build) {
	b.plugins = b.usablePlugins()
	if len(b.plugins) == 0 {
		return
	}
	meshes := map[string]*meshPlugins{}
	for _, p := range b.plugins {
		m := meshes[p.doc.Mesh]
		if m == nil {
			m = &meshPlugins{}
			meshes[p.doc.Mesh] = m
		}
		m.plugins, m.inputs = append(m.plugins, p), append(m.inputs, p.plugin)
	}
	for i := range b.views {
		if m := meshes[b.views[i].doc.Mesh]; m != nil {
			b.attachPlugins(b.views[i], m)
		}
	}
	b.attachGatewayPlugins()
	for _, p := range b.plugins {
		if !p.attached {
			b.reportUnattached(p)
		} else if len(p.unguarded) > 0 {
			b.reportUnguarded(p)
		}
	}
	b.plugins = slices.DeleteFunc(b.plugins, func(p *pluginUse) bool { return !p.attached })
}

// usablePlugins returns the plugins that can run, in the order in which they do.
func (b *build) usablePlugins() []*pluginUse {
	var out []*pluginUse
	for _, d := range b.byKind["meshc/WasmPlugin"] {
		var module *schema.Module
		looked := false
		if b.c.Modules != nil {
			module, looked = b.c.Modules(d)
		}
		if module == nil {
			if !looked {
				b.unsupported = append(b.unsupported, finding(diag.CodeNotEnforced, diag.Error, d, []any{"conf", "module", "path"},
					describe(d)+" cannot be enforced: its module is looked for beside the document, which lies in no folder",
					"write an absolute path, or put the document into a file"))
			}
			continue
		}
		p := b.c.plugins.get(d, []any{module}, func() *plugin { return newPlugin(d, module, b.c.Check) })
		b.diags = append(b.diags, p.found...)
		if _, ok := b.meshes[d.Mesh]; ok { // else that has been reported
			out = append(out, &pluginUse{plugin: p})
		}
	}
	slices.SortFunc(out, func(x, y *pluginUse) int {
		return cmp.Or(
			cmp.Compare(slices.Index(phases, x.body.Conf.Phase), slices.Index(phases, y.body.Conf.Phase)),
			cmp.Compare(x.body.Conf.Order, y.body.Conf.Order),
			cmp.Compare(x.doc.Name, y.doc.Name), cmp.Compare(x.doc.Mesh, y.doc.Mesh),
		)
	})
	return out
}

func newPlugin(d *schema.Document, module *schema.Module, check Check) *plugin {
	p := &plugin{doc: d, body: d.Body.(*meshc.WasmPlugin), module: module}
	conf := &p.body.Conf
	var clusters []string
	for _, name := range conf.Services {
		clusters = append(clusters, serviceKey{d.Mesh, name}.whole())
	}
	slices.Sort(clusters)
	p.filter = snapshot.Filter{
		Name: d.Mesh + "/" + d.Name, Kind: wasmKind, Config: wasmConfig(conf), Blob: module.Sum,
		Clusters: snapshot.ListOf(clusters...), Sources: snapshot.ListOf(d.ID()),
	}
	if m := conf.Match; m != nil {
		p.filter.Match = snapshot.FilterMatch{PathPrefix: m.PathPrefix, Methods: snapshot.ListOf(slices.Sorted(slices.Values(m.Methods))...)}
	}
	p.services, p.routes = set(destinations(p.body.Destinations)), set(conf.Routes)
	if p.services["*"] {
		p.services = nil
	}
	if check == nil {
		return p
	}
	for _, wrong := range check(p.filter, conf.Protocol == "tcp", module.Data) {
		p.found = append(p.found, finding(diag.CodeModule, diag.Error, d, []any{"conf", "module", "path"},
			fmt.Sprintf("the module %s cannot work: %s", conf.Module.Path, wrong), ""))
	}
	return p
}

// set returns what is in names, nil where nothing is.
func set(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[name] = true
	}
	return out
}

// wasmConfig returns the configuration of the kind wasm, of which all fields
// are always there.
func wasmConfig(conf *meshc.WasmConf) string {
	env := conf.Env
	if env == nil {
		env = map[string]string{}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		RootID          string            `json:"rootId"`
		VMID            string            `json:"vmId"`
		Configuration   string            `json:"configuration"`
		VMConfiguration string            `json:"vmConfiguration"`
		Env             map[string]string `json:"env"`
		Memory          int64             `json:"memory"`
		CallTimeout     string            `json:"callTimeout"`
		FailurePolicy   string            `json:"failurePolicy"`
	}{
		conf.RootID, conf.VMID, schema.ValueText(conf.Configuration), schema.ValueText(conf.VMConfiguration), env,
		int64(conf.Limits.Memory), conf.Limits.CallTimeout.String(), conf.FailurePolicy,
	})
	if err != nil {
		panic("compiler: " + err.Error()) // text and numbers are always JSON
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// selects reports whether p is for proxies with one of the tag sets.
func (p *plugin) selects(proxy []map[string]string) bool {
	_, ok := best(p.body.Selectors, proxy)
	return ok || len(p.body.Selectors) == 0
}

// listensTo reports whether p is for listeners of a direction.
func (p *plugin) listensTo(d snapshot.Direction) bool {
	return slices.Contains(p.body.Conf.Listeners, string(d))
}

// speaks reports whether p is for a protocol; it is asked about listeners that
// p is for in all else.
func (p *pluginUse) speaks(protocol snapshot.Protocol) bool {
	if p.body.Conf.Protocol == string(protocol) {
		return true
	}
	p.passedBy = protocol
	return false
}

// guards reports whether p is there to check traffic.
func (p *plugin) guards() bool { return p.body.Conf.Phase != "default" }

// leave notes that p is not on a listener for its protocol alone, if no other
// of its phase is among those that are: one may be there for each protocol.
func (p *pluginUse) leave(where string, there []*plugin) {
	if !slices.ContainsFunc(there, func(q *plugin) bool { return q.body.Conf.Phase == p.body.Conf.Phase }) {
		p.unguarded = append(p.unguarded, where)
	}
}

// shownListeners bounds how many listeners a finding names.
const shownListeners = 5

// reportUnguarded reports the listeners that a plugin of the phases authn and
// authz passes by because of their protocol alone, while it runs on others: who
// wrote it may think that all traffic is checked.
func (b *build) reportUnguarded(p *pluginUse) {
	names := p.unguarded
	slices.Sort(names)
	more := ""
	if n := len(names) - shownListeners; n > 0 {
		names, more = names[:shownListeners], fmt.Sprintf(" and %d more", n)
	}
	b.report(diag.CodeNotApplied, diag.Warning, p.doc, []any{"conf", "protocol"},
		fmt.Sprintf("%s is for %s, so it does not run on %s%s, which it is for in all else: what passes there is not checked by it",
			describe(p.doc), p.body.Conf.Protocol, strings.Join(names, ", "), more),
		"add a plugin for the other protocol, set kuma.io/protocol of the services to the one that they speak, or name other listeners")
}

// meshPlugins are the plugins of one mesh, in order.
type meshPlugins struct {
	plugins []*pluginUse
	inputs  []any // the same for a memo
}

// attachPlugins gives each listener of a dataplane its plugins.
func (b *build) attachPlugins(v *view, m *meshPlugins) {
	selected := b.c.selected.get(v.doc, m.inputs, func() []int {
		var out []int
		for i, p := range m.plugins {
			if p.selects(v.tags) {
				out = append(out, i)
			}
		}
		return out
	})
	for i := range v.listeners {
		l := &v.listeners[i]
		if l.metrics != nil {
			continue // what passes there is no service's
		}
		var passed []*pluginUse
		for _, n := range selected {
			p := m.plugins[n]
			switch {
			case l.ingress || !p.listensTo(l.direction) || p.services != nil && !p.services[l.service]:
			case p.speaks(l.protocol):
				p.attached = true
				l.plugins, v.plugged = append(l.plugins, p.plugin), true
			case p.guards():
				passed = append(passed, p)
			}
		}
		for _, p := range passed {
			p.leave(fmt.Sprintf("%s of Dataplane %s", l.id, v.doc.Name), l.plugins)
		}
	}
}

// reportUnattached reports a plugin that runs nowhere, unless what it selects by
// has been reported.
func (b *build) reportUnattached(p *pluginUse) {
	told := map[diag.Place]bool{}
	for field, n := range map[string]int{"selectors": len(p.body.Selectors), "destinations": len(p.body.Destinations)} {
		for i := range n {
			told[p.doc.Place(field, i, "match")] = true
		}
	}
	for i := range p.body.Conf.Routes {
		told[p.doc.Place("conf", "routes", i)] = true
	}
	if slices.ContainsFunc(b.diags, func(d diag.Diagnostic) bool {
		return told[d.Place] && (d.Code == diag.CodeMatchesNothing || d.Code == diag.CodeUnknownEntity)
	}) {
		return
	}
	field, why, hint := "listeners", "no proxy that it selects has such a listener for what it is for", "name other listeners, or select other proxies or destinations"
	switch {
	case len(p.routes) > 0:
		field, why, hint = "routes", "the gateway serves none of these routes to a service that it is for", "name routes that the gateway serves over HTTP"
	case p.passedBy == snapshot.HTTP:
		field, why, hint = "protocol", "every listener that it is for carries http", "set protocol to http, or remove it"
	case p.passedBy != "":
		field, why, hint = "protocol", "every listener that it is for carries tcp", "set protocol to tcp, or kuma.io/protocol of the services to http"
	}
	b.reportMissing("", diag.CodeMatchesNothing, diag.Warning, p.doc, []any{"conf", field}, why+", so "+describe(p.doc)+" runs nowhere", hint)
}

// lowerBlobs makes the blobs of all filters.
func (b *build) lowerBlobs() snapshot.List[snapshot.Blob] {
	var out []snapshot.Blob
	for _, p := range b.plugins {
		out = append(out, snapshot.Blob{Digest: p.module.Sum, Data: p.module.Data})
	}
	slices.SortFunc(out, func(x, y snapshot.Blob) int { return bytes.Compare(x.Digest[:], y.Digest[:]) })
	return snapshot.ListOf(slices.CompactFunc(out, func(x, y snapshot.Blob) bool { return x.Digest == y.Digest })...)
}
