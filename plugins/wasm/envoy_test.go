package wasm

import (
	"strings"
	"testing"

	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/wasm/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestEnvoy(t *testing.T) {
	u := use([]byte("module"), with("rootId", "r"), with("vmId", "v"), with("configuration", "c"), with("env", map[string]string{"A": "b"}), with("failurePolicy", "open"))
	m, err := Kind.Envoy(u)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Filter.(*httpv3.Wasm).Config
	vm := p.GetVmConfig()
	var c wrapperspb.StringValue
	if err := p.Configuration.UnmarshalTo(&c); err != nil || c.Value != "c" {
		t.Errorf("configuration %v %v", &c, err)
	}
	if p.Name != "default/p" || p.RootId != "r" || p.FailurePolicy != wasmv3.FailurePolicy_FAIL_OPEN ||
		vm.VmId != "v" || vm.Configuration != nil || vm.EnvironmentVariables.KeyValues["A"] != "b" || string(vm.Code.GetLocal().GetInlineBytes()) != "module" {
		t.Errorf("%v", p)
	}
	if err := m.Filter.(*httpv3.Wasm).ValidateAll(); err != nil {
		t.Error(err)
	}
	u.TCP = true
	if m, err = Kind.Envoy(u); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Filter.(*networkv3.Wasm); !ok {
		t.Errorf("%T", m.Filter)
	}
}

func TestCheck(t *testing.T) {
	if problems := Kind.Check(use(adder().wasm())); len(problems) != 0 {
		t.Errorf("%q", problems)
	}
	const secret = "hunter2"
	for name, u := range map[string]func(map[string]any){
		"policy":  with("failurePolicy", secret),
		"memory":  with("memory", 1),
		"timeout": with("callTimeout", "0s"),
		"unknown": with(secret, "x"),
		"type":    with("configuration", []string{secret}),
		"env":     with("env", map[string]string{"A=" + secret: secret}),
	} {
		problems := Kind.Check(use(adder().wasm(), u))
		if len(problems) != 1 || strings.Contains(problems[0], secret) {
			t.Errorf("%s: %q", name, problems)
		}
	}
	if problems := Kind.Check(use([]byte("no module"))); len(problems) != 1 {
		t.Errorf("%q", problems)
	}
}
