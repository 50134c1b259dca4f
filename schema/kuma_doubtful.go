package schema

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// What Kuma accepts, and what can hardly be meant, is a warning.

// doubt warns of the value v, which path leads to.
func (r *reader) doubt(v *tree.Node, message, hint string, path ...any) {
	r.add(finding(diag.Warning, diag.CodeInvalid, v.Pos, diag.Path(path...), message, hint))
}

// retryStatuses warns of statuses that no answer of HTTP has (RFC 9110, section 15).
func (r *reader) retryStatuses(n *tree.Node) bool {
	codes := n.Get("conf").Get("http").Get("retriableStatusCodes")
	for i := 0; codes.At(i) != nil; i++ {
		if status, ok := codes.At(i).Int64(); ok && (status < 100 || status > 599) {
			r.doubt(codes.At(i), fmt.Sprintf("no answer has the status %d, so nothing is retried for it", status),
				"a status is a number from 100 to 599", "conf", "http", "retriableStatusCodes", i)
		}
	}
	return true
}

// onlyNumbers is what an IPv4 address is made of; no domain name ends in a number.
var onlyNumbers = regexp.MustCompile(`^[0-9.]+$`)

// numericHosts warns of addresses that look like IP addresses and are none,
// for Kuma takes them for domain names.
func (r *reader) numericHosts(n *tree.Node) bool {
	for _, path := range [][]any{
		{"networking", "address"}, {"networking", "ingress", "publicAddress"}, // of a Dataplane
	} {
		v := n
		for _, key := range path {
			v = v.Get(key.(string))
		}
		host, _, _ := strings.Cut(v.Str(), ":") // an ExternalService's has a port
		if !onlyNumbers.MatchString(host) || strings.Count(v.Str(), ":") > 1 {
			continue
		}
		if _, err := netip.ParseAddr(host); err != nil {
			r.doubt(v, fmt.Sprintf("%q is not an IP address, so it is read as a domain name, which no server knows", host),
				"write four numbers from 0 to 255, as in 10.0.0.1", path...)
		}
	}
	return true
}
