package snapshot

import (
	"regexp"
	"strings"
)

// Chain is what becomes of those connections to a listener whose client asks,
// in its TLS ClientHello, for one of some server names.
type Chain struct {
	Name string `json:"name"` // unique in its listener
	// ServerNames are lower-case, and no other chain of the listener has one of
	// them: a host name; "*.REST" or "REST.*" for exactly one more label; or
	// AnyServerName. The first of the four forms that any chain has counts.
	ServerNames List[string] `json:"serverNames"`
	// SourceRanges are the CIDRs whose clients may connect, sorted; none means
	// every client.
	SourceRanges List[string] `json:"sourceRanges,omitzero"`
	// Certificates are what the client is shown: the first whose kind of key it
	// knows. Without any, TLS does not end here: the bytes pass as they are, the
	// ClientHello among them.
	Certificates List[Certificate] `json:"certificates,omitzero"`
	// Protocol is HTTP, which goes by the listener's VirtualHosts, or TCP, whose
	// bytes go to Targets.
	Protocol Protocol     `json:"protocol"`
	Targets  List[Target] `json:"targets,omitzero"`
	// IdleTimeout and ConnectAttempts are of TCP, as Listener has them.
	IdleTimeout     Duration     `json:"idleTimeout,omitempty"`
	ConnectAttempts uint32       `json:"connectAttempts,omitempty"`
	Sources         List[string] `json:"sources"`
}

// Certificate is a chain of certificates and its key: the IDs of secrets in PEM.
type Certificate struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// AnyServerName stands for every server name, and for none.
const AnyServerName = "*"

// ServerNamePatterns returns what may stand for a server name, "" for none, in
// the order of preference. name is lower-case.
func ServerNamePatterns(name string) []string {
	first, last := strings.IndexByte(name, '.'), strings.LastIndexByte(name, '.')
	if first <= 0 || last == len(name)-1 {
		if name == "" {
			return []string{AnyServerName}
		}
		return []string{name, AnyServerName}
	}
	return []string{name, "*" + name[first:], name[:last] + ".*", AnyServerName}
}

// ServerNameRegex returns the expression that all of a server name matches for
// which pattern, which is not AnyServerName, stands.
func ServerNameRegex(pattern string) string {
	return strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `[^.]+`)
}
