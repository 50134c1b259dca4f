package kong

import (
	"cmp"
	"strings"

	"github.com/meshc/meshc/schema/tree"
)

// VaultReference begins a value that Kong fetches from a vault.
const VaultReference = "{vault://"

// InVault returns the first field of a Certificate or CACertificate that is a
// reference to a vault; "" where none is.
func InVault(n *tree.Node) string {
	for _, field := range []string{"cert", "key", "cert_alt", "key_alt"} {
		if strings.HasPrefix(n.Get(field).Str(), VaultReference) {
			return field
		}
	}
	return ""
}

// Certificate is a certificate with its key, in PEM, or references to a vault.
type Certificate struct {
	ID   string      `json:"id"`
	Cert string      `json:"cert"`
	Key  tree.Hidden `json:"key"`
	// CertAlt and KeyAlt are of another kind of key, or both empty.
	CertAlt string      `json:"cert_alt"`
	KeyAlt  tree.Hidden `json:"key_alt"`
}

// SNI is a server name and the certificate for it.
type SNI struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Certificate Reference `json:"certificate"`
}

// CACertificate is a certificate that others are verified against.
type CACertificate struct {
	ID   string `json:"id"`
	Cert string `json:"cert"`
}

// Plugin is a plugin, which meshc does not run, and what it would apply to.
type Plugin struct {
	ID            string             `json:"id"`
	Name          string             `json:"name"`
	InstanceName  string             `json:"instance_name"`
	Enabled       bool               `json:"enabled"`
	Service       *Reference         `json:"service"`
	Route         *Reference         `json:"route"`
	Consumer      *ConsumerReference `json:"consumer"`
	ConsumerGroup *Reference         `json:"consumer_group"`
}

// ConsumerReference names a consumer.
type ConsumerReference struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Username string `json:"username"`
}

// Key returns what the reference says.
func (r *ConsumerReference) Key() string { return cmp.Or(r.ID, r.Username, r.Name) }

// Consumer is a consumer (Username, CustomID) or a group of consumers (Name).
type Consumer struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	CustomID string `json:"custom_id"`
	Name     string `json:"name"`
}
