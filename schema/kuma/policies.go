package kuma

// Selector selects by tags; "*" matches any value of a tag that is there.
type Selector struct {
	Match map[string]string `json:"match"`
}

// FromTo is what policies about traffic between services have in common.
type FromTo struct {
	Mesh         string     `json:"mesh"`
	Name         string     `json:"name"`
	CreationTime string     `json:"creationTime"`
	Sources      []Selector `json:"sources"`
	Destinations []Selector `json:"destinations"`
}

// Traffic returns whose traffic the policy is about.
func (p *FromTo) Traffic() *FromTo { return p }

// OfProxies is what policies about proxies have in common.
type OfProxies struct {
	Mesh         string     `json:"mesh"`
	Name         string     `json:"name"`
	CreationTime string     `json:"creationTime"`
	Selectors    []Selector `json:"selectors"`
}

// Proxies returns which proxies the policy is about.
func (p *OfProxies) Proxies() *OfProxies { return p }

// TrafficRoute says where the traffic of an outbound goes.
type TrafficRoute struct {
	FromTo
	Conf struct {
		Shares
		HTTP         []HTTPRoute   `json:"http"`
		LoadBalancer *LoadBalancer `json:"loadBalancer"` // nil: the service's own way
	} `json:"conf"`
}

// Shares say where traffic goes: by weight, or all of it to one Destination.
type Shares struct {
	Split       []Split           `json:"split"`
	Destination map[string]string `json:"destination"`
}

// Arms returns s as shares by weight.
func (s *Shares) Arms() []Split {
	if s.Destination != nil {
		return []Split{{Weight: 1, Destination: s.Destination}}
	}
	return s.Split
}

// HTTPRoute is where some requests go, and what is changed on the way. Its
// fields are those of later versions of Kuma.
type HTTPRoute struct {
	Match struct {
		Method  *TextMatch           `json:"method"`
		Path    *TextMatch           `json:"path"`
		Headers map[string]TextMatch `json:"headers"`
	} `json:"match"`
	Modify struct {
		Path struct {
			RewritePrefix *string  `json:"rewritePrefix"`
			Regex         *Replace `json:"regex"`
		} `json:"path"`
		Host struct {
			Value    string   `json:"value"`
			FromPath *Replace `json:"fromPath"`
		} `json:"host"`
		RequestHeaders  HeaderChanges `json:"requestHeaders"`
		ResponseHeaders HeaderChanges `json:"responseHeaders"`
	} `json:"modify"`
	Shares
}

// TextMatch matches the start of a text, all of it, or all of it by a regular
// expression: exactly one is set.
type TextMatch struct {
	Prefix string `json:"prefix"`
	Exact  string `json:"exact"`
	Regex  string `json:"regex"`
}

// Replace puts Substitution in place of each match of Pattern; \1 in it is the
// first group.
type Replace struct {
	Pattern      string `json:"pattern"`
	Substitution string `json:"substitution"`
}

// HeaderChanges are changes to the headers of a message.
type HeaderChanges struct {
	Add []struct {
		Name   string `json:"name"`
		Value  string `json:"value"`
		Append bool   `json:"append"` // else in place of what is there
	} `json:"add"`
	Remove []struct {
		Name string `json:"name"`
	} `json:"remove"`
}

// Split is one arm of a TrafficRoute.
type Split struct {
	Weight      uint32            `json:"weight"`
	Destination map[string]string `json:"destination"`
}

// LoadBalancer says how endpoints share the requests: the one that is not nil.
type LoadBalancer struct {
	RoundRobin   *struct{} `json:"roundRobin"`
	LeastRequest *struct {
		ChoiceCount uint32 `json:"choiceCount"` // 0: 2
	} `json:"leastRequest"`
	RingHash *struct {
		HashFunction string `json:"hashFunction"`
		MinRingSize  uint64 `json:"minRingSize"` // 0: Envoy's own
		MaxRingSize  uint64 `json:"maxRingSize"` // 0: Envoy's own
	} `json:"ringHash"`
	Random *struct{} `json:"random"`
	Maglev *struct{} `json:"maglev"`
}

// TrafficPermission says who may reach whom.
type TrafficPermission struct{ FromTo }

// TrafficLog says which traffic is logged, and where.
type TrafficLog struct {
	FromTo
	// Conf.Backend is "" for the mesh's default.
	Conf struct {
		Backend string `json:"backend"`
	} `json:"conf"`
}

// TrafficTrace says which proxies send spans, and where.
type TrafficTrace struct {
	OfProxies
	// Conf.Backend is "" for the mesh's default.
	Conf struct {
		Backend string `json:"backend"`
	} `json:"conf"`
}

// HealthCheck says how proxies find out which endpoints of a service work.
type HealthCheck struct {
	FromTo
	Conf struct {
		Interval           Duration `json:"interval"`
		Timeout            Duration `json:"timeout"`
		UnhealthyThreshold uint32   `json:"unhealthyThreshold"`
		HealthyThreshold   uint32   `json:"healthyThreshold"`
		// Without HTTP and TCP, it is enough that a connection opens.
		HTTP *HTTPCheck `json:"http"`
		TCP  *struct {
			Send    string   `json:"send"`    // base64
			Receive []string `json:"receive"` // base64
		} `json:"tcp"`
		InitialJitter         Duration `json:"initialJitter"`
		IntervalJitter        Duration `json:"intervalJitter"`
		IntervalJitterPercent uint32   `json:"intervalJitterPercent"`
		HealthyPanicThreshold *float64 `json:"healthyPanicThreshold"` // nil: Envoy's own, 50
		FailTrafficOnPanic    bool     `json:"failTrafficOnPanic"`
		NoTrafficInterval     Duration `json:"noTrafficInterval"`
		ReuseConnection       *bool    `json:"reuseConnection"` // nil: true
	} `json:"conf"`
}

// HTTPCheck is a request, and the answers that mean health: 200 alone where
// none is named.
type HTTPCheck struct {
	Path                string `json:"path"`
	UseHTTP1            bool   `json:"useHttp1"`
	RequestHeadersToAdd []struct {
		Header struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"header"`
		Append *bool `json:"append"` // nil: true
	} `json:"requestHeadersToAdd"`
	ExpectedStatuses []int32 `json:"expectedStatuses"`
}

// FaultInjection makes a service fail for some of its clients. A fault without
// content is as good as none.
type FaultInjection struct {
	FromTo
	Conf struct {
		Delay *struct {
			Percentage *float64 `json:"percentage"`
			Value      Duration `json:"value"`
		} `json:"delay"`
		Abort *struct {
			Percentage *float64 `json:"percentage"`
			HTTPStatus int32    `json:"httpStatus"`
		} `json:"abort"`
		ResponseBandwidth *struct {
			Percentage *float64 `json:"percentage"`
			Limit      string   `json:"limit"` // as in "50 mbps"
		} `json:"responseBandwidth"`
	} `json:"conf"`
}

// Retry says what is tried again, and how often. Numbers and durations of 0
// were not written.
type Retry struct {
	FromTo
	Conf struct {
		HTTP *struct {
			NumRetries           uint32   `json:"numRetries"`
			PerTryTimeout        Duration `json:"perTryTimeout"`
			BackOff              *BackOff `json:"backOff"`
			RetriableStatusCodes []uint32 `json:"retriableStatusCodes"`
		} `json:"http"`
		GRPC *struct {
			NumRetries    uint32   `json:"numRetries"`
			PerTryTimeout Duration `json:"perTryTimeout"`
			BackOff       *BackOff `json:"backOff"`
			RetryOn       []string `json:"retryOn"`
		} `json:"grpc"`
		TCP *struct {
			MaxConnectAttempts uint32 `json:"maxConnectAttempts"`
		} `json:"tcp"`
	} `json:"conf"`
}

// BackOff is how long to wait between tries. MaxInterval is 0 where it was not
// written: then it is ten times BaseInterval, as in Envoy.
type BackOff struct {
	BaseInterval Duration `json:"baseInterval"`
	MaxInterval  Duration `json:"maxInterval"`
}

// Timeout says how long things may take. Durations of 0 were not written.
type Timeout struct {
	FromTo
	Conf struct {
		ConnectTimeout Duration `json:"connectTimeout"`
		TCP            struct {
			IdleTimeout Duration `json:"idleTimeout"`
		} `json:"tcp"`
		HTTP struct {
			RequestTimeout Duration `json:"requestTimeout"`
			IdleTimeout    Duration `json:"idleTimeout"`
		} `json:"http"`
		GRPC struct {
			StreamIdleTimeout Duration `json:"streamIdleTimeout"`
			MaxStreamDuration Duration `json:"maxStreamDuration"`
		} `json:"grpc"`
	} `json:"conf"`
}

// CircuitBreaker says when an endpoint gets no more requests. What is nil was
// not written.
type CircuitBreaker struct {
	FromTo
	Conf struct {
		Interval                    Duration  `json:"interval"`
		BaseEjectionTime            Duration  `json:"baseEjectionTime"`
		MaxEjectionPercent          *uint32   `json:"maxEjectionPercent"`
		SplitExternalAndLocalErrors bool      `json:"splitExternalAndLocalErrors"`
		Detectors                   Detectors `json:"detectors"`
		Thresholds                  struct {
			MaxConnections     *uint32 `json:"maxConnections"`
			MaxPendingRequests *uint32 `json:"maxPendingRequests"`
			MaxRetries         *uint32 `json:"maxRetries"`
			MaxRequests        *uint32 `json:"maxRequests"`
		} `json:"thresholds"`
	} `json:"conf"`
}

// Detectors are those that a CircuitBreaker has; a detector without content
// works with Envoy's own numbers.
type Detectors struct {
	TotalErrors       *Consecutive `json:"totalErrors"`
	GatewayErrors     *Consecutive `json:"gatewayErrors"`
	LocalErrors       *Consecutive `json:"localErrors"`
	StandardDeviation *struct {
		RequestVolume *uint32  `json:"requestVolume"`
		MinimumHosts  *uint32  `json:"minimumHosts"`
		Factor        *float64 `json:"factor"`
	} `json:"standardDeviation"`
	Failure *struct {
		RequestVolume *uint32 `json:"requestVolume"`
		MinimumHosts  *uint32 `json:"minimumHosts"`
		Threshold     *uint32 `json:"threshold"`
	} `json:"failure"`
}

// Consecutive is how many errors in a row make a detector act.
type Consecutive struct {
	Consecutive *uint32 `json:"consecutive"`
}

// ProxyTemplate adds to what proxies are told; without selectors, all of the mesh.
type ProxyTemplate struct {
	OfProxies
	Conf struct {
		Imports   []string `json:"imports"`
		Resources []struct {
			Name     string `json:"name"`
			Version  string `json:"version"`
			Resource string `json:"resource"` // Envoy's, as text in YAML or JSON
		} `json:"resources"`
	} `json:"conf"`
}
