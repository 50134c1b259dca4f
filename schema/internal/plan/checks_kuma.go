package plan

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

func init() {
	Checks["kuma-ip"] = kumaIP
	Checks["kuma-address"] = kumaAddress
	Checks["kuma-host-port"] = kumaHostPort
	Checks["kuma-inbound-loop"] = kumaInboundLoop
	Checks["kuma-unique-names"] = kumaUniqueNames
	Checks["kuma-enabled-backend"] = kumaBackend("enabledBackend")
	Checks["kuma-default-backend"] = kumaBackend("defaultBackend")
}

// kumaIP wants an IPv4 or IPv6 address without a zone; "" counts as not set.
func kumaIP(n *tree.Node, report func(Fault)) {
	if n.Str() == "" {
		return
	}
	if a, err := netip.ParseAddr(n.Text); err != nil || a.Zone() != "" {
		report(Fault{Code: diag.CodeInvalid, Message: strconv.Quote(n.Text) + " is not an IP address"})
	}
}

// kumaAddress wants an IPv6 address where there is a colon; what a domain name
// is, the pattern says.
func kumaAddress(n *tree.Node, report func(Fault)) {
	if strings.Contains(n.Str(), ":") {
		kumaIP(n, report)
	}
}

// kumaHostPort wants an IPv6 address in the brackets, if there are any.
func kumaHostPort(n *tree.Node, report func(Fault)) {
	host, _, bracketed := strings.Cut(strings.TrimPrefix(n.Str(), "["), "]")
	if bracketed {
		kumaIP(&tree.Node{Kind: tree.String, Text: host, Pos: n.Pos}, report)
	}
}

// kumaInboundLoop finds inbounds of a networking section that hand their
// traffic to themselves.
func kumaInboundLoop(n *tree.Node, report func(Fault)) {
	inbounds := n.Get("inbound")
	for i := 0; inbounds.At(i) != nil; i++ {
		in := inbounds.At(i)
		to, toPort := in.Get("serviceAddress").Str(), in.Get("servicePort")
		if to == "" || to != n.Get("address").Str() && to != in.Get("address").Str() {
			continue
		}
		p, ok := toPort.Int64()
		port, _ := in.Get("port").Int64()
		if toPort == nil || ok && (p == 0 || p == port) {
			report(Fault{
				At: []any{"inbound", i, "serviceAddress"}, Code: diag.CodeInvalid,
				Message: "the inbound hands its traffic to itself",
				Hint:    "serviceAddress and servicePort must differ from address and port",
			})
		}
	}
}

// kumaUniqueNames finds backends of one name.
func kumaUniqueNames(n *tree.Node, report func(Fault)) {
	seen := map[string]tree.Pos{}
	for i := 0; n.At(i) != nil; i++ {
		name := n.At(i).Get("name")
		if name.Str() == "" {
			continue
		}
		if first, twice := seen[name.Text]; twice {
			report(Fault{
				At: []any{i, "name"}, Code: diag.CodeDuplicate,
				Message: "another backend is named " + strconv.Quote(name.Text),
				Related: []Related{{Pos: first, Message: "the other one"}},
			})
			continue
		}
		seen[name.Text] = name.Pos
	}
}

// kumaBackend wants the value of key to be the name of a backend beside it.
func kumaBackend(key string) Check {
	return func(n *tree.Node, report func(Fault)) {
		want := n.Get(key).Str()
		if want == "" {
			return
		}
		var names []string
		backends := n.Get("backends")
		for i := 0; backends.At(i) != nil; i++ {
			name := backends.At(i).Get("name").Str()
			if name == want {
				return
			}
			names = append(names, name)
		}
		report(Fault{
			At: []any{key}, Code: diag.CodeInvalid,
			Message: "no backend is named " + strconv.Quote(want), Hint: didYouMean(want, names),
		})
	}
}
