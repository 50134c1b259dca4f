package compiler

// Kind is a policy kind as far as the compiler sees it; see plugins.Kind. The
// order of Compiler.Kinds is that in which filters run.
type Kind struct {
	Name     string
	Policies []Policy
}

// Policy says how documents become filters of a kind; see plugins.Policy, of
// which each field has its meaning.
type Policy struct {
	Document         string
	Side             Side
	HTTP, TCP        bool
	Inbound, Gateway bool
	Resolve          func(Attachment) Resolved
}

// Side is where a policy acts; see plugins.Side.
type Side uint8

// The sides, in the order of plugins.Side.
const (
	PerService Side = iota
	PerTarget
	PerProxy
)

// Attachment is one policy on one listener; see plugins.Attachment.
type Attachment struct {
	Policy, Mesh             string
	Proxy, MeshName, Service string
	Address                  string
	Direction                string
	TCP                      bool
	Destination              string
	Cluster                  string
}

// Resolved is what a policy means for a listener; see plugins.Resolved.
type Resolved struct {
	Config string
	Calls  []string
	Wrong  []Wrong
}

// Wrong is a mistake in a document; see plugins.Wrong.
type Wrong struct {
	Path          []any
	InMesh        bool
	Warning       bool
	Message, Hint string
}
