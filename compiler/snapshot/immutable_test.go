package snapshot_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/meshc/meshc/compiler/snapshot"
)

// decoders are the methods that may have a pointer receiver: decoding is how a
// value comes to be.
var decoders = map[string]bool{"UnmarshalJSON": true, "UnmarshalText": true}

// TestSnapshotIsAValueAllTheWayDown walks every type that can be reached
// through exported fields and List items.
func TestSnapshotIsAValueAllTheWayDown(t *testing.T) {
	seen := map[reflect.Type]bool{}
	mutable(reflect.TypeFor[snapshot.Snapshot](), "Snapshot", seen, func(what string) { t.Error(what) })
	for _, typ := range []reflect.Type{reflect.TypeFor[snapshot.Endpoint](), reflect.TypeFor[snapshot.Target](), reflect.TypeFor[snapshot.Filter]()} {
		if !seen[typ] {
			t.Errorf("the walk never reached %v: the test proves nothing", typ)
		}
	}
}

func TestTheWalkFindsWhatIsMutable(t *testing.T) {
	type inner struct{ M map[string]int }
	type bad struct {
		P *int
		L snapshot.List[inner]
	}
	var found []string
	mutable(reflect.TypeFor[bad](), "bad", map[reflect.Type]bool{}, func(what string) { found = append(found, what) })
	if len(found) != 2 {
		t.Errorf("found %q, want the pointer and the map", found)
	}
}

// mutable reports every way to reach shared memory from a value of type typ.
func mutable(typ reflect.Type, path string, seen map[reflect.Type]bool, report func(string)) {
	if seen[typ] {
		return
	}
	seen[typ] = true
	pointer := reflect.PointerTo(typ)
	for i := range pointer.NumMethod() {
		name := pointer.Method(i).Name
		if _, onValue := typ.MethodByName(name); !onValue && !decoders[name] {
			report(path + ": method " + name + " has a pointer receiver: it could change a shared value")
		}
	}
	switch typ.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan, reflect.Interface, reflect.UnsafePointer:
		report(path + " is a " + typ.Kind().String())
	case reflect.Array:
		mutable(typ.Elem(), path+"[]", seen, report)
	case reflect.Struct:
		if strings.HasPrefix(typ.Name(), "List[") {
			// What a List holds is what At returns; its slice cannot be reached.
			at, _ := typ.MethodByName("At")
			mutable(at.Type.Out(0), path+"[]", seen, report)
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				report(path + "." + f.Name + " is not exported: JSON and digests would miss it")
				continue
			}
			mutable(f.Type, path+"."+f.Name, seen, report)
		}
	}
}

func TestListSharesNoMemoryWithItsMaker(t *testing.T) {
	in := []string{"a", "b"}
	l := snapshot.ListOf(in...)
	in[0] = "changed"
	out := l.Slice()
	out[1] = "changed"
	if l.At(0) != "a" || l.At(1) != "b" {
		t.Errorf("the list changed: %v", l.Slice())
	}
}

func TestListIsDecodedOnce(t *testing.T) {
	var l snapshot.List[string]
	if err := json.Unmarshal([]byte(`["a"]`), &l); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`["b"]`), &l); err == nil || l.At(0) != "a" {
		t.Errorf("decoding into a list that holds something: error %v, list %v", err, l.Slice())
	}
}

func BenchmarkListOf10000(b *testing.B) {
	clusters := make([]snapshot.Cluster, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		snapshot.ListOf(clusters...)
	}
}
