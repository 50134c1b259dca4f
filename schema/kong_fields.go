package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// unread are the fields that Kong and decK know of entities which meshc looks
// at only for their names (kong/db/schema/entities; the credentials are those
// of Kong's plugins).
var unread = map[string][]string{
	"plugins": {"config", "_config", "protocols", "tags", "ordering", "run_on", "condition", "partials", "created_at", "updated_at"},
	"consumers": {
		"tags", "type", "username_lower", "groups", "consumer_groups", "created_at", "updated_at",
		"acls", "basicauth_credentials", "hmacauth_credentials", "jwt_secrets", "keyauth_credentials", "keyauth_enc_credentials",
		"mtls_auth_credentials", "oauth2_credentials", "oauth2_authorization_codes", "oauth2_tokens",
		"consumer_group_consumers",
	},
	"consumer_groups": {"tags", "consumers", "consumer_group_consumers", "consumer_group_plugins", "created_at", "updated_at"},
}

func (e *kongEntity) known() []string { return slices.Concat(e.keep, e.inside, unread[e.list]) }

// looksAt reports whether the rules are to see a field: one that is looked at,
// or a misspelt one, for then that one is not missing.
func (e *kongEntity) looksAt(key string) bool {
	if slices.Contains(e.known(), key) {
		return slices.Contains(e.keep, key)
	}
	return slices.Contains(e.keep, diag.Nearest(key, e.known()))
}

// checkUnread reports fields of an entity of that sort that nobody knows. Lists
// may be of entities that a plugin of somebody's own adds, and are left out
// with a warning unless they look misspelt.
func (k *kongFile) checkUnread(e *kongEntity, n *tree.Node) {
	known := e.known()
	for _, f := range n.Fields {
		if slices.Contains(known, f.Key) || slices.Contains(remarks, f.Key) || e.looksAt(f.Key) {
			continue
		}
		near := diag.Nearest(f.Key, known)
		if f.Value.Kind == tree.List && near == "" && e.list != "plugins" {
			k.add(notApplied(f.KeyPos, f.Key, fmt.Sprintf("meshc does not know %s of a %s and leaves them out (%d here)",
				f.Key, strings.ReplaceAll(e.one, "_", " "), len(f.Value.Items))))
			continue
		}
		hint := ""
		if near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		k.errorAt(diag.CodeUnknownField, f.KeyPos, f.Key, fmt.Sprintf("unknown field %q", f.Key), hint)
	}
}

// elsewhere are fields that are often written in the wrong entity, and the one
// that has them.
var elsewhere = map[string]string{
	"hosts": "route", "paths": "route", "methods": "route", "strip_path": "route", "preserve_host": "route",
	"weight": "target", "target": "target", "algorithm": "upstream", "healthchecks": "upstream",
	"url": "service", "host": "service", "connect_timeout": "service", "retries": "service",
}

// hintFields gives the findings about unknown fields of an entity the remedy
// that its rules do not know, for they know neither the lists in it nor others.
func hintFields(e *kongEntity, found []diag.Diagnostic) {
	for i := range found {
		d := &found[i]
		if d.Code != diag.CodeUnknownField {
			continue
		}
		if one := elsewhere[d.Path]; one != "" && one != e.one {
			d.Hint = fmt.Sprintf("%s is a field of %ss", d.Path, one)
		} else if near := diag.Nearest(d.Path, e.inside); near != "" {
			d.Hint = fmt.Sprintf("did you mean %q?", near)
		}
	}
}
