//go:build linux

package xds_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

// Raw resources come beside what is generated and in the place of what has
// their name, or alone.
func TestEnvoyGetsRawResources(t *testing.T) {
	app, raw := serving(t, http.NotFound), backend(t, false)
	own, generated := freePort(t), freePort(t)
	resource := func(format string, args ...any) snapshot.RawResource {
		return snapshot.RawResource{JSON: fmt.Sprintf(format, args...), Sources: snapshot.ListOf("svc/web")}
	}
	cluster := resource(`{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "raw", "type": "STATIC", "connectTimeout": "5s",
		"loadAssignment": {"clusterName": "raw", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": %d}}}}]}]}}`, raw.Port)
	listener := resource(`{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "raw", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": %d}},
		"filterChains": [{"filters": [{"name": "tcp", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "statPrefix": "raw", "cluster": "raw"}}]}]}`, own)
	routes := resource(`{"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "outbound:127.0.0.1:%d",
		"virtualHosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "raw"}}]}]}`, generated)
	publish := func(r *rig, only bool, raw ...snapshot.RawResource) {
		t.Helper()
		p := proxy("default.web", outbound(generated, host("web", []string{"*"}, "/", "web")))
		p.Raw, p.RawOnly = snapshot.ListOf(raw...), only
		s := world([]service{{name: "web", endpoints: []snapshot.Endpoint{app}}}, p)
		r.publish(s)
		r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version || len(n.Refusals) > 0 })
	}
	r := start(t)
	r.publish(world([]service{{name: "web", endpoints: []snapshot.Endpoint{app}}}, proxy("default.web", outbound(generated, host("web", []string{"*"}, "/", "web")))))
	r.envoy("default.web", "DELTA_GRPC")
	publish(r, false, cluster, listener)
	if got, _ := fetch("GET", url(own, "/")); got != "-" {
		t.Errorf("through the raw listener: %s", got)
	}
	if got, _ := fetch("GET", url(generated, "/")); got != "404" {
		t.Errorf("through the generated listener: %s", got)
	}
	publish(r, false, cluster, listener, routes)
	if got, _ := fetch("GET", url(generated, "/")); got != "-" {
		t.Errorf("through the generated listener with raw routes: %s", got)
	}
	publish(r, true, cluster, listener)
	if got, _ := fetch("GET", url(own, "/")); got != "-" {
		t.Errorf("through the raw listener alone: %s", got)
	}
	if got, _ := fetch("GET", url(generated, "/")); !strings.Contains(got, "refused") {
		t.Errorf("the generated listener still answers: %s", got)
	}

	// A refusal leads to the document.
	publish(r, true, cluster, resource(`{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "raw", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": 1}}}`))
	node := r.eventually("shows the refusal", refusals(1))
	if got := node.Refusals[0]; got.Resource != "raw" || len(got.Origins) != 1 || got.Origins[0].File != "web.yaml" {
		t.Errorf("the refusal is %+v", got)
	}
}

func TestRawSecretsAreServedAndNotEmitted(t *testing.T) {
	p := proxy("gateway")
	p.Raw = snapshot.ListOf(snapshot.RawResource{JSON: `{"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "name": "raw", "tlsCertificate": {"privateKey": {"inlineBytes": "U0VDUkVU"}}}`})
	s := world(nil, p)
	set, err := xds.Resources(s, "gateway", gatewayAddr, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	text := shown(t, set)
	if strings.Contains(text, "U0VDUkVU") || !strings.Contains(text, `"raw"`) {
		t.Errorf("emitted:\n%s", text)
	}
	r := start(t)
	r.publish(s)
	c := r.delta("gateway")
	c.subscribe(cds)
	c.ack(c.expect(cds))
	c.subscribe(sds, "raw", "other")
	if got := secretsOf(t, c.expect(sds, "raw", "-other"))["raw"]; got != "SECRET" {
		t.Errorf("the secret is %q", got)
	}
}
