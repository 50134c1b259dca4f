package diag

import (
	"bytes"
	"regexp"
	"strings"
)

// A guard is for documents of kinds that hold secrets. There a key that is
// unknown may be a misspelt one of a secret, so its value is not shown.
type guard struct {
	kinds    string // a regular expression
	harmless map[string]bool
}

// What Kuma's and Kubernetes' documents have beside what they are for.
const anyDocument = "type kind apiVersion mesh name namespace metadata labels annotations items creationTime modificationTime meshc.dev/ignore "

// guards are the kinds, those with the fewest harmless keys first: where
// documents of several stand together, the strictest is for all.
var guards = []guard{
	{"(?:Global)?Secret", harmlessKeys(anyDocument + "file immutable")},
	{"Mesh|ExternalService", harmlessKeys(anyDocument + `
		mtls enabledBackend backends conf cert key caCert clientCert clientKey file dpCert rotation expiration RSAbits
		networking address tls enabled tags kuma.io/service kuma.io/protocol kuma.io/region kuma.io/zone
		logging tracing metrics defaultBackend format path port skipMTLS sampling url traceId128bit apiVersion sharedSpanContext
		outbound passthrough routing localityAwareLoadBalancing`)},
	{"WasmPlugin", harmlessKeys(anyDocument + `
		selectors destinations match kuma.io/service kuma.io/protocol kuma.io/region kuma.io/zone service protocol version
		conf module path sha256 listeners pathPrefix methods routes phase order rootId vmId
		services limits memory callTimeout failurePolicy`)},
}

// Kong's entities with secrets stand among others, in lists of these names.
var (
	kongLists    = harmlessKeys("certificates consumers")
	kongHarmless = harmlessKeys("certificates consumers id name cert cert_alt snis tags username custom_id certificate acls group created_at updated_at")
)

func harmlessKeys(names string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		set[fold(name)] = true
	}
	return set
}

func (g guard) hides(key string) bool { return IsSecretKey(key) || !g.harmless[fold(key)] }

// IsSecretKeyIn reports the same as IsSecretKey, and also that a key is not
// known to be harmless in a document of this kind.
func IsSecretKeyIn(kind, key string) bool {
	for i, g := range guards {
		if kindOnly[i].MatchString(kind) {
			return g.hides(key)
		}
	}
	return IsSecretKey(key)
}

// kindOnly matches the kinds of a guard, and kindGiven a text that gives one of
// them to a document: as its type or kind, or in CUE by a definition.
var kindOnly, kindGiven = func() (only, given []*regexp.Regexp) {
	for _, g := range guards {
		only = append(only, regexp.MustCompile(`^(?:`+g.kinds+`)$`))
		given = append(given, regexp.MustCompile(`\b(?:type|kind)["']?\s*:\s*["']?(?:`+g.kinds+`)\b|#(?:`+g.kinds+`)\b`))
	}
	return only, given
}()

// hidingIn returns which keys hide their values in a text of documents that
// belong together.
func hidingIn(text []byte) func(key string) bool {
	for i, g := range guards {
		if kindGiven[i].Match(text) {
			return g.hides
		}
	}
	return IsSecretKey
}

// hidingAt narrows hide down for a line in the lists of Kong.
func hidingAt(hide func(string) bool, before [][]byte, line []byte) func(string) bool {
	inList := func(key string) bool { return kongLists[fold(key)] }
	if belowHidden(before, line, inList) || inFlow(before, inList) || hasHidden(line, inList) {
		return guard{harmless: kongHarmless}.hides
	}
	return hide
}

// hiding returns which keys hide their values in what a line belongs to, and
// the lines of that above it: in YAML the document, which begins with three
// dashes, else the file.
func (s *source) hiding(line int) (hide func(key string) bool, before [][]byte) {
	if s.hide == nil || line < s.from || line >= s.to {
		for s.from = line; s.from > 1 && !separates(s.lines[s.from-1]); s.from-- {
		}
		for s.to = line + 1; s.to <= len(s.lines) && !separates(s.lines[s.to-1]); s.to++ {
		}
		s.hide = hidingIn(bytes.Join(s.lines[s.from-1:s.to-1], []byte("\n")))
	}
	return s.hide, s.lines[s.from-1 : line-1]
}

func separates(line []byte) bool {
	rest, dashes := bytes.CutPrefix(line, []byte("---"))
	return dashes && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r') // a boundary in PEM goes on
}
