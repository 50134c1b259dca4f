//go:build linux

package xds_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

func TestEnvoyRunsFilters(t *testing.T) {
	bothProtocols(t, func(t *testing.T, api string) {
		web, calls := backend(t, false), backend(t, true)
		port, tcp, tunnel := freePort(t), freePort(t), freePort(t)
		s := filteredProxy(web, calls, port, tcp, tunnel)
		r := start(t, withWasm)
		r.publish(s)
		r.envoy("m.d", api)
		r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version })
		filtersDo(t, port, tcp, tunnel)
	})
}

// filtersDo checks what the filters of filteredProxy do in an Envoy.
func filtersDo(t *testing.T, port, tcp, tunnel uint16) {
	t.Helper()
	for _, test := range []struct{ method, path, want string }{
		{"GET", "/", "plain"},
		{"GET", "/inside", "matched,plain"},
		{"PUT", "/in?q", "matched,plain"},
		{"POST", "/in", "plain"},
		{"GET", "/?in", "plain"},
		{"DELETE", "/", "method,plain"},
		{"DELETE", "/in", "method,plain"},
		{"GET", "/route", "routed,plain"},
		{"GET", "/route/in", "both,routed,plain"},
		{"GET", "/call", "refused,200,plain"},
	} {
		if got, body := fetch(test.method, url(port, test.path)); got != test.want {
			t.Errorf("%s %s: plugins %s, not %s; %s", test.method, test.path, got, test.want, body)
		}
	}
	// What the filter puts before the bytes makes them a request.
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", tcp))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, " HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	// Bytes pass as they are, whatever calls to the cluster speak.
	h2c := &http.Transport{Protocols: &http.Protocols{}}
	h2c.Protocols.SetUnencryptedHTTP2(true)
	defer h2c.CloseIdleConnections()
	resp, err = (&http.Client{Transport: h2c}).Get(url(tunnel, "/"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("through the TCP listener came %s", resp.Proto)
	}
}

// The static file says the same as xDS, with the modules in it.
func TestEnvoyRunsFiltersOfAFile(t *testing.T) {
	port, tcp, tunnel := freePort(t), freePort(t), freePort(t)
	s := filteredProxy(backend(t, false), backend(t, true), port, tcp, tunnel)
	set, err := xds.Resources(s, "m.d", gatewayAddr, "", wasmFilter)
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := set.Bootstrap("m.d")
	if err != nil {
		t.Fatal(err)
	}
	config, err := envoy.JSON(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, envoyPath, "--mode", "validate", "-c", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	startEnvoy(t, "--config-path", file, "--config-yaml", "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}")
	filtersDo(t, port, tcp, tunnel)
}

// filteredProxy is one with filters of all sorts, which listens on the ports.
func filteredProxy(web, calls snapshot.Endpoint, port, tcp, tunnel uint16) snapshot.Snapshot {
	matched := plugin("m/matched", "matched")
	matched.Match = snapshot.FilterMatch{PathPrefix: "/in", Methods: snapshot.ListOf("GET", "PUT")}
	method := plugin("m/method", "method")
	method.Match = snapshot.FilterMatch{Methods: snapshot.ListOf("DELETE")}
	routed := plugin("m/routed", "routed")
	routed.PerRoute = true
	both := plugin("m/both", "both")
	both.PerRoute, both.Match = true, snapshot.FilterMatch{PathPrefix: "/route/in"}
	caller := plugin("m/caller", "call:grpc")
	caller.Clusters, caller.Match = snapshot.ListOf("grpc"), snapshot.FilterMatch{PathPrefix: "/call"}
	ungranted := plugin("m/ungranted", "call:nobody")
	ungranted.Match = snapshot.FilterMatch{PathPrefix: "/call"}

	h := host("h", []string{"*"}, "/", "web")
	all := h.Routes.At(0)
	some := all
	some.Name, some.PathPrefix, some.Filters = "some", "/route", snapshot.ListOf(both.Ref(), routed.Ref())
	h.Routes = snapshot.ListOf(some, all)
	return pluginWorld([]service{
		{name: "web", endpoints: []snapshot.Endpoint{web}},
		{name: "grpc", tcp: true, http2: true, endpoints: []snapshot.Endpoint{calls}},
	}, []string{filterModule}, proxy("m.d",
		with(outbound(port, h), plugin("m/plain", "plain"), matched, method, routed, both, caller, ungranted),
		with(outboundTCP(tcp, "web"), plugin("m/plain", "GET /"), plugin("m/more", "")),
		with(outboundTCP(tunnel, "grpc"), plugin("m/more", "")),
	))
}

// oneListener is a proxy with one HTTP listener that has filters.
func oneListener(port uint16, web snapshot.Endpoint, modules []string, filters ...snapshot.Filter) snapshot.Snapshot {
	return pluginWorld([]service{{name: "web", endpoints: []snapshot.Endpoint{web}}}, modules,
		proxy("m.d", with(outbound(port, host("h", []string{"*"}, "/", "web")), filters...)))
}

func TestEnvoyKeepsServingWhatARefusedFilterWouldReplace(t *testing.T) {
	const garbage = "\x00asm, but not really"
	refusal := func(name, file string) func(status.Node) bool {
		return func(n status.Node) bool {
			if len(n.Refusals) != 1 {
				return false
			}
			r := n.Refusals[0]
			return r.Type == "extension" && r.Resource == name && strings.Contains(r.Message, "Unable to create Wasm") &&
				len(r.Origins) == 1 && r.Origins[0].File == file && r.Origins[0].Line == 3
		}
	}
	bothProtocols(t, func(t *testing.T, api string) {
		web, port := backend(t, false), freePort(t)
		r := start(t, withWasm)
		e := (*realEnvoy)(nil)
		serves := func(s snapshot.Snapshot, want string) {
			t.Helper()
			r.publish(s)
			if e == nil {
				e = r.envoy("m.d", api)
			}
			r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version && len(n.Refusals) == 0 })
			if got, _ := fetch("GET", url(port, "/")); got != want {
				t.Errorf("plugins %s, not %s", got, want)
			}
		}
		refuses := func(s snapshot.Snapshot, name, file, want string) {
			t.Helper()
			r.publish(s)
			r.eventually("has the refusal", refusal(name, file))
			for range 5 {
				if got, _ := fetch("GET", url(port, "/")); got != want {
					t.Errorf("plugins %s, not %s", got, want)
				}
			}
		}
		ours, both := []string{filterModule}, []string{filterModule, garbage}
		first := plugin("m/first", "1")
		broken := first
		broken.Blob = module(garbage).Digest
		serves(oneListener(port, web, nil), "-")
		// A new filter that is bad, and then is not.
		refuses(oneListener(port, web, ours, plugin("m/first", "bad")), "wasm/m/first", "m/first.yaml", "-")
		serves(oneListener(port, web, ours, first), "1")
		// A new one beside one that serves.
		refuses(oneListener(port, web, ours, first, plugin("m/second", "bad")), "wasm/m/second", "m/second.yaml", "1")
		serves(oneListener(port, web, ours, first), "1")
		// A changed configuration, and a changed module.
		refuses(oneListener(port, web, ours, plugin("m/first", "bad")), "wasm/m/first", "m/first.yaml", "1")
		serves(oneListener(port, web, ours, plugin("m/first", "2")), "2")
		refuses(oneListener(port, web, []string{garbage}, broken), "wasm/m/first", "m/first.yaml", "2")
		broken.Name = "m/third"
		broken.Sources = snapshot.ListOf("svc/m/third")
		refuses(oneListener(port, web, both, first, broken), "wasm/m/third", "m/third.yaml", "1")
		serves(oneListener(port, web, nil), "-")
	})
}

// A server that starts with a filter that Envoy refuses, while Envoy lives on
// what the one before gave it, breaks nothing either. (In the variant of
// state-of-the-world a client does not say what it has.)
func TestEnvoyKeepsServingOverARestartWithABadFilter(t *testing.T) {
	web, port := backend(t, false), freePort(t)
	first := start(t, withWasm)
	first.publish(oneListener(port, web, []string{filterModule}, plugin("m/p", "1")))
	first.envoy("m.d", "DELTA_GRPC")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := first.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	r := startAt(t, first.addr, withWasm)
	r.publish(oneListener(port, web, []string{filterModule}, plugin("m/p", "1"), plugin("m/q", "bad")))
	r.eventually("has the refusal", refusals(1))
	for range 5 {
		if got, _ := fetch("GET", url(port, "/")); got != "1" {
			t.Errorf("plugins %s, not 1", got)
		}
	}
	last := oneListener(port, web, []string{filterModule}, plugin("m/p", "2"), plugin("m/q", "1"))
	r.publish(last)
	r.eventually("has it all", func(n status.Node) bool { return n.Acked == last.Version && len(n.Refusals) == 0 })
	if got, _ := fetch("GET", url(port, "/")); got != "1,2" {
		t.Errorf("plugins %s, not 1,2", got)
	}
}

// Filters change in place: neither a connection nor a request notices.
func TestEnvoySwapsFiltersWithoutLoss(t *testing.T) {
	bothProtocols(t, func(t *testing.T, api string) {
		web, port := backend(t, false), freePort(t)
		r := start(t, withWasm)
		publish := func(i int) {
			s := oneListener(port, web, []string{filterModule + pad(i%2)}, moduleOf(plugin("m/p", fmt.Sprint(i)), filterModule+pad(i%2)))
			r.publish(s)
			if i > 0 {
				r.eventually("has it all", func(n status.Node) bool { return n.Acked == s.Version })
			}
		}
		publish(0)
		r.envoy("m.d", api)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		sent, lost := 0, map[string]int{}
		for range 4 {
			wg.Go(func() {
				client := &http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				for {
					select {
					case <-stop:
						return
					default:
					}
					resp, err := client.Get(url(port, "/"))
					problem := ""
					switch {
					case err != nil:
						problem = err.Error()
					case resp.StatusCode != 200 || resp.Header.Get("x-plugin") == "":
						problem = resp.Status
					}
					if err == nil {
						resp.Body.Close()
					}
					mu.Lock()
					sent++
					if problem != "" {
						lost[problem]++
					}
					mu.Unlock()
				}
			})
		}
		for i := range 20 {
			publish(i + 1)
		}
		close(stop)
		wg.Wait()
		if got, _ := fetch("GET", url(port, "/")); got != "20" {
			t.Errorf("plugins %s, not 20", got)
		}
		if len(lost) > 0 {
			t.Errorf("of %d requests these were lost: %v", sent, lost)
		}
		t.Logf("%d requests", sent)
	})
}

// moduleOf returns f with another module.
func moduleOf(f snapshot.Filter, data string) snapshot.Filter {
	f.Blob = module(data).Digest
	return f
}

// pad returns a custom section that makes a module another one.
func pad(n int) string { return string([]byte{0, 3, 1, 'n', byte(n)}) }
