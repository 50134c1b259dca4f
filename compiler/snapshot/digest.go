package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Digest is the SHA-256 of a part's content. It is written as lower-case hex.
type Digest [sha256.Size]byte

// DigestOf returns the digest of v's JSON form. v must be built of the
// package's own types, strings, numbers and booleans, whose JSON is canonical.
func DigestOf(v any) Digest {
	b, err := json.Marshal(v)
	if err != nil {
		// Only a type that JSON cannot hold can fail here: a mistake in meshc.
		panic(fmt.Sprintf("snapshot: digest of %T: %v", v, err))
	}
	return sha256.Sum256(b)
}

// IsZero reports whether d has not been filled in.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns the digest as 64 hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 12 hex digits, enough for a log line.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// MarshalText writes the digest as hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hex digits.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("digest must be %d hex digits, got %d", hex.EncodedLen(len(d)), len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}
