package foreign

import (
	"encoding/binary"
	"sort"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/runtime/filter"
)

// serialise is the form in which a guest gets a value, where it has room.
func serialise(value ref.Val, depth int, room *int) ([]byte, abi.Status) {
	failed := func() ([]byte, abi.Status) { return nil, abi.SerializationFailure }
	if depth > 8 {
		return failed()
	}
	var native filter.Value
	switch v := value.(type) {
	case types.String:
		if *room -= len(v); *room < 0 {
			return nil, abi.InternalFailure
		}
		return []byte(v), abi.Ok
	case types.Bytes:
		if *room -= len(v); *room < 0 {
			return nil, abi.InternalFailure
		}
		return []byte(v), abi.Ok
	case types.Bool:
		native = bool(v)
	case types.Int:
		native = int64(v)
	case types.Uint:
		native = uint64(v)
	case types.Double:
		native = float64(v)
	case types.Timestamp:
		native = v.Time
	case types.Duration:
		native = v.Duration
	case object:
		headers, ok := v.headers()
		if !ok {
			return failed()
		}
		native = headers
	case traits.Mapper:
		return serialiseAll(v, func(key ref.Val) ref.Val { return v.Get(key) }, depth, room)
	case traits.Lister:
		return serialiseAll(v, nil, depth, room)
	default:
		return failed()
	}
	b, ok := abi.AppendValue(nil, native)
	if !ok {
		return failed()
	}
	if *room -= len(b); *room < 0 {
		return nil, abi.InternalFailure
	}
	return b, abi.Ok
}

// pairSize is what a pair takes besides its texts.
const pairSize = 10

// serialiseAll is a map as pairs, or a list as pairs without values. Maps are in
// the order of their keys, where Envoy has none.
func serialiseAll(all traits.Iterable, get func(ref.Val) ref.Val, depth int, room *int) ([]byte, abi.Status) {
	type pair struct{ key, value []byte }
	var pairs []pair
	for it := all.Iterator(); it.HasNext() == types.True; {
		var p pair
		var status abi.Status
		if *room -= pairSize; *room < 0 {
			return nil, abi.InternalFailure
		}
		element := it.Next()
		if p.key, status = serialise(element, depth+1, room); status != abi.Ok {
			return nil, status
		}
		if get != nil {
			if p.value, status = serialise(get(element), depth+1, room); status != abi.Ok {
				return nil, status
			}
		}
		pairs = append(pairs, p)
	}
	if get != nil {
		sort.Slice(pairs, func(i, j int) bool { return string(pairs[i].key) < string(pairs[j].key) })
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(pairs)))
	for _, p := range pairs {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.key)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.value)))
	}
	for _, p := range pairs {
		b = append(append(b, p.key...), 0)
		b = append(append(b, p.value...), 0)
	}
	return b, abi.Ok
}
