package schema

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/tree"
)

var kongServiceKind = &kind{
	dialect: Kong, name: "Service", definition: "#KongService",
	body:      func() any { return new(kong.Service) },
	normalise: (*reader).kongNormal,
	word:      wordURL,
	identify: func(d *Document) {
		s := d.Body.(*kong.Service)
		if d.Name = s.Name; d.Name == "" {
			d.Name = fmt.Sprintf("%s-%d", s.Host, s.Port)
		}
		// Kong takes null for its default when it proxies.
		for _, ms := range []*int32{&s.ConnectTimeout, &s.WriteTimeout, &s.ReadTimeout} {
			if *ms == 0 {
				*ms = kongTimeout
			}
		}
	},
	unapplied: []unapplied{
		{[]string{"tls_verify_depth"}, "the upstream may show a chain of certificates of any length"},
	},
}

// kongTimeout is Kong's default for its timeouts, in milliseconds.
const kongTimeout = 60000

var (
	kongRouteKind = &kind{
		dialect: Kong, name: "Route", definition: "#KongRoute",
		body: func() any { return new(kong.Route) },
		identify: func(d *Document) {
			r := d.Body.(*kong.Route)
			if d.Name = cmp.Or(r.Name, r.ID); d.Name == "" {
				d.Name = digestName(canonical(d.Tree))
				if r.Service != nil {
					d.Name = r.Service.Label() + "/" + d.Name
				}
			}
		},
		unquoted: [][]string{{"headers", "*", "*"}},
	}
	kongUpstreamKind = &kind{
		dialect: Kong, name: "Upstream", definition: "#KongUpstream",
		body:     func() any { return new(kong.Upstream) },
		identify: func(d *Document) { d.Name = d.Body.(*kong.Upstream).Name },
		unquoted: [][]string{{"healthchecks", "active", "headers", "*", "*"}},
	}
	kongTargetKind = &kind{
		dialect: Kong, name: "Target", definition: "#KongTarget",
		body: func() any { return new(kong.Target) },
		identify: func(d *Document) {
			t := d.Body.(*kong.Target)
			d.Name = t.Upstream.Label() + "/" + withTargetPort(t.Target)
		},
	}
	kongCertificateKind = &kind{
		dialect: Kong, name: "Certificate", definition: "#KongCertificate",
		body: func() any { return new(kong.Certificate) },
		identify: func(d *Document) {
			c := d.Body.(*kong.Certificate)
			if d.Name = c.ID; d.Name == "" {
				d.Name = digestName(c.Cert)
			}
		},
		secrets: [][]string{{"key"}, {"key_alt"}, {"passphrase"}},
	}
	kongSNIKind = &kind{
		dialect: Kong, name: "SNI", definition: "#KongSNI",
		body:     func() any { return new(kong.SNI) },
		identify: func(d *Document) { d.Name = d.Body.(*kong.SNI).Name },
	}
	kongCACertificateKind = &kind{
		dialect: Kong, name: "CACertificate", definition: "#KongCACertificate",
		body: func() any { return new(kong.CACertificate) },
		identify: func(d *Document) {
			c := d.Body.(*kong.CACertificate)
			if d.Name = c.ID; d.Name == "" {
				d.Name = digestName(c.Cert)
			}
		},
	}
	// Of these only the names are kept, and what plugins would apply to: they
	// are left out, but what refers to them must not lead nowhere.
	kongPluginKind = &kind{
		dialect: Kong, name: "Plugin", definition: "#KongPlugin",
		body: func() any { return new(kong.Plugin) },
		identify: func(d *Document) {
			p := d.Body.(*kong.Plugin)
			if d.Name = cmp.Or(p.InstanceName, p.ID); d.Name == "" {
				d.Name = p.Name + "-" + digestName(canonical(d.Tree))
			}
		},
	}
	kongConsumerKind = &kind{
		dialect: Kong, name: "Consumer", definition: "#KongConsumer",
		body: func() any { return new(kong.Consumer) },
		identify: func(d *Document) {
			c := d.Body.(*kong.Consumer)
			d.Name = cmp.Or(c.Username, c.CustomID, c.ID)
		},
	}
	kongConsumerGroupKind = &kind{
		dialect: Kong, name: "ConsumerGroup", definition: "#KongConsumerGroup",
		body: func() any { return new(kong.Consumer) },
		identify: func(d *Document) {
			c := d.Body.(*kong.Consumer)
			d.Name = cmp.Or(c.Name, c.ID)
		},
	}

	kongKinds = []*kind{
		kongServiceKind, kongRouteKind, kongUpstreamKind, kongTargetKind, kongCertificateKind, kongSNIKind, kongCACertificateKind,
		kongPluginKind, kongConsumerKind, kongConsumerGroupKind,
	}
)

// digestName names what has no name by what it says, so that the name does not
// depend on where it stands.
func digestName(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// withTargetPort adds the default port to a target that has none, as Kong does
// before it compares targets.
func withTargetPort(target string) string {
	if _, _, err := net.SplitHostPort(target); err == nil {
		return target
	}
	return net.JoinHostPort(strings.Trim(target, "[]"), strconv.Itoa(kong.DefaultTargetPort))
}

// kongNormal expands url, and a client certificate that a declarative file
// names by its id alone.
func (r *reader) kongNormal(n *tree.Node) *tree.Node {
	return r.kongURL(rewrite(n, []string{"client_certificate"}, kongReferenceBy("id")))
}

var kongUUID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// kongReference writes a reference that is only an id or a name in full.
func kongReference(v *tree.Node) *tree.Node {
	if kongUUID.MatchString(v.Str()) {
		return kongReferenceBy("id")(v)
	}
	return kongReferenceBy("name")(v)
}

// kongReferenceBy writes a reference that is only what key says in full.
func kongReferenceBy(key string) func(*tree.Node) *tree.Node {
	return func(v *tree.Node) *tree.Node {
		if v.Kind != tree.String {
			return v
		}
		return &tree.Node{Kind: tree.Map, Pos: v.Pos, Fields: []tree.Field{{Key: key, KeyPos: v.Pos, Value: v}}}
	}
}

// kongOldPath is what a path holds that formats before 3.0 do not take for a
// pattern (kong/db/migrations/migrate_path_280_300.lua).
var kongOldPath = regexp.MustCompile(`^[a-zA-Z0-9._~/%-]*$`)

// kongPathOf returns a path of an old format as format 3.0 writes it.
func kongPathOf(v *tree.Node) *tree.Node {
	if v.Kind != tree.String || kongOldPath.MatchString(v.Text) || strings.HasPrefix(v.Text, "~") {
		return v
	}
	out := *v
	out.Text = "~" + v.Text
	return &out
}
