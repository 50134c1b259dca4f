// Package kuma holds the Kuma resources that meshc understands, as plain
// values. Tags have their full names here: the short tags service and protocol
// have become kuma.io/service and kuma.io/protocol.
package kuma

// The tags that mean something to the compiler.
const (
	ServiceTag  = "kuma.io/service"
	ProtocolTag = "kuma.io/protocol"
)

// Mesh is a Kuma Mesh. Only what this build acts on, or must refuse to ignore,
// is decoded.
type Mesh struct {
	Name string `json:"name"`
	MTLS struct {
		EnabledBackend string `json:"enabledBackend"`
	} `json:"mtls"`
}

// Dataplane is a Kuma Dataplane.
type Dataplane struct {
	Mesh       string `json:"mesh"`
	Name       string `json:"name"`
	Networking struct {
		Address  string     `json:"address"`
		Inbound  []Inbound  `json:"inbound"`
		Outbound []Outbound `json:"outbound"`
		// Gateway and Ingress are nil where the dataplane is neither.
		Gateway *struct {
			Tags map[string]string `json:"tags"`
		} `json:"gateway"`
		Ingress *struct{} `json:"ingress"`
	} `json:"networking"`
}

// Inbound is a listener that takes traffic for the service beside the proxy.
type Inbound struct {
	Address        string            `json:"address"`
	Port           int32             `json:"port"`
	ServiceAddress string            `json:"serviceAddress"`
	ServicePort    int32             `json:"servicePort"`
	Tags           map[string]string `json:"tags"`
	// Health is nil where nobody said, which means healthy.
	Health *struct {
		Ready bool `json:"ready"`
	} `json:"health"`
}

// Outbound is a listener through which the service reaches another.
type Outbound struct {
	Address string            `json:"address"`
	Port    int32             `json:"port"`
	Service string            `json:"service"`
	Tags    map[string]string `json:"tags"`
}

// ExternalService is a service outside the mesh.
type ExternalService struct {
	Mesh       string            `json:"mesh"`
	Name       string            `json:"name"`
	Tags       map[string]string `json:"tags"`
	Networking struct {
		// Address is HOST:PORT.
		Address string `json:"address"`
		TLS     *struct {
			Enabled bool `json:"enabled"`
		} `json:"tls"`
	} `json:"networking"`
}

// TrafficRoute says where the traffic of an outbound goes.
type TrafficRoute struct {
	Mesh         string     `json:"mesh"`
	Name         string     `json:"name"`
	CreationTime string     `json:"creationTime"`
	Sources      []Selector `json:"sources"`
	Destinations []Selector `json:"destinations"`
	Conf         struct {
		Split []Split `json:"split"`
	} `json:"conf"`
}

// Selector selects by tags; "*" matches any value of a tag that is there.
type Selector struct {
	Match map[string]string `json:"match"`
}

// Split is one arm of a TrafficRoute.
type Split struct {
	Weight      uint32            `json:"weight"`
	Destination map[string]string `json:"destination"`
}
