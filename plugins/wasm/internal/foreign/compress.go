package foreign

import (
	"bytes"
	"compress/zlib"
	"io"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// maxInput bounds what compress and uncompress take, in bytes.
const maxInput = 16 << 20

// Work, in the units of Env.Spend: of a piece, and of each byte of what is not
// compressed.
const (
	piece        = 64 << 10
	writerCost   = 256 << 10
	compressCost = 64
	inflateCost  = 16
)

// compress returns data as a zlib stream (RFC 1950). Its bytes are not those of
// Envoy's zlib, for a stream of the same data has many forms.
func compress(env Env, data []byte) ([]byte, abi.Status) {
	if len(data) > maxInput {
		return nil, abi.InternalFailure
	}
	env.Spend(writerCost)
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	for len(data) > 0 {
		n := min(len(data), piece)
		env.Spend(compressCost * n)
		if _, err := w.Write(data[:n]); err != nil {
			return nil, abi.SerializationFailure
		}
		data = data[n:]
	}
	if err := w.Close(); err != nil {
		return nil, abi.SerializationFailure
	}
	return b.Bytes(), abi.Ok
}

// uncompress returns what a zlib stream holds; bytes after it are passed over.
// What is over limit is an InternalFailure, where Envoy goes on until it has no
// memory left.
func uncompress(env Env, data []byte, limit int) ([]byte, abi.Status) {
	if len(data) > maxInput {
		return nil, abi.InternalFailure
	}
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, abi.SerializationFailure
	}
	var b bytes.Buffer
	for {
		env.Spend(inflateCost * piece)
		_, err := io.CopyN(&b, r, int64(min(piece, limit+1-b.Len())))
		switch {
		case b.Len() > limit:
			return nil, abi.InternalFailure
		case err == io.EOF:
			return b.Bytes(), abi.Ok
		case err != nil:
			return nil, abi.SerializationFailure
		}
	}
}
