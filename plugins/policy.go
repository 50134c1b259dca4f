package plugins

// Policy says how documents become uses of a kind. The compiler matches the
// documents with proxies and services and calls Resolve for what it finds; a
// kind that documents do not select by tags (such as wasm, which has a pass of
// its own) has none.
type Policy struct {
	// Document is the kind of document, as "kuma/TrafficLog".
	Document string
	// Side says where it acts, and with that how it is ranked (Kuma's rules):
	// the winner for each outbound's service, or for each proxy.
	Side Side
	// Together says that policies of equal rank all apply, each to its own
	// sources; else one does.
	Together bool
	// HTTP and TCP say which listeners it acts on.
	HTTP, TCP bool
	// Inbound says that a policy of a proxy acts on inbounds too, Gateway that
	// the gateway's listener takes part, per route.
	Inbound, Gateway bool
	// Resolve returns the uses that a policy means for one listener. It depends
	// on nothing but its argument, and is called when documents are compiled.
	Resolve func(Attachment) Resolved
}

// Side is where a policy acts.
type Side uint8

// The sides.
const (
	// PerService policies act on the caller's side: on the outbound (or the
	// gateway's route) whose service the destinations select, of proxies that
	// the sources select. By the sum of both ranks.
	PerService Side = iota
	// PerTarget policies act on the caller's side too, but are chosen by the
	// tags of the target's inbounds: by destination rank alone. The sources
	// then say which callers they act on.
	PerTarget
	// PerProxy policies select proxies.
	PerProxy
)

// Attachment is one policy on one listener of one proxy.
type Attachment struct {
	// Policy is the document as canonical JSON, defaults applied, and Mesh that
	// of its Mesh, "" where nobody wrote it.
	Policy, Mesh string
	// Proxy is the proxy's ID, MeshName its mesh (that of the service, at the gateway), and Service its
	// own service: the first inbound's, or "gateway".
	Proxy, MeshName, Service string
	// Address is the proxy's own address, "" for the gateway.
	Address string
	// Direction is "inbound", "outbound" or "gateway"; TCP says what the
	// listener carries.
	Direction string
	TCP       bool
	// Destination is the service that the listener is for, and Cluster, for
	// PerTarget, the cluster of the target.
	Destination, Cluster string
}

// Resolved is what a policy means for a listener.
type Resolved struct {
	// Config is what Use.Config will be; "" for nothing to do.
	Config string
	// Calls are host:port of what the use itself calls over HTTP: each becomes
	// a cluster named as CallCluster says, of which the use learns by Clusters.
	Calls []string
	// Wrong is what is wrong with the document, each with the path of the
	// field, as []any{"conf", "backend"}.
	Wrong []Wrong
}

// Wrong is a mistake in a document of a policy.
type Wrong struct {
	// Path is the field; in the Mesh where InMesh is set.
	Path          []any
	InMesh        bool
	Message, Hint string
}

// CallCluster is the name of the cluster for a host:port that policies call.
// No service has an @ in its name.
func CallCluster(hostPort string) string { return "call@" + hostPort }
