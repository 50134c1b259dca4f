package main

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	request, response, err := parse("# c\n\nrequest set a b  c \nresponse  remove d\nrequest add e\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := []rule{{"set", "a", "b  c"}, {"add", "e", ""}}; !reflect.DeepEqual(request, want) {
		t.Errorf("request: got %q, want %q", request, want)
	}
	if want := []rule{{"remove", "d", ""}}; !reflect.DeepEqual(response, want) {
		t.Errorf("response: got %q, want %q", response, want)
	}
	for _, bad := range []string{"request", "request set", "request drop a", "request remove a b", "both set a b"} {
		if _, _, err := parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
