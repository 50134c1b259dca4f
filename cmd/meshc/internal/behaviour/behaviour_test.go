//go:build linux

package behaviour

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// run carries a transcript out against a backend alone: what the suite says of
// a data plane, it must first say rightly of nothing in between.
func run(t *testing.T, kind, sections string) (problems []string) {
	t.Helper()
	c, err := ParseCase("self.txtar", []byte("-- backends --\nweb 127.0.0.1:0 "+kind+"\n"+sections))
	if err != nil {
		t.Fatal(err)
	}
	rules := &Rules{}
	b, err := home.StartBackend("web", "127.0.0.1:0", kind, rules)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	tr := transcript{
		c: c, gateway: b.ln.Addr().String(), backends: map[string]*Backend{"web": b}, rules: rules,
		report: func(s step, problem string) { problems = append(problems, c.where(s)+": "+problem) },
	}
	tr.run()
	return problems
}

func TestTranscripts(t *testing.T) {
	for name, test := range map[string]struct{ kind, sections string }{
		"echo, keep-alive and trailers": {"http", `
-- send --
GET /a?b HTTP/1.1
Host: x
X-Two: 1
x-two:  2

-- receive web --
GET /a?b HTTP/1.1
host: x
x-two: 1
x-two: 2
-- answer --
HTTP/1.1 200 OK
x-backend: web
content-length: 4
body "web\n"
-- send --
POST / HTTP/1.1
Transfer-Encoding: chunked

"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
-- receive web --
POST / HTTP/1.1
transfer-encoding: chunked
body "hello"
trailer x-sum: 1
-- answer --
HTTP/1.1 200 OK
x-backend: web
content-length: 5
body "hello"
`},
		"pieces in both directions": {"http", `
-- reply web --
@before-body
HTTP/1.1 103 Early Hints

HTTP/1.1 200 OK
Content-Length: 6

"one"
@gate
"two"
-- send --
POST / HTTP/1.1
Content-Length: 4

"ab"
-- receive web head --
POST / HTTP/1.1
content-length: 4
-- answer head --
HTTP/1.1 103 Early Hints

HTTP/1.1 200 OK
content-length: 6
-- body --
"one"
-- send --
"cd"
-- release web --
-- answer --
HTTP/1.1 200 OK
content-length: 6
body "two"
-- receive web --
POST / HTTP/1.1
content-length: 4
body "abcd"
`},
		"until close": {"http", `
-- reply web --
HTTP/1.1 200 OK

"end"
@close
-- send --
GET / HTTP/1.1

-- answer --
HTTP/1.1 200 OK
body "end"
until close
-- closed --
`},
		"a large body": {"http", `
-- send --
PUT / HTTP/1.1
Content-Length: 100000

@bytes 100000
-- receive web --
PUT / HTTP/1.1
content-length: 100000
body 100000 bytes sha256 afb666f12e5993ffdb47005c113b31997cba691f5347d0d43c544408daff7caa
`},
		"upgrade": {"http", `
-- reply web --
HTTP/1.1 101 Switching Protocols
Upgrade: x

@echo
-- send --
GET / HTTP/1.1
Upgrade: x

-- answer --
HTTP/1.1 101 Switching Protocols
upgrade: x
-- send --
"\x00\xff"
-- read --
"\x00\xff"
-- half-close --
-- closed --
`},
		"answers that no backend signed, and all at once": {"http", `
-- reply web --
HTTP/1.1 429 Too Many
Content-Length: 0

-- repeat 3 --
GET / HTTP/1.1

-- counts --
429 1
web 2
-- reply web --
HTTP/1.1 429 Too Many
Content-Length: 0

-- repeat 8 together --
GET / HTTP/1.1

-- counts --
429 1
web 7
`},
		"counts at last": {"http", `
-- reply web --
HTTP/1.1 503 No
Content-Length: 0

-- repeat 2 --
GET / HTTP/1.1

-- counts at last --
web 2
`},
		"until": {"http", `
-- reply web --
HTTP/1.1 200 OK
X-N: 1
Content-Length: 0

-- reply web --
HTTP/1.1 200 OK
X-N: 2
Content-Length: 0

-- until x-n 2 --
GET / HTTP/1.1

-- silent web --
-- send --
GET / HTTP/1.1

-- answer --
HTTP/1.1 200 OK
x-backend: web
content-length: 4
body "web\n"
`},
		"tcp": {"tcp", `
-- connect gateway --
-- send --
"ping"
-- read --
"web\nping"
-- half-close --
-- closed --
-- receive web --
"ping"
-- repeat 3 tcp --
"x"
-- counts --
web 3
`},
		"down and up": {"tcp", `
-- down web --
-- up web --
-- repeat 2 tcp --
x
-- counts --
web 2
-- connect gateway --
-- read --
"web\n"
-- down web --
-- closed --
`},
		"several replies, and what waits for requests": {"http", `
-- reply web 2 --
@await 2
HTTP/1.1 503 Service Unavailable
Content-Length: 0

-- repeat 2 together --
GET / HTTP/1.1

-- counts --
503 2
-- repeat 1 --
GET / HTTP/1.1

-- counts --
web 1
-- reply web 3 --
@gate
HTTP/1.1 200 OK
Content-Length: 0

-- repeat 4 together web 1 --
GET / HTTP/1.1

-- counts --
200 3
web 1
`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range run(t, test.kind, test.sections) {
				t.Error(p)
			}
		})
	}
}

// What differs must be seen: each of these expectations is wrong in one thing.
func TestTranscriptsSeeDifferences(t *testing.T) {
	const get = "-- send --\nGET / HTTP/1.1\nA: 1\nB: 2\n\n"
	for name, sections := range map[string]string{
		"header order":     get + "-- receive web --\nGET / HTTP/1.1\nb: 2\na: 1\n",
		"missing header":   get + "-- receive web --\nGET / HTTP/1.1\na: 1\n",
		"status":           get + "-- answer --\nHTTP/1.1 201 OK\nx-backend: web\ncontent-length: 4\nbody \"web\\n\"\n",
		"body":             get + "-- answer --\nHTTP/1.1 200 OK\nx-backend: web\ncontent-length: 4\nbody \"wob\\n\"\n",
		"not silent":       get + "-- answer --\nHTTP/1.1 200 OK\nx-backend: web\ncontent-length: 4\nbody \"web\\n\"\n-- silent web --\n",
		"count":            "-- repeat 3 --\nGET / HTTP/1.1\n\n-- counts --\nweb 2\n",
		"counts of others": "-- repeat 3 --\nGET / HTTP/1.1\n\n-- counts --\n",
		"two of one":       "-- repeat 3 --\nGET / HTTP/1.1\n\n-- counts --\nweb|x 4\n",
		"read":             get + "-- read --\n\"HTTP/1.1 201\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, "http", sections); len(got) != 1 {
				t.Errorf("want one problem, got %q", got)
			}
		})
	}
}

func TestParseCaseRefuses(t *testing.T) {
	for name, archive := range map[string]string{
		"no transcript":    "-- backends --\nweb 127.0.0.1:1 http\n",
		"unknown step":     "-- sned --\n",
		"unknown backend":  "-- receive web --\n",
		"bad string":       "-- send --\n\"x\n",
		"bad directive":    "-- send --\n@gait\n",
		"bad backend":      "-- backends --\nweb 127.0.0.1:1\n",
		"bad times":        "-- repeat x --\n",
		"bad way":          "-- repeat 2 slowly --\n",
		"counts when":      "-- counts soon --\n",
		"until what":       "-- until x-n --\n",
		"too many words":   "-- closed now --\n",
		"bad word":         "-- answer had --\n",
		"bad address":      "-- connect nowhere --\n",
		"section, no name": "--  --\n",
		"bad number":       "-- backends --\nweb 127.0.0.1:1 http\n-- reply web 0 --\n",
		"bad await":        "-- send --\n@await x\n",
		"down datagrams":   "-- backends --\nweb 127.0.0.1:1 udp\n-- down web --\n",
		"bad name":         "-- names --\nweb 127.0.0.1\n",
		"names too late":   "-- resolve --\nweb 1 127.0.0.1\n",
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := ParseCase("x.txtar", []byte(archive)); err == nil {
				t.Errorf("taken: %+v", c)
			}
		})
	}
}

// Of two proxies, one of which does not show the metric.
func TestMetrics(t *testing.T) {
	var urls []string
	for _, text := range []string{
		"# HELP p_x x 9\n# TYPE p_x counter\np_x 2\np_xy 100\nx 100\n",
		"p_x{a=\"1\"} 3\np_x{a=\"2\"} 1e1\n",
		"",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
		defer s.Close()
		urls = append(urls, s.URL)
	}
	m := metrics{home, urls, "p_", ""}
	if n, there := m.sum("x"); n != 15 || !there {
		t.Errorf("got %v %v, want 15", n, there)
	}
	if n, there := m.sum("z"); n != 0 || there {
		t.Errorf("got %v %v, want none", n, there)
	}
}

func TestWriteModule(t *testing.T) {
	dir := t.TempDir()
	project := filepath.Join(dir, "p")
	for name, text := range map[string]string{"p.wasm": "code", "plugin.yaml": "document"} {
		if err := os.MkdirAll(project, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree := t.TempDir()
	if err := writeModule(tree, project); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(tree, "p.yaml")); err == nil {
		t.Error("the document came without being named")
	}
	if err := writeModule(tree, filepath.Join(project, "plugin.yaml")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"p.wasm": "code", "p.yaml": "document"} {
		if got, err := os.ReadFile(filepath.Join(tree, name)); string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if err := writeModule(tree, filepath.Join(dir, "q")); err == nil {
		t.Error("a folder that is not there was taken")
	}
}

func TestRules(t *testing.T) {
	answer := func(start string, fields ...Field) *Message {
		return &Message{Start: start, Header: fields, Body: []byte("words")}
	}
	for name, test := range map[string]struct {
		rules string
		m     *Message
		want  string
	}{
		"value":           {"value both answer date # x", answer("HTTP/1.1 200 OK", Field{"date", "now"}), "HTTP/1.1 200 OK\ndate: *\nbody \"words\"\n"},
		"drop":            {"drop both answer a # x", answer("HTTP/1.1 200 OK", Field{"a", "1"}, Field{"b", "2"}, Field{"a", "3"}), "HTTP/1.1 200 OK\nb: 2\nbody \"words\"\n"},
		"drop a value":    {"drop both answer a=1 # x", answer("HTTP/1.1 200 OK", Field{"a", "1"}, Field{"a", "3"}), "HTTP/1.1 200 OK\na: 3\nbody \"words\"\n"},
		"lower":           {"lower both answer a # x", answer("HTTP/1.1 200 OK", Field{"a", "UP"}), "HTTP/1.1 200 OK\na: up\nbody \"words\"\n"},
		"join":            {"join both answer a # x", answer("HTTP/1.1 200 OK", Field{"a", "1"}, Field{"b", "2"}, Field{"a", "3"}), "HTTP/1.1 200 OK\na: 1,3\nb: 2\nbody \"words\"\n"},
		"last":            {"last both answer a # x", answer("HTTP/1.1 200 OK", Field{"a", "1"}, Field{"b", "2"}, Field{"a", "3"}), "HTTP/1.1 200 OK\nb: 2\na: 1\na: 3\nbody \"words\"\n"},
		"body":            {"body both answer=503 * # x", answer("HTTP/1.1 503 X", Field{"content-length", "5"}, Field{"b", "2"}), "HTTP/1.1 503 X\nb: 2\nbody *\n"},
		"body, a backend": {"body both answer=503 * # x", answer("HTTP/1.1 503 X", Field{"x-backend", "b"}), "HTTP/1.1 503 X\nx-backend: b\nbody \"words\"\n"},
		"other status":    {"body both answer=503 * # x", answer("HTTP/1.1 502 X"), "HTTP/1.1 502 X\nbody \"words\"\n"},
		"reason":          {"reason both answer=413 * # x", answer("HTTP/1.1 413 Too Much"), "HTTP/1.1 413 *\nbody \"words\"\n"},
		"version":         {"version both answer HTTP/1.0 # x", answer("HTTP/1.0 200 OK"), "HTTP/1.1 200 OK\nbody \"words\"\n"},
		"reset":           {"reset both answer NO_ERROR # x", &Message{Start: "HTTP/2 200", Reset: "reset NO_ERROR"}, "HTTP/2 200\nreset CANCEL\n"},
		"for requests":    {"drop both request a # x", answer("HTTP/1.1 200 OK", Field{"a", "1"}), "HTTP/1.1 200 OK\na: 1\nbody \"words\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := parseRules(test.rules)
			if err != nil {
				t.Fatal(err)
			}
			before := test.m.String()
			if got := (&Rules{rules: rules}).answer(test.m); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if test.m.String() != before {
				t.Error("the message was changed")
			}
		})
	}
	for _, bad := range []string{"value both answer date", "value both answer date #", "hide both answer date # x", "value all answer date # x", "value both reply date # x"} {
		if _, err := parseRules(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := allRules(); err != nil {
		t.Error(err)
	}
}

func TestLoadSeesLosses(t *testing.T) {
	start := func(kind, address string) *Backend {
		b, err := home.StartBackend("web", address, kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Quiet()
		return b
	}
	web, tcp := start("http", "127.0.0.1:0"), start("tcp", "127.0.0.1:0")
	l := home.StartLoad(tcp.ln.Addr().String(), web.ln.Addr().String())
	defer l.Stop()
	if err := l.AwaitBackend("web"); err != nil {
		t.Fatal(err)
	}
	if err := l.AwaitTotal(l.Total() + 100); err != nil {
		t.Fatal(err)
	}
	if lost := l.Lost(); len(lost) > 0 {
		t.Fatalf("lost with nothing wrong: %q", lost)
	}
	if web.Served() == 0 || tcp.Served() == 0 {
		t.Error("a backend counted nothing")
	}
	web.Close()
	tcp.Close()
	if err := l.await(func() bool { return len(l.Lost()) >= len(l.clients) }, func() string { return "nothing lost" }); err != nil {
		t.Fatal(err)
	}
}
