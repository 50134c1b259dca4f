// Package kubernetes holds the Kubernetes documents that meshc understands, as
// plain values. Field names and meaning are those of k8s.io/api; fields that
// the compiler has no use for live only in the document's JSON.
package kubernetes

import (
	"fmt"

	"github.com/meshc/meshc/schema/tree"
)

// Meta is the part of ObjectMeta that the compiler reads.
type Meta struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Service is a core/v1 Service after defaulting.
type Service struct {
	Metadata Meta        `json:"metadata"`
	Spec     ServiceSpec `json:"spec"`
	// Status is what the cluster says of its load balancer.
	Status struct {
		LoadBalancer struct {
			Ingress []struct {
				IP string `json:"ip"`
			} `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
}

// ServiceSpec is what a Service asks for.
type ServiceSpec struct {
	Type                     string            `json:"type"`
	Selector                 map[string]string `json:"selector"`
	ClusterIP                string            `json:"clusterIP"`
	ClusterIPs               []string          `json:"clusterIPs"`
	ExternalIPs              []string          `json:"externalIPs"`
	ExternalName             string            `json:"externalName"`
	LoadBalancerIP           string            `json:"loadBalancerIP"`
	LoadBalancerSourceRanges []string          `json:"loadBalancerSourceRanges"`
	ExternalTrafficPolicy    string            `json:"externalTrafficPolicy"`
	InternalTrafficPolicy    string            `json:"internalTrafficPolicy"`
	HealthCheckNodePort      int32             `json:"healthCheckNodePort"`
	PublishNotReadyAddresses bool              `json:"publishNotReadyAddresses"`
	SessionAffinity          string            `json:"sessionAffinity"`
	// SessionAffinityConfig is set where SessionAffinity is ClientIP.
	SessionAffinityConfig struct {
		ClientIP struct {
			TimeoutSeconds int32 `json:"timeoutSeconds"`
		} `json:"clientIP"`
	} `json:"sessionAffinityConfig"`
	TopologyKeys []string      `json:"topologyKeys"`
	Ports        []ServicePort `json:"ports"`
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Name        string      `json:"name"`
	Protocol    string      `json:"protocol"`
	AppProtocol string      `json:"appProtocol"`
	Port        int32       `json:"port"`
	TargetPort  IntOrString `json:"targetPort"`
	NodePort    int32       `json:"nodePort"`
}

// IntOrString is a port number, or the name of a port.
type IntOrString struct {
	Int int32
	Str string
}

// Endpoints is a core/v1 Endpoints.
type Endpoints struct {
	Metadata Meta             `json:"metadata"`
	Subsets  []EndpointSubset `json:"subsets"`
}

// EndpointSubset is a set of addresses that share ports.
type EndpointSubset struct {
	Addresses         []EndpointAddress `json:"addresses"`
	NotReadyAddresses []EndpointAddress `json:"notReadyAddresses"`
	Ports             []EndpointPort    `json:"ports"`
}

// EndpointAddress is one address of a subset.
type EndpointAddress struct {
	IP       string `json:"ip"`
	Hostname string `json:"hostname"`
	NodeName string `json:"nodeName"`
}

// EndpointPort is one port of a subset or slice. In a slice Port may be absent (0).
type EndpointPort struct {
	Name        string `json:"name"`
	Port        int32  `json:"port"`
	Protocol    string `json:"protocol"`
	AppProtocol string `json:"appProtocol"`
}

// EndpointSlice is a discovery.k8s.io/v1 EndpointSlice.
type EndpointSlice struct {
	Metadata    Meta            `json:"metadata"`
	AddressType string          `json:"addressType"`
	Endpoints   []SliceEndpoint `json:"endpoints"`
	Ports       []EndpointPort  `json:"ports"`
}

// SliceEndpoint is one endpoint of a slice.
type SliceEndpoint struct {
	Addresses  []string `json:"addresses"`
	Conditions struct {
		// Ready is nil where nobody said; the API reads that as ready.
		Ready       *bool `json:"ready"`
		Serving     *bool `json:"serving"`
		Terminating *bool `json:"terminating"`
	} `json:"conditions"`
	Hostname string `json:"hostname"`
	NodeName string `json:"nodeName"`
	Zone     string `json:"zone"`
	// DeprecatedTopology is what v1beta1 called topology: labels of the node.
	DeprecatedTopology map[string]string `json:"deprecatedTopology"`
}

// ServiceNameLabel on an EndpointSlice names the Service it belongs to.
const ServiceNameLabel = "kubernetes.io/service-name"

// DecodeScalar takes an integer or a string.
func (p *IntOrString) DecodeScalar(n *tree.Node) error {
	if i, ok := n.Int64(); ok && i == int64(int32(i)) {
		p.Int = int32(i)
		return nil
	}
	if n.Kind != tree.String {
		return fmt.Errorf("%s where a port number or name belongs", n.Kind)
	}
	p.Str = n.Text
	return nil
}
