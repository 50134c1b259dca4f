package foreign_test

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
	"github.com/meshc/meshc/plugins/wasm/internal/foreign"
	"github.com/meshc/meshc/runtime/filter"
)

// env has attributes by their path, and notes what is done to it.
type env struct {
	attributes map[string]filter.Value
	done       []string
	status     abi.Status
	spent      int
	held, room int // room is 0 where there is no bound
}

func (e *env) Spend(n int) { e.spent += n }

func (e *env) Hold(n int) bool {
	if e.room > 0 && e.held+n > e.room {
		return false
	}
	e.held += n
	return true
}

func (e *env) Property(path ...string) (filter.Value, bool) {
	v, ok := e.attributes[strings.Join(path, "/")]
	return v, ok
}

func (e *env) SetFilterState(name, value string, span foreign.LifeSpan) abi.Status {
	e.done = append(e.done, fmt.Sprintf("set %s=%s %d", name, value, span))
	return e.status
}

func (e *env) DeclareProperty(p foreign.Property) abi.Status {
	e.done = append(e.done, fmt.Sprintf("declare %s %v %d %q %d", p.Name, p.ReadOnly, p.Type, p.Schema, p.Span))
	return e.status
}

func (e *env) ClearRouteCache() { e.done = append(e.done, "clear") }

// text, blob and number are fields of a message.
func text(n protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), s)
}

func number(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestUnknownFunction(t *testing.T) {
	var s foreign.State
	if _, status, known := s.Call(&env{}, "host", nil); known || status != abi.NotFound {
		t.Errorf("known %v, status %d", known, status)
	}
}

func TestEffects(t *testing.T) {
	for _, c := range []struct {
		name      string
		arguments []byte
		status    abi.Status
		want      string
	}{
		{"clear_route_cache", []byte("anything"), abi.Ok, "clear"},
		{"set_envoy_filter_state", join(text(1, "envoy.tcp_proxy.cluster"), text(2, "a"), number(3, 2)), abi.Ok, "set envoy.tcp_proxy.cluster=a 2"},
		{"set_envoy_filter_state", nil, abi.NotFound, "set = 0"},
		{"set_envoy_filter_state", number(3, 7), abi.Ok, "set = 0"},
		{"declare_property", join(text(1, "p"), number(2, 1), number(3, 3), text(4, "type.googleapis.com/x"), number(5, 1)), abi.Ok, `declare p true 3 "type.googleapis.com/x" 1`},
		{"declare_property", join(text(1, "p"), number(3, 99), number(5, 1<<40|2)), abi.BadArgument, `declare p false 0 "" 2`},
		// A field of another type, an unknown one, and one that comes twice.
		{"set_envoy_filter_state", join(number(1, 5), text(9, "x"), text(1, "first"), text(1, "last")), abi.Ok, "set last= 0"},
	} {
		e := &env{status: c.status}
		var s foreign.State
		result, status, known := s.Call(e, c.name, c.arguments)
		if result != nil || status != c.status || !known || strings.Join(e.done, ";") != c.want {
			t.Errorf("%s: %v, %d, %v; %q, want %q", c.name, result, status, known, e.done, c.want)
		}
	}
}

func TestArgumentsThatAreNoMessage(t *testing.T) {
	for _, name := range []string{"set_envoy_filter_state", "declare_property", "verify_signature", "sign"} {
		for _, arguments := range [][]byte{{0x0a}, {0x0a, 5, 'a'}, {0x0a, 1, 0xff}, {0xff}, {0x0c}} {
			e := &env{}
			var s foreign.State
			if result, status, known := s.Call(e, name, arguments); result != nil || status != abi.BadArgument || !known || e.done != nil {
				t.Errorf("%s of %x: %v, %d, %v", name, arguments, result, status, e.done)
			}
		}
	}
}

func TestCompress(t *testing.T) {
	s := foreign.State{MaxResult: 1 << 20}
	for _, data := range [][]byte{nil, []byte("a"), bytes.Repeat([]byte("abc"), 100_000)} {
		packed, status, _ := s.Call(&env{}, "compress", data)
		if status != abi.Ok {
			t.Fatal(status)
		}
		r, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := out.ReadFrom(r); err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Errorf("%d bytes came back as %d, %v", len(data), out.Len(), err)
		}
		for _, after := range []string{"", "what follows the stream"} {
			if got, status, _ := s.Call(&env{}, "uncompress", append(bytes.Clone(packed), after...)); status != abi.Ok || !bytes.Equal(got, data) {
				t.Errorf("uncompress: %d bytes, status %d", len(got), status)
			}
		}
		for _, broken := range [][]byte{packed[:len(packed)-1], packed[1:], nil, {0x78, 0xbb, 1, 2, 3, 4}} {
			if got, status, _ := s.Call(&env{}, "uncompress", broken); status != abi.SerializationFailure || got != nil {
				t.Errorf("uncompress of a broken stream: %d bytes, status %d", len(got), status)
			}
		}
	}
	bomb, _, _ := s.Call(&env{}, "compress", make([]byte, 1<<20+1))
	if got, status, _ := s.Call(&env{}, "uncompress", bomb); status != abi.InternalFailure || got != nil {
		t.Errorf("a stream over the limit: %d bytes, status %d", len(got), status)
	}
}

// The stream of zlib itself, of `hello`, is one that uncompress takes.
func TestUncompressZlib(t *testing.T) {
	stream, _ := hex.DecodeString("789ccb48cdc9c907000" + "62c0215")
	var s foreign.State
	if got, status, _ := s.Call(&env{}, "uncompress", stream); string(got) != "hello" || status != abi.Ok {
		t.Errorf("got %q, %d", got, status)
	}
}

var verified = number(1, 1)

func TestSignatures(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, _ := x509.MarshalECPrivateKey(ecKey)
	block := func(kind string, der []byte) string {
		other := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{5, 0}})
		return string(other) + string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	old := map[crypto.Signer]string{rsaKey: block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), ecKey: block("EC PRIVATE KEY", ecDER)}
	message := text(4, "the text")
	var s foreign.State
	for _, key := range []crypto.Signer{rsaKey, ecKey} {
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		for _, hash := range []string{"sha1", "sha224", "SHA256", "sha384", "sha512"} {
			for _, privateKey := range [][]byte{text(2, string(private)), text(2, string(private)+"after"), text(4, block("PRIVATE KEY", private)), text(4, old[key])} {
				result, status, _ := s.Call(&env{}, "sign", join(text(1, hash), privateKey, text(3, "the text")))
				if status != abi.Ok || !bytes.HasPrefix(result, verified) {
					t.Fatalf("sign with %s: %d, %q", hash, status, result)
				}
				_, _, n := protowire.ConsumeTag(result[2:])
				signature, _ := protowire.ConsumeBytes(result[2+n:])
				if hash == "SHA256" && !holds(key.Public(), "the text", signature) {
					t.Error("the signature does not hold")
				}
				for _, publicKey := range [][]byte{text(2, string(public)), text(2, string(public)+"after"), text(5, block("PUBLIC KEY", public))} {
					arguments := join(text(1, hash), publicKey, text(3, string(signature)), message)
					if result, status, _ := s.Call(&env{}, "verify_signature", arguments); status != abi.Ok || !bytes.Equal(result, verified) {
						t.Errorf("verify with %s: %d, %q", hash, status, result)
					}
					if result, status, _ := s.Call(&env{}, "verify_signature", append(arguments, text(4, "another text")...)); status != abi.Ok || string(result) != string(text(2, "Failed to verify digest. Error code: 0")) {
						t.Errorf("verify of another text: %d, %q", status, result)
					}
				}
			}
		}
	}
	edPublic, _ := x509.MarshalPKIXPublicKey(edKey.Public())
	edPrivate, _ := x509.MarshalPKCS8PrivateKey(edKey)
	public, _ := x509.MarshalPKIXPublicKey(ecKey.Public())
	for _, c := range []struct {
		function  string
		arguments []byte
		status    abi.Status
		want      []byte
	}{
		{"verify_signature", text(1, "sha256"), abi.BadArgument, nil},
		{"verify_signature", join(text(1, "sha256"), text(2, string(public)), text(5, "pem")), abi.BadArgument, nil},
		{"verify_signature", join(text(1, "MD5"), text(2, "junk")), abi.Ok, text(2, "MD5 is not supported.")},
		{"verify_signature", join(text(1, "sha256"), text(2, "junk")), abi.Ok, text(2, "Failed to initialize digest verify.")},
		{"verify_signature", join(text(1, "sha256"), text(5, "junk")), abi.Ok, text(2, "Failed to initialize digest verify.")},
		{"verify_signature", join(text(1, "sha256"), text(2, string(edPublic))), abi.Ok, text(2, "Failed to initialize digest verify.")},
		{"sign", text(1, "sha256"), abi.BadArgument, nil},
		{"sign", join(text(1, "sha256"), text(2, string(ecDER)), text(4, "pem")), abi.BadArgument, nil},
		{"sign", join(text(1, ""), text(2, "junk")), abi.Ok, text(3, " is not supported.")},
		{"sign", join(text(1, "sha256"), text(2, "junk")), abi.Ok, text(3, "Invalid key type: private key required for signing operation.")},
		{"sign", join(text(1, "sha256"), text(2, string(ecDER))), abi.Ok, text(3, "Invalid key type: private key required for signing operation.")},
		{"sign", join(text(1, "sha256"), text(4, block("PUBLIC KEY", public))), abi.Ok, text(3, "Invalid key type: private key required for signing operation.")},
		{"sign", join(text(1, "sha256"), text(2, string(edPrivate))), abi.Ok, text(3, "Invalid private key: key data is corrupted or malformed.")},
	} {
		if result, status, _ := s.Call(&env{}, c.function, c.arguments); status != c.status || !bytes.Equal(result, c.want) {
			t.Errorf("%s: %d, %q; want %d, %q", c.function, status, result, c.status, c.want)
		}
	}
}

func holds(key crypto.PublicKey, message string, signature []byte) bool {
	sum := sha256.Sum256([]byte(message))
	switch key := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum[:], signature)
	}
	return false
}

func pairs(kv ...string) string {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(kv)/2))
	for _, s := range kv {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	}
	for _, s := range kv {
		b = append(append(b, s...), 0)
	}
	return string(b)
}

func u64(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }

func TestExpressions(t *testing.T) {
	headers := &filter.Headers{}
	headers.Add(":path", "/a")
	headers.Add("x-one", "1")
	e := &env{attributes: map[string]filter.Value{
		"request/path": "/a/b", "request/size": int64(7), "request/headers": headers, "request/headers/x-one": "1", "request/time": time.Unix(1, 5),
		"request/duration": 3 * time.Second, "connection/mtls": true, "source/port": uint64(80), "plugin_name": "p", "response/code": int64(404),
		"metadata/filter_metadata/envoy.lb/canary": "yes", "xds/route_metadata/filter_metadata/f/k": "v", "filter_state/wasm.x": []byte{1, 2},
		"a.b": "one name with a dot",
	}}
	var s foreign.State
	for _, c := range []struct {
		text   string
		status abi.Status
		want   string
	}{
		{"request.path", abi.Ok, "/a/b"},
		{"request['path'] == '/a/b' && request.size > 5", abi.Ok, "\x01"},
		{"request.size + 1", abi.Ok, u64(8)},
		{"source.port + 1u", abi.Ok, u64(81)},
		{"0.5 * 2.0", abi.Ok, "\x00\x00\x00\x00\x00\x00\xf0\x3f"},
		{"connection.mtls ? b'x' : b'y'", abi.Ok, "x"},
		{"request.time", abi.Ok, u64(1_000_000_005)},
		{"request.duration", abi.Ok, u64(3_000_000_000)},
		{"request.headers['X-One']", abi.Ok, "1"},
		{"'x-one' in request.headers && !('x-two' in request.headers)", abi.Ok, "\x01"},
		{"has(request.path) && !has(request.nothing)", abi.Ok, "\x01"},
		{"request.headers", abi.Ok, pairs(":path", "/a", "x-one", "1")},
		{"metadata.filter_metadata['envoy.lb'].canary", abi.Ok, "yes"},
		{"has(metadata.filter_metadata['envoy.lb'].other)", abi.Ok, "\x00"},
		{"xds.route_metadata.filter_metadata.f.k", abi.Ok, "v"},
		{"filter_state['wasm.x']", abi.Ok, "\x01\x02"},
		{"plugin_name.startsWith('p')", abi.Ok, "\x01"},
		{"request.path.matches('^/a/[a-z]$')", abi.Ok, "\x01"},
		{"{'b': 'x', 'a': request.path}", abi.Ok, pairs("a", "/a/b", "b", "x")},
		{"['a', 'b']", abi.Ok, pairs("a", "", "b", "")},
		{"[1, 2, 3].exists(x, x == 2)", abi.Ok, "\x01"},
		{"null", abi.SerializationFailure, ""},
		{"request", abi.SerializationFailure, ""},
		{"[null]", abi.SerializationFailure, ""},
		{"request.nothing", abi.InternalFailure, ""},
		{"request.nothing == 'a'", abi.InternalFailure, ""},
		{"request[1]", abi.InternalFailure, ""},
		{"request == response", abi.InternalFailure, ""},
		{"unheard_of", abi.InternalFailure, ""},
		{"a.b", abi.InternalFailure, ""},
		{"1 / 0", abi.InternalFailure, ""},
		{"request.path + 1", abi.InternalFailure, ""},
		{"['a', 'b'].map(x, x + request.path)", abi.Ok, pairs("a/a/b", "", "b/a/b", "")},
		{"{'a': 1}.exists(k, k == 'a') && [1, 2].filter(x, x > 1) == [2]", abi.Ok, "\x01"},
	} {
		token, status, _ := s.Call(e, "expr_create", []byte(c.text))
		if status != abi.Ok {
			t.Errorf("create %s: %d", c.text, status)
			continue
		}
		got, status, _ := s.Call(e, "expr_evaluate", token)
		if status != c.status || string(got) != c.want {
			t.Errorf("%s: %q, %d; want %q, %d", c.text, got, status, c.want, c.status)
		}
	}
	for _, bad := range []string{"", "request.", "1 +", "nothing(1)", "request.path.lowerAscii()", strings.Repeat("(", 1000), "'" + strings.Repeat("a", 1<<20) + "'",
		"[1].all(x, [1].all(y, x == y))", "[1].map(x, x).map(x, x)"} {
		if token, status, _ := s.Call(e, "expr_create", []byte(bad)); status != abi.BadArgument || token != nil {
			t.Errorf("create of %.20q: %d", bad, status)
		}
	}
}

// TestCostlyExpressions: what is short to say and long to do ends before it has
// taken much memory or time. Those that end by a bound on what is known before
// would otherwise not end within the test's time.
func TestCostlyExpressions(t *testing.T) {
	long := strings.Repeat("a", 100<<10)
	e := &env{attributes: map[string]filter.Value{"request/path": long, "request/query": "(" + strings.Repeat("x", 1000) + "){1000}"}}
	sum := strings.Repeat("request.path+", 30) + "''"
	for text, want := range map[string]abi.Status{
		`["aaaaaaaa"]` + strings.Repeat(`.map(x,x+x)`, 40):                         abi.BadArgument,
		`[[0]]` + strings.Repeat(`.map(x,[x,x])`, 40) + ` == []`:                   abi.BadArgument,
		strings.Repeat("[[y,y]].exists(y,", 50) + "y==y" + strings.Repeat(")", 50): abi.BadArgument,
		sum: abi.InternalFailure,
		"[" + strings.Repeat("request.path,", 150) + "]":                            abi.InternalFailure,
		"['a'].exists(x, " + sum + " == '')":                                        abi.InternalFailure,
		"[" + strings.Repeat("0,", 400) + "0].map(x, request.path + 'b')":           abi.InternalFailure,
		"[" + strings.Repeat("0,", 400) + "0].all(x, request.path == request.path)": abi.InternalFailure,
		"request.path.matches('(a*)*(a|b){100}c')":                                  abi.InternalFailure,
		"'a'.matches(request.query)":                                                abi.InternalFailure,
		"matches('a', '((a{30}){30}){30}')":                                         abi.InternalFailure,
		"'a'.matches('^[a-z]{1,30}$')":                                              abi.Ok,
		"request.path.matches('^a+$')":                                              abi.Ok,
	} {
		var s foreign.State
		token, status, _ := s.Call(e, "expr_create", []byte(text))
		var got []byte
		if status == abi.Ok {
			e.spent = 0
			got, status, _ = s.Call(e, "expr_evaluate", token)
			if e.spent < 1000 {
				t.Errorf("%.40s spent %d", text, e.spent)
			}
		}
		if status != want || status != abi.Ok && got != nil {
			t.Errorf("%.40s: %d, want %d", text, status, want)
		}
	}
}

// TestHeldExpressions: what expressions keep is accounted for and given back.
func TestHeldExpressions(t *testing.T) {
	var s foreign.State
	e := &env{room: 600 << 10}
	create := func(text string) ([]byte, abi.Status) {
		token, status, _ := s.Call(e, "expr_create", []byte(text))
		return token, status
	}
	if _, status := create("1 +"); status != abi.BadArgument || e.held != 0 {
		t.Errorf("a bad expression: %d, %d bytes held", status, e.held)
	}
	token, _ := create("'" + strings.Repeat("a", 1500) + "'")
	if e.held < 1500 {
		t.Errorf("%d bytes held", e.held)
	}
	if _, status := create("'" + strings.Repeat("a", 1500) + "'"); status != abi.InternalFailure {
		t.Errorf("more than there is room for: %d", status)
	}
	for range 2 {
		s.Call(e, "expr_delete", token)
		if e.held != 0 {
			t.Errorf("%d bytes held after the end", e.held)
		}
	}
	create("1")
	create("2")
	if s.Close(e); e.held != 0 {
		t.Errorf("%d bytes held after Close", e.held)
	}
}

// TestBigKey: a key that would take long is none.
func TestBigKey(t *testing.T) {
	for bits, want := range map[uint]string{4096: "Failed to verify digest", 8192: "Failed to initialize digest verify"} {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
		if err != nil {
			t.Fatal(err)
		}
		var s foreign.State
		got, status, _ := s.Call(&env{}, "verify_signature", join(text(1, "sha256"), text(2, string(der)), text(3, "signature"), text(4, "text")))
		if status != abi.Ok || !strings.Contains(string(got), want) {
			t.Errorf("%d bits: %d, %q", bits, status, got)
		}
	}
}

// TestSpent: what a function does it spends, and in pieces where it is much.
func TestSpent(t *testing.T) {
	var s foreign.State
	big := make([]byte, 1<<20)
	e := &env{}
	packed, status, _ := s.Call(e, "compress", big)
	if status != abi.Ok || e.spent < len(big) {
		t.Errorf("compress: %d, %d", status, e.spent)
	}
	e.spent = 0
	if _, status, _ = s.Call(e, "uncompress", packed); status != abi.Ok || e.spent < len(big) {
		t.Errorf("uncompress: %d, %d", status, e.spent)
	}
	for _, name := range []string{"verify_signature", "sign"} {
		e.spent = 0
		if s.Call(e, name, join(text(1, "sha256"), text(2, "key"))); e.spent < 1<<20 {
			t.Errorf("%s: %d", name, e.spent)
		}
	}
	for name, n := range map[string]int{"compress": 17 << 20, "uncompress": 17 << 20, "sign": 5 << 20, "verify_signature": 5 << 20} {
		if _, status, _ := s.Call(e, name, make([]byte, n)); status != abi.InternalFailure {
			t.Errorf("%s of %d bytes: %d", name, n, status)
		}
	}
}

func TestTokens(t *testing.T) {
	var s foreign.State
	call := func(name, argument string) (string, abi.Status) {
		result, status, _ := s.Call(&env{}, name, []byte(argument))
		return string(result), status
	}
	first, _ := call("expr_create", "'first'")
	second, _ := call("expr_create", "'second'")
	if first != "\x00\x00\x00\x00" || second != "\x01\x00\x00\x00" {
		t.Errorf("tokens %q, %q", first, second)
	}
	if _, status := call("expr_delete", first); status != abi.Ok {
		t.Errorf("delete: %d", status)
	}
	if _, status := call("expr_delete", first); status != abi.Ok {
		t.Errorf("delete again: %d", status)
	}
	if _, status := call("expr_evaluate", first); status != abi.NotFound {
		t.Errorf("evaluate of what is deleted: %d", status)
	}
	if got, status := call("expr_evaluate", second); got != "second" || status != abi.Ok {
		t.Errorf("evaluate: %q, %d", got, status)
	}
	for _, name := range []string{"expr_evaluate", "expr_delete"} {
		if _, status := call(name, "abc"); status != abi.BadArgument {
			t.Errorf("%s of three bytes: %d", name, status)
		}
	}
	for range 2000 {
		if _, status := call("expr_create", "1"); status != abi.Ok {
			if status != abi.InternalFailure {
				t.Errorf("status %d", status)
			}
			return
		}
	}
	t.Error("expressions without bound")
}

// No arguments make a function panic, and none succeeds with a result over the limit.
func FuzzCall(f *testing.F) {
	names := []string{"compress", "uncompress", "verify_signature", "sign", "expr_create", "expr_delete", "declare_property", "set_envoy_filter_state"}
	f.Add(uint8(1), []byte("x\x9c\xcbH\xcd\xc9\xc9\x07\x00\x06,\x02\x15"))
	f.Add(uint8(4), []byte("request.path == 'a' && request.headers['b'] in ['c']"))
	f.Add(uint8(2), join(text(1, "sha256"), text(2, "key"), text(3, "signature"), text(4, "text")))
	f.Add(uint8(3), join(text(1, "sha1"), text(4, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")))
	f.Add(uint8(6), join(text(1, "p"), number(2, 1), number(3, 3), text(4, "t"), number(5, 1)))
	f.Fuzz(func(t *testing.T, which uint8, arguments []byte) {
		name := names[int(which)%len(names)]
		s := foreign.State{MaxResult: 1 << 16}
		e := &env{attributes: map[string]filter.Value{"request/path": "/"}}
		result, status, known := s.Call(e, name, arguments)
		if !known || status > abi.Unimplemented || status != abi.Ok && result != nil {
			t.Fatalf("%s: %v, %d, %v", name, known, status, result)
		}
		if name == "uncompress" && len(result) > s.MaxResult {
			t.Fatalf("%d bytes", len(result))
		}
		if name == "expr_create" && status == abi.Ok {
			s.Call(e, "expr_evaluate", result)
		}
	})
}
