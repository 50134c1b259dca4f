package kuma

import (
	"time"

	"github.com/meshc/meshc/schema/tree"
)

// Mesh is a Kuma Mesh: its identities, and the backends that policies name.
type Mesh struct {
	Name string `json:"name"`
	MTLS struct {
		EnabledBackend string        `json:"enabledBackend"` // "" turns mTLS off
		Backends       []MTLSBackend `json:"backends"`
	} `json:"mtls"`
	Tracing struct {
		DefaultBackend string           `json:"defaultBackend"`
		Backends       []TracingBackend `json:"backends"`
	} `json:"tracing"`
	Logging struct {
		DefaultBackend string           `json:"defaultBackend"`
		Backends       []LoggingBackend `json:"backends"`
	} `json:"logging"`
	Routing struct {
		LocalityAwareLoadBalancing bool `json:"localityAwareLoadBalancing"`
	} `json:"routing"`
	Metrics struct {
		EnabledBackend string           `json:"enabledBackend"`
		Backends       []MetricsBackend `json:"backends"`
	} `json:"metrics"`
}

// MTLSBackend is a certificate authority: one that meshc keeps (builtin), or
// one that the user brings (provided).
type MTLSBackend struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Conf struct {
		CACert struct { // builtin
			RSABits    uint32 `json:"RSAbits"`
			Expiration string `json:"expiration"` // as in 10y
		} `json:"caCert"`
		Cert *DataSource `json:"cert"` // provided
		Key  *DataSource `json:"key"`  // provided
	} `json:"conf"`
	DPCert struct {
		Rotation struct {
			Expiration string `json:"expiration"` // as in 24h
		} `json:"rotation"`
	} `json:"dpCert"`
}

// TracingBackend is where spans are sent, in the way of Zipkin.
type TracingBackend struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Sampling *float64 `json:"sampling"` // in percent; nil: 100
	Conf     struct {
		URL               string `json:"url"`
		TraceID128Bit     bool   `json:"traceId128bit"`
		APIVersion        string `json:"apiVersion"` // "": httpJson
		SharedSpanContext *bool  `json:"sharedSpanContext"`
	} `json:"conf"`
}

// LoggingBackend is where access logs go: a file, or a TCP address.
type LoggingBackend struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Format string `json:"format"`
	Conf   struct {
		Path    string `json:"path"`    // file
		Address string `json:"address"` // tcp
	} `json:"conf"`
}

// MetricsBackend is where Prometheus finds the metrics of a proxy.
type MetricsBackend struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Conf struct {
		Port     int32             `json:"port"`
		Path     string            `json:"path"`
		Tags     map[string]string `json:"tags"`
		SkipMTLS bool              `json:"skipMTLS"`
	} `json:"conf"`
}

// DataSource is bytes: those of a Secret or a file, or in place. The rules let
// several stand side by side, as Kuma does; the first in this order counts.
type DataSource struct {
	Secret       string `json:"secret"` // the name of a Secret in the same mesh, else of a GlobalSecret
	File         string `json:"file"`
	Inline       Hidden `json:"inline"` // base64
	InlineString Hidden `json:"inlineString"`
}

// Secret is a Secret or a GlobalSecret: exactly one of Data, File and Env is set.
type Secret struct {
	Mesh string `json:"mesh"` // "" for a GlobalSecret
	Name string `json:"name"`
	Data Hidden `json:"data"` // base64
	File string `json:"file"`
	Env  string `json:"env"`
}

// Zone is a Kuma installation in a network of many.
type Zone struct {
	Name    string `json:"name"`
	Enabled *bool  `json:"enabled"` // nil: true
	Ingress struct {
		Address string `json:"address"` // HOST:PORT, or ""
	} `json:"ingress"`
}

// Hidden is text that must not be seen.
type Hidden = tree.Hidden

// Duration is a duration that documents write as Go does: 1m30s.
type Duration time.Duration

// String writes the duration as documents do.
func (d Duration) String() string { return time.Duration(d).String() }

// DecodeScalar reads what the schema has let pass.
func (d *Duration) DecodeScalar(n *tree.Node) error {
	v, err := time.ParseDuration(n.Text)
	*d = Duration(v)
	return err
}
