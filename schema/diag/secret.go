package diag

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// secretParts make a name one of a secret, wherever in it they stand.
var secretParts = []string{
	"secret", "password", "passwd", "passphrase", "token", "credential", "pkcs12", "authusername",
	"apikey", "privatekey", "accesskey", "signingkey", "encryptionkey", "sharedkey", "ticketkey", "accountkey", "authkey", "hmackey", "jsonkey",
}

// secretNames are whole names of secrets: of Envoy's API those that it marks as
// sensitive, and headers.
var secretNames = []string{"authorization", "proxyauthorization", "cookie", "setcookie", "users", "contextextensions"}

// tokensOfLimits are what limits count, and their buckets.
var tokensOfLimits = strings.NewReplacer("maxtokens", "", "mintokens", "", "tokensperfill", "", "tokenbucket", "")

// SecretName reports whether a field of this name holds a secret, or what
// secrets are made of: client_secret, apiKey, DB_PASSWORD. It knows nothing
// but the name, and so takes some for secrets that only refer to one.
func SecretName(name string) bool {
	name = fold(name)
	if slices.Contains(secretNames, name) {
		return true
	}
	if name == "tokens" {
		return false
	}
	name = tokensOfLimits.Replace(name)
	return slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(name, part) })
}

// fold makes one of all spellings of a name: api_key, apiKey, API-KEY.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '_' || r == '-' || r == '.':
			return -1
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// notShown are more names whose values may be secret, in place: the data of a
// Secret, key material, headers, the configuration of plugins.
var notShown = []string{
	"data", "stringdata", "inline", "inlinestring", "inlinebytes", "key", "keyalt", "jwk",
	"header", "headers", "requestheaders", "responseheaders", "requestheaderstoadd",
	"config", "pluginconfigs", "configuration", "vmconfiguration", "env",
}

// IsSecretKey reports whether neither excerpts nor messages show what stands
// under a key of this name. That is more than SecretName: an excerpt shows
// lines of files that may not even parse, so nothing but the name is known.
func IsSecretKey(key string) bool { return SecretName(key) || slices.Contains(notShown, fold(key)) }

var (
	anyKey      = regexp.MustCompile(`(?:^|[\s{,\["'])(?:_?#)?([\w.$/-]+)["']?[!?]?\s*:\s*`)
	userinfo    = regexp.MustCompile(`(//)\S*@|[\w.%+-]+:[^\s"'/]+@`) // the second is of a URL without protocol
	pemBoundary = regexp.MustCompile(`-----(BEGIN|END) (?:[A-Z0-9 ]+ )?PRIVATE KEY-----`)
)

// reach is how far above a line is looked for what it belongs to; a
// certificate chain is shorter.
const reach = 500

// secretFrom returns the offset in a line from which it must not be shown,
// because a secret may begin there; len(line) where all may be shown. before
// are the lines above: the line may belong to a value that begins in one of them.
// Values of the keys that hide reports are secrets.
func secretFrom(before [][]byte, line []byte, hide func(key string) bool) int {
	before = before[max(0, len(before)-reach):]
	hide = hidingAt(hide, before, line)
	if belowHidden(before, line, hide) || inFlow(before, hide) || continues(before, hide) || inKey(before) {
		return len(line) - len(bytes.TrimLeft(line, " \t"))
	}
	from := len(line)
	if at := userinfo.FindSubmatchIndex(line); at != nil {
		from = max(at[0], at[3]) // behind the slashes
	}
	if at := pemBoundary.FindIndex(line); at != nil { // all on one line, with \n for ends of lines
		from = min(from, at[0])
	}
	eachHidden(line, hide, func(name string, value int) bool {
		if (name == "key" || name == "keyalt") && opens(line[value:]) {
			return true // whose own keys say what is secret in it
		}
		from = min(from, value)
		return false
	})
	return from
}

// eachHidden calls f for the keys in a line that hide reports, with their folded
// names and the offsets of their values, until it returns false.
func eachHidden(line []byte, hide func(string) bool, f func(name string, value int) bool) {
	for at := 0; ; {
		m := anyKey.FindSubmatchIndex(line[at:])
		if m == nil {
			return
		}
		name, colon := string(line[at+m[2]:at+m[3]]), line[at+m[3]:at+m[1]]
		at += m[1]
		if hide(name) && (IsSecretKey(name) || isKey(colon, line[at:])) && !f(fold(name), at) {
			return
		}
		at-- // what ends one key may begin the next
	}
}

// isKey reports whether what stands before a colon is a key, and not the host of
// host:80: quotes or blanks are around the colon, or a value opens behind it.
func isKey(colon, rest []byte) bool {
	return string(colon) != ":" || len(rest) == 0 || strings.IndexByte(`"'{[`, rest[0]) >= 0
}

func hasHidden(line []byte, hide func(string) bool) (found bool) {
	eachHidden(line, hide, func(string, int) bool { found = true; return false })
	return found
}

// belowHidden reports whether what encloses a line by its indentation, at any
// depth, has a hidden name.
func belowHidden(before [][]byte, line []byte, hide func(string) bool) bool {
	indent := indentation(line)
	for i := len(before) - 1; i >= 0 && indent > 0; i-- {
		above := before[i]
		if len(bytes.TrimSpace(above)) == 0 || indentation(above) >= indent {
			continue
		}
		if hasHidden(above, hide) {
			return true
		}
		indent = indentation(above)
	}
	return false
}

// inFlow reports whether the next line stands between brackets that follow a
// hidden name, however it is indented.
func inFlow(before [][]byte, hide func(string) bool) bool {
	depth := 0
	for _, above := range slices.Backward(before) {
		for i, c := range slices.Backward(above) {
			switch c {
			case '}', ']':
				depth++
			case '{', '[':
				if depth > 0 {
					depth--
				} else if m := anyKey.FindAllIndex(above[:i], -1); len(m) > 0 && m[len(m)-1][1] == i && hasHidden(above[m[len(m)-1][0]:i], hide) {
					return true
				}
			}
		}
	}
	return false
}

// continues reports whether the next line may hold the value of a hidden name
// above it, or the rest of one in quotes, without being indented.
func continues(before [][]byte, hide func(string) bool) bool {
	nearest := true
	for _, above := range slices.Backward(before) {
		above = bytes.TrimSpace(above)
		quoted := bytes.ContainsAny(above, `"'`)
		if len(above) == 0 || !quoted && !nearest {
			continue
		}
		open := false
		eachHidden(above, hide, func(_ string, value int) bool {
			rest := above[value:]
			open = len(rest) == 0 && nearest ||
				len(rest) > 0 && (rest[0] == '"' || rest[0] == '\'') && bytes.Count(rest, rest[:1]) == 1
			return !open
		})
		if open || quoted {
			return open
		}
		nearest = false
	}
	return false
}

// inKey reports whether the next line is one of a private key in PEM.
func inKey(before [][]byte) bool {
	for _, above := range slices.Backward(before) {
		if !bytes.Contains(above, []byte("-----")) {
			continue
		}
		if m := pemBoundary.FindSubmatch(above); m != nil {
			return string(m[1]) == "BEGIN"
		}
	}
	return false
}

// opens reports whether a value is a map or list of its own, or nothing.
func opens(value []byte) bool {
	value = bytes.TrimSpace(value)
	return len(value) == 0 || value[0] == '{' || value[0] == '['
}

func indentation(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " \t-")) }

// WithoutUserinfo returns text with what stands before an @ in its URLs
// replaced: that may be a password, or a token.
func WithoutUserinfo(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	return userinfo.ReplaceAllString(text, "${1}[redacted]@")
}
