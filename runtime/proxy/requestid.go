package proxy

import (
	"math/rand/v2"
	"unsafe"
)

// requestID is a random UUID (RFC 9562, version 4) as text, kept in the stream so
// that a request costs no allocation.
type requestID [36]byte

// make fills id anew and returns it as a string, valid until the next make.
func (id *requestID) make() string {
	const hex = "0123456789abcdef"
	hi, lo := rand.Uint64(), rand.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(3<<62) | 2<<62
	pos := 0
	for _, word := range [2]uint64{hi, lo} {
		for shift := 60; shift >= 0; shift -= 4 {
			switch pos {
			case 8, 13, 18, 23:
				id[pos] = '-'
				pos++
			}
			id[pos] = hex[word>>shift&15]
			pos++
		}
	}
	return unsafe.String(&id[0], len(id))
}
