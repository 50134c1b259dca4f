//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
	"github.com/meshc/meshc/runtime/identity"
)

// mtlsWorld is dataplanes client and server of a mesh with mTLS. client's
// outbounds 10001 (HTTP) and 10002 (TCP) lead to the inbounds of server.
const mtlsWorld = `
type: Dataplane
mesh: default
name: client
networking:
  address: 127.0.3.9
  inbound: [{port: 8001, servicePort: 9001, tags: {kuma.io/service: client, version: v1}}]
  outbound:
  - {port: 10001, tags: {kuma.io/service: web}}
  - {port: 10002, tags: {kuma.io/service: db}}
---
type: Dataplane
mesh: default
name: server
networking:
  address: 10.9.1.1
  inbound:
  - {port: 8080, serviceAddress: 10.9.1.2, tags: {kuma.io/service: web, kuma.io/protocol: http}}
  - {port: 8081, serviceAddress: 10.9.1.2, tags: {kuma.io/service: db, kuma.io/protocol: tcp}}
`

// permission admits a service to both services.
func permission(client string) string {
	return fmt.Sprintf(`
type: TrafficPermission
mesh: default
name: client
sources: [{match: {kuma.io/service: %q}}]
destinations: [{match: {kuma.io/service: web}}, {match: {kuma.io/service: db}}]
`, client)
}

// meshWith is the Mesh with backends, of which the first issues certificates
// that live for hours: longer than any test, however slow the machine.
func meshWith(hours int, backends ...string) string {
	text := fmt.Sprintf("type: Mesh\nname: default\nmtls:\n  enabledBackend: %s\n  backends:\n", backends[0])
	for _, b := range backends {
		text += fmt.Sprintf("  - {name: %s, type: builtin, dpCert: {rotation: {expiration: %dh}}}\n", b, hours)
	}
	return text
}

// TestMTLS has each kind of data plane call each, while certificates are
// renewed, and one authority takes over from another, under load. They are
// renewed because they are to live longer, not because their time comes: to wait
// for that would need lives so short that a slow machine misses their end.
func TestMTLS(t *testing.T) {
	t.Parallel()
	for _, planes := range [][2]string{{"proxy", "proxy"}, {"envoy", "envoy"}, {"proxy", "envoy"}, {"envoy", "proxy"}} {
		t.Run(planes[0]+" calls "+planes[1], func(t *testing.T) { mutualTLS(t, planes[0], planes[1]) })
	}
}

func mutualTLS(t *testing.T, client, server string) {
	r := &reloading{t: t, network: behaviour.NewNetwork(t), dir: filepath.Join(t.TempDir(), "input")}
	t.Parallel()
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.write("mesh.yaml", meshWith(1, "one"))
	r.write("world.yaml", mtlsWorld)
	r.write("permission.yaml", permission("client"))
	for kind, port := range generationPorts {
		b, err := r.network.StartBackend("server", fmt.Sprintf("10.9.1.2:%d", port), kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Quiet()
		t.Cleanup(b.Close)
	}
	flags := []string{"--state-dir", filepath.Join(t.TempDir(), "state")}
	for i, plane := range []string{client, server} {
		if plane == "proxy" {
			flags = append(flags, "--dataplane", []string{"default.client", "default.server"}[i])
		}
	}
	if len(flags) == 2 {
		flags = append(flags, "--no-proxy")
	}
	r.meshc = r.network.Serve(t, r.dir, nil, flags...)
	for i, plane := range []string{client, server} {
		if plane == "envoy" {
			r.network.StartEnvoy(t, []string{"default.client", "default.server"}[i], r.meshc.XDS, "DELTA_GRPC", 9901+i)
		}
	}
	r.load = r.network.StartLoad("127.0.0.1:10002", "127.0.0.1:10001")
	t.Cleanup(r.load.Stop)
	r.await("server")

	// An old connection lives on while its certificate is renewed, and the
	// authority behind it replaced.
	old, err := r.network.Dial("127.0.0.1:10002")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { old.Close() })
	lines := bufio.NewReader(old)
	alive := func(when string) {
		t.Helper()
		old.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(old, "%s\n", when)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("the old connection, %s: %v", when, err)
			}
			if strings.Contains(line, when) {
				return
			}
		}
	}
	alive("at first")
	first := r.serials()
	shown := r.shown()
	reload := func(mesh string) {
		t.Helper()
		known := len(r.reloads())
		r.write("mesh.yaml", mesh)
		if is := r.awaitReload(known); !is.OK {
			t.Fatal(is.Error)
		}
	}
	reload(meshWith(2, "one"))
	r.awaitIdentities("certificates are renewed", func(now map[string]string) bool {
		return now["default.client"] != first["default.client"] && now["default.server"] != first["default.server"]
	})
	r.awaitIdentities("new connections show the new certificate", func(map[string]string) bool { return r.shown() != shown })
	alive("renewed")
	r.noneLost()
	for i, step := range [][]string{{"one", "two"}, {"two", "one"}, {"two"}} {
		if i == 2 { // whoever was let in by it has to go then
			alive("of another authority")
		}
		reload(meshWith(2, step...))
		before := r.load.Total()
		if err := r.load.AwaitTotal(before + 200); err != nil {
			t.Fatal(err)
		}
		r.noneLost()
	}

	// Who is not permitted any more is refused.
	r.write("permission.yaml", permission("nobody"))
	r.awaitIdentities("the client is refused", func(map[string]string) bool { return !r.served() })
	r.write("permission.yaml", permission("client"))
	r.awaitIdentities("the client is served again", func(map[string]string) bool { return r.served() })
}

// serials returns the serial number of each proxy's certificate.
func (r *reloading) serials() map[string]string {
	r.t.Helper()
	var status identity.Status
	r.meshc.Get(r.t, "/meshc/identities", &status)
	out := map[string]string{}
	for _, c := range status.Certificates {
		out[c.Proxy] = c.Serial
	}
	return out
}

// shown returns the serial number that the server shows on a new connection,
// to a client that has no certificate.
func (r *reloading) shown() (serial string) {
	nc, err := r.network.Dial("10.9.1.1:8081")
	if err != nil {
		return ""
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	tls.Client(nc, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error { //nolint:errcheck // it is refused
		serial = s.PeerCertificates[0].SerialNumber.String()
		return nil
	}}).Handshake()
	return serial
}

// served reports whether the client's outbound for HTTP reaches the server.
func (r *reloading) served() bool {
	nc, err := r.network.Dial("127.0.0.1:10001")
	if err != nil {
		return false
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n") //nolint:errcheck // the answer tells
	response, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (r *reloading) awaitIdentities(what string, ok func(map[string]string) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !ok(r.serials()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain until %s", what)
		}
	}
}
