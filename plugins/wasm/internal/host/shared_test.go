package host

import (
	"strings"
	"testing"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

func TestSharedData(t *testing.T) {
	spaces := NewSpaces()
	a, same, other := spaces.Open("a"), spaces.Open("a"), spaces.Open("b")
	if s := a.set("k", []byte("1"), 99); s != abi.Ok { // a new key takes any number
		t.Errorf("set: %d", s)
	}
	v, cas, ok := same.get("k")
	if v != "1" || cas == 0 || !ok {
		t.Errorf("got %q %d %v", v, cas, ok)
	}
	if s := same.set("k", []byte("2"), cas+1); s != abi.CasMismatch {
		t.Errorf("a wrong number: %d", s)
	}
	if s := same.set("k", []byte("2"), cas); s != abi.Ok {
		t.Errorf("the right number: %d", s)
	}
	if s := same.set("k", []byte("3"), cas); s != abi.CasMismatch {
		t.Errorf("the number of before: %d", s)
	}
	if _, _, ok := other.get("k"); ok {
		t.Error("another vm_id sees it")
	}
	if s := a.set("big", make([]byte, maxShared), 0); s != abi.InternalFailure {
		t.Errorf("over the bound: %d", s)
	}
	a.Close()
	if _, _, ok := same.get("k"); !ok {
		t.Error("gone while one still has it")
	}
	same.Close()
	if again := spaces.Open("a"); again.bytes != 0 || len(again.data) != 0 {
		t.Error("the space outlived its users")
	}
}

func TestQueues(t *testing.T) {
	spaces := NewSpaces()
	s := spaces.Open("a")
	token, _ := s.register("q", nil, 0)
	if again, _ := s.register("q", nil, 0); again != token {
		t.Error("another token for the same queue")
	}
	if found, ok := spaces.resolve("a", "q"); !ok || found != token {
		t.Error("not found")
	}
	if _, ok := spaces.resolve("b", "q"); ok {
		t.Error("found in another vm_id")
	}
	if _, st := spaces.dequeue(token); st != abi.Empty {
		t.Errorf("empty: %d", st)
	}
	if _, st := spaces.dequeue(token + 1); st != abi.NotFound {
		t.Errorf("unknown: %d", st)
	}
	for _, item := range []string{"1", "", "3"} {
		spaces.enqueue(token, []byte(item))
	}
	var got []string
	for {
		item, st := spaces.dequeue(token)
		if st != abi.Ok {
			break
		}
		got = append(got, item)
	}
	if strings.Join(got, ",") != "1,,3" {
		t.Errorf("%q", got)
	}
	bytes := s.bytes
	for spacesFull := false; !spacesFull; {
		_, _, st := spaces.enqueue(token, make([]byte, 1<<20))
		spacesFull = st == abi.InternalFailure
	}
	for _, st := spaces.dequeue(token); st == abi.Ok; _, st = spaces.dequeue(token) {
	}
	if s.bytes != bytes {
		t.Errorf("%d bytes are still counted", s.bytes-bytes)
	}
	s.Close()
	if _, st := spaces.dequeue(token); st != abi.NotFound {
		t.Error("the queue outlived its space")
	}
}

func TestGRPCCluster(t *testing.T) {
	known := map[string]bool{"c": true}
	for service, want := range map[string]abi.Status{
		"c":                         abi.Ok, // a bare name
		" c\n":                      abi.Ok,
		"\x0a\x03\x0a\x01c":         abi.Ok, // envoy_grpc { cluster_name: "c" }
		"\x0a\x03\x0a\x01d":         abi.BadArgument,
		"":                          abi.BadArgument,
		"\x0a\xff":                  abi.ParseFailure,
		"\x0a\x03\x0a\x01c\x1a\x00": abi.Ok, // with a timeout
	} {
		if _, s := grpcCluster([]byte(service), known); s != want {
			t.Errorf("%q: %d, want %d", service, s, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	c := m.define(abi.Counter, "a.b")
	if m.define(abi.Counter, "a.b") != c || m.define(abi.Gauge, "a.b") == c || m.define(abi.Counter, "a_b") == c {
		t.Error("a metric is its name and its sort")
	}
	shown := map[string]bool{}
	for _, v := range m.byName {
		shown[v.desc.String()] = true
	}
	if len(shown) != 3 {
		t.Errorf("three metrics have %d names", len(shown))
	}
	if m.define(abi.Counter, strings.Repeat("x", maxMetricName+1)) != nil {
		t.Error("a name that long was taken")
	}
}
