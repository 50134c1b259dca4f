package schema

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/tree"
)

// kongLost says what is lost without a plugin, by its name; the same words do
// for the -advanced one of Kong Enterprise.
var kongLost = map[string]string{
	"acl":                    "everybody is let in",
	"acme":                   "no certificate is ordered",
	"aws-lambda":             "the function is not called, and the request goes to the service",
	"azure-functions":        "the function is not called, and the request goes to the service",
	"basic-auth":             "nobody is asked for a password",
	"bot-detection":          "bots are let in",
	"correlation-id":         "requests get no id",
	"cors":                   "no CORS headers are sent",
	"datadog":                "nothing is counted there",
	"file-log":               "nothing is logged there",
	"forward-proxy":          "requests do not go by way of the proxy",
	"grpc-gateway":           "REST is not translated to gRPC",
	"grpc-web":               "gRPC-Web is not translated",
	"header-cert-auth":       "nobody is asked for a certificate",
	"hmac-auth":              "nobody is asked for a signature",
	"http-log":               "nothing is logged there",
	"ip-restriction":         "every address is let in",
	"jwe-decrypt":            "tokens are not decrypted",
	"jwt":                    "nobody is asked for a token",
	"jwt-signer":             "tokens are neither verified nor signed",
	"kafka-log":              "nothing is logged there",
	"key-auth":               "nobody is asked for a key",
	"key-auth-enc":           "nobody is asked for a key",
	"ldap-auth":              "nobody is asked for a password",
	"loggly":                 "nothing is logged there",
	"mocking":                "no answers are made up",
	"mtls-auth":              "nobody is asked for a certificate",
	"oauth2":                 "nobody is asked for a token",
	"oauth2-introspection":   "nobody is asked for a token",
	"opa":                    "no policy is asked",
	"openid-connect":         "nobody is asked to log in",
	"opentelemetry":          "nothing is traced there",
	"post-function":          "its code does not run",
	"pre-function":           "its code does not run",
	"prometheus":             "its metrics are not counted; meshc has its own at /metrics",
	"proxy-cache":            "no answer is cached",
	"rate-limiting":          "nobody is slowed down",
	"redirect":               "nobody is redirected",
	"request-size-limiting":  "requests of any size are let through",
	"request-termination":    "requests are not cut short, and go to the service",
	"request-transformer":    "requests go on as they came",
	"request-validator":      "requests go on unchecked",
	"response-ratelimiting":  "nobody is slowed down",
	"response-transformer":   "responses go back as they came",
	"route-by-header":        "requests go to the route's own service",
	"route-transformer":      "requests go on as they came",
	"saml":                   "nobody is asked to log in",
	"session":                "no session is kept",
	"statsd":                 "nothing is counted there",
	"syslog":                 "nothing is logged there",
	"tcp-log":                "nothing is logged there",
	"tls-handshake-modifier": "nobody is asked for a certificate",
	"udp-log":                "nothing is logged there",
	"upstream-timeout":       "the service's own timeouts stand",
	"vault-auth":             "nobody is asked for a token",
	"websocket-validator":    "messages go on unchecked",
	"zipkin":                 "nothing is traced there",
}

// tellUnapplied warns of what this build leaves out of a right entity, which
// was written as n.
func (k *kongFile) tellUnapplied(e *kongEntity, d *Document, n *tree.Node, path string) {
	switch b := d.Body.(type) {
	case *kong.Plugin:
		if b.Enabled {
			lost := cmp.Or(kongLost[b.Name], kongLost[strings.TrimSuffix(b.Name, "-advanced")], "what it checks, limits or changes is not done")
			k.add(notApplied(n.Pos, path, fmt.Sprintf("plugin %s is left out: %s", b.Name, lost)))
		}
	case *kong.Consumer:
		k.leftOut(e, n, path)
	case *kong.Certificate, *kong.CACertificate:
		if field := kong.InVault(n); field != "" {
			k.add(notApplied(n.Find(field), field, "references into a vault are not resolved"))
		}
	}
}

// leftOut warns of an entity that this build leaves out.
func (k *kongFile) leftOut(e *kongEntity, n *tree.Node, path string) {
	name := strings.ReplaceAll(e.one, "_", " ")
	for _, field := range []string{"username", "name", "prefix", "custom_id", "group", "id"} {
		if v := n.Get(field).Str(); v != "" {
			name += " " + v
			break
		}
	}
	k.add(notApplied(n.Pos, path, fmt.Sprintf("%s is left out: %s", name, e.lost)))
}
