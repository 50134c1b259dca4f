package module_test

import (
	"strings"
	"testing"

	"github.com/meshc/meshc/plugins/wasm/internal/module"
)

func TestParseRefuses(t *testing.T) {
	header := "0061736d 01000000 "
	for _, c := range []struct{ name, binary, want string }{
		{"nothing", "", "not a WebAssembly module"},
		{"text", "286d6f64 756c6529", "not a WebAssembly module"},
		{"a component", "0061736d 0d000100", "component"},
		{"version 2", "0061736d 02000000", "version 2"},
		{"an unknown section", header + "0e 00", "unknown section 14"},
		{"a section too long", header + "01 05 00", "claims 5 bytes, 1 are left"},
		{"bytes too many", header + "01 02 00 00", "1 bytes too many"},
		{"sections out of order", header + "03 01 00 01 01 00", "out of order"},
		{"a section twice", header + "01 01 00 01 01 00", "there twice"},
		{"a count over what is left", header + "01 05 ff ff ff ff 0f", "claims 4294967295 entries"},
		{"a count over 32 bits", header + "01 05 ff ff ff ff 7f", "over 32 bits"},
		{"an endless count", header + "01 06 80 80 80 80 80 00", "too long"},
		{"a type of its own", header + "01 04 01 61 00 00", "begins with 0x61"},
		{"a struct type", header + "01 04 01 5f 00 00", "garbage collection"},
		{"a function without body", header + "01 04 01 60 00 00 03 02 01 00", "1 functions are declared and 0 have a body"},
		{"an unknown type", header + "03 02 01 00", "type 0, there are 0"},
		{"a memory over 4 GiB", header + "05 05 01 00 81 80 04", "more than 65536 pages"},
		{"a maximum below the minimum", header + "05 04 01 01 02 01", "at least 2 and at most 1"},
		{"an export of nothing", header + "07 05 01 01 61 00 00", `export "a" is function 0, there are 0`},
		{"two exports of a name", header + "05 03 01 00 01 07 09 02 01 61 02 00 01 61 02 00", `two exports are called "a"`},
		{"a start of nothing", header + "08 01 00", "start function 0"},
		{"a name that is none", header + "02 05 01 01 ff 00 00", "not UTF-8"},
		{"locals by the million", header + "01 04 01 60 00 00 03 02 01 00 0a 08 01 06 01 c0 84 3d 7f 0b", "more than 50000 locals"},
		{"a data count that is wrong", header + "0c 01 01", "data count section says 1, there are 0"},
		{"an element of nothing", header + "09 06 01 00 41 00 0b 00", ""},
		{"an element of an unknown function", header + "09 07 01 00 41 00 0b 01 00", "function 0, there are 0"},
	} {
		_, err := module.Parse(unhex(c.binary))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Two bytes can declare many locals, and an engine makes room for each: functions by the thousand are bounded together.
func TestLocalsAreBoundedTogether(t *testing.T) {
	g := guest{types: []string{toNothing}}
	for range 30 {
		g.functions = append(g.functions, "00")
		g.code = append(g.code, "01 d0 86 03 7f 0b")
	}
	if _, err := module.Parse(g.bytes()); err == nil || !strings.Contains(err.Error(), "locals") {
		t.Errorf("got %v", err)
	}
}
