package diag

import (
	"bytes"
	"regexp"
)

// secretKey finds a key whose value may be a secret, as documents write it:
// the data of a Secret, key material in place. Excerpts show lines of files
// that may not even parse, so nothing better than the name of the key is known.
var secretKey = regexp.MustCompile(`(?:^|[\s{,"'])(?:data|inline|inlineString|inline_string|key|key_alt|passphrase|secret|password)["']?\s*:\s*`)

// blockLines is how far above a line the key of its block is looked for; a
// certificate chain is shorter.
const blockLines = 500

// secretFrom returns the offset in a line from which it must not be shown,
// because a secret may begin there; len(line) where all may be shown. before
// are the lines above: the line may belong to a block that one of them opens.
func secretFrom(before [][]byte, line []byte) int {
	indent := indentation(line)
	for i := len(before) - 1; i >= max(0, len(before)-blockLines) && indent > 0; i-- {
		above := before[i]
		if len(bytes.TrimSpace(above)) == 0 || indentation(above) >= indent {
			continue
		}
		if at := secretKey.FindIndex(above); at != nil && isBlock(above[at[1]:]) {
			return len(line) - len(bytes.TrimLeft(line, " \t"))
		}
		break // what encloses the line has another name
	}
	for _, at := range secretKey.FindAllIndex(line, -1) {
		if !opens(line[at[1]:]) {
			return at[1]
		}
	}
	return len(line)
}

// isBlock reports whether a value is on the lines below: a block scalar, or
// one that merely begins there.
func isBlock(value []byte) bool {
	value = bytes.TrimSpace(value)
	return len(value) == 0 || value[0] == '|' || value[0] == '>' || value[0] == '"' || value[0] == '\''
}

// opens reports whether a value is a map or list of its own, whose keys say
// what is secret in it, or nothing at all.
func opens(value []byte) bool {
	value = bytes.TrimSpace(value)
	return len(value) == 0 || value[0] == '{' || value[0] == '['
}

func indentation(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " \t-")) }
