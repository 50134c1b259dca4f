package kong

// Upstream is a Kong Upstream after defaulting.
type Upstream struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Algorithm  string `json:"algorithm"`
	HostHeader string `json:"host_header"`
	HashKeys
	// UseSRVName sends the name in a DNS SRV record as the host.
	UseSRVName bool `json:"use_srv_name"`
	// ClientCertificate is nil where none is set.
	ClientCertificate *Reference   `json:"client_certificate"`
	Healthchecks      Healthchecks `json:"healthchecks"`
}

// HashKeys are what consistent hashing looks at: HashOn, and HashFallback where
// a request does not have that. The other fields name the part that either means.
type HashKeys struct {
	HashOn             string `json:"hash_on"`
	HashFallback       string `json:"hash_fallback"`
	OnHeader           string `json:"hash_on_header"`
	FallbackHeader     string `json:"hash_fallback_header"`
	OnQueryArg         string `json:"hash_on_query_arg"`
	FallbackQueryArg   string `json:"hash_fallback_query_arg"`
	OnURICapture       string `json:"hash_on_uri_capture"`
	FallbackURICapture string `json:"hash_fallback_uri_capture"`
	// Cookie is for both.
	Cookie     string `json:"hash_on_cookie"`
	CookiePath string `json:"hash_on_cookie_path"`
}

// Healthchecks says how targets are found to work; all numbers 0 means not at all.
type Healthchecks struct {
	// Threshold is the share of the targets, in percent, that has to be healthy.
	Threshold float64       `json:"threshold"`
	Active    ActiveChecks  `json:"active"`
	Passive   PassiveChecks `json:"passive"`
}

// ActiveChecks are probes. Intervals and the timeout are in seconds; an interval
// of 0 is for no probes of the targets in that state.
type ActiveChecks struct {
	Type     string              `json:"type"`
	Timeout  float64             `json:"timeout"`
	HTTPPath string              `json:"http_path"`
	Headers  map[string][]string `json:"headers"`
	Healthy  struct {
		Interval  float64 `json:"interval"`
		Successes int64   `json:"successes"`
	} `json:"healthy"`
	Unhealthy struct {
		Interval float64 `json:"interval"`
		Failures
	} `json:"unhealthy"`
}

// PassiveChecks look at what requests meet.
type PassiveChecks struct {
	Unhealthy Failures `json:"unhealthy"`
}

// Failures in a row take a target out; 0 of a sort counts none of it.
type Failures struct {
	TCPFailures  int64    `json:"tcp_failures"`
	Timeouts     int64    `json:"timeouts"`
	HTTPFailures int64    `json:"http_failures"`
	HTTPStatuses []uint32 `json:"http_statuses"`
}

// Target is one address of an upstream, HOST or HOST:PORT.
type Target struct {
	ID     string `json:"id"`
	Target string `json:"target"`
	// Weight is 0 for a target that gets no requests.
	Weight   uint32    `json:"weight"`
	Upstream Reference `json:"upstream"`
}

// DefaultTargetPort is that of a target which names none.
const DefaultTargetPort = 8000
