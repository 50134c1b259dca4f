//go:build linux

package xds_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
)

func TestEnvoySpeaksTheTLSOfAMesh(t *testing.T) {
	bothProtocols(t, func(t *testing.T, api string) {
		p := meshPorts{freePort(t), freePort(t), freePort(t)}
		app, greet := backend(t, false), greeter(t)
		r := start(t, withIdentity)
		publish := func(authorities []snapshot.Authority, rules ...snapshot.AccessRule) snapshot.Snapshot {
			s := meshed(p, app, greet, authorities, rules...)
			r.publish(s)
			return s
		}
		acked := func(s snapshot.Snapshot) {
			t.Helper()
			r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version })
		}
		one, two := authority("one", true), authority("two", false)
		itself := admit("web", "spiffe://default/web")
		s := publish([]snapshot.Authority{one}, itself)
		e := r.envoy("default.web", api)
		acked(s)
		if got, body := fetch("GET", url(p.out, "/")); got != "-" {
			t.Fatalf("through the mesh: %s %s", got, body)
		}
		if got, _ := fetch("GET", url(p.in, "/")); !strings.Contains(got, "reset") && !strings.Contains(got, "EOF") {
			t.Errorf("in the clear: %s", got)
		}
		if _, err := secureGet(&tls.Config{InsecureSkipVerify: true}, p.in); err == nil {
			t.Error("a client without a certificate is served")
		}
		if _, err := secureGet(r.as(s, "default.client"), p.in); err == nil {
			t.Error("a client whom nobody admits is served")
		}
		if got := greeted(r.as(s, "default.client"), p.tcpIn); got != "" {
			t.Errorf("a client whom nobody admits hears %q", got)
		}
		if got := greeted(r.as(s, "default.web"), p.tcpIn); got != "hello" {
			t.Errorf("a client who is admitted hears %q", got)
		}

		client := admit("client", "kuma://kuma.io/service/client", "spiffe://default/client")
		s = publish([]snapshot.Authority{one}, client, itself)
		acked(s)
		old, err := secureGet(r.as(s, "default.client"), p.in)
		if err != nil {
			t.Fatalf("a client who is admitted: %v", err)
		}
		asClient := r.as(s, "default.client")
		held, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.in), asClient)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()

		// Another authority takes over: certificates change, connections live on.
		two.Issues, one.Issues = true, false
		s = publish([]snapshot.Authority{one, two}, client, itself)
		e.await("to show another certificate", func() bool {
			serial, err := secureGet(asClient, p.in)
			if err != nil {
				t.Fatalf("while the authority changes: %v", err)
			}
			return serial != old
		})
		if err := ask(held); err != nil {
			t.Errorf("a connection of before: %v", err)
		}
		if got, body := fetch("GET", url(p.out, "/")); got != "-" {
			t.Errorf("through the mesh, with the other authority: %s %s", got, body)
		}
		s = publish([]snapshot.Authority{two}, client, itself)
		e.await("to trust the old authority no more", func() bool {
			_, err := secureGet(asClient, p.in)
			return err != nil
		})
		if _, err := secureGet(r.as(s, "default.client"), p.in); err != nil {
			t.Errorf("a client of the new authority: %v", err)
		}
		acked(s)

		s = publish([]snapshot.Authority{two})
		acked(s)
		if _, err := secureGet(r.as(s, "default.client"), p.in); err == nil {
			t.Error("without a rule a client is served")
		}
	})
}
