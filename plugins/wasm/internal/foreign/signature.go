package foreign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // registers what hashes names
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// The messages are Envoy's (source/common/crypto/utility_impl.cc): guests compare them.
var (
	errVerifyKey  = errors.New("Failed to initialize digest verify.")
	errVerify     = errors.New("Failed to verify digest. Error code: 0")
	errNoSignKey  = errors.New("Invalid key type: private key required for signing operation.")
	errBadSignKey = errors.New("Invalid private key: key data is corrupted or malformed.")
	errSign       = errors.New("Failed to create signature.")
)

var hashes = map[string]crypto.Hash{
	"sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
}

// maxSigned bounds the arguments of both functions, in bytes.
const maxSigned = 4 << 20

// Work, in the units of Env.Spend, of what a key is used for, and of a byte of
// text. A signature with RSA of 4096 bits takes some milliseconds.
const (
	keyCost  = 4 << 20
	hashCost = 8
)

// digest hashes text by a hash's name.
func digest(name, text []byte) (crypto.Hash, []byte, error) {
	hash, ok := hashes[strings.ToLower(string(name))]
	if !ok {
		return 0, nil, errors.New(string(name) + " is not supported.")
	}
	h := hash.New()
	h.Write(text)
	return hash, h.Sum(nil), nil
}

// verifySignature takes VerifySignatureArguments and returns a
// VerifySignatureResult. The key is RSA (PKCS #1 v1.5) or ECDSA (ASN.1).
func verifySignature(env Env, arguments []byte) ([]byte, abi.Status) {
	if len(arguments) > maxSigned {
		return nil, abi.InternalFailure
	}
	env.Spend(keyCost + hashCost*len(arguments))
	m, ok := decode(arguments, fields{1: isText, 2: isBytes, 3: isBytes, 4: isBytes, 5: isText})
	der, text := m.bytes[2], m.bytes[5]
	if !ok || (len(der) > 0) == (len(text) > 0) { // no key, or two
		return nil, abi.BadArgument
	}
	var result []byte
	err := verify(m.bytes[1], keyOf(der, text, "PUBLIC KEY"), m.bytes[3], m.bytes[4])
	if err == nil {
		result = protowire.AppendVarint(protowire.AppendTag(result, 1, protowire.VarintType), 1)
	} else {
		result = protowire.AppendString(protowire.AppendTag(result, 2, protowire.BytesType), err.Error())
	}
	return result, abi.Ok
}

func verify(name []byte, block *pem.Block, signature, text []byte) error {
	hash, sum, err := digest(name, text)
	if err != nil {
		return err
	}
	if block == nil {
		return errVerifyKey
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return errVerifyKey
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() > maxRSA {
			return errVerifyKey
		}
		if rsa.VerifyPKCS1v15(key, hash, sum, signature) != nil {
			return errVerify
		}
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(key, sum, signature) {
			return errVerify
		}
	default:
		return errVerifyKey
	}
	return nil
}

// sign takes SignArguments and returns a SignResult. Keys are as in verifySignature.
func sign(env Env, arguments []byte) ([]byte, abi.Status) {
	if len(arguments) > maxSigned {
		return nil, abi.InternalFailure
	}
	env.Spend(keyCost + hashCost*len(arguments))
	m, ok := decode(arguments, fields{1: isText, 2: isBytes, 3: isBytes, 4: isText})
	der, text := m.bytes[2], m.bytes[4]
	if !ok || (len(der) > 0) == (len(text) > 0) {
		return nil, abi.BadArgument
	}
	var result []byte
	signature, err := signature(m.bytes[1], keyOf(der, text, "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"), m.bytes[3])
	if err == nil {
		result = protowire.AppendVarint(protowire.AppendTag(result, 1, protowire.VarintType), 1)
		result = protowire.AppendBytes(protowire.AppendTag(result, 2, protowire.BytesType), signature)
	} else {
		result = protowire.AppendString(protowire.AppendTag(result, 3, protowire.BytesType), err.Error())
	}
	return result, abi.Ok
}

func signature(name []byte, block *pem.Block, text []byte) ([]byte, error) {
	hash, sum, err := digest(name, text)
	if err != nil {
		return nil, err
	}
	if block == nil {
		return nil, errNoSignKey
	}
	var key any
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errNoSignKey
	}
	var signed []byte
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() > maxRSA {
			return nil, errBadSignKey
		}
		signed, err = rsa.SignPKCS1v15(nil, key, hash, sum)
	case *ecdsa.PrivateKey:
		signed, err = ecdsa.SignASN1(rand.Reader, key, sum)
	default:
		return nil, errBadSignKey
	}
	if err != nil {
		return nil, errSign
	}
	return signed, nil
}

// maxRSA bounds an RSA key in bits, and maxKey and maxText any key's DER and
// PEM in bytes: a private key of RSA with 4096 bits has 2.4 KiB. BoringSSL takes
// up to 8192 bits, which keep a processor for a twentieth of a second.
const (
	maxRSA  = 4096
	maxKey  = 3 << 10
	maxText = 16 << 10
)

// keyOf is the key of either form: DER, whose type is the first one, or the first
// block in PEM of a wanted type. It is nil when there is none. Bytes after a
// key are passed over, as in Envoy.
func keyOf(der, text []byte, types ...string) *pem.Block {
	if len(der) > 0 {
		var first asn1.RawValue
		if _, err := asn1.Unmarshal(der, &first); err != nil || len(first.FullBytes) > maxKey {
			return nil
		}
		return &pem.Block{Type: types[0], Bytes: first.FullBytes}
	}
	if len(text) > maxText {
		return nil
	}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil
		}
		for _, t := range types {
			if block.Type == t && len(block.Bytes) <= maxKey {
				return block
			}
		}
		text = rest
	}
}
