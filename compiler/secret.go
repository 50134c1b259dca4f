package compiler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/meshc/meshc/schema"
)

// redacted stands where a secret was.
const redacted = "[redacted]"

// withoutSecrets returns the document's JSON with every secret in it replaced:
// the data of a Secret, and key material written in place.
func withoutSecrets(d *schema.Document) string {
	secret := d.Kind == "Secret" || d.Kind == "GlobalSecret"
	if !secret && !strings.Contains(d.JSON, `"inline`) {
		return d.JSON
	}
	dec := json.NewDecoder(strings.NewReader(d.JSON))
	dec.UseNumber() // numbers stay as they were written
	var v any
	if err := dec.Decode(&v); err != nil {
		panic(fmt.Sprintf("compiler: JSON of %s: %v", d.ID(), err)) // schema wrote it
	}
	redact(v, secret)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("compiler: JSON of %s: %v", d.ID(), err))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func redact(v any, secret bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if k == "inline" || k == "inlineString" || secret && k == "data" {
				v[k] = redacted
				continue
			}
			redact(e, secret)
		}
	case []any:
		for _, e := range v {
			redact(e, secret)
		}
	}
}
