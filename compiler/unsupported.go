package compiler

import (
	"fmt"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/kubernetes"
	"github.com/meshc/meshc/schema/kuma"
)

// findUnsupported tells what the documents ask for and this build does not do.
// Nothing of the kind is passed over in silence: a permission that nobody
// enforces is a lie. Each entry goes away with the work that adds the feature.
func findUnsupported(b *build) {
	for _, d := range b.docs {
		switch r := d.Body.(type) {
		case *kubernetes.Service:
			b.kubernetesUnsupported(d, r)
		case *kong.Service:
			b.kongUnsupported(d, r)
		case *kuma.Mesh:
			b.meshUnsupported(d, r)
		case *kuma.Dataplane:
			b.dataplaneUnsupported(d, r)
		case *kuma.ExternalService:
			if tls := r.Networking.TLS; tls != nil && tls.Enabled {
				b.notEnforced(d, []any{"networking", "tls"}, "TLS to an ExternalService", "the connection would be in the clear; remove tls to accept that")
			}
		case *kuma.TrafficRoute:
			b.warnWritten(d, "is not applied: requests are split by weight, in turn", []any{"conf", "loadBalancer"}, []any{"conf", "http"})
		case nil:
			b.kindUnsupported(d)
		}
	}
}

func (b *build) notEnforced(d *schema.Document, path []any, what, hint string) {
	b.unsupported = append(b.unsupported, finding(diag.CodeNotEnforced, diag.Error, d, path,
		what+" cannot be enforced by this build of meshc", hint))
}

func (b *build) notApplied(d *schema.Document, path []any, message, hint string) {
	b.unsupported = append(b.unsupported, finding(diag.CodeNotApplied, diag.Warning, d, path, message, hint))
}

// warnWritten warns of every path that the document's author wrote down.
func (b *build) warnWritten(d *schema.Document, message string, paths ...[]any) {
	for _, path := range paths {
		if d.Wrote(path...) {
			b.notApplied(d, path, fmt.Sprintf("%s %s", diag.Path(path...), message), "")
		}
	}
}

func (b *build) kubernetesUnsupported(d *schema.Document, svc *kubernetes.Service) {
	spec := svc.Spec
	if len(spec.LoadBalancerSourceRanges) > 0 {
		b.notEnforced(d, []any{"spec", "loadBalancerSourceRanges"}, "loadBalancerSourceRanges", "any client could connect; remove the field to accept that")
	}
	if spec.Type == "NodePort" || spec.Type == "LoadBalancer" {
		b.notApplied(d, []any{"spec", "type"}, fmt.Sprintf("no listener is opened for type %s: the Service is reached through the gateway and by dataplanes", spec.Type), "")
	}
	const ignored = "has no effect in this build"
	if spec.ExternalTrafficPolicy == "Local" {
		b.warnWritten(d, ignored, []any{"spec", "externalTrafficPolicy"})
	}
	if spec.InternalTrafficPolicy == "Local" {
		b.warnWritten(d, ignored, []any{"spec", "internalTrafficPolicy"})
	}
	b.warnWritten(d, ignored,
		[]any{"spec", "topologyKeys"}, []any{"spec", "healthCheckNodePort"}, []any{"spec", "trafficDistribution"},
		[]any{"spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"})
	for i, p := range spec.Ports {
		switch proto := kubernetesProtocol(svc, p); {
		case p.Protocol != "TCP":
			b.notApplied(d, []any{"spec", "ports", i, "protocol"}, fmt.Sprintf("port %d is left out: %s is not proxied", p.Port, p.Protocol), "")
		case proto == "http2" || proto == "grpc" || proto == "https" || proto == "tls":
			b.notApplied(d, []any{"spec", "ports", i}, fmt.Sprintf("port %d speaks %s: the gateway leaves it out, and dataplanes carry its bytes without looking inside", p.Port, proto), "")
		}
	}
}

func (b *build) kongUnsupported(d *schema.Document, k *kong.Service) {
	switch k.Protocol {
	case "https", "grpcs", "tls", "tls_passthrough":
		path := []any{"protocol"}
		if !d.Wrote(path...) {
			path = []any{"url"}
		}
		b.notEnforced(d, path, "TLS to the upstream", "the connection would be in the clear; use protocol http to accept that")
	case "http":
	default:
		b.notApplied(d, []any{"protocol"}, fmt.Sprintf("the gateway leaves out services of protocol %s; dataplanes carry its bytes", k.Protocol), "")
	}
	if k.ClientCertificate != nil {
		b.notEnforced(d, []any{"client_certificate"}, "a client certificate", "remove client_certificate to connect without one")
	}
	if k.Path != "" && k.Path != "/" {
		b.notApplied(d, []any{"path"}, fmt.Sprintf("path %s is not put in front of the request's path", k.Path), "")
	}
	b.warnWritten(d, "has no effect in this build", []any{"retries"}, []any{"read_timeout"}, []any{"write_timeout"})
}

func (b *build) meshUnsupported(d *schema.Document, m *kuma.Mesh) {
	if m.MTLS.EnabledBackend != "" {
		b.notEnforced(d, []any{"mtls", "enabledBackend"}, "mTLS", "traffic would be in the clear; remove enabledBackend to accept that")
	}
	b.warnWritten(d, "has no effect in this build",
		[]any{"tracing"}, []any{"logging"}, []any{"metrics"}, []any{"networking"}, []any{"routing"})
}

func (b *build) dataplaneUnsupported(d *schema.Document, dp *kuma.Dataplane) {
	b.warnWritten(d, "is not served by this build", []any{"networking", "ingress"})
	for i, in := range dp.Networking.Inbound {
		path := []any{"networking", "inbound", i}
		b.warnWritten(d, "has no effect in this build", append(path[:3:3], "serviceProbe"))
		if proto := in.Tags[kuma.ProtocolTag]; proto == "http2" || proto == "grpc" {
			b.notApplied(d, append(path[:3:3], "tags"), fmt.Sprintf("protocol %s is carried as bytes: balancing is by connection, not by request", proto), "")
		}
	}
}

// kindUnsupported tells of documents that this build recognises but does not act on.
func (b *build) kindUnsupported(d *schema.Document) {
	what := describe(d)
	switch d.Kind {
	case "TrafficPermission":
		b.notEnforced(d, []any{"type"}, what, "every client would be let in; remove the document to accept that")
	case "WasmPlugin":
		b.notEnforced(d, []any{"type"}, what, "the filter would not run; remove the document to accept that")
	default:
		b.notApplied(d, []any{"type"}, what+" has no effect in this build", "")
	}
}
