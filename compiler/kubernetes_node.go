package compiler

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kubernetes"
)

// Node is the machine that a snapshot is for. The zero Node is any machine.
type Node struct {
	// Ports has the gateway open what Services ask for on a node: node ports,
	// external IPs, the addresses of load balancers, health checks of nodes.
	Ports bool
	// Name is the node's name, as endpoints have it, and Labels are its labels,
	// for policies that keep traffic near. Without them traffic goes anywhere.
	Name   string
	Labels map[string]string
}

// The tags that endpoints of Kubernetes have, and labels that mean the same.
const (
	hostTag   = "kubernetes.io/hostname"
	zoneTag   = "topology.kubernetes.io/zone"
	regionTag = "topology.kubernetes.io/region"
)

var oldTopology = map[string]string{
	"failure-domain.beta.kubernetes.io/zone": zoneTag, "failure-domain.beta.kubernetes.io/region": regionTag,
}

// label returns what the node has for a topology key, or "".
func (n Node) label(key string) string {
	if key == hostTag && n.Name != "" {
		return n.Name
	}
	for k, v := range n.Labels {
		if k == key || oldTopology[k] == key {
			return v
		}
	}
	return ""
}

// knows reports whether anything is known of where the node is.
func (n Node) knows() bool { return n.Name != "" || len(n.Labels) > 0 }

// near returns the tags of the endpoints of s that traffic from this node may go
// to, nil for all: those on it (internalTrafficPolicy: Local), or those that
// share the first of the topologyKeys for which there are any.
func (b *build) near(s *service) map[string]string {
	if s.dialect != schema.Kubernetes || !b.c.Node.knows() {
		return nil
	}
	if s.doc.Body.(*kubernetes.Service).Spec.InternalTrafficPolicy == "Local" && b.c.Node.Name != "" {
		return map[string]string{hostTag: b.c.Node.Name}
	}
	return b.nearby(s)
}

// nearby is near for traffic from outside, for which internalTrafficPolicy says nothing.
func (b *build) nearby(s *service) map[string]string {
	if !b.c.Node.knows() {
		return nil
	}
	var nobody map[string]string
	for _, key := range s.doc.Body.(*kubernetes.Service).Spec.TopologyKeys {
		if key == "*" {
			return nil
		}
		if current := oldTopology[key]; current != "" {
			key = current
		}
		tags := map[string]string{key: b.c.Node.label(key)}
		if tags[key] != "" && s.hasSubset(tags) {
			return tags
		}
		if nobody == nil {
			nobody = tags
		}
	}
	return nobody // no endpoint shares any key: the traffic goes nowhere (the API's rule)
}

// nodeListener is a listener that a Service asks for on a node.
type nodeListener struct {
	snapshot.Listener // without its targets
	service           *service
	local             bool // only to endpoints on this node
	path              []any
}

// attachNode makes the listeners that Services ask for on a node.
func (b *build) attachNode() {
	if !b.c.Node.Ports {
		return
	}
	for _, s := range slices.Concat(b.sorted, b.datagrams) {
		if s.dialect != schema.Kubernetes {
			continue
		}
		svc := s.doc.Body.(*kubernetes.Service)
		at, ok := s.path[2].(int)
		if !ok || svc.Spec.Type == "ExternalName" || at >= len(svc.Spec.Ports) {
			continue
		}
		p := svc.Spec.Ports[at]
		outside := svc.Spec.ExternalTrafficPolicy == "Local" && b.c.Node.Name != ""
		if p.NodePort != 0 && (svc.Spec.Type == "NodePort" || svc.Spec.Type == "LoadBalancer") {
			b.openNode(s, "0.0.0.0", p.NodePort, false, outside, nil, append(s.path[:3:3], "nodePort"))
		}
		for i, ip := range svc.Spec.ExternalIPs {
			b.openNode(s, ip, p.Port, true, outside, nil, []any{"spec", "externalIPs", i})
		}
		if svc.Spec.Type == "LoadBalancer" {
			for _, ip := range balancerAddresses(svc) {
				b.openNode(s, ip, p.Port, true, outside, sourceRanges(svc), []any{"spec", "loadBalancerIP"})
			}
		}
	}
	for _, d := range b.byKind["kubernetes/Service"] {
		b.openHealthCheck(d)
	}
	slices.SortFunc(b.node, func(x, y nodeListener) int { return strings.Compare(x.Name, y.Name) })
}

// balancerAddresses are the addresses of the load balancer that the author asks
// for, and those that the cluster has given it.
func balancerAddresses(svc *kubernetes.Service) []string {
	var out []string
	add := func(ip string) {
		if ip != "" && net.ParseIP(ip) != nil && !slices.Contains(out, ip) {
			out = append(out, ip)
		}
	}
	add(svc.Spec.LoadBalancerIP)
	for _, in := range svc.Status.LoadBalancer.Ingress {
		add(in.IP)
	}
	return out
}

// sourceRangesAnnotation is the older form of spec.loadBalancerSourceRanges.
const sourceRangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges"

// sourceRanges are those who may use the load balancer of svc, in standard form.
func sourceRanges(svc *kubernetes.Service) []string {
	ranges := svc.Spec.LoadBalancerSourceRanges
	if len(ranges) == 0 {
		ranges = strings.Split(svc.Metadata.Annotations[sourceRangesAnnotation], ",")
	}
	var out []string
	for _, r := range ranges {
		if p, err := netip.ParsePrefix(strings.TrimSpace(r)); err == nil {
			out = append(out, p.Masked().String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// openNode adds a listener for s, whose Service asks for it at path.
func (b *build) openNode(s *service, ip string, port int32, ifLocal, local bool, ranges []string, path []any) {
	protocol := snapshot.TCP
	if s.protocol == udpProtocol {
		protocol = snapshot.UDP
	}
	b.addNode(s.doc, path, nodeListener{
		Listener: snapshot.Listener{
			Protocol: protocol, Address: canonicalIP(ip), Port: uint16(port), IfLocal: ifLocal, Service: s.name,
			SourceRanges: snapshot.ListOf(ranges...),
		},
		service: s, local: local, path: path,
	})
}

// addNode adds a listener unless another Service has its address.
func (b *build) addNode(d *schema.Document, path []any, l nodeListener) {
	l.Direction = snapshot.Node
	l.Name = fmt.Sprintf("%s:%s:%d", l.Direction, l.Address, l.Port)
	if l.Protocol == snapshot.UDP {
		l.Name += "/udp"
	}
	l.Sources = snapshot.ListOf(d.ID())
	i := slices.IndexFunc(b.node, func(o nodeListener) bool { return o.Name == l.Name })
	if i < 0 {
		b.node = append(b.node, l)
		return
	}
	other := &b.node[i]
	if other.Sources.At(0) == d.ID() {
		return // one Service may name an address twice
	}
	owner := b.document(other.Sources.At(0))
	b.report(diag.CodePortTwice, diag.Error, d, path,
		fmt.Sprintf("%s port %d of %s is also that of %s", l.Protocol, l.Port, l.Address, describe(owner)),
		"give one of them another port", diag.Related{Place: owner.Place(other.path...), Message: "the other one"})
}

// document returns the document with an ID.
func (b *build) document(id string) *schema.Document {
	i := slices.IndexFunc(b.docs, func(d *schema.Document) bool { return d.ID() == id })
	return b.docs[i]
}

// openHealthCheck adds the listener that tells a load balancer whether this node
// has endpoints of the Service d, in the form of kube-proxy.
func (b *build) openHealthCheck(d *schema.Document) {
	svc := d.Body.(*kubernetes.Service)
	if svc.Spec.HealthCheckNodePort == 0 || svc.Spec.Type != "LoadBalancer" || svc.Spec.ExternalTrafficPolicy != "Local" || b.c.Node.Name == "" {
		return
	}
	count := map[string]bool{}
	for _, s := range slices.Concat(b.sorted, b.datagrams) {
		if s.doc != d {
			continue
		}
		for _, e := range s.endpoints {
			if e.tags[hostTag] == b.c.Node.Name {
				count[e.Address] = true
			}
		}
	}
	status := uint32(200)
	if len(count) == 0 {
		status = 503
	}
	path := []any{"spec", "healthCheckNodePort"}
	host := snapshot.VirtualHost{
		Name: "health", Domains: snapshot.ListOf("*"),
		Routes: snapshot.ListOf(snapshot.Route{Name: "health", PathPrefix: "/", Answer: snapshot.Answer{
			Status: status, ContentType: "application/json",
			Body: fmt.Sprintf("{\n\t\"service\": {\n\t\t\"namespace\": %q,\n\t\t\"name\": %q\n\t},\n\t\"localEndpoints\": %d\n}", d.Namespace, d.Name, len(count)),
		}}),
		Sources: snapshot.ListOf(d.ID()),
	}
	host.Digest = host.Sum()
	b.addNode(d, path, nodeListener{
		Listener: snapshot.Listener{
			Protocol: snapshot.HTTP, Address: "0.0.0.0", Port: uint16(svc.Spec.HealthCheckNodePort), VirtualHosts: snapshot.ListOf(host),
		},
		path: path,
	})
}

// use returns where the traffic of l goes; ok is false where it is answered here.
func (b *build) nodeUse(l *nodeListener) (u clusterUse, ok bool) {
	if l.service == nil {
		return u, false
	}
	tags := b.nearby(l.service)
	if l.local {
		tags = map[string]string{hostTag: b.c.Node.Name}
	}
	return newUse(l.service, tags, place{}, treatment{}), true
}

// lowerNode makes the listeners of the node, in order.
func (b *build) lowerNode() []snapshot.Listener {
	out := make([]snapshot.Listener, len(b.node))
	for i := range b.node {
		l := &b.node[i]
		out[i] = l.Listener
		if u, ok := b.nodeUse(l); ok {
			out[i].Targets = snapshot.ListOf(snapshot.Target{Cluster: u.name, Weight: 1})
		}
		out[i].Digest = out[i].Sum()
	}
	return out
}
