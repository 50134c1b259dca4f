package abi

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

func TestPairs(t *testing.T) {
	h := &filter.Headers{}
	h.Add("a", "1")
	h.Add("bc", "")
	b := AppendPairs(nil, h)
	want := "\x02\x00\x00\x00" + "\x01\x00\x00\x00\x01\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" + "a\x001\x00bc\x00\x00"
	if string(b) != want {
		t.Errorf("%q", b)
	}
	if got := AppendPairs(nil, &filter.Headers{}); string(got) != "\x00\x00\x00\x00" {
		t.Errorf("empty: %q", got)
	}
}

func TestBadPairs(t *testing.T) {
	huge := "\xff\xff\xff\xff"
	for name, b := range map[string]string{
		"nothing":         "",
		"half a number":   "\x01\x00",
		"no sizes":        "\x01\x00\x00\x00",
		"huge count":      huge + strings.Repeat("\x00", 64),
		"huge size":       "\x01\x00\x00\x00" + huge + huge + "a\x00b\x00",
		"no room for NUL": "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00" + "a\x00b",
		"no NUL":          "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00" + "a\x00bx",
		"more than pairs": "\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00" + "a\x00b\x00x",
		"too many":        "\x01\x04\x00\x00" + strings.Repeat("\x00", 1025*10),
		"too long":        "\x01\x00\x00\x00" + strings.Repeat("\x00", MaxPairsBytes),
	} {
		if ParsePairs([]byte(b), func(name, value []byte) { t.Errorf("a pair %q %q", name, value) }) {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzPairs(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00a\x00b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h filter.Headers
		if !ParsePairs(b, func(name, value []byte) { h.Add(string(name), string(value)) }) {
			return
		}
		var again filter.Headers
		if !ParsePairs(AppendPairs(nil, &h), func(name, value []byte) { again.Add(string(name), string(value)) }) || !reflect.DeepEqual(h, again) {
			t.Errorf("%+v %+v", h, again)
		}
	})
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		v    filter.Value
		want string
	}{
		{"text", "text"}, {[]byte{1, 0}, "\x01\x00"}, {true, "\x01"}, {false, "\x00"},
		{int64(-2), "\xfe\xff\xff\xff\xff\xff\xff\xff"}, {uint64(258), "\x02\x01\x00\x00\x00\x00\x00\x00"},
		{1.0, "\x00\x00\x00\x00\x00\x00\xf0\x3f"}, {time.Microsecond, "\xe8\x03\x00\x00\x00\x00\x00\x00"},
		{time.Unix(0, 5), "\x05\x00\x00\x00\x00\x00\x00\x00"}, {&filter.Headers{}, "\x00\x00\x00\x00"},
	} {
		if got, ok := AppendValue(nil, c.v); !ok || string(got) != c.want {
			t.Errorf("%v: %q %v", c.v, got, ok)
		}
	}
	if _, ok := AppendValue(nil, struct{}{}); ok {
		t.Error("a value of no known type was taken")
	}
}

func FuzzPath(f *testing.F) {
	f.Add("request\x00headers\x00a.b")
	f.Fuzz(func(t *testing.T, path string) {
		var dst [8]string
		n, ok := SplitPath(path, dst[:])
		if !ok {
			return
		}
		if got := strings.Join(dst[:n], "\x00"); got != strings.TrimSuffix(path, "\x00") {
			t.Errorf("%q became %q", path, got)
		}
		if bytes.ContainsRune([]byte(strings.Join(dst[:n], "")), 0) {
			t.Errorf("a segment of %q has a NUL", path)
		}
	})
}
