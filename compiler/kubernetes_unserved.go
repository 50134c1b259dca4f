package compiler

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kubernetes"
)

// portList is a list of ports that addresses answer on, and where it stands.
type portList struct {
	doc   *schema.Document
	path  []any
	ports []kubernetes.EndpointPort
}

// addressedPorts returns the lists of ports in d, an Endpoints or EndpointSlice,
// that belong to any address, ready or not.
func addressedPorts(d *schema.Document) []portList {
	var out []portList
	switch e := d.Body.(type) {
	case *kubernetes.Endpoints:
		for i, subset := range e.Subsets {
			if len(subset.Addresses)+len(subset.NotReadyAddresses) > 0 && len(subset.Ports) > 0 {
				out = append(out, portList{d, []any{"subsets", i, "ports"}, subset.Ports})
			}
		}
	case *kubernetes.EndpointSlice:
		if len(e.Endpoints) > 0 && len(e.Ports) > 0 && e.AddressType != "FQDN" {
			out = append(out, portList{d, []any{"ports"}, e.Ports})
		}
	}
	return out
}

// checkPortNames reports the ports among idle, those of the Service d without
// a ready address, that no port in from serves though it has addresses. It
// says whether there are any. A port whose addresses are merely not ready is not one.
func (b *build) checkPortNames(d *schema.Document, from []*schema.Document, idle []*service) bool {
	var lists []portList
	for _, f := range from {
		lists = append(lists, addressedPorts(f)...)
	}
	if len(lists) == 0 {
		return false
	}
	var served []kubernetes.EndpointPort
	for _, l := range lists {
		served = append(served, l.ports...)
	}
	svc := d.Body.(*kubernetes.Service)
	found := false
	for _, s := range idle {
		p := svc.Spec.Ports[s.path[2].(int)]
		if slices.ContainsFunc(served, func(ep kubernetes.EndpointPort) bool { return serves(ep, p) }) {
			continue
		}
		found = true
		path, message := append(slices.Clone(s.path), "name"), fmt.Sprintf("no endpoint port is named %q", p.Name)
		if p.Name == "" {
			path, message = append(slices.Clone(s.path), "port"), fmt.Sprintf("every endpoint port has a name, and port %d has none", p.Port)
		}
		b.reportMissing(d.Name, diag.CodeNoEndpoints, diag.Warning, d, path, message+", so requests to it get 503", unservedHint(svc, p, served),
			diag.Related{Place: lists[0].doc.Place(lists[0].path...), Message: "the endpoint ports"})
	}
	return found
}

// serves reports whether an endpoint port is the one behind a Service's port: it
// has its name, its protocol (TCP unless written) and a number. Without a number
// it means all ports, and there is nothing to connect to.
func serves(ep kubernetes.EndpointPort, p kubernetes.ServicePort) bool {
	return ep.Name == p.Name && cmp.Or(ep.Protocol, "TCP") == cmp.Or(p.Protocol, "TCP") && ep.Port != 0
}

// unservedHint names the endpoint ports that could be meant by p: those that no
// other port of the Service is served by.
func unservedHint(svc *kubernetes.Service, p kubernetes.ServicePort, served []kubernetes.EndpointPort) string {
	var names []string
	for _, ep := range served {
		name := strconv.Quote(ep.Name)
		switch {
		case ep.Name == p.Name && ep.Port == 0:
			return "give the endpoint port " + name + " a number"
		case ep.Name == p.Name:
			return fmt.Sprintf("the endpoint port %s is one of %s: set its protocol to TCP", name, ep.Protocol)
		case ep.Name == "":
			name = fmt.Sprintf("the one without a name (%d)", ep.Port)
		}
		taken := slices.ContainsFunc(svc.Spec.Ports, func(other kubernetes.ServicePort) bool { return other.Name == ep.Name })
		if !taken && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "add an endpoint port of the same name"
	}
	return "endpoints are found by the name of the port; no port of the Service leads to " + strings.Join(names, ", ")
}
