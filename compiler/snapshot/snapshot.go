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

// VirtualHost is a set of domains and the routes behind them.
type VirtualHost struct {
	// Name is unique in its listener.
	Name string `json:"name"`
	// Domains are lower-case. "HOST" and "HOST:PORT" match the Host header
	// whole; "HOST:*" matches HOST with any port that no other domain names;
	// "*" matches every Host that is left.
	Domains List[string] `json:"domains"`
	// Routes are tried in order; a request that none matches gets 404.
	Routes  List[Route]  `json:"routes"`
	Sources List[string] `json:"sources"`
	Digest  Digest       `json:"digest"`
}

// Route sends the requests it matches to its targets. Paths are matched and
// rewritten as they were received, without the query.
type Route struct {
	Name string `json:"name"`
	// PathPrefix matches the start of the path ("/" matches every request),
	// PathExact all of it, PathRegex all of it by a regular expression
	// (ParseRegex). Exactly one of the three is set.
	PathPrefix string `json:"pathPrefix,omitempty"`
	PathExact  string `json:"pathExact,omitempty"`
	PathRegex  string `json:"pathRegex,omitempty"`
	// Methods are the methods it matches; none means every method.
	Methods List[string] `json:"methods,omitzero"`
	// Headers must all match.
	Headers List[HeaderMatch] `json:"headers,omitzero"`
	// ServerNames, where there are any, are those of which the client must have
	// asked for one in its ClientHello, as Chain has them.
	ServerNames List[string] `json:"serverNames,omitzero"`
	// Rewrite changes the path that the target gets.
	Rewrite PathRewrite `json:"rewrite,omitzero"`
	// Host changes the Host header that the target gets; HostFromEndpoint and
	// Host exclude each other.
	Host HostRewrite `json:"host,omitzero"`
	// RequestHeaders are changed as the target gets them, ResponseHeaders as
	// the client does.
	RequestHeaders  HeaderChanges `json:"requestHeaders,omitzero"`
	ResponseHeaders HeaderChanges `json:"responseHeaders,omitzero"`
	// Timeout bounds the time from the end of the request to the end of the
	// response, tries included (Envoy's route.timeout): 504 "upstream request
	// timeout"; 0 for none.
	Timeout Duration `json:"timeout,omitempty"`
	// IdleTimeout ends a stream on which nothing moves; 0 means 5m, Envoy's own.
	IdleTimeout Duration `json:"idleTimeout,omitempty"`
	Retry       Retry    `json:"retry,omitzero"`
	// Targets share the requests by weight. None, or only targets without
	// endpoints, answers 503.
	Targets List[Target] `json:"targets"`
	// Answer, where its Status is set, is given here, and Targets is empty.
	Answer Answer `json:"answer,omitzero"`
	// Service is the kuma.io/service that a route of the gateway is for, where
	// filters run on it that are to know.
	Service string `json:"service,omitempty"`
	// HostFromEndpoint sends the chosen endpoint's Hostname, where it has one,
	// as the Host header in place of the client's.
	HostFromEndpoint bool `json:"hostFromEndpoint,omitempty"`
	// Filters are the listener's PerRoute filters that run here, each as
	// Filter.Ref has it, sorted.
	Filters List[string] `json:"filters,omitzero"`
}

// Answer is a response that a proxy gives by itself.
type Answer struct {
	Status uint32 `json:"status,omitempty"`
	// ContentType and Body are those of the response; "" for none.
	ContentType string `json:"contentType,omitempty"`
	Body        string `json:"body,omitempty"`
	// HTTPS sends the client to the same URL over https, where Status is 301,
	// 302, 307 or 308. The host of that is Host or, where it is empty, the
	// request's, with 443 in place of its port if it has one.
	HTTPS bool   `json:"https,omitempty"`
	Host  string `json:"host,omitempty"`
}

// HostRewrite replaces the Host header; the zero HostRewrite leaves it alone.
type HostRewrite struct {
	// Value is the new one, where it is set.
	Value string `json:"value,omitempty"`
	// PathRegex and Substitution make it of the path, without the query: it is
	// the path with each match replaced, as PathRewrite does it.
	PathRegex    string `json:"pathRegex,omitempty"`
	Substitution string `json:"substitution,omitempty"`
}

// HeaderMatch is a condition on one header of a request. Without Values, Prefix
// and Regex the header must be there; a header that is not there never matches.
// Where it occurs more than once, one of its values is enough.
type HeaderMatch struct {
	// Name is lower-case, or ":authority" for the host with its port, or ":method".
	Name string `json:"name"`
	// Prefix is the start of the value; at most one of Prefix, Values and Regex is set.
	Prefix string `json:"prefix,omitempty"`
	// Values are those of which one must be the header's, letter for letter.
	Values List[string] `json:"values,omitzero"`
	// Regex must match all of the header's value (ParseRegex). It may not be
	// set beside Values.
	Regex string `json:"regex,omitempty"`
}

// PathRewrite replaces a part of the path; the query stays. The zero
// PathRewrite leaves the path alone.
type PathRewrite struct {
	// Global says that every match is replaced; then Regex need not begin with "^".
	Global bool `json:"global,omitempty"`
	// Regex begins with "^", so that it matches once at most. What it matches,
	// which need not be all of the path, is replaced by Substitution, in which
	// \0 to \9 are the groups of the match and \\ is a backslash.
	Regex        string `json:"regex,omitempty"`
	Substitution string `json:"substitution,omitempty"`
}

// Target is one arm of a weighted split.
type Target struct {
	Cluster string `json:"cluster"`
	// Weight is relative to the sum of its siblings and never 0.
	Weight uint32 `json:"weight"`
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

// Discovery says how a cluster's endpoints become addresses.
type Discovery string

// The ways to find addresses.
const (
	// Static endpoints are IP literals.
	Static Discovery = "static"
	// DNS endpoints have host names, resolved again while the cluster lives.
	DNS Discovery = "dns"
)

// Balancing is how a cluster chooses among its endpoints.
type Balancing string

// The balancing policies.
const (
	RoundRobin   Balancing = "roundRobin"
	LeastRequest Balancing = "leastRequest"
	Random       Balancing = "random"
	// RingHash and Maglev keep requests of one hash on one endpoint while the
	// set stays as it is. The hash is that of the client's address.
	RingHash Balancing = "ringHash"
	Maglev   Balancing = "maglev"
	// ClientIP keeps a client address on one endpoint while the set of
	// endpoints stays as it is (Kubernetes sessionAffinity: ClientIP).
	ClientIP Balancing = "clientIP"
)

// Cluster is a set of endpoints that are spoken to in one way.
type Cluster struct {
	// Name is that of the endpoints, and, where policies of the caller's side
	// change how they are spoken to, "~" and these policies.
	Name string `json:"name"`
	// Endpoints is the name of the EndpointSet, "" where it is Name: the
	// service, with the tags in braces where it is a subset of it. It is also
	// the Envoy EDS name.
	Endpoints string    `json:"endpoints,omitempty"`
	Service   string    `json:"service"`
	Mesh      string    `json:"mesh,omitempty"`
	Protocol  Protocol  `json:"protocol"`
	Discovery Discovery `json:"discovery"`
	Balancing Balancing `json:"balancing"`
	// Choices is how many endpoints LeastRequest compares; 0 means 2.
	Choices uint32 `json:"choices,omitempty"`
	// Ring is for RingHash.
	Ring Ring `json:"ring,omitzero"`
	// ConnectTimeout bounds one attempt to connect.
	ConnectTimeout Duration `json:"connectTimeout"`
	// MaxDuration bounds each try, from its connection to the end of its
	// response (Envoy's max_stream_duration of a cluster): 504 "upstream max
	// stream duration reached"; 0 for none.
	MaxDuration Duration `json:"maxDuration,omitempty"`
	// IdleTimeout closes a pooled HTTP connection; 0 means 60s in the built-in
	// proxy and Envoy's own 1h there.
	IdleTimeout Duration `json:"idleTimeout,omitempty"`
	// HTTP2 says that the endpoints speak HTTP/2, with prior knowledge or,
	// where they have a Transport, by ALPN.
	HTTP2 bool `json:"http2,omitempty"`
	// Checks must all hold for an endpoint to be healthy.
	Checks List[HealthCheck] `json:"checks,omitzero"`
	// Panic is the percentage of healthy endpoints below which health is not
	// looked at (Envoy's panic threshold), 0..100; 0 means never. FailOnPanic
	// answers 503 then instead.
	Panic       uint32     `json:"panic,omitempty"`
	FailOnPanic bool       `json:"failOnPanic,omitempty"`
	Outliers    Outliers   `json:"outliers,omitzero"`
	Thresholds  Thresholds `json:"thresholds,omitzero"`
	// Transports are sorted by Name; an endpoint that names none is spoken to in the clear.
	Transports List[Transport] `json:"transports,omitzero"`
	Sources    List[string]    `json:"sources"`
	Digest     Digest          `json:"digest"`
}

// EndpointsName returns the name of c's EndpointSet.
func (c Cluster) EndpointsName() string {
	if c.Endpoints != "" {
		return c.Endpoints
	}
	return c.Name
}

// Ring is the ring of RingHash.
type Ring struct {
	// Hash is "XX_HASH" or "MURMUR_HASH_2".
	Hash string `json:"hash,omitempty"`
	// Min and Max bound the number of entries; 0 means Envoy's own 1,024 and 8M.
	Min uint64 `json:"min,omitempty"`
	Max uint64 `json:"max,omitempty"`
}

// EndpointSet is the endpoints of one cluster.
type EndpointSet struct {
	Name string `json:"name"`
	// Endpoints are sorted by address, then port, and hold no duplicate.
	Endpoints List[Endpoint] `json:"endpoints"`
	Sources   List[string]   `json:"sources"`
	Digest    Digest         `json:"digest"`
}

// Endpoint is one place where a service answers.
type Endpoint struct {
	// Address is an IP literal, or a host name where the cluster uses DNS.
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	// Hostname is what a route with HostFromEndpoint sends as Host.
	Hostname string `json:"hostname,omitempty"`
	// Weight is its share of the cluster's traffic, relative to its siblings';
	// 0 means 1. Each address of a host name has it.
	Weight uint32 `json:"weight,omitempty"`
	// Priority is 0 for those that come first. The next ones get traffic as far
	// as too few of those before are healthy (Envoy's priority levels). No
	// number is left out.
	Priority uint32 `json:"priority,omitempty"`
	// Transport names one of the cluster's; "" for the clear.
	Transport string `json:"transport,omitempty"`
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
