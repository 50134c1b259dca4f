package snapshot

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
	// ReadTimeout bounds each time that a try waits for its endpoint to say
	// something, from its connection, or the end of the request where that is later
	// (Envoy's per_try_idle_timeout): 504 "upstream request timeout"; 0 for none.
	ReadTimeout Duration `json:"readTimeout,omitempty"`
	Retry       Retry    `json:"retry,omitzero"`
	// Hash is what clusters that choose by hash (RingHash, Maglev, ClientIP) choose
	// by: the first of it that a request has, and chance for one that has none.
	// Without any it is the client's address.
	Hash List[HashKey] `json:"hash,omitzero"`
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
	// Metrics answers with those of the proxy, in Prometheus' text format. Status
	// is 200 then, and the rest is empty.
	Metrics bool `json:"metrics,omitempty"`
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
	// Name is lower-case, or ":authority" for the host with its port, ":method", or
	// ":path" for the path with the query.
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

// HashKey is a part of a request that is hashed to choose an endpoint. One of
// ClientIP, Path, Capture, Header, Cookie and Query is set.
type HashKey struct {
	// ClientIP is the client's address.
	ClientIP bool `json:"clientIP,omitempty"`
	// Path is the path as it was received, without the query.
	Path bool `json:"path,omitempty"`
	// Capture is what the group of this name in the route's PathRegex matches of
	// that; where it is nothing, and in routes without the group, there is none.
	Capture string `json:"capture,omitempty"`
	// Header is a header by its name in lower case, or ":authority"; its values are
	// hashed in the order of their bytes.
	Header string `json:"header,omitempty"`
	// Cookie is a cookie by its name. A request without it, or where it is empty,
	// has the one that its answer sets, for CookiePath and the client's session.
	Cookie     string `json:"cookie,omitempty"`
	CookiePath string `json:"cookiePath,omitempty"`
	// Query is a parameter of the query by its name: the first of that name, both
	// as they were received.
	Query string `json:"query,omitempty"`
}

// Target is one arm of a weighted split.
type Target struct {
	Cluster string `json:"cluster"`
	// Weight is relative to the sum of its siblings and never 0.
	Weight uint32 `json:"weight"`
}
