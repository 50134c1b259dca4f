package host

import (
	"strings"
	"testing"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

func TestSharedData(t *testing.T) {
	spaces := NewSpaces()
	a, same, other := spaces.Open("m", "a"), spaces.Open("m", "a"), spaces.Open("m", "b")
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
	if again := spaces.Open("m", "a"); again.bytes != 0 || len(again.data) != 0 {
		t.Error("the space outlived its users")
	}
}

// TestSharedUpdate: a value that is replaced is copied, and nothing else.
func TestSharedUpdate(t *testing.T) {
	s, value := NewSpaces().Open("m", "a"), make([]byte, 1000)
	if n := testing.AllocsPerRun(100, func() { s.set("key", value, 0) }); n != 1 {
		t.Errorf("%v allocations", n)
	}
	if v, _, ok := s.get("key"); !ok || len(v) != 1000 || s.bytes != 1003+itemCost {
		t.Errorf("%d bytes, %v, %d counted", len(v), ok, s.bytes)
	}
}

func TestQueues(t *testing.T) {
	spaces := NewSpaces()
	s := spaces.Open("m", "a")
	token, _ := s.register("q", nil, 0)
	if again, _ := s.register("q", nil, 0); again != token {
		t.Error("another token for the same queue")
	}
	if found, ok := s.resolve("a", "q"); !ok || found != token {
		t.Error("not found")
	}
	if _, ok := s.resolve("b", "q"); ok {
		t.Error("found in another vm_id")
	}
	if _, st := s.dequeue(token); st != abi.Empty {
		t.Errorf("empty: %d", st)
	}
	if _, st := s.dequeue(token + 1); st != abi.NotFound {
		t.Errorf("unknown: %d", st)
	}
	for _, s := range []*Space{spaces.Open("other mesh", "a"), spaces.Open("other mesh", "b")} {
		if _, ok := s.resolve("a", "q"); ok {
			t.Error("found from another mesh")
		}
		if _, st := s.dequeue(token); st != abi.NotFound {
			t.Errorf("taken from another mesh: %d", st)
		}
		if st := s.enqueue(token, nil); st != abi.NotFound {
			t.Errorf("put from another mesh: %d", st)
		}
	}
	for _, item := range []string{"1", "", "3"} {
		s.enqueue(token, []byte(item))
	}
	var got []string
	for {
		item, st := s.dequeue(token)
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
		st := s.enqueue(token, make([]byte, 1<<20))
		spacesFull = st == abi.InternalFailure
	}
	for _, st := s.dequeue(token); st == abi.Ok; _, st = s.dequeue(token) {
	}
	if s.bytes != bytes {
		t.Errorf("%d bytes are still counted", s.bytes-bytes)
	}
	s.Close()
	if _, st := s.dequeue(token); st != abi.NotFound {
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
	c := m.define("p", abi.Counter, "a.b")
	if m.define("p", abi.Counter, "a.b") != c || m.define("p", abi.Gauge, "a.b") == c || m.define("p", abi.Counter, "a_b") == c {
		t.Error("a metric is its name and its sort")
	}
	shown := map[string]bool{}
	for _, v := range m.byName {
		shown[v.desc.String()] = true
	}
	if len(shown) != 3 {
		t.Errorf("three metrics have %d names", len(shown))
	}
	if m.define("p", abi.Counter, strings.Repeat("x", maxMetricName+1)) != nil {
		t.Error("a name that long was taken")
	}
}

// TestMetricsOfAPlugin: a plugin that defines without end leaves the others
// their metrics, and names that differ in odd characters alone are told apart.
func TestMetricsOfAPlugin(t *testing.T) {
	m := NewMetrics()
	shown := map[string]bool{}
	for n := range 2 * maxMetrics {
		name := []byte(strings.Repeat(".", 16))
		for bit := range name {
			if n>>bit&1 == 1 {
				name[bit] = '-'
			}
		}
		made := m.define("greedy", abi.Counter, string(name))
		if (made != nil) != (n < maxMetrics) {
			t.Fatalf("metric %d: %v", n, made)
		}
		if made != nil {
			shown[made.desc.String()] = true
		}
	}
	if len(shown) != maxMetrics {
		t.Errorf("%d names for %d metrics", len(shown), maxMetrics)
	}
	if m.define("modest", abi.Counter, "mine") == nil {
		t.Error("another plugin has none left")
	}
	if m.define("modest", abi.Counter, strings.Repeat(".", 16)) == nil {
		t.Error("what is there already is not to be had")
	}
}
