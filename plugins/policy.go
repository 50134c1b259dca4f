package plugins

// Policy says how documents become uses of a kind. The compiler matches the
// documents with proxies and services and calls Resolve for what it finds; a
// kind that documents do not select by tags (such as wasm, which has a pass of
// its own) has none.
type Policy struct {
	// Document is the kind of document, as "kuma/TrafficLog".
	Document string
	// Side says where it acts, and with that how it is ranked.
	Side Side
	// HTTP and TCP say which listeners it acts on.
	HTTP, TCP bool
	// Inbound says that a policy of a proxy acts on inbounds too, Gateway that
	// the gateway's listener takes part.
	Inbound, Gateway bool
	// Resolve returns what a policy means for one listener, or for all routes of
	// the gateway that it applies to. It depends on nothing but its argument, and
	// is called when documents are compiled.
	Resolve func(Attachment) Resolved
}

// Side is where a policy acts, and how it is chosen (Kuma's rules).
type Side uint8

// The sides.
const (
	// PerService policies act on the caller's side: on the outbound (or the
	// gateway's route) whose service the destinations select, of proxies that
	// the sources select. One applies: by the sum of both ranks.
	PerService Side = iota
	// PerTarget policies act on the caller's side too, but are chosen by the
	// tags of the target's endpoints: by destination rank alone. All of the
	// highest rank apply, each to the callers that its sources select.
	PerTarget
	// PerProxy policies select proxies. One applies.
	PerProxy
)

// Attachment is one policy on one listener of one proxy.
type Attachment struct {
	// Policy is the document as canonical JSON, defaults applied, and Mesh that
	// of its Mesh, "" where nobody wrote it.
	Policy, Mesh string
	// Proxy is the proxy's ID, MeshName the policy's mesh, and Service the
	// proxy's own service: the first inbound's, or "gateway".
	Proxy, MeshName, Service string
	// Address is the proxy's own address, "" for the gateway.
	Address string
	// Direction is "inbound", "outbound" or "gateway"; TCP says what the
	// listener carries.
	Direction string
	TCP       bool
	// Destination is the service that the listener is for; "" at the gateway,
	// where it is the route's (filter.Record.Service).
	Destination string
	// Cluster, for PerTarget, is the cluster that the policy is for; "" where
	// that is each one that the listener, or the route, leads to.
	Cluster string
}

// Resolved is what a policy means for a listener.
type Resolved struct {
	// Config is what Use.Config will be; "" for nothing to do.
	Config string
	// Calls are host:port of what the use itself calls over HTTP: each becomes
	// a cluster named as CallCluster says, of which the use learns by Clusters.
	Calls []string
	// Wrong is what is wrong with the document.
	Wrong []Wrong
}

// Wrong is a mistake in a document of a policy, or what it asks for in vain.
type Wrong struct {
	// Path is the field, as []any{"conf", "backend"}; in the Mesh where InMesh is set.
	Path   []any
	InMesh bool
	// Warning says that all else may serve; else nothing does.
	Warning       bool
	Message, Hint string
}

// CallCluster is the name of the cluster for a host:port that policies call.
// No service has an @ in its name.
func CallCluster(hostPort string) string { return "call@" + hostPort }
