package http1

import "encoding/binary"

// lower maps the characters of a token (RFC 9110, 5.6.2) to lower case, and
// every other byte to 0.
var lower = func() (t [256]byte) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" {
		t[c] = byte(c)
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] = byte(c) + 'a' - 'A'
	}
	return t
}()

const notHex = 0xff

// hexValue maps hexadecimal digits to their value, and every other byte to notHex.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = notHex
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()

// hostChar has the characters of a host (RFC 3986, 3.2.2), brackets and colon
// aside.
var hostChar = func() (t [256]bool) {
	for _, c := range "-._~%!$&'()*+,;=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// validToken reports whether b is a token in any case.
func validToken[T ~string | ~[]byte](b T) bool {
	for i := range len(b) {
		if lower[b[i]] == 0 {
			return false
		}
	}
	return len(b) > 0
}

// validName reports whether s is a token in lower case.
func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; lower[c] != c || c == 0 {
			return false
		}
	}
	return len(s) > 0
}

// validValue reports whether b has no control character but tabs.
func validValue(b []byte) bool {
	for len(b) >= 8 {
		if x := binary.LittleEndian.Uint64(b); hasControl(x) && !validBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return validBytes(b)
}

// hasControl reports whether one of the bytes of x is below 0x20 or 0x7f.
func hasControl(x uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	y := x ^ ones*0x7f
	return ((x-ones*0x20)&^x|(y-ones)&^y)&tops != 0
}

func validBytes(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// validTarget reports whether b may stand in a request line: visible ASCII
// without a fragment (RFC 9112, 3.2).
func validTarget[T ~string | ~[]byte](b T) bool {
	for i := range len(b) {
		if c := b[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return len(b) > 0
}

// validAuthority reports whether b is host[:port] without user information,
// and, with needPort, whether it has a port.
func validAuthority(b []byte, needPort bool) bool {
	i := 0
	if len(b) > 0 && b[0] == '[' {
		for i = 1; i < len(b) && (hostChar[b[i]] || b[i] == ':'); i++ {
		}
		if i == len(b) || b[i] != ']' || i == 1 {
			return false
		}
		i++
	} else {
		for i < len(b) && hostChar[b[i]] {
			i++
		}
		if i == 0 {
			return false
		}
	}
	if i == len(b) {
		return !needPort
	}
	if b[i] != ':' {
		return false
	}
	port := b[i+1:]
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(port) <= 5 && (len(port) > 0 || !needPort)
}

// equalFold reports whether b is s, which is in lower case, in any case.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower[c] != s[i] {
			return false
		}
	}
	return true
}

// trim takes spaces and tabs off both ends of b.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// decimal returns the number that b spells in digits, and -1 if it spells none
// or one of more than 18 digits.
func decimal[T ~string | ~[]byte](b T) int64 {
	if len(b) == 0 || len(b) > 18 {
		return -1
	}
	n := int64(0)
	for i := range len(b) {
		c := b[i]
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}
