package compiler

import (
	"fmt"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kubernetes"
)

// backing finds the Endpoints or EndpointSlices behind each Service. Documents
// of a kind are sorted by namespace and name, so Services and Endpoints are
// walked side by side; of must be called for every Service, in order.
type backing struct {
	endpoints []*schema.Document // not yet passed
	all       []*schema.Document // the EndpointSlices
	slices    map[object][]*schema.Document
	found     map[object]bool // Services that slices belong to
	stray     []*schema.Document
}

type object struct{ namespace, name string }

func newBacking(byKind map[string][]*schema.Document) *backing {
	k := &backing{
		endpoints: byKind["kubernetes/Endpoints"], all: byKind["kubernetes/EndpointSlice"],
		slices: map[object][]*schema.Document{}, found: map[object]bool{},
	}
	for _, d := range k.all {
		o := owner(d)
		k.slices[o] = append(k.slices[o], d)
	}
	return k
}

// owner is the Service that an EndpointSlice belongs to, by its label; its name
// is empty where there is no label.
func owner(slice *schema.Document) object {
	return object{slice.Namespace, slice.Body.(*kubernetes.EndpointSlice).Metadata.Labels[kubernetes.ServiceNameLabel]}
}

// objectName is NAMESPACE/NAME, by which the documents of a kind are sorted.
func objectName(d *schema.Document) string {
	return d.ID()[len(schema.Kubernetes)+len("/")+len(d.Kind)+len("/"):]
}

// of returns what gives the Service d its addresses. Clusters export both:
// Endpoints and the slices mirrored from it. The slices are the newer form and
// kube-proxy reads only them.
func (k *backing) of(d *schema.Document) []*schema.Document {
	for len(k.endpoints) > 0 && objectName(k.endpoints[0]) < objectName(d) {
		k.stray = append(k.stray, k.endpoints[0])
		k.endpoints = k.endpoints[1:]
	}
	var own []*schema.Document
	if len(k.endpoints) > 0 && objectName(k.endpoints[0]) == objectName(d) {
		own, k.endpoints = k.endpoints[:1:1], k.endpoints[1:]
	}
	if len(k.slices) > 0 {
		o := object{d.Namespace, d.Name}
		if from := k.slices[o]; len(from) > 0 {
			k.found[o] = true
			return from
		}
	}
	return own
}

// report tells of endpoints that no Service leads to.
func (k *backing) report(b *build) {
	for _, d := range append(k.stray, k.endpoints...) {
		b.reportMissing(d.Name, diag.CodeMatchesNothing, diag.Warning, d, []any{"metadata", "name"},
			fmt.Sprintf("no Service in namespace %s is named %s, so nothing leads to these endpoints", d.Namespace, d.Name),
			"add the Service, or give the Endpoints the name of one")
	}
	for _, d := range k.all {
		o := owner(d)
		if k.found[o] {
			continue
		}
		message := fmt.Sprintf("EndpointSlice %s belongs to no Service", d.Name)
		if o.name != "" {
			message = fmt.Sprintf("EndpointSlice %s belongs to Service %s, which no document in namespace %s defines", d.Name, o.name, o.namespace)
		}
		b.reportMissing(o.name, diag.CodeMatchesNothing, diag.Warning, d, []any{"metadata", "labels"}, message,
			"set the label "+kubernetes.ServiceNameLabel+" to the name of a Service")
	}
}
