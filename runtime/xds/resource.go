package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	typeurl "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// kind is a resource type that the server has something for.
type kind int

const (
	cluster kind = iota
	endpoint
	extension
	listener
	route
	secret
	kinds // how many there are

	otherKind = kinds // a type that there is never anything of
)

var typeURLs = [kinds]string{typeurl.ClusterType, typeurl.EndpointType, typeurl.ExtensionConfigType, typeurl.ListenerType, typeurl.RouteType, typeurl.SecretType}

var allKinds = []kind{cluster, endpoint, extension, listener, route, secret}

// kindOf returns the kind of a type URL.
func kindOf(url string) (kind, bool) {
	i := slices.Index(typeURLs[:], url)
	return kind(i), i >= 0
}

// String returns the word that status.Refusal uses.
func (k kind) String() string {
	return [...]string{"cluster", "endpoint", "extension", "listener", "route", "secret", "other"}[k]
}

// whole reports whether a state-of-the-world response of this kind lists all
// that the client may keep, so that what is left out is removed.
func (k kind) whole() bool { return k == cluster || k == listener }

// reference names a resource that a client asks for because of another.
type reference struct {
	kind kind
	name string
}

// resource is one Envoy resource, encoded. It is made once for its content
// and then shared by every view, generation and stream; nobody writes to it.
type resource struct {
	name string
	// version is a digest of the content: the same after a restart of the
	// server and on any other server that compiled the same files.
	version string
	// asks are what the client asks for because of this resource: a cluster's
	// endpoints and secrets; a listener's routes, secrets and the
	// configurations of its filters.
	asks []reference
	// secrets are those in asks.
	secrets []envoy.Secret
	// sources are the documents that a raw resource comes from.
	sources snapshot.List[string]
	// slow is how long the client may take with it, over what others take.
	slow time.Duration
	// any is the google.protobuf.Any, with the field header of a response
	// before it in sotw, and wrapped in a discovery Resource in delta.
	any         []byte
	sotw, delta []byte
}

// needs adds what r's clients ask for over SDS.
func (r *resource) needs(secrets []envoy.Secret) {
	for _, s := range secrets {
		if ask := (reference{secret, s.Name}); !slices.Contains(r.asks, ask) {
			r.asks, r.secrets = append(r.asks, ask), append(r.secrets, s)
		}
	}
}

// encode returns the resource with the given content. Equal content gives
// equal bytes.
func encode(k kind, name string, asks []reference, m proto.Message) (*resource, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	r := newResource(k, name, versionOf(value), value)
	r.asks = asks
	return r, nil
}

// Field numbers of envoy.service.discovery.v3 and google.protobuf.Any.
const (
	anyTypeURL        = 1
	anyValue          = 2
	resourceVersion   = 1
	resourceAny       = 2
	resourceName      = 3
	responseResources = 2 // in both kinds of response
)

func versionOf(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:8])
}

// newResource wraps value, a message of k's type on the wire.
func newResource(k kind, name, version string, value []byte) *resource {
	r := &resource{name: name, version: version}
	r.any = appendBytes(nil, anyTypeURL, []byte(typeURLs[k]))
	r.any = appendBytes(r.any, anyValue, value)
	r.sotw = appendHeader(nil, responseResources, len(r.any))

	var head []byte
	head = appendBytes(head, resourceName, []byte(name))
	head = appendBytes(head, resourceVersion, []byte(r.version))
	head = appendHeader(head, resourceAny, len(r.any))
	r.delta = append(appendHeader(nil, responseResources, len(head)+len(r.any)), head...)
	return r
}

// size is about how many bytes r takes in a response.
func (r *resource) size() int { return len(r.delta) + len(r.any) }

func appendHeader(b []byte, field protowire.Number, size int) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size))
}

func appendBytes(b []byte, field protowire.Number, value []byte) []byte {
	return append(appendHeader(b, field, len(value)), value...)
}

// find returns the resource called name from a list sorted by name, or nil.
func find(sorted []*resource, name string) *resource {
	i, ok := slices.BinarySearchFunc(sorted, name, func(r *resource, name string) int {
		return strings.Compare(r.name, name)
	})
	if !ok {
		return nil
	}
	return sorted[i]
}
