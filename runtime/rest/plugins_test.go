package rest_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

// withPlugins is a snapshot in which one plugin runs on a listener as a whole
// and another on some routes, each with a secret in its configuration.
func withPlugins() snapshot.Snapshot {
	module := snapshot.Blob{Data: "\x00asm the module's code"}
	auth := snapshot.Filter{
		Name: "default/auth", Kind: "wasm", Config: `{"configuration":"s3cr3t"}`, Blob: module.Sum(),
		Clusters: snapshot.ListOf("keys"), Sources: snapshot.ListOf("meshc/WasmPlugin/default/auth"),
	}
	plain := snapshot.Filter{Name: "default/plain", Kind: "other", Config: `"s3cr3t"`}
	routed := auth
	routed.PerRoute = true
	return snapshot.Seal(snapshot.Snapshot{
		Proxies: snapshot.ListOf(
			snapshot.Proxy{ID: "default.web", Listeners: snapshot.ListOf(
				snapshot.Listener{Name: "inbound:127.0.0.1:80", Protocol: snapshot.TCP, Filters: snapshot.ListOf(plain, auth)},
				snapshot.Listener{Name: "outbound:127.0.0.1:81", Protocol: snapshot.TCP},
			)},
			snapshot.Proxy{ID: "gateway", Listeners: snapshot.ListOf(snapshot.Listener{
				Name: "gateway", Protocol: snapshot.HTTP, Filters: snapshot.ListOf(routed),
				VirtualHosts: snapshot.ListOf(snapshot.VirtualHost{Name: "web", Routes: snapshot.ListOf(
					snapshot.Route{Name: "a", Filters: snapshot.ListOf("wasm/default/auth")}, snapshot.Route{Name: "b"},
					snapshot.Route{Name: "c", Filters: snapshot.ListOf("wasm/default/auth")},
				)}),
			})},
		),
		Blobs:   snapshot.ListOf(module),
		Origins: snapshot.ListOf(snapshot.Origin{ID: "meshc/WasmPlugin/default/auth", File: "auth.yaml", Line: 3, Column: 1}),
	})
}

func TestPlugins(t *testing.T) {
	v := start(t)
	v.commit(withPlugins())
	for i := range 2 {
		v.board.AddFault("wasm", "default/auth", status.Fault{Time: time.Unix(int64(i), 0).UTC(), Reason: "trap", Detail: "unreachable", Restart: time.Unix(9, 0).UTC()})
	}
	v.board.AddFault("wasm", "default/gone", status.Fault{Reason: "trap"})
	var got []any
	a := v.get("/meshc/plugins", 200, &got)
	digest := withPlugins().Blobs.At(0).Digest.String()
	var want []any
	if err := json.Unmarshal([]byte(`[
		{"name": "default/auth", "kind": "wasm", "module": {"sha256": "`+digest+`", "size": 22},
		 "attached": [{"proxy": "default.web", "listener": "inbound:127.0.0.1:80", "protocol": "tcp"}, {"proxy": "gateway", "listener": "gateway", "protocol": "http", "routes": 2}],
		 "calls": ["keys"], "origins": [{"id": "meshc/WasmPlugin/default/auth", "file": "auth.yaml", "line": 3, "column": 1}],
		 "faults": {"trap": 2}, "last": {"time": "1970-01-01T00:00:01Z", "reason": "trap", "detail": "unreachable", "restart": "1970-01-01T00:00:09Z"}},
		{"name": "default/plain", "kind": "other", "attached": [{"proxy": "default.web", "listener": "inbound:127.0.0.1:80", "protocol": "tcp"}], "calls": [], "origins": [], "faults": {}}
	]`), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if strings.Contains(a.body, "s3cr3t") {
		t.Error("a secret is shown")
	}
}

// What configures a filter is for the filter alone, and what it runs is too
// large to be shown.
func TestSnapshotHidesConfigurationsAndBlobs(t *testing.T) {
	v := start(t)
	s := withPlugins()
	v.commit(s)
	var got snapshot.Snapshot
	a := v.get("/meshc/snapshot", 200, &got)
	if strings.Contains(a.body, "s3cr3t") || strings.Contains(a.body, "the module's code") {
		t.Error("a secret or a module is shown")
	}
	f := got.Proxies.At(0).Listeners.At(0).Filters.At(1)
	if f.Name != "default/auth" || f.Config != "[redacted]" || f.Blob != s.Blobs.At(0).Digest || f.Clusters.Len() != 1 {
		t.Errorf("the filter is %+v", f)
	}
	if got.Version != s.Version || got.Proxies.At(0).Digest != s.Proxies.At(0).Digest || got.Blobs.Len() != 1 {
		t.Error("the digests are not those of the snapshot")
	}
	if s.Proxies.At(0).Listeners.At(0).Filters.At(1).Config == f.Config {
		t.Error("hiding the configuration changed the snapshot")
	}
}

// A resource that its author wrote for Envoy may be a certificate with its key.
func TestSnapshotHidesRawResources(t *testing.T) {
	v := start(t)
	raw := snapshot.RawResource{JSON: `{"private_key":{"inline_string":"s3cr3t"}}`, Sources: snapshot.ListOf("kuma/ProxyTemplate/default/pt")}
	v.commit(snapshot.Seal(snapshot.Snapshot{
		Proxies: snapshot.ListOf(snapshot.Proxy{ID: "default.web", Raw: snapshot.ListOf(raw, raw)}),
	}))
	var got snapshot.Snapshot
	if a := v.get("/meshc/snapshot", 200, &got); strings.Contains(a.body, "s3cr3t") {
		t.Error("a secret is shown")
	}
	p := got.Proxies.At(0)
	if p.Raw.Len() != 2 || p.Raw.At(1).JSON != "[redacted]" || p.Raw.At(1).Sources.At(0) != raw.Sources.At(0) {
		t.Errorf("the raw resources are %+v", p.Raw)
	}
}
