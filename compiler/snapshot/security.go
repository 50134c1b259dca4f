package snapshot

// Authority is a certificate authority of a mesh with mTLS: each mTLS backend
// that the Mesh has is one. Proxies trust what any of them has signed, so that
// one can take over from another without a refused connection: add it, enable
// it, and then remove the other.
type Authority struct {
	// ID is "MESH/BACKEND".
	ID      string `json:"id"`
	Mesh    string `json:"mesh"`
	Backend string `json:"backend"` // its name in the Mesh
	// Issues says that it signs the certificates of proxies: the enabled backend.
	Issues bool `json:"issues,omitempty"`
	// Cert and Key are the IDs of secrets in PEM, of an authority that the
	// user provides. Both are empty for one that meshc makes and keeps itself.
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	// RSABits and CAExpiration are those of a certificate that meshc makes.
	RSABits      uint32   `json:"rsaBits,omitempty"`
	CAExpiration Duration `json:"caExpiration,omitempty"`
	// Expiration is how long the certificate of a proxy is valid.
	Expiration Duration     `json:"expiration"`
	Sources    List[string] `json:"sources"`
	Digest     Digest       `json:"digest"`
}

// Secret is bytes that only their owner may see. Exactly one of Data, File, Env
// and Made says where they are. File and Env are looked at where the snapshot is
// served, and followed when they change.
type Secret struct {
	// ID is "MESH/NAME" of what that mesh knows by this name, a Secret document
	// of its own or a GlobalSecret, or the document's ID and the field of what
	// stands in another document; or one of OwnCertificate.
	ID   string `json:"id"`
	Data Hidden `json:"data,omitempty"` // base64
	// File is a path: absolute, or relative to the input root.
	File string `json:"file,omitempty"`
	Env  string `json:"env,omitempty"` // the name of a variable of the process
	// Made is MadeCertificate or MadeKey: of the one certificate, signed by
	// itself, that whoever serves makes and keeps for those who have none.
	Made    string       `json:"made,omitempty"`
	Sources List[string] `json:"sources"`
	Digest  Digest       `json:"digest"`
}

// What Secret.Made may be.
const (
	MadeCertificate = "certificate"
	MadeKey         = "key"
)

// OwnCertificate refers to the secrets that are Made.
func OwnCertificate() Certificate { return Certificate{Cert: "gateway#cert", Key: "gateway#key"} }

// Hidden is text that prints as [redacted]. In the JSON form of a snapshot,
// which is its owner's, it stands as it is; convert it to a string to get at it.
type Hidden string

// String hides the text.
func (h Hidden) String() string { return "[redacted]" }

// GoString hides the text.
func (h Hidden) GoString() string { return "[redacted]" }

// Identity is what a proxy is in one mesh with mTLS.
type Identity struct {
	Mesh string `json:"mesh"`
	// URIs stand in the certificate, sorted: spiffe://MESH/SERVICE for each of
	// its services, kuma://TAG/VALUE for each of its tags.
	URIs List[string] `json:"uris"`
}

// Access says who may use a listener that speaks TLS. The zero Access admits
// everybody whose certificate is of the mesh.
type Access struct {
	Enforced bool `json:"enforced,omitempty"`
	// Rules admit; without any, nobody is. They are sorted by Name.
	Rules List[AccessRule] `json:"rules,omitzero"`
}

// AccessRule admits the clients of one permission.
type AccessRule struct {
	// Name is that of the TrafficPermission.
	Name string `json:"name"`
	// Clients are alternatives.
	Clients List[Client] `json:"clients"`
	Sources List[string] `json:"sources"`
}

// Client is a client whose certificate has all the URIs; with none it is any.
type Client struct {
	URIs List[string] `json:"uris,omitzero"`
}

// Transport is TLS as a client: how those endpoints of a cluster are spoken to
// that name it.
type Transport struct {
	Name string `json:"name"` // unique in its cluster
	// Mesh, where it is set, says that both sides show certificates of the
	// mesh: the proxy's own Identity, and one with one of the Peers as URI.
	Mesh  string       `json:"mesh,omitempty"`
	Peers List[string] `json:"peers,omitzero"`
	// SNI is the server name that is asked for; "" for none.
	SNI string `json:"sni,omitempty"`
	// CA is the ID of the secret with the roots in PEM that the server's
	// certificate must lead to, and its name or address must be Host. Without
	// CA and Mesh the server is not verified (as Envoy does where no CA is given).
	CA   string `json:"ca,omitempty"`
	Host string `json:"host,omitempty"`
	// Cert and Key are the IDs of secrets in PEM that the client shows.
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	// ALPN are the protocols offered.
	ALPN List[string] `json:"alpn,omitzero"`
}
