package foreign

import (
	"bytes"
	"compress/zlib"
	"io"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// compress returns data as a zlib stream (RFC 1950). Its bytes are not those of
// Envoy's zlib, for a stream of the same data has many forms.
func compress(data []byte) ([]byte, abi.Status) {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		return nil, abi.SerializationFailure
	}
	if err := w.Close(); err != nil {
		return nil, abi.SerializationFailure
	}
	return b.Bytes(), abi.Ok
}

// uncompress returns what a zlib stream holds; bytes after it are passed over.
// What is over limit is an InternalFailure, where Envoy goes on until it has no
// memory left.
func uncompress(data []byte, limit int) ([]byte, abi.Status) {
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, abi.SerializationFailure
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, abi.SerializationFailure
	case len(b) > limit:
		return nil, abi.InternalFailure
	}
	return b, abi.Ok
}
