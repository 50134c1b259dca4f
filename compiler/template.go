package compiler

import (
	"fmt"
	"slices"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/kuma"
)

// defaultProxy is the one import that there is: what is generated anyway.
const defaultProxy = "default-proxy"

// template returns the ProxyTemplate of v, or nil.
func (b *build) template(v *view) *schema.Document {
	if len(b.byKind["kuma/ProxyTemplate"]) == 0 {
		return nil
	}
	return b.rules("kuma/ProxyTemplate", v.doc.Mesh).of(v.tags...).winner("")
}

// applyTemplate gives p what the ProxyTemplate d, if there is one, adds to what
// Envoy gets.
func applyTemplate(p *snapshot.Proxy, d *schema.Document) {
	if d == nil {
		return
	}
	conf := d.Body.(*kuma.ProxyTemplate).Conf
	p.RawOnly = !slices.Contains(conf.Imports, defaultProxy)
	var raw []snapshot.RawResource
	for _, r := range conf.Resources {
		json, err := schema.RawJSON(r.Resource)
		if err != nil {
			continue // the document is none without its check
		}
		raw = append(raw, snapshot.RawResource{JSON: json, Sources: snapshot.ListOf(d.ID())})
	}
	p.Raw = snapshot.ListOf(raw...)
}

func (w *wishes) proxyTemplate() {
	w.notApplied([]any{"type"}, fmt.Sprintf("%s has an effect in Envoy alone: the built-in proxy cannot apply it", describe(w.doc)), "")
}
