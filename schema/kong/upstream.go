package kong

// Upstream is a Kong Upstream after defaulting.
type Upstream struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Algorithm  string `json:"algorithm"`
	HashOn     string `json:"hash_on"`
	HostHeader string `json:"host_header"`
	// UseSRVName sends the name in a DNS SRV record as the host.
	UseSRVName bool `json:"use_srv_name"`
	// ClientCertificate is nil where none is set.
	ClientCertificate *Reference   `json:"client_certificate"`
	Healthchecks      Healthchecks `json:"healthchecks"`
}

// Healthchecks says how targets are found to work; all numbers 0 means not at all.
type Healthchecks struct {
	Active struct {
		Healthy struct {
			Interval float64 `json:"interval"`
		} `json:"healthy"`
		Unhealthy struct {
			Interval float64 `json:"interval"`
		} `json:"unhealthy"`
	} `json:"active"`
	Passive struct {
		Unhealthy struct {
			TCPFailures  int64 `json:"tcp_failures"`
			Timeouts     int64 `json:"timeouts"`
			HTTPFailures int64 `json:"http_failures"`
		} `json:"unhealthy"`
	} `json:"passive"`
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
