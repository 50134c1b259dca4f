package schema

import (
	"encoding/json"
	"testing"
)

// What is written is what encoding/json reads, and no more is escaped than must be.
func TestAppendString(t *testing.T) {
	for _, c := range []struct{ in, want, read string }{
		{"", `""`, ""},
		{"plain <&> é \u2028 \ufffd", "\"plain <&> é \u2028 \ufffd\"", "plain <&> é \u2028 \ufffd"},
		{"\"\\\n\r\t", `"\"\\\n\r\t"`, "\"\\\n\r\t"},
		{"\x00a\x1f\x7f", "\"\\u0000a\\u001f\x7f\"", "\x00a\x1f\x7f"},
		{"a\xffb\xc3", "\"a\ufffdb\ufffd\"", "a\ufffdb\ufffd"},
	} {
		got := string(appendString(nil, c.in))
		var read string
		if err := json.Unmarshal([]byte(got), &read); err != nil || got != c.want || read != c.read {
			t.Errorf("%q: got %s, which reads %q (%v); want %s", c.in, got, read, err, c.want)
		}
	}
}
