package main

import "testing"

func TestParse(t *testing.T) {
	c, err := parse([]byte(`{"service": "keys"}`))
	if want := (config{"keys", "/check", 1000}); err != nil || c != want {
		t.Errorf("got %+v, %v; want %+v", c, err, want)
	}
	for _, bad := range []string{``, `{}`, `[]`, `{"service": "keys", "timeoutMillis": -1}`} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
