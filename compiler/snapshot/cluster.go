package snapshot

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
	// set stays as it is. The hash is that of Route.Hash, and where bytes are
	// carried that of the client's address.
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
	// WriteTimeout closes a connection, of HTTP/1.1, whose endpoint takes nothing
	// of what it was sent for so long (TCP_USER_TIMEOUT), in whole milliseconds; 0
	// for the system's own bounds.
	WriteTimeout Duration `json:"writeTimeout,omitempty"`
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
	Panic       uint32   `json:"panic,omitempty"`
	FailOnPanic bool     `json:"failOnPanic,omitempty"`
	Outliers    Outliers `json:"outliers,omitzero"`
	// Errors are the statuses that count as errors for Outliers, sorted; none means
	// those from 500 on. It is for HTTP other than gRPC.
	Errors     List[uint32] `json:"errors,omitzero"`
	Thresholds Thresholds   `json:"thresholds,omitzero"`
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
