package diag_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/meshc/meshc/schema/diag"
)

// TestExcerptsHideSecrets puts a finding on every character of documents that
// hold a secret; the text must never show it, nor lose what is around it.
func TestExcerptsHideSecrets(t *testing.T) {
	const secret = "S3CR3T"
	for name, text := range map[string]string{
		"plain":       "type: Secret\nname: ca\ndata: S3CR3T\nbogus: 1\n",
		"quoted":      "type: Secret\n'data': \"S3CR3T\"\nbogus: 1\n",
		"flow":        "key: {inlineString: S3CR3T, bogus: 1}\n",
		"json":        `{"type": "Secret", "data":"S3CR3T", "bogus": 1}` + "\n",
		"block":       "conf:\n  key:\n    inlineString: |\n      BEGIN\n      S3CR3T\n\n      S3CR3T\n  bogus: 1\n",
		"list":        "keyauth:\n- key: S3CR3T\n  bogus: 1\n",
		"not closed":  "type: Secret\ndata: \"S3CR3T\nbogus: 1\n",
		"next line":   "data:\n  S3CR3T\nbogus: 1\n",
		"broken YAML": "type: Secret\n\tdata: S3CR3T\nbogus: 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			var ds []diag.Diagnostic
			for i, line := range strings.Split(text, "\n") {
				for column := range line {
					ds = append(ds, diag.Diagnostic{Code: "MC0302", Place: diag.Place{File: "f", Line: i + 1, Column: column + 1}})
				}
			}
			var out bytes.Buffer
			o := diag.Options{Source: func(string) []byte { return []byte(text) }}
			if err := diag.Write(&out, diag.Text, ds, diag.Summary{}, o); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out.String(), secret) {
				t.Errorf("the secret is shown:\n%s", out.String())
			}
			if !strings.Contains(out.String(), "[redacted]") {
				t.Errorf("nothing is shown to be left out:\n%s", out.String())
			}
		})
	}
}
