// Package kong holds the Kong entities that meshc understands, as plain values.
package kong

// Service is a Kong Service after defaulting, its url shorthand expanded into
// Protocol, Host, Port and Path. Timeouts are in milliseconds.
type Service struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	Protocol       string   `json:"protocol"`
	Host           string   `json:"host"`
	Port           int32    `json:"port"`
	Path           string   `json:"path"`
	Retries        *int32   `json:"retries"`
	ConnectTimeout int32    `json:"connect_timeout"`
	WriteTimeout   int32    `json:"write_timeout"`
	ReadTimeout    int32    `json:"read_timeout"`
	Tags           []string `json:"tags"`
	// Enabled is nil where nobody said, which means true.
	Enabled *bool `json:"enabled"`
	// ClientCertificate is nil where none is set.
	ClientCertificate *Reference `json:"client_certificate"`
	// TLSVerify is nil where nobody said, which means false.
	TLSVerify *bool `json:"tls_verify"`
	// CACertificates are the ids of those that the upstream is verified against.
	CACertificates []string `json:"ca_certificates"`
}
