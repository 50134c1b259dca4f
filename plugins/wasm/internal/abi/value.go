package abi

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/meshc/meshc/runtime/filter"
)

// AppendValue appends a property's value as Envoy hands it to a guest: text as
// it is, numbers as 8 bytes, little-endian, times and durations as nanoseconds
// (64 bits), a bool as one byte, a map as pairs. It reports false for what has
// no form.
func AppendValue(b []byte, v filter.Value) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return append(b, v...), true
	case []byte:
		return append(b, v...), true
	case bool:
		if v {
			return append(b, 1), true
		}
		return append(b, 0), true
	case int64:
		return binary.LittleEndian.AppendUint64(b, uint64(v)), true
	case uint64:
		return binary.LittleEndian.AppendUint64(b, v), true
	case float64:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(v)), true
	case time.Time:
		return binary.LittleEndian.AppendUint64(b, uint64(v.UnixNano())), true
	case time.Duration:
		return binary.LittleEndian.AppendUint64(b, uint64(v)), true
	case *filter.Headers:
		if v == nil {
			v = &filter.Headers{}
		}
		return AppendPairs(b, v), true
	}
	return b, false
}

// SplitPath splits a property's path at its NULs into dst, without copying. A
// NUL at the end is not the start of a segment. It reports false when path is
// empty or has more segments than dst holds.
func SplitPath(path string, dst []string) (n int, ok bool) {
	if path != "" && path[len(path)-1] == 0 {
		path = path[:len(path)-1]
	}
	start := 0
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != 0 {
			continue
		}
		if n == len(dst) {
			return 0, false
		}
		dst[n] = path[start:i]
		n++
		start = i + 1
	}
	return n, path != ""
}
