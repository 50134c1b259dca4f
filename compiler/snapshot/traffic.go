package snapshot

// HeaderChanges are changes to the headers of a message, made in this order:
// remove, set, add.
type HeaderChanges struct {
	// Remove holds lower-case names; a field that is not there is passed over.
	Remove List[string] `json:"remove,omitzero"`
	// Set replaces all fields of the name, Add is one more.
	Set List[HeaderField] `json:"set,omitzero"`
	Add List[HeaderField] `json:"add,omitzero"`
}

// HeaderField is a header with a value; its name is lower-case.
type HeaderField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Retry says when an upstream request is made again. The zero Retry says never.
// A try is made only while the request's Timeout has not passed, and only of a
// request whose body was kept whole.
type Retry struct {
	// On are the conditions, in Envoy's words (x-envoy-retry-on and
	// x-envoy-retry-grpc-on), sorted: "connect-failure", "gateway-error",
	// "refused-stream", "reset", "retriable-status-codes", "cancelled",
	// "deadline-exceeded", "internal", "resource-exhausted", "unavailable".
	On List[string] `json:"on,omitzero"`
	// Statuses are those of retriable-status-codes, sorted.
	Statuses List[uint32] `json:"statuses,omitzero"`
	// Attempts is how many tries may follow the first.
	Attempts uint32 `json:"attempts,omitempty"`
	// PerTryTimeout bounds one try from its connection, or the end of the
	// request where that is later, to the beginning of its response; 0, or no
	// less than the request's, for no bound but that.
	PerTryTimeout Duration `json:"perTryTimeout,omitempty"`
	// BackOffBase and BackOffMax are those of Envoy's fully jittered
	// exponential back-off; both are set where On is.
	BackOffBase Duration `json:"backOffBase,omitempty"`
	BackOffMax  Duration `json:"backOffMax,omitempty"`
}

// HealthCheck is one active check of each endpoint of a cluster.
type HealthCheck struct {
	Interval Duration `json:"interval"`
	Timeout  Duration `json:"timeout"`
	// An endpoint goes out after Unhealthy failures in a row, and comes back
	// after Healthy successes in a row. The first check of an endpoint decides
	// alone (Envoy's rule).
	Unhealthy uint32 `json:"unhealthy"`
	Healthy   uint32 `json:"healthy"`
	// Jitter is added at random to each interval, InitialJitter to the first;
	// JitterPercent is a part of the interval, 0..100, added likewise.
	InitialJitter Duration `json:"initialJitter,omitempty"`
	Jitter        Duration `json:"jitter,omitempty"`
	JitterPercent uint32   `json:"jitterPercent,omitempty"`
	// NoTrafficInterval is the interval while the cluster has never had
	// traffic; 0 means 60s, as in Envoy.
	NoTrafficInterval Duration `json:"noTrafficInterval,omitempty"`
	// OutInterval takes the place of both for an endpoint that is out and, while
	// the cluster has never had traffic, for one whose last check failed; 0 for none.
	OutInterval Duration `json:"outInterval,omitempty"`
	// Fresh says that each check uses a connection of its own.
	Fresh bool `json:"fresh,omitempty"`
	// HTTP is a request where its Path is set. Else the check is TCP: a
	// connection opens; where Receive is not empty, Send (bytes) is sent, and the
	// answer must hold Receive, each block after the one before.
	HTTP    HTTPCheck    `json:"http,omitzero"`
	Send    string       `json:"send,omitempty"`   // base64
	Receive List[string] `json:"receive,omitzero"` // base64
}

// HTTPCheck is the request of a health check and the answers that mean health.
type HTTPCheck struct {
	Path    string        `json:"path,omitempty"`
	Headers HeaderChanges `json:"headers,omitzero"`
	// Statuses are the good ones, sorted; none means 200.
	Statuses List[uint32] `json:"statuses,omitzero"`
	// Failures are the bad ones, sorted. Where there are any, all others from 100
	// to 599 are good, and Statuses is empty.
	Failures List[uint32] `json:"failures,omitzero"`
	HTTP2    bool         `json:"http2,omitempty"`
}

// Outliers says when an endpoint that answers badly is left out for a while.
// The zero Outliers says never. The numbers mean what Envoy's
// OutlierDetection says of the fields of like names.
type Outliers struct {
	Interval         Duration `json:"interval,omitempty"`
	BaseEjectionTime Duration `json:"baseEjectionTime,omitempty"`
	// MaxEjectionPercent is 0..100 of the endpoints; one may always go.
	MaxEjectionPercent uint32 `json:"maxEjectionPercent,omitempty"`
	// SplitLocal counts errors that come from here (connect, reset) apart from
	// those that the endpoint answers.
	SplitLocal bool `json:"splitLocal,omitempty"`
	// Errors in a row that eject; 0 turns the detector off.
	TotalErrors   uint32 `json:"totalErrors,omitempty"`
	GatewayErrors uint32 `json:"gatewayErrors,omitempty"`
	LocalErrors   uint32 `json:"localErrors,omitempty"`
	// StandardDeviation and Failure compare success rates over an Interval;
	// they are off where MinimumHosts is 0.
	StandardDeviation SuccessRate `json:"standardDeviation,omitzero"`
	Failure           SuccessRate `json:"failure,omitzero"`
}

// SuccessRate is a detector over the success rates of endpoints.
type SuccessRate struct {
	MinimumHosts  uint32 `json:"minimumHosts,omitempty"`
	RequestVolume uint32 `json:"requestVolume,omitempty"`
	// Factor, in thousandths, is of the standard deviation below the mean that
	// ejects (StandardDeviation); Threshold the percentage of failures from
	// which on an endpoint is ejected (Failure).
	Factor    uint32 `json:"factor,omitempty"`
	Threshold uint32 `json:"threshold,omitempty"`
}

// Thresholds bound what a cluster may have in flight in one process; 0 means no bound.
// What is over them is answered 503 with "upstream_reset_before_response_started{overflow}".
type Thresholds struct {
	MaxConnections     uint32 `json:"maxConnections,omitempty"`
	MaxPendingRequests uint32 `json:"maxPendingRequests,omitempty"`
	MaxRequests        uint32 `json:"maxRequests,omitempty"`
	// MaxRetries bounds retries that run at the same time. Where it is 0, the
	// retry budget is Envoy's: 20 % of the requests in flight, at least 3.
	MaxRetries uint32 `json:"maxRetries,omitempty"`
}
