package wasm

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/wasm/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshc/meshc/plugins"
)

// envoy is Kind.Envoy: the same module with the same configuration. Envoy has
// no limits on memory and time to be set per plugin.
func envoy(u plugins.Use) (plugins.Envoy, error) {
	c, err := parseConfig(u.Config)
	if err != nil {
		return plugins.Envoy{}, err
	}
	vm := &wasmv3.VmConfig{
		VmId:    c.VMID,
		Runtime: "envoy.wasm.runtime.v8",
		Code: &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Local{Local: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte(u.Blob)},
		}}},
	}
	if vm.Configuration, err = text(c.VMConfiguration); err != nil {
		return plugins.Envoy{}, err
	}
	if len(c.Env) > 0 {
		vm.EnvironmentVariables = &wasmv3.EnvironmentVariables{KeyValues: c.Env}
	}
	p := &wasmv3.PluginConfig{
		Name:          u.Name,
		RootId:        c.RootID,
		Vm:            &wasmv3.PluginConfig_VmConfig{VmConfig: vm},
		FailurePolicy: wasmv3.FailurePolicy_FAIL_RELOAD,
	}
	if c.FailurePolicy == "open" {
		p.FailurePolicy = wasmv3.FailurePolicy_FAIL_OPEN
	}
	if p.Configuration, err = text(c.Configuration); err != nil {
		return plugins.Envoy{}, err
	}
	if u.TCP {
		return plugins.Envoy{Filter: &networkv3.Wasm{Config: p}}, nil
	}
	return plugins.Envoy{Filter: &httpv3.Wasm{Config: p}}, nil
}

// text wraps a configuration as Envoy unwraps it for the guest: the bytes of a
// StringValue. An empty one is left out.
func text(s string) (*anypb.Any, error) {
	if s == "" {
		return nil, nil
	}
	a, err := anypb.New(wrapperspb.String(s))
	if err != nil {
		return nil, fmt.Errorf("configuration of the plugin: %w", err)
	}
	return a, nil
}
