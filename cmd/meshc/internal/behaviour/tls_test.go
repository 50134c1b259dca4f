//go:build linux

package behaviour

import (
	"strings"
	"testing"
)

// secureCase has certificates and a backend over TLS, which wants one of the
// client.
const secureCase = `
-- certificates --
ca
other
server ca web.example
client ca spiffe://default/client
stranger other
-- backends --
web 127.0.0.1:0 http tls=server clients=ca
`

// runSecure carries a transcript out against the backend of secureCase alone.
func runSecure(t *testing.T, sections string) (problems []string) {
	t.Helper()
	c, err := ParseCase("self.txtar", []byte(secureCase+sections))
	if err != nil {
		t.Fatal(err)
	}
	certs, err := newCertificates(t.TempDir(), c.certs)
	if err != nil {
		t.Fatal(err)
	}
	b, err := home.startBackend(c.backends[0], certs, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	tr := transcript{
		c: c, plane: "proxy", certs: certs, gateway: b.ln.Addr().String(), backends: map[string]*Backend{"web": b}, rules: &Rules{},
		report: func(s step, problem string) { problems = append(problems, c.where(s)+": "+problem) },
	}
	tr.run()
	return problems
}

func TestTLS(t *testing.T) {
	for name, sections := range map[string]string{
		"both sides show who they are": `
-- connect gateway tls sni=web.example ca=ca cert=client alpn=http/1.1 --
-- peer --
CN=server
-- send --
GET / HTTP/1.1

-- answer --
HTTP/1.1 200 OK
x-backend: web
x-tls: to web.example from spiffe://default/client over http/1.1
content-length: 4
body "web\n"
`,
		"a client that is refused": `
-- connect gateway tls sni=web.example cert=stranger --
-- send --
GET / HTTP/1.1

-- closed --
-- silent web --
-- connect gateway tls --
-- closed --
-- connect gateway --
-- send --
GET / HTTP/1.1

-- closed --
`,
		"a certificate anew": `
-- connect gateway tls cert=client --
-- certify server --
-- until peer --
CN=server,OU=2
-- certify server --
other
-- until peer --
CN=server,OU=3
-- only envoy --
-- peer --
not here
-- only both --
-- peer --
CN=server,OU=3
`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range runSecure(t, sections) {
				t.Error(p)
			}
		})
	}
}

func TestTLSFailures(t *testing.T) {
	for name, test := range map[string]struct{ sections, want string }{
		"the server is another's":     {"-- connect gateway tls sni=web.example ca=other cert=client --\n", "unknown authority"},
		"the server has another name": {"-- connect gateway tls sni=x.example ca=ca cert=client --\n", "not x.example"},
		"it is refused":               {"-- connect gateway tls --\n-- send --\nGET / HTTP/1.1\n\n-- answer --\n", "certificate required"},
		"another certificate":         {"-- connect gateway tls cert=client --\n-- peer --\nCN=client\n", "+ CN=server"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(runSecure(t, test.sections), "\n"); !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
