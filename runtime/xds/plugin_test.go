package xds_test

import (
	_ "embed"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpwasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	tcpwasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/wasm/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/xds"
	"github.com/meshc/meshc/runtime/xds/envoy"
)

// filterModule is testdata/filter/filter.c.
//
//go:embed testdata/filter/filter.wasm
var filterModule string

// wasmFilter is a kind "wasm" whose Config is the module's configuration.
func wasmFilter(f snapshot.Filter, tcp bool, blob string) (xds.Filter, error) {
	vm := &wasmv3.VmConfig{
		VmId: f.Name, Runtime: "envoy.wasm.runtime.v8",
		Code: &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Local{Local: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte(blob)},
		}}},
	}
	text, err := envoy.Any(wrapperspb.String(f.Config))
	if err != nil {
		return xds.Filter{}, err
	}
	config := &wasmv3.PluginConfig{Name: f.Name, Vm: &wasmv3.PluginConfig_VmConfig{VmConfig: vm}, Configuration: text}
	if tcp {
		return xds.Filter{Filter: &tcpwasmv3.Wasm{Config: config}}, nil
	}
	return xds.Filter{Filter: &httpwasmv3.Wasm{Config: config}}, nil
}

func withWasm(c *xds.Config) { c.Filter = wasmFilter }

// plugin returns a use of a module; it comes from document svc/NAME in
// NAME.yaml, line 3.
func plugin(name, config string) snapshot.Filter {
	return snapshot.Filter{
		Name: name, Kind: "wasm", Config: config, Blob: module(filterModule).Digest, Sources: snapshot.ListOf("svc/" + name),
	}
}

func module(data string) snapshot.Blob {
	b := snapshot.Blob{Data: data}
	b.Digest = b.Sum()
	return b
}

// with returns l with filters.
func with(l snapshot.Listener, filters ...snapshot.Filter) snapshot.Listener {
	l.Filters = snapshot.ListOf(filters...)
	return l
}

// pluginWorld is world with the documents and files that plugins come from.
func pluginWorld(services []service, modules []string, proxies ...snapshot.Proxy) snapshot.Snapshot {
	s := world(services, proxies...)
	var blobs []snapshot.Blob
	for _, m := range modules {
		blobs = append(blobs, module(m))
	}
	slices.SortFunc(blobs, func(a, b snapshot.Blob) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	s.Blobs = snapshot.ListOf(blobs...)
	origins := s.Origins.Slice()
	seen := map[string]bool{}
	for _, p := range proxies {
		for _, l := range p.Listeners.All() {
			for _, f := range l.Filters.All() {
				if !seen[f.Name] {
					seen[f.Name] = true
					origins = append(origins, snapshot.Origin{ID: "svc/" + f.Name, File: f.Name + ".yaml", Line: 3, Column: 1})
				}
			}
		}
	}
	slices.SortFunc(origins, func(a, b snapshot.Origin) int { return strings.Compare(a.ID, b.ID) })
	s.Origins = snapshot.ListOf(origins...)
	return snapshot.Seal(s)
}
