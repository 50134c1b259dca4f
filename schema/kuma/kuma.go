// Package kuma holds the Kuma resources that meshc understands, as plain
// values. Tags have their full names here: the short tags service and protocol
// have become kuma.io/service and kuma.io/protocol.
package kuma

// The tags that mean something to the compiler.
const (
	ServiceTag  = "kuma.io/service"
	ProtocolTag = "kuma.io/protocol"
	ZoneTag     = "kuma.io/zone"
	RegionTag   = "kuma.io/region"
)

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
		Ingress *Ingress `json:"ingress"`
	} `json:"networking"`
	// Metrics stand in place of what the enabled backend of the mesh says; nil
	// where the dataplane says nothing.
	Metrics *struct {
		Conf struct {
			Port     int32             `json:"port"`
			Path     string            `json:"path"`
			Tags     map[string]string `json:"tags"`
			SkipMTLS *bool             `json:"skipMTLS"`
		} `json:"conf"`
	} `json:"metrics"`
}

// Ingress is where a zone takes traffic from other zones.
type Ingress struct {
	// PublicAddress and PublicPort are where others reach it; "" and 0 where
	// nobody said.
	PublicAddress     string      `json:"publicAddress"`
	PublicPort        int32       `json:"publicPort"`
	AvailableServices []Available `json:"availableServices"`
}

// Available is the instances of a service of a zone that have the same tags.
type Available struct {
	Mesh      string            `json:"mesh"` // "": that of the ingress
	Tags      map[string]string `json:"tags"`
	Instances uint32            `json:"instances"`
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
		// TLS is nil where the connection is in the clear.
		TLS *UpstreamTLS `json:"tls"`
	} `json:"networking"`
}

// UpstreamTLS is how an external service is spoken to. A source that is nil
// was not written.
type UpstreamTLS struct {
	Enabled    bool        `json:"enabled"`
	CACert     *DataSource `json:"caCert"`
	ClientCert *DataSource `json:"clientCert"`
	ClientKey  *DataSource `json:"clientKey"`
}
