// Package snapshot is the waist of meshc: the one value that the compiler makes
// and that the proxy, the xDS server and the REST view read.
//
// A Snapshot is a value all the way down: no pointer, map, slice, function or
// channel can be reached through its exported fields, and List has no writing
// method. It can be handed to any number of goroutines without a lock or a
// clone. It holds plain data and nothing that runs; every consumer builds its
// own running form from it.
//
// The package imports nothing but the standard library.
package snapshot

import "time"

// Snapshot is everything that one set of input documents means.
type Snapshot struct {
	// Version is the digest of the digests of all parts below, origins
	// excepted. The same documents, in any order and from any folder, give the
	// same version.
	Version Digest `json:"version"`
	// Proxies are sorted by ID.
	Proxies List[Proxy] `json:"proxies"`
	// Clusters are sorted by Name; proxies refer to them by name.
	Clusters List[Cluster] `json:"clusters"`
	// Endpoints are sorted by Name; clusters refer to them by name. They are
	// kept apart from clusters because they change far more often.
	Endpoints List[EndpointSet] `json:"endpoints"`
	// Documents are the checked source documents, defaults applied, sorted by ID.
	Documents List[Document] `json:"documents"`
	// Blobs are the files that filters run, sorted by Digest.
	Blobs List[Blob] `json:"blobs,omitzero"`
	// Authorities are sorted by ID; a mesh without mTLS has none.
	Authorities List[Authority] `json:"authorities,omitzero"`
	// Secrets are sorted by ID. They are shown to nobody.
	Secrets List[Secret] `json:"secrets,omitzero"`
	// Origins say where each document was written, sorted by ID. They are
	// outside the version: a comment on line 1 of a file changes no behaviour.
	Origins List[Origin] `json:"origins"`
}

// Sensitive reports whether s holds what only its owner may see: the
// configuration of a filter, a raw resource, or a secret.
func (s Snapshot) Sensitive() bool {
	for _, x := range s.Secrets.All() {
		if x.Data != "" {
			return true
		}
	}
	for _, p := range s.Proxies.All() {
		if p.Raw.Len() > 0 {
			return true
		}
	}
	for _, f := range s.filters() {
		if f.Config != "" {
			return true
		}
	}
	return false
}

// GatewayID is the ID of the gateway proxy, and its Envoy node id.
const GatewayID = "gateway"

// GatewayTLS is the name of the gateway's listener for TLS.
const GatewayTLS = "gateway-tls"

// Proxy is a view of the world with listeners: the gateway, or one dataplane.
type Proxy struct {
	// ID is "gateway" or "MESH.NAME"; it is also the Envoy node id.
	ID   string `json:"id"`
	Mesh string `json:"mesh,omitempty"`
	// Identities are sorted by Mesh: one for a dataplane, one for each mesh
	// with mTLS for the gateway.
	Identities List[Identity] `json:"identities,omitzero"`
	// Listeners are sorted by Name.
	Listeners List[Listener] `json:"listeners"`
	// Raw is what an Envoy that is this proxy gets besides, in place of what
	// has the same type and name; of two the later counts. RawOnly says that it
	// gets nothing else. The built-in proxy knows neither.
	Raw     List[RawResource] `json:"raw,omitzero"`
	RawOnly bool              `json:"rawOnly,omitempty"`
	Digest  Digest            `json:"digest"`
}

// RawResource is a resource of Envoy as its author wrote it.
type RawResource struct {
	// JSON is the resource in protobuf's JSON, with its @type. It may hold
	// secrets: it is shown to nobody.
	JSON    string       `json:"json"`
	Sources List[string] `json:"sources"`
}

// Direction says whose traffic a listener takes.
type Direction string

// The directions of a listener.
const (
	Gateway  Direction = "gateway"
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
	// Node is a port that a Kubernetes Service opens on a node, or an address
	// from outside that it has.
	Node Direction = "node"
)

// Protocol is what a listener or a cluster speaks.
type Protocol string

// The protocols that a data plane can act on. HTTP is HTTP/1.1, HTTP/2 and
// gRPC: a listener takes whichever the client speaks. Everything else is
// carried as bytes.
const (
	HTTP Protocol = "http"
	TCP  Protocol = "tcp"
	// UDP is carried datagram by datagram; those of one client address go to
	// one endpoint until nothing has come from either side for a minute.
	UDP Protocol = "udp"
)

// Listener is a socket and what happens to what arrives on it.
type Listener struct {
	// Name is "gateway", "gateway-tls" or DIRECTION:ADDRESS:PORT; of UDP, "/udp"
	// follows.
	Name      string    `json:"name"`
	Direction Direction `json:"direction"`
	Protocol  Protocol  `json:"protocol"`
	// Address is an IP literal and Port 1..65535. Both are zero for the two
	// listeners of the gateway that are named above: their addresses are flags
	// of the process that serves them. Another one of the gateway without an
	// Address has that of the first.
	Address string `json:"address,omitempty"`
	Port    uint16 `json:"port,omitempty"`
	// IfLocal opens the listener only where Address is one of the machine's.
	IfLocal bool `json:"ifLocal,omitempty"`
	// SourceRanges are the CIDRs whose clients may connect, sorted; none means
	// every client. Others are cut off before anything is read.
	SourceRanges List[string] `json:"sourceRanges,omitzero"`
	// Service is the kuma.io/service the listener is for; empty for the gateway.
	Service string `json:"service,omitempty"`
	// TLS is the mesh whose certificates both sides show, of an inbound; ""
	// for a listener in the clear.
	TLS string `json:"tls,omitempty"`
	// Access is looked at where TLS is set.
	Access Access `json:"access,omitzero"`
	// Chains are those of a listener that looks at the ClientHello of each
	// connection: the chain that has the server name takes it. A connection that
	// none takes is closed before anything is said. The other fields are then
	// for what the chains do not say.
	Chains List[Chain] `json:"chains,omitzero"`
	// IdleTimeout ends a TCP connection on which nothing moves; 0 means 1h.
	IdleTimeout Duration `json:"idleTimeout,omitempty"`
	// ConnectAttempts is how often a TCP listener tries to connect, each time
	// to an endpoint that is chosen anew; 0 means 1.
	ConnectAttempts uint32 `json:"connectAttempts,omitempty"`
	// VirtualHosts route HTTP; they are empty for TCP.
	VirtualHosts List[VirtualHost] `json:"virtualHosts"`
	// Targets receive the bytes of TCP; they are empty for HTTP. A TCP
	// listener without targets closes what it accepts.
	Targets List[Target] `json:"targets"`
	// Filters run on each stream or connection, in this order; those that are
	// PerRoute only where the route names them.
	Filters List[Filter] `json:"filters"`
	// Sources are the IDs of the documents this came from.
	Sources List[string] `json:"sources"`
	Digest  Digest       `json:"digest"`
}

// Filter is one use of a policy kind that looks at or alters traffic.
type Filter struct {
	// Name is unique in its listener and kind: "MESH/NAME" of the document.
	Name string `json:"name"`
	// Kind names an entry of plugins/builtin.
	Kind string `json:"kind"`
	// Config is the kind's configuration as canonical JSON, references
	// resolved. It may hold secrets: it is shown to nobody.
	Config string `json:"config"`
	// Blob is the digest of the file that the filter runs, or zero.
	Blob Digest `json:"blob,omitzero"`
	// Clusters are those that the filter's own calls may reach, sorted. The
	// proxy serves them whether or not a route leads there.
	Clusters List[string] `json:"clusters,omitzero"`
	// Match are conditions on the request, looked at when its headers reach
	// the filter; the zero FilterMatch is met by all. TCP has none.
	Match FilterMatch `json:"match,omitzero"`
	// PerRoute says that the filter runs only for routes that name it. Which
	// these are is settled by the route that the request has when it arrives.
	PerRoute bool         `json:"perRoute,omitempty"`
	Sources  List[string] `json:"sources"`
}

// Ref names f among the filters of a listener: "KIND/NAME".
func (f Filter) Ref() string { return f.Kind + "/" + f.Name }

// FilterMatch says which requests a filter takes part in.
type FilterMatch struct {
	// PathPrefix is the start of :path, letter for letter; "" for any.
	PathPrefix string `json:"pathPrefix,omitempty"`
	// Methods are the methods it takes part in; none means all.
	Methods List[string] `json:"methods,omitzero"`
}

// Blob is a file that filters run, such as a Wasm module.
type Blob struct {
	// Digest is the SHA-256 of Data.
	Digest Digest `json:"digest"`
	// Data is not part of the JSON form: in a snapshot file each blob is an
	// entry of its own.
	Data string `json:"-"`
}

// Document is one source document after checking and defaulting.
type Document struct {
	// ID is "DIALECT/KIND/NAMESPACE-OR-MESH/NAME"; the third part is empty for
	// kinds that have neither.
	ID        string `json:"id"`
	Dialect   string `json:"dialect"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Mesh      string `json:"mesh,omitempty"`
	Name      string `json:"name"`
	// JSON is the document as canonical JSON.
	JSON   string `json:"json"`
	Digest Digest `json:"digest"`
}

// Origin is where a document was written.
type Origin struct {
	ID string `json:"id"`
	// File is relative to the input root, with slashes.
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// Duration is a length of time, written in JSON as Go writes it ("5s").
type Duration time.Duration

// MarshalText writes d as time.Duration's String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
