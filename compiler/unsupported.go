package compiler

import (
	"fmt"
	"net"
	"strings"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/kubernetes"
	"github.com/meshc/meshc/schema/kuma"
)

// unsupported says what a document asks for and this build does not do.
// Nothing of the kind is passed over in silence: a permission that nobody
// enforces is a lie. Each entry goes away with the work that adds the feature.
func (n Node) unsupported(d *schema.Document) []diag.Diagnostic {
	w := wishes{doc: d, node: n}
	switch r := d.Body.(type) {
	case *kubernetes.Service:
		w.kubernetesService(r)
	case *kong.Service:
		w.kongService(r)
	case *kong.Route:
		w.kongRoute(r)
	case *kong.Upstream:
		w.kongUpstream(r)
	case *kuma.Mesh:
		w.mesh(r)
	case *kuma.Dataplane:
		w.dataplane(r)
	}
	if d.Dialect == schema.Kuma || d.Dialect == schema.Meshc {
		w.wholeKind()
	}
	return w.found
}

// wishes collects what one document asks for in vain.
type wishes struct {
	doc   *schema.Document
	node  Node
	found []diag.Diagnostic
}

func (w *wishes) notEnforced(path []any, what, hint string) {
	w.found = append(w.found, finding(diag.CodeNotEnforced, diag.Error, w.doc, path,
		what+" cannot be enforced by this build of meshc", hint))
}

func (w *wishes) notApplied(path []any, message, hint string) {
	w.found = append(w.found, finding(diag.CodeNotApplied, diag.Warning, w.doc, path, message, hint))
}

// written warns of every path that the document's author wrote down, in words
// about what stands there: "has no effect".
func (w *wishes) written(message string, paths ...[]any) {
	for _, path := range paths {
		if w.doc.Wrote(path...) {
			w.notApplied(path, "it "+message, "")
		}
	}
}

func (w *wishes) kubernetesService(svc *kubernetes.Service) {
	spec, node := &svc.Spec, w.node
	opened := "has no effect, for the listeners that it is about are opened with --node-ports alone"
	if !node.Ports {
		if spec.Type == "NodePort" || spec.Type == "LoadBalancer" {
			w.notApplied([]any{"spec", "type"}, fmt.Sprintf("no listener is opened for type %s: the Service is reached through the gateway and by dataplanes", spec.Type),
				"serve with --node-ports to open its ports on this machine")
		}
		if len(spec.LoadBalancerSourceRanges) > 0 {
			w.notApplied([]any{"spec", "loadBalancerSourceRanges"}, "it "+opened+"; the gateway's own takes every client", "")
		} else if spec.Type == "LoadBalancer" && strings.TrimSpace(svc.Metadata.Annotations[sourceRangesAnnotation]) != "" {
			w.notApplied([]any{"metadata", "annotations", sourceRangesAnnotation}, "it "+opened+"; the gateway's own takes every client", "")
		}
		w.written(opened, []any{"spec", "healthCheckNodePort"})
		if spec.ExternalTrafficPolicy == "Local" {
			w.written(opened, []any{"spec", "externalTrafficPolicy"})
		}
	} else if node.Name == "" && spec.ExternalTrafficPolicy == "Local" {
		w.notApplied([]any{"spec", "externalTrafficPolicy"}, "which endpoints are on this node is not known, so traffic goes to all", "serve with --node and the name of the node")
	}
	if spec.InternalTrafficPolicy == "Local" && node.Name == "" {
		w.written("has no effect, for the node is not known: serve with --node", []any{"spec", "internalTrafficPolicy"})
	}
	if !node.knows() {
		w.written("has no effect, for the node is not known: serve with --node and --node-label", []any{"spec", "topologyKeys"})
	}
	w.written("has no effect in this build", []any{"spec", "trafficDistribution"})
	for i, p := range spec.Ports {
		switch proto := kubernetesProtocol(svc, p); {
		case p.Protocol == "UDP" && !node.Ports:
			w.notApplied([]any{"spec", "ports", i, "protocol"}, fmt.Sprintf("port %d is left out: UDP is taken by the listeners that --node-ports opens alone", p.Port), "")
		case p.Protocol == "UDP":
		case p.Protocol != "TCP":
			w.notApplied([]any{"spec", "ports", i, "protocol"}, fmt.Sprintf("port %d is left out: %s is not proxied", p.Port, p.Protocol), "")
		case proto == "https" || proto == "tls":
			w.notApplied([]any{"spec", "ports", i}, fmt.Sprintf("port %d speaks %s: the gateway leaves it out, and dataplanes carry its bytes without looking inside", p.Port, proto), "")
		}
	}
}

func (w *wishes) mesh(m *kuma.Mesh) {
	w.written("has no effect in this build",
		[]any{"networking"})
}

func (w *wishes) dataplane(dp *kuma.Dataplane) {
	for i, in := range dp.Networking.Inbound {
		path := []any{"networking", "inbound", i}
		if address := inboundAddress(dp, in); net.ParseIP(address) == nil {
			w.notApplied(append(path[:3:3], "port"), fmt.Sprintf("no listener is opened for this inbound, for %q is not an IP address", address),
				"set the inbound's address to the IP address to listen on")
		}
		w.written("has no effect in this build", append(path[:3:3], "serviceProbe"))
	}
}

// wholeKind tells of documents of kinds that this build does not act on.
func (w *wishes) wholeKind() {
	switch w.doc.Kind {
	case "ProxyTemplate":
		w.proxyTemplate()
	}
}
