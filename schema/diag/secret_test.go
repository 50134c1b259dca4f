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
		"plain":               "type: Secret\nname: ca\ndata: S3CR3T\nbogus: 1\n",
		"quoted":              "type: Secret\n'data': \"S3CR3T\"\nbogus: 1\n",
		"flow":                "key: {inlineString: S3CR3T, bogus: 1}\n",
		"json":                `{"type": "Secret", "data":"S3CR3T", "bogus": 1}` + "\n",
		"block":               "conf:\n  key:\n    inlineString: |\n      BEGIN\n      S3CR3T\n\n      S3CR3T\n  bogus: 1\n",
		"list":                "keyauth:\n- key: S3CR3T\n  bogus: 1\n",
		"not closed":          "type: Secret\ndata: \"S3CR3T\nbogus: 1\n",
		"next line":           "data:\n  S3CR3T\nbogus: 1\n",
		"CUE, marked":         "_#data!: \"S3CR3T\"\nbogus: 1\n",
		"CUE, definition":     "#token: \"S3CR3T\"\nbogus: 1\n",
		"prefixed":            "client_secret: S3CR3T\nbogus: 1\n",
		"camel case":          "a: {clientSecret: S3CR3T, bogus: 1}\n",
		"capitals":            "DB_PASSWORD: S3CR3T\nbogus: 1\n",
		"suffixed":            "example.com/api-token-value: S3CR3T\nbogus: 1\n",
		"private key":         "private_key:\n  inline_bytes: S3CR3T\nbogus: 1\n",
		"api key":             "plugins:\n- name: x\n  api-key: S3CR3T\n  bogus: 1\n",
		"array":               "passwords: [S3CR3T, bogus]\n",
		"URL":                 "url: http://user:S3CR3T@host.test/path\nbogus: 1\n",
		"URL, token":          "- {url: '//S3CR3T@host.test', bogus: 1}\n",
		"URL, bare":           "url: user:S3CR3T@host.test/path\nbogus: 1\n",
		"URL, slash":          "url: http://user:pass/S3CR3T@host.test/path\nbogus: 1\n",
		"plugin":              "plugins:\n- name: x\n  config:\n    # remark\n    deep:\n      deeper:\n      - S3CR3T\n\n      - a: S3CR3T\nbogus: 1\n",
		"plugin, flow":        "plugins:\n- {name: x, config: {deep: [S3CR3T,\n  S3CR3T], a: {b: S3CR3T}},\n bogus: 1}\n",
		"plugin, JSON":        "{\n\"config\": {\n\"deep\": [{\n\"a\": \"S3CR3T\"\n}],\n\"b\": \"S3CR3T\"\n},\n\"bogus\": 1\n}\n",
		"remark":              "env: # of all\n  A: S3CR3T\nbogus: 1\n",
		"credentials":         "consumers:\n- username: a\n  basicauth_credentials:\n  - username: S3CR3T\n    anything: S3CR3T\n  keyauth_credentials: [{any: S3CR3T}]\nbogus: 1\n",
		"next line, JSON":     "{\n\"data\":\n\"S3CR3T\"\n}\n",
		"open quote":          "data: \"a\nS3CR3T\n\n S3CR3T\"\nbogus: 1\n",
		"PEM":                 "x-keys:\n- &a |\n  -----BEGIN EC PRIVATE KEY-----\n  S3CR3T\n  S3CR3T\n  -----END EC PRIVATE KEY-----\nbogus: 1\n",
		"PEM in one":          "x: \"-----BEGIN PRIVATE KEY-----\\nS3CR3T\\n-----END PRIVATE KEY-----\"\nbogus: 1\n",
		"CUE":                 "conf: env: API: \"S3CR3T\"\n",
		"continued":           "password: a\n  S3CR3T\nbogus: 1\n",
		"misspelt":            "type: Secret\nname: a\ndta: S3CR3T\nbogus: 1\n",
		"misspelt, flow":      "{type: GlobalSecret, name: a, dta: S3CR3T, bogus: 1}\n",
		"misspelt, JSON":      "{\n  \"dta\": \"S3CR3T\",\n  \"type\": \"Secret\",\n  \"bogus\": 1\n}\n",
		"misspelt, CUE":       "schema.#Secret & {\n\tname: \"a\"\n\tdta: \"S3CR3T\"\n\tbogus: 1\n}\n",
		"misspelt, block":     "type: Secret\ndta: |\n  S3CR3T\n\n  S3CR3T\nbogus: 1\n",
		"misspelt, list":      "type: Secret\ndta: [S3CR3T,\n S3CR3T]\nbogus: 1\n",
		"misspelt source":     "type: Mesh\nmtls:\n  backends:\n  - conf:\n      key: {inlin: S3CR3T, bogus: 1}\n      cert: {inlineStrng: S3CR3T}\n",
		"misspelt client key": "type: ExternalService\nnetworking:\n  tls:\n    clientKye:\n      inline: S3CR3T\n    bogus: 1\n",
		"misspelt, Kong":      "_format_version: '3.0'\nservices: []\ncertificates:\n- cert: a\n  kye: S3CR3T\n  bogus: 1\n- {kye: S3CR3T}\n",
		"misspelt, Kong flow": "{_format_version: '3.0', certificates: [{cert: a, kye: S3CR3T, bogus: 1}]}\n",
		"misspelt, Kong JSON": "{\n\"certificates\": [\n{\n\"kye\": \"S3CR3T\",\n\"bogus\": 1\n}]}\n",
		"misspelt plugin":     "type: WasmPlugin\nconf:\n  configuraton: {pw: S3CR3T}\n  evn:\n    A: S3CR3T\n  vmConfguration: S3CR3T\n  bogus: 1\n",
		"misspelt env, flow":  "{type: WasmPlugin, conf: {listeners: [gateway], evn: {A: S3CR3T}, configuraton: S3CR3T, bogus: 1}}\n",
		"misspelt env, CUE":   "schema.#WasmPlugin & {\n\tconf: evn: A: \"S3CR3T\"\n\tbogus: 1\n}\n",
		"of Kubernetes":       "kind: Secret\nstrngData:\n  a: S3CR3T\nbogus: 1\n",
		"second of a file":    "type: Dataplane\nname: a\n---\ntype: Secret\ndta: S3CR3T\nbogus: 1\n",
		"header":              "requestHeadersToAdd:\n- header:\n    value: S3CR3T\n    key: a\nbogus: 1\n",
		"header, flow":        "requestHeadersToAdd: [{header: {value: S3CR3T}}]\nbogus: 1\n",
		"header in one":       "- header: 'Authorization: S3CR3T'\n  bogus: 1\n",
		"changed headers":     "modify:\n  requestHeaders:\n    add:\n    - name: a\n      value: S3CR3T\n  responseHeaders: {add: [{name: a, value: S3CR3T}]}\nbogus: 1\n",
		"matched headers":     "match:\n  headers:\n    x-a:\n      exact: S3CR3T\nbogus: 1\n",
		"headers of Kong":     "healthchecks:\n  active:\n    headers:\n      X-A:\n      - S3CR3T\n    bogus: 1\n",
		"headers, CUE":        "conf: http: requestHeadersToAdd: [{header: value: \"S3CR3T\"}]\nbogus: 1\n",
		"broken YAML":         "type: Secret\n\tdata: S3CR3T\nbogus: 1\n",
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

// What is no secret is shown: an excerpt without text helps nobody.
func TestExcerptsShowTheRest(t *testing.T) {
	for _, line := range []string{
		"keyUsage: keyCertSign", "tokens: 5", "max_tokens: 5", "token_bucket: {tokens_per_fill: 5}", "publicKey: abc", "hash_on_cookie: a",
		"name: secret-keeper # not a key", "url: http://host.test/path?a=b", "keys: 3", "mail: a@b.test", "database: x", "configs: 1", "environment: x",
		"key: {file: a.pem}",
	} {
		var out bytes.Buffer
		o := diag.Options{Source: func(string) []byte { return []byte("a: {key: 1, data: x}\nkind: X\n" + line + "\n") }}
		ds := []diag.Diagnostic{{Code: "MC0302", Place: diag.Place{File: "f", Line: 3, Column: 1}}}
		if err := diag.Write(&out, diag.Text, ds, diag.Summary{}, o); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), line) {
			t.Errorf("%s is not shown:\n%s", line, out.String())
		}
	}
}

// A document beside one with secrets is shown as if it stood alone, and of a
// document with secrets what is known to be none.
func TestExcerptsShowWhatIsKnown(t *testing.T) {
	const text = `type: Secret
name: shown-1
dta: hidden
---
type: Dataplane
nme: shown-2
---
type: Mesh
mtls:
  enabledBackend: shown-3
  backends: [{name: shown-4, type: builtin, conf: {key: {file: shown-5}}}]
---
_format_version: "3.0"
services:
- {name: shown-6, urll: shown-7}
certificates:
- {id: shown-8, cert: shown-9}
plugins:
- {nme: shown-10}
---
type: ExternalService
networking: {address: 'shown-11.test:443', tls: {enabled: true}}
tags: {kuma.io/service: shown-12}
---
type: WasmPlugin
selectors: [{match: {kuma.io/service: shown-13}}]
conf: {module: {path: shown-14}, listeners: [shown-15], order: shown-16}
`
	var ds []diag.Diagnostic
	for line := range strings.Count(text, "\n") {
		ds = append(ds, diag.Diagnostic{Code: "MC0302", Place: diag.Place{File: "f", Line: line + 1, Column: 1}})
	}
	var out bytes.Buffer
	if err := diag.Write(&out, diag.Text, ds, diag.Summary{}, diag.Options{Source: func(string) []byte { return []byte(text) }}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "shown-"); n != 16 {
		t.Errorf("%d of 16 are shown:\n%s", n, out.String())
	}
}

func TestWithoutUserinfo(t *testing.T) {
	for in, want := range map[string]string{
		`"http://a.test/b" is not`:     `"http://a.test/b" is not`,
		`"http://u:p@a.test/b" is not`: `"http://[redacted]@a.test/b" is not`,
		`"//u@a" and "//b@c" are not`:  `"//[redacted]@a" and "//[redacted]@c" are not`,
		`"u:p@a.test" is not`:          `"[redacted]@a.test" is not`,
		`{"a":"b@c.test"}`:             `{"a":"b@c.test"}`,
		`a@b.test is not`:              `a@b.test is not`,
	} {
		if got := diag.WithoutUserinfo(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
