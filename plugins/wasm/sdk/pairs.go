package sdk

// The form of header lists between host and module: the count, the sizes of
// each name and value, then each name and value with a NUL behind it.

func pack(headers []Header) []byte {
	if len(headers) == 0 {
		return nil
	}
	size := 4 + 10*len(headers)
	for _, h := range headers {
		size += len(h.Name) + len(h.Value)
	}
	b := appendUint32(make([]byte, 0, size), uint32(len(headers)))
	for _, h := range headers {
		b = appendUint32(b, uint32(len(h.Name)))
		b = appendUint32(b, uint32(len(h.Value)))
	}
	for _, h := range headers {
		b = append(append(b, h.Name...), 0)
		b = append(append(b, h.Value...), 0)
	}
	return b
}

// unpack returns the list in b; its strings are parts of b.
func unpack(b []byte) ([]Header, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) < 4 {
		return nil, ParseFailed
	}
	n := uint64(getUint32(b))
	if n*10 > uint64(len(b)-4) {
		return nil, ParseFailed
	}
	sizes, data := b[4:4+8*n], view(b[4+8*n:])
	headers := make([]Header, 0, n)
	next := func(size []byte) (string, bool) {
		k := uint64(getUint32(size))
		if k >= uint64(len(data)) || data[k] != 0 {
			return "", false
		}
		s := data[:k]
		data = data[k+1:]
		return s, true
	}
	for ; len(sizes) > 0; sizes = sizes[8:] {
		name, ok := next(sizes)
		if !ok {
			return nil, ParseFailed
		}
		value, ok := next(sizes[4:])
		if !ok {
			return nil, ParseFailed
		}
		headers = append(headers, Header{name, value})
	}
	return headers, nil
}

// encoding/binary would bring reflect into each module.

func appendUint32(b []byte, n uint32) []byte {
	return append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

func getUint32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// decimal is strconv.Itoa for the few numbers of this package.
func decimal(n int) string {
	if n < 0 {
		return "-" + decimal(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return decimal(n/10) + decimal(n%10)
}
