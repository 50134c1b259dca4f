// Command demo shows what meshc is for, in half a minute: it serves a copy of
// examples/mesh to the built-in proxy and to a real Envoy, edits a file, and
// wants the traffic of both to follow. It exits with 1 if it does not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// backends are the servers that examples/mesh speaks of.
var backends = map[string]string{
	"api v1": "127.0.7.1:8001",
	"api v2": "127.0.7.2:8001",
}

// requests is how many each data plane gets at a time.
const requests = 200

func main() {
	meshc := flag.String("meshc", "bin/meshc", "the meshc binary")
	envoy := flag.String("envoy", ".tools/envoy", "the Envoy binary")
	mesh := flag.String("mesh", "examples/mesh", "the example to serve")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	err := run(ctx, *meshc, *envoy, *mesh)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\nThe demo failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, meshc, envoy, mesh string) error {
	dir, err := os.MkdirTemp("", "meshc-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(mesh)); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(backends)) {
		stop, err := startBackend(name, backends[name])
		if err != nil {
			return err
		}
		defer stop()
	}
	say("Backends that say who they are:")
	for _, name := range slices.Sorted(maps.Keys(backends)) {
		fmt.Printf("    %s at %s\n", name, backends[name])
	}

	d, err := startDataPlanes(ctx, meshc, envoy, dir)
	if err != nil {
		return err
	}
	defer d.stop()
	say("meshc serve runs on a copy of %s, and Envoy takes its configuration from it over xDS.", mesh)
	fmt.Printf("    built-in proxy  http://%s\n    Envoy           http://%s\n    REST view       http://%s/meshc/snapshot\n", d.proxy, d.envoy, d.rest)

	say("%d requests with Host: api; route.yaml sends 90 %% to v1 and 10 %% to v2.", requests)
	mostly := func(c map[string]int) bool { return c["api v1"] > requests*7/10 && c["api v2"] > 0 }
	if err := d.expect(ctx, mostly); err != nil {
		return err
	}

	route := filepath.Join(dir, "route.yaml")
	say("Now route.yaml is edited: weights 0 and 100.")
	edited := time.Now()
	if err := edit(route, "weight: 90", "weight: 0", "weight: 10", "weight: 100"); err != nil {
		return err
	}
	onlyV2 := func(c map[string]int) bool { return c["api v2"] == requests }
	if err := d.await(ctx, edited, "api v2"); err != nil {
		return err
	}
	if err := d.expect(ctx, onlyV2); err != nil {
		return err
	}

	say("Now it is broken: a weight that is not a number.")
	refused := d.log.next("level=ERROR")
	if err := edit(route, "weight: 100", "weight: lots"); err != nil {
		return err
	}
	if err := d.log.await(ctx, refused); err != nil {
		return fmt.Errorf("meshc said nothing of the broken file: %w", err)
	}
	fmt.Printf("    meshc says: %s\n", strings.ReplaceAll(d.log.finding(), dir+string(filepath.Separator), ""))
	fmt.Println("    and goes on serving what was good:")
	if err := d.expect(ctx, onlyV2); err != nil {
		return err
	}

	say("Mended, and back to v1: weights 100 and 0.")
	edited = time.Now()
	if err := edit(route, "weight: 0", "weight: 100", "weight: lots", "weight: 0"); err != nil {
		return err
	}
	if err := d.await(ctx, edited, "api v1"); err != nil {
		return err
	}
	if err := d.expect(ctx, func(c map[string]int) bool { return c["api v1"] == requests }); err != nil {
		return err
	}
	say("Both data planes followed every edit, and no request was lost.")
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n"+format+"\n", args...) }

// startBackend answers every request with its name.
func startBackend(name, address string) (stop func(), err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("backend %s (the example names its address): %w", name, err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, name)
	})}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return func() { s.Close() }, nil
}

// edit replaces pairs of texts in a file, all at once, by renaming a new file
// over it, as editors do.
func edit(path string, oldnew ...string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(b), oldnew[i]) {
			return fmt.Errorf("%s has no %q to replace", path, oldnew[i])
		}
	}
	// The editor's own file has a name that meshc leaves alone.
	tmp := filepath.Join(filepath.Dir(path), ".edit")
	if err := os.WriteFile(tmp, []byte(strings.NewReplacer(oldnew...).Replace(string(b))), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
