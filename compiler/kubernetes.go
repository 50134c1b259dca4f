package compiler

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kubernetes"
)

// meshAnnotation puts a Kubernetes Service into a mesh other than default.
const meshAnnotation = "kuma.io/mesh"

// udpProtocol is what a port says that takes datagrams. It has a name of its own,
// for a Service may have the same number for TCP.
const udpProtocol = "udp"

// kubernetesServices makes a service of each TCP and UDP port of each Service.
func (b *build) kubernetesServices(byKind map[string][]*schema.Document) {
	back := newBacking(byKind)
	var inputs []any
	for _, d := range byKind["kubernetes/Service"] {
		from := back.of(d)
		inputs = inputs[:0]
		for _, f := range from {
			inputs = append(inputs, f)
		}
		ready := false
		var idle []*service
		for _, s := range b.c.services.get(d, inputs, func() []*service { return kubernetesPorts(d, from) }) {
			if s.protocol == udpProtocol {
				b.datagrams = append(b.datagrams, s)
			} else {
				b.define(s)
			}
			if len(s.endpoints) > 0 {
				ready = true
			} else {
				idle = append(idle, s)
			}
		}
		b.checkService(d, from, idle, ready)
	}
	back.report(b)
}

// checkService reports a Service in a mesh that nobody defines, and one that
// nothing gives addresses: from are its Endpoints or slices, idle its ports
// without an address, and ready says that others have one.
func (b *build) checkService(d *schema.Document, from []*schema.Document, idle []*service, ready bool) {
	svc := d.Body.(*kubernetes.Service)
	if mesh := svc.Metadata.Annotations[meshAnnotation]; mesh != "" {
		b.checkMesh(d, []any{"metadata", "annotations", meshAnnotation}, mesh)
	}
	if svc.Spec.Type == "ExternalName" || len(idle) > 0 && b.checkPortNames(d, from, idle) || ready {
		return
	}
	sev, message := diag.Note, "Service %s has no endpoints, so requests to it get 503"
	hint := "meshc knows no pods, so a selector finds nothing: add an Endpoints or EndpointSlice, as kubectl get endpointslices -o yaml prints them"
	switch {
	case len(from) > 0:
		message = "Service %s has no ready endpoint for its TCP ports, so requests to it get 503"
		hint = "check which of the addresses in its Endpoints or slices are ready"
	case len(svc.Spec.Selector) == 0:
		sev, hint = diag.Warning, "add an Endpoints of the same name, or an EndpointSlice with the label "+kubernetes.ServiceNameLabel
	}
	b.reportMissing(d.Name, diag.CodeNoEndpoints, sev, d, []any{"metadata", "name"}, fmt.Sprintf(message, d.Name), hint)
}

// kubernetesPorts returns the services that doc, a Service, defines with the
// Endpoints or EndpointSlices in from.
func kubernetesPorts(doc *schema.Document, from []*schema.Document) []*service {
	docs := append([]*schema.Document{doc}, from...)
	svc := doc.Body.(*kubernetes.Service)
	mesh := svc.Metadata.Annotations[meshAnnotation]
	if mesh == "" {
		mesh = "default"
	}
	ports := svc.Spec.Ports
	external := svc.Spec.Type == "ExternalName"
	if external && len(ports) == 0 {
		ports = []kubernetes.ServicePort{{Protocol: "TCP", Port: 80}}
	}
	var out []*service
	for i, p := range ports {
		name := fmt.Sprintf("%s_%s_svc_%d", doc.Name, doc.Namespace, p.Port)
		switch p.Protocol {
		case "TCP":
		case "UDP":
			name += "_udp"
		default:
			continue // SCTP: unsupported tells
		}
		s := &service{
			serviceKey:     serviceKey{mesh, name},
			dialect:        schema.Kubernetes,
			protocol:       kubernetesProtocol(svc, p),
			discovery:      snapshot.Static,
			balancing:      snapshot.RoundRobin,
			connectTimeout: defaultConnectTimeout,
			doc:            doc, docs: docs,
			path: []any{"spec", "ports", i},
		}
		s.whole = s.serviceKey.whole()
		if p.Protocol == "UDP" {
			s.protocol = udpProtocol
		}
		if svc.Spec.SessionAffinity == "ClientIP" {
			s.balancing = snapshot.ClientIP
		}
		if external {
			s.discovery = snapshot.DNS
			host := strings.TrimSuffix(svc.Spec.ExternalName, ".")
			s.endpoints = []endpoint{{Endpoint: snapshot.Endpoint{Address: host, Port: uint16(p.Port)}}}
		} else {
			for _, d := range from {
				s.endpoints = append(s.endpoints, kubernetesEndpoints(d, svc, p)...)
			}
		}
		out = append(out, s)
	}
	kubernetesDomains(svc, doc.Namespace, out)
	return out
}

// kubernetesEndpoints returns the ready addresses that d gives port p.
func kubernetesEndpoints(d *schema.Document, svc *kubernetes.Service, p kubernetes.ServicePort) []endpoint {
	var out []endpoint
	add := func(ip string, ports []kubernetes.EndpointPort, tags map[string]string) {
		for _, ep := range ports {
			if serves(ep, p) {
				out = append(out, endpoint{Endpoint: snapshot.Endpoint{Address: canonicalIP(ip), Port: uint16(ep.Port)}, tags: tags})
			}
		}
	}
	switch e := d.Body.(type) {
	case *kubernetes.Endpoints:
		for _, subset := range e.Subsets {
			for _, a := range subset.Addresses {
				add(a.IP, subset.Ports, placeTags(a.NodeName, "", nil))
			}
			if svc.Spec.PublishNotReadyAddresses {
				for _, a := range subset.NotReadyAddresses {
					add(a.IP, subset.Ports, placeTags(a.NodeName, "", nil))
				}
			}
		}
	case *kubernetes.EndpointSlice:
		if e.AddressType == "FQDN" {
			return nil // kube-proxy leaves them out too
		}
		for _, se := range e.Endpoints {
			ready := se.Conditions.Ready == nil || *se.Conditions.Ready
			if len(se.Addresses) > 0 && (ready || svc.Spec.PublishNotReadyAddresses) {
				// "Consumers should only use the first address" (EndpointSlice API).
				add(se.Addresses[0], e.Ports, placeTags(se.NodeName, se.Zone, se.DeprecatedTopology))
			}
		}
	}
	return out
}

// placeTags are the tags of an endpoint: where it runs, as far as it says.
func placeTags(node, zone string, topology map[string]string) map[string]string {
	if node == "" && zone == "" && len(topology) == 0 {
		return nil
	}
	tags := map[string]string{}
	for k, v := range topology {
		if current := oldTopology[k]; current != "" {
			k = current
		}
		tags[k] = v
	}
	if node != "" {
		tags[hostTag] = node
	}
	if zone != "" {
		tags[zoneTag] = zone
	}
	return tags
}

// kubernetesProtocol is appProtocol, else Kuma's annotation, else what the
// port's name says by Istio's convention (PROTOCOL or PROTOCOL-suffix).
func kubernetesProtocol(svc *kubernetes.Service, p kubernetes.ServicePort) string {
	if p.AppProtocol != "" {
		switch proto := strings.ToLower(p.AppProtocol); proto {
		case "kubernetes.io/h2c":
			return "http2"
		case "kubernetes.io/ws":
			return "http"
		case "http", "http2", "grpc", "https", "tls", "kafka":
			return proto
		}
		return "tcp"
	}
	if proto := svc.Metadata.Annotations[strconv.Itoa(int(p.Port))+".service.kuma.io/protocol"]; proto != "" {
		return proto
	}
	word, _, _ := strings.Cut(p.Name, "-")
	switch word {
	case "http", "http2", "grpc", "https", "tls", "tcp":
		return word
	case "mongo", "mysql", "redis":
		return "tcp"
	}
	return ""
}

// kubernetesDomains gives the HTTP services of svc their hosts: every host with
// the port, and bare for port 80, else the first HTTP port.
func kubernetesDomains(svc *kubernetes.Service, namespace string, ports []*service) {
	base := svc.Metadata.Name + "." + namespace
	hosts := []string{base, base + ".svc", base + ".svc.cluster.local"}
	ips := append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...)
	for _, ip := range append(ips, svc.Spec.ExternalIPs...) {
		if ip != "" && ip != "None" && net.ParseIP(ip) != nil {
			if host := hostOfIP(ip); !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
	}
	portOf := func(s *service) string { return s.name[strings.LastIndexByte(s.name, '_')+1:] }
	var bare *service
	for _, s := range ports {
		if !s.http(true) {
			continue
		}
		for _, h := range hosts {
			s.domains = append(s.domains, h+":"+portOf(s))
		}
		if bare == nil || portOf(s) == "80" {
			bare = s
		}
	}
	if bare != nil {
		bare.domains = append(slices.Clone(hosts), bare.domains...)
	}
}

// hostOfIP writes an address as a Host header has it: IPv6 in brackets.
func hostOfIP(ip string) string {
	ip = canonicalIP(ip)
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}

// canonicalIP writes an address in its one standard form (RFC 5952).
func canonicalIP(ip string) string {
	if parsed := net.ParseIP(ip); parsed != nil {
		return parsed.String()
	}
	return ip
}
