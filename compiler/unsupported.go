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
func unsupported(d *schema.Document) []diag.Diagnostic {
	w := wishes{doc: d}
	switch r := d.Body.(type) {
	case *kubernetes.Service:
		w.kubernetesService(r)
	case *kong.Service:
		w.kongService(r)
	case *kong.Route:
		w.kongRoute(r)
	case *kong.Upstream:
		w.kongUpstream(r)
	case *kong.Certificate:
		w.kongCertificate("the gateway serves no TLS")
	case *kong.CACertificate:
		w.kongCertificate("nothing is verified against it")
	case *kuma.Mesh:
		w.mesh(r)
	case *kuma.Dataplane:
		w.dataplane(r)
	case *kuma.ExternalService:
		if tls := r.Networking.TLS; tls != nil && tls.Enabled {
			w.notEnforced([]any{"networking", "tls"}, "TLS to an ExternalService", "the connection would be in the clear; remove tls to accept that")
		}
	}
	if d.Dialect == schema.Kuma || d.Dialect == schema.Meshc {
		w.wholeKind()
	}
	return w.found
}

// wishes collects what one document asks for in vain.
type wishes struct {
	doc   *schema.Document
	found []diag.Diagnostic
}

func (w *wishes) notEnforced(path []any, what, hint string) {
	w.found = append(w.found, finding(diag.CodeNotEnforced, diag.Error, w.doc, path,
		what+" cannot be enforced by this build of meshc", hint))
}

func (w *wishes) notApplied(path []any, message, hint string) {
	w.found = append(w.found, finding(diag.CodeNotApplied, diag.Warning, w.doc, path, message, hint))
}

// written warns of every path that the document's author wrote down.
func (w *wishes) written(message string, paths ...[]any) {
	for _, path := range paths {
		if w.doc.Wrote(path...) {
			w.notApplied(path, fmt.Sprintf("%s %s", diag.Path(path...), message), "")
		}
	}
}

func (w *wishes) kubernetesService(svc *kubernetes.Service) {
	spec := svc.Spec
	if len(spec.LoadBalancerSourceRanges) > 0 {
		w.notEnforced([]any{"spec", "loadBalancerSourceRanges"}, "loadBalancerSourceRanges", "any client could connect; remove the field to accept that")
	}
	const ranges = "service.beta.kubernetes.io/load-balancer-source-ranges"
	if spec.Type == "LoadBalancer" && len(spec.LoadBalancerSourceRanges) == 0 && strings.TrimSpace(svc.Metadata.Annotations[ranges]) != "" {
		w.notEnforced([]any{"metadata", "annotations", ranges}, "the annotation "+ranges, "any client could connect; remove the annotation to accept that")
	}
	if spec.Type == "NodePort" || spec.Type == "LoadBalancer" {
		w.notApplied([]any{"spec", "type"}, fmt.Sprintf("no listener is opened for type %s: the Service is reached through the gateway and by dataplanes", spec.Type), "")
	}
	const ignored = "has no effect in this build"
	if spec.ExternalTrafficPolicy == "Local" {
		w.written(ignored, []any{"spec", "externalTrafficPolicy"})
	}
	if spec.InternalTrafficPolicy == "Local" {
		w.written(ignored, []any{"spec", "internalTrafficPolicy"})
	}
	w.written(ignored,
		[]any{"spec", "topologyKeys"}, []any{"spec", "healthCheckNodePort"}, []any{"spec", "trafficDistribution"},
		[]any{"spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"})
	for i, p := range spec.Ports {
		switch proto := kubernetesProtocol(svc, p); {
		case p.Protocol != "TCP":
			w.notApplied([]any{"spec", "ports", i, "protocol"}, fmt.Sprintf("port %d is left out: %s is not proxied", p.Port, p.Protocol), "")
		case proto == "https" || proto == "tls":
			w.notApplied([]any{"spec", "ports", i}, fmt.Sprintf("port %d speaks %s: the gateway leaves it out, and dataplanes carry its bytes without looking inside", p.Port, proto), "")
		}
	}
}

func (w *wishes) mesh(m *kuma.Mesh) {
	if m.MTLS.EnabledBackend != "" {
		w.notEnforced([]any{"mtls", "enabledBackend"}, "mTLS", "traffic would be in the clear; remove enabledBackend to accept that")
	}
	w.written("has no effect in this build",
		[]any{"tracing"}, []any{"logging"}, []any{"metrics"}, []any{"networking"}, []any{"routing"})
}

func (w *wishes) dataplane(dp *kuma.Dataplane) {
	w.written("is not served by this build", []any{"networking", "ingress"})
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
	what := describe(w.doc)
	switch w.doc.Kind {
	case "TrafficPermission":
		w.notEnforced([]any{"type"}, what, "every client would be let in; remove the document to accept that")
	case "TrafficLog", "TrafficTrace", "HealthCheck", "Retry", "Timeout", "CircuitBreaker", "ProxyTemplate",
		"Zone", "Secret", "GlobalSecret":
		w.notApplied([]any{"type"}, what+" has no effect in this build", "")
	}
}
