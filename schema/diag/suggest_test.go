package diag_test

import (
	"testing"

	"github.com/meshc/meshc/schema/diag"
)

func TestNearest(t *testing.T) {
	fields := []string{"name", "port", "protocol", "targetPort"}
	for name, want := range map[string]string{
		"nmae":     "name", // neighbours that changed places are one edit
		"prot":     "port",
		"ports":    "port",
		"targtPrt": "targetPort",
		"name":     "", // what is there is not near
		"selector": "",
		"x":        "",
		"":         "",
	} {
		if got := diag.Nearest(name, fields); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
