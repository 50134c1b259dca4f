package http1

// What one codec takes in, another must be able to send: the checks of this
// package, for the codecs of other versions.

// ValidName reports whether s is a field name, in lower case.
func ValidName(s string) bool { return validName(s) }

// ValidValue reports whether s has no control character but tabs.
func ValidValue(s string) bool { return validValue(bytesOf(s)) }

// ValidMethod reports whether s is a token.
func ValidMethod(s string) bool { return validToken(s) }

// ValidPath reports whether s can be the target of a request with method:
// visible ASCII without a fragment that begins with a slash, or "*" of OPTIONS.
func ValidPath(s, method string) bool {
	return validTarget(s) && (s[0] == '/' || s == "*" && method == "OPTIONS")
}

// ValidAuthority reports whether s is host[:port] without user information.
func ValidAuthority(s string) bool { return validAuthority(bytesOf(s), false) }

// Length returns the number that a content-length spells, -1 if it is none.
func Length(s string) int64 { return decimal(s) }

// NotInTrailers reports whether the field name, in lower case, would change
// how a message is framed or routed, or belongs to one connection.
func NotInTrailers(name string) bool { return notInTrailers(name) }
