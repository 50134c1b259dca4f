package plan

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// The annotations whose values the API server validates.
const (
	sourceRangesAnnotation  = "service.beta.kubernetes.io/load-balancer-source-ranges"
	topologyModeAnnotation  = "service.kubernetes.io/topology-mode"
	topologyHintsAnnotation = "service.kubernetes.io/topology-aware-hints"
)

// annotationLimit is TotalAnnotationSizeLimitB of apimachinery: bytes of all
// keys and values.
const annotationLimit = 256 << 10

func checkAnnotationSize(n *tree.Node, report func(Fault)) {
	size := 0
	for _, f := range n.Fields {
		size += len(f.Key) + len(f.Value.Str())
	}
	if size > annotationLimit {
		report(Fault{
			Code:    diag.CodeTooLong,
			Message: fmt.Sprintf("annotations hold %d bytes, want at most %d", size, annotationLimit),
		})
	}
}

// checkTime takes what the API's JSON decoder takes for a time.
func checkTime(n *tree.Node, report func(Fault)) {
	if n.Kind != tree.String {
		return
	}
	if _, err := time.Parse(time.RFC3339, n.Text); err != nil {
		report(Fault{
			Code:    diag.CodeType,
			Message: show(n) + " is not a time",
			Hint:    "write it as 2006-01-02T15:04:05Z",
		})
	}
}

// checkOwnerReferences names fields without the item's index, as the API server does.
func checkOwnerReferences(n *tree.Node, report func(Fault)) {
	const path = "metadata.ownerReferences"
	controller := -1
	for i, o := range n.Items {
		for _, key := range []string{"apiVersion", "kind", "name", "uid"} {
			if o.Get(key).Str() == "" {
				report(Fault{
					At: []any{i, key}, Code: diag.CodeInvalid, Path: path + "." + key,
					Message: fmt.Sprintf("owner reference %d has no %s", i, key),
				})
			}
		}
		if o.Get("apiVersion").Str() == "v1" && o.Get("kind").Str() == "Event" {
			report(Fault{At: []any{i}, Code: diag.CodeInvalid, Path: path, Message: "an Event may not be an owner"})
		}
		if c := o.Get("controller"); c == nil || c.Text != "true" {
			continue
		}
		if controller >= 0 {
			report(Fault{
				At: []any{i}, Code: diag.CodeInvalid, Path: path, Message: "only one owner may be the controller",
				Related: []Related{{n.Items[controller].Pos, "the other controller"}},
			})
			continue
		}
		controller = i
	}
}

// checkServicePorts finds the later ones of ports with the same name, the same
// port and protocol, or the same node port and protocol.
func checkServicePorts(n *tree.Node, report func(Fault)) {
	if len(n.Items) < 2 {
		return
	}
	type key struct{ what, value, protocol string }
	seen := map[key]int{}
	twice := func(i int, k key) (tree.Pos, bool) {
		if first, ok := seen[k]; ok {
			return n.Items[first].Pos, true
		}
		seen[k] = i
		return tree.Pos{}, false
	}
	for i, p := range n.Items {
		protocol := p.Get("protocol").Str()
		if name := p.Get("name").Str(); name != "" {
			if first, found := twice(i, key{"name", name, ""}); found {
				report(duplicateAt(fmt.Sprintf("port name %q", name), first, i, "name"))
			}
		}
		if port := p.Get("port"); port != nil && !isZero(port) {
			if first, found := twice(i, key{"port", port.Text, protocol}); found {
				report(duplicateAt(protocol+" port "+port.Text, first, i))
			}
		}
		if port := p.Get("nodePort"); port != nil && !isZero(port) {
			if first, found := twice(i, key{"nodePort", port.Text, protocol}); found {
				report(duplicateAt(protocol+" node port "+port.Text, first, i, "nodePort"))
			}
		}
	}
}

func duplicateAt(what string, first tree.Pos, at ...any) Fault {
	return Fault{At: at, Code: diag.CodeDuplicate, Message: what + " is there twice", Related: []Related{{first, "first here"}}}
}

// checkClusterIPs is what the API server says about the list next to clusterIP,
// which is checked by itself.
func checkClusterIPs(n *tree.Node, report func(Fault)) {
	families := map[bool]bool{}
	for i, item := range n.Items {
		if i == 0 && item.Str() == "None" {
			if len(n.Items) > 1 {
				report(Fault{Code: diag.CodeInvalid, Message: `"None" must be the only value`})
			}
			continue
		}
		addr, problem := parseIP(item.Str())
		if problem != "" {
			report(Fault{At: []any{i}, Code: diag.CodeInvalid, Message: show(item) + " " + problem})
			continue
		}
		if families[addr.Is4()] {
			report(Fault{Code: diag.CodeInvalid, Message: "clusterIPs holds two addresses of one family", Hint: "keep at most one IPv4 and one IPv6 address"})
		}
		families[addr.Is4()] = true
	}
}

var topologyKey = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)

// checkTopologyKeys wants label keys, each once, and * only as the last.
func checkTopologyKeys(n *tree.Node, report func(Fault)) {
	seen := map[string]tree.Pos{}
	for i, item := range n.Items {
		if item.Kind != tree.String {
			continue
		}
		first, twice := seen[item.Text]
		switch {
		case twice:
			report(duplicateAt(show(item), first, i))
		case item.Text == "*" && i != len(n.Items)-1:
			report(Fault{At: []any{i}, Code: diag.CodeInvalid, Message: `"*" must be the last topology key`})
		case item.Text != "*" && !topologyKey.MatchString(item.Text):
			report(Fault{At: []any{i}, Code: diag.CodeInvalid, Message: show(item) + " is not a label key"})
		}
		if !twice {
			seen[item.Text] = item.Pos
		}
	}
}

// checkServiceAnnotations validates the annotations that configure a Service.
func checkServiceAnnotations(n *tree.Node, report func(Fault)) {
	annotations := n.Get("metadata").Get("annotations")
	if annotations == nil {
		return
	}
	spec := n.Get("spec")
	fault := func(key, code, message, hint string) {
		report(Fault{
			At: []any{"metadata", "annotations", key}, Path: "metadata.annotations[" + key + "]",
			Code: code, Message: message, Hint: hint,
		})
	}
	mode, hints := annotations.Get(topologyModeAnnotation), annotations.Get(topologyHintsAnnotation)
	if mode != nil && hints != nil && mode.Str() != hints.Str() {
		fault(topologyModeAnnotation, diag.CodeInvalid, show(mode)+" differs from "+topologyHintsAnnotation, "remove one of the two")
	}
	ranges := annotations.Get(sourceRangesAnnotation)
	// The field comes before the annotation.
	field := spec.Get("loadBalancerSourceRanges")
	if ranges == nil || field != nil && (field.Kind != tree.List || len(field.Items) > 0) || spec == nil || spec.Default {
		return
	}
	if t := spec.Get("type").Str(); t != "LoadBalancer" {
		if !slices.Contains([]string{"ClusterIP", "NodePort", "ExternalName"}, t) {
			return // it is wrong itself
		}
		fault(sourceRangesAnnotation, diag.CodeForbidden, "this annotation may only be set when type is LoadBalancer", "remove it")
		return
	}
	if strings.TrimSpace(ranges.Str()) == "" {
		return
	}
	for r := range strings.SplitSeq(ranges.Str(), ",") {
		if r = strings.TrimSpace(r); cidrProblem(r) != "" {
			fault(sourceRangesAnnotation, diag.CodeInvalid, fmt.Sprintf("%q %s", r, cidrProblem(r)), "write ranges of addresses with commas between, as in 203.0.113.0/24,198.51.100.0/24")
		}
	}
}

// checkSlicePorts wants the names of ports, the empty one included, to be unique.
func checkSlicePorts(n *tree.Node, report func(Fault)) { uniqueNames("port name", n, report) }

// checkSliceHints wants zones and nodes to be named once.
func checkSliceHints(n *tree.Node, report func(Fault)) { uniqueNames("name", n, report) }

// uniqueNames finds the later ones of items whose names are equal.
func uniqueNames(what string, n *tree.Node, report func(Fault)) {
	seen := map[string]tree.Pos{}
	for i, item := range n.Items {
		name := item.Get("name")
		if name == nil || name.Kind != tree.String {
			continue
		}
		if first, twice := seen[name.Text]; twice {
			report(duplicateAt(fmt.Sprintf("%s %q", what, name.Text), first, i, "name"))
			continue
		}
		seen[name.Text] = item.Pos
	}
}

var fqdn = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.?$`)

// checkSliceAddresses wants every address to be of the slice's addressType.
func checkSliceAddresses(n *tree.Node, report func(Fault)) {
	of := n.Get("addressType").Str()
	endpoints := n.Get("endpoints")
	if endpoints == nil {
		return
	}
	for i, e := range endpoints.Items {
		addresses := e.Get("addresses")
		if addresses == nil {
			continue
		}
		for j, a := range addresses.Items {
			if a.Kind != tree.String {
				continue
			}
			path, problem := "", sliceAddressProblem(of, a.Text)
			if problem == "" && !isOfFamily(of, a.Text) {
				// The API server does not name the item here.
				path = diag.Path("endpoints", i, "addresses")
				problem = "is not an " + of + " address"
			}
			if problem != "" {
				report(Fault{
					At: []any{"endpoints", i, "addresses", j}, Path: path, Code: diag.CodeInvalid, Message: show(a) + " " + problem,
					Hint: sliceAddressRemedy(of, a.Text),
				})
			}
		}
	}
}

func sliceAddressProblem(addressType, text string) string {
	switch addressType {
	case "IPv4", "IPv6":
		return hostProblem(text)
	case "FQDN":
		if len(text) > 254 || !fqdn.MatchString(text) {
			return "is not a full DNS name: lower-case labels, at least two, joined by dots"
		}
	}
	return ""
}

// sliceAddressRemedy says what would be right in a slice of an addressType.
func sliceAddressRemedy(addressType, text string) string {
	switch remedy := addressRemedy(text); {
	case remedy != "":
		return remedy
	case addressType == "IPv4":
		return "write an address such as 10.0.0.1, or make a slice for each addressType"
	case addressType == "IPv6":
		return "write an address such as 2001:db8::1, or make a slice for each addressType"
	}
	return ""
}

// isOfFamily reports whether text, an address, is of the family that a slice's
// addressType says, if it says one.
func isOfFamily(addressType, text string) bool {
	if addressType != "IPv4" && addressType != "IPv6" {
		return true
	}
	addr, err := netip.ParseAddr(text)
	return err != nil || addr.Is4() == (addressType == "IPv4")
}

// parseIP is the API server's reading of an address: no leading zeros, no zone,
// no IPv4 in the form of IPv6. The second result completes "X …".
func parseIP(text string) (netip.Addr, string) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil && strings.Contains(err.Error(), "leading zero"):
		return addr, "has leading zeros, which some read as octal"
	case err != nil || addr.Zone() != "":
		return addr, "is not an IP address"
	case addr.Is4In6():
		return addr, "is an IPv4 address written as IPv6"
	}
	return addr, ""
}

// hostProblem says why text is not the address of a host.
func hostProblem(text string) string {
	addr, problem := parseIP(text)
	if problem != "" {
		return problem
	}
	return specialProblem(addr)
}

// specialProblem says why nothing can be sent to addr.
func specialProblem(addr netip.Addr) string {
	switch {
	case addr.IsUnspecified():
		return "is the unspecified address"
	case addr.IsLoopback():
		return "is a loopback address, which every node understands differently"
	case addr.IsLinkLocalUnicast():
		return "is a link-local address"
	case addr.IsLinkLocalMulticast():
		return "is a link-local multicast address"
	}
	return ""
}

// addressRemedy says what to write in place of an address that is refused for
// its form or for what it means, and nothing of what is no address at all.
func addressRemedy(text string) string {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil && strings.Contains(err.Error(), "leading zero"):
		return "write it without the zeros"
	case err != nil || addr.Zone() != "":
		return ""
	case addr.Is4In6():
		return "write " + addr.Unmap().String()
	case specialProblem(addr) != "":
		return "write an address that other machines can reach"
	}
	return ""
}

func cidrProblem(text string) string {
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return "is not a range of addresses in CIDR notation"
	case prefix.Addr().Is4In6():
		return "is an IPv4 range written as IPv6"
	case prefix != prefix.Masked():
		return "has bits set beyond the prefix length: " + prefix.Masked().String() + " is the range"
	}
	return ""
}

// addressCheck makes a check of a string from a function that says what is
// wrong with it.
func addressCheck(problem func(string) string) Check {
	return func(n *tree.Node, report func(Fault)) {
		if n.Kind != tree.String {
			return
		}
		if p := problem(n.Text); p != "" {
			report(Fault{Code: diag.CodeInvalid, Message: show(n) + " " + p, Hint: addressRemedy(n.Text)})
		}
	}
}

var (
	checkIP     = addressCheck(func(s string) string { _, p := parseIP(s); return p })
	checkHostIP = addressCheck(hostProblem)
	// The API server trims blanks around a range.
	checkCIDR = addressCheck(func(s string) string { return cidrProblem(strings.TrimSpace(s)) })
)
