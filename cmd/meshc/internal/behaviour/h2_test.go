//go:build linux

package behaviour

import "testing"

func TestTranscriptsHTTP2(t *testing.T) {
	for name, test := range map[string]struct{ kind, sections string }{
		"messages of both sides": {"http2", `
-- send --
GET /a?b HTTP/2
:authority: x
x-two: 1
x-two: 2

-- receive web --
GET /a?b HTTP/2
:authority: x
x-two: 1
x-two: 2
-- answer --
HTTP/2 200
x-backend: web
content-length: 4
body "web\n"
-- reply web --
HTTP/2 103
link: </x>

HTTP/2 200
x: 1

"one"
"two"
@trailer x-sum: 2
@trailer x-last: 3
-- send --
POST / HTTP/2
:authority: x

@bytes 100000
@trailer x-after: late
-- receive web --
POST / HTTP/2
:authority: x
body 100000 bytes sha256 afb666f12e5993ffdb47005c113b31997cba691f5347d0d43c544408daff7caa
trailer x-after: late
-- answer --
HTTP/2 103
link: </x>

HTTP/2 200
x: 1
body "onetwo"
trailer x-sum: 2
trailer x-last: 3
`},
		"gRPC": {"grpc", `
-- reply web --
@before-body
HTTP/2 200
content-type: application/grpc

@message "one"
@gate
@message "two"
@trailer grpc-status: 0
-- send --
POST /p.S/Watch HTTP/2
content-type: application/grpc+proto

@message "hello"
@open
-- receive web head --
POST /p.S/Watch HTTP/2
content-type: application/grpc+proto
-- answer head --
HTTP/2 200
content-type: application/grpc
-- body --
@message "one"
-- send --
@message "more"
-- receive web --
POST /p.S/Watch HTTP/2
content-type: application/grpc+proto
message "hello"
message "more"
-- release web --
-- answer --
HTTP/2 200
content-type: application/grpc
message "two"
trailer grpc-status: 0
-- reply web --
HTTP/2 200
content-type: application/grpc
grpc-status: 14

-- repeat 2 --
POST /p.S/Get HTTP/2
content-type: application/grpc

@message "x"
-- counts --
grpc-14 1
web 1
-- repeat 5 together --
POST /p.S/Get HTTP/2
content-type: application/grpc

@message "x"
-- counts --
web 5
`},
		"resets": {"http2", `
-- reply web --
HTTP/2 200

"part"
@reset INTERNAL_ERROR
-- send --
GET / HTTP/2

-- answer --
HTTP/2 200
body "part"
reset INTERNAL_ERROR
-- receive web --
GET / HTTP/2
-- send --
POST / HTTP/2

"part"
@reset CANCEL
-- receive web --
POST / HTTP/2
body "part"
reset CANCEL
-- reply web --
HTTP/2 200

@open
-- send --
GET /watch HTTP/2

-- answer head --
HTTP/2 200
-- receive web --
GET /watch HTTP/2
-- send --
@reset CANCEL
-- receive web --
reset CANCEL
-- silent web --
-- reply web --
@close
-- send --
GET /lost HTTP/2

-- closed --
`},
		"until": {"http2", `
-- reply web --
HTTP/2 200
x-n: 1

-- reply web --
HTTP/2 200
x-n: 2

-- until x-n 2 --
GET / HTTP/2

-- until fresh :status 200 --
GET / HTTP/2

-- silent web --
`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range run(t, test.kind, "-- connect gateway http2 --"+test.sections) {
				t.Error(p)
			}
		})
	}
}

func TestTranscriptsHTTP2SeeDifferences(t *testing.T) {
	const get = "-- connect gateway http2 --\n-- send --\nGET / HTTP/2\na: 1\nb: 2\n\n"
	const reply = "-- reply web --\nHTTP/2 200\n\n\"x\"\n"
	for name, sections := range map[string]string{
		"header order":  get + "-- receive web --\nGET / HTTP/2\nb: 2\na: 1\n",
		"status":        get + "-- answer --\nHTTP/2 201\nx-backend: web\ncontent-length: 4\nbody \"web\\n\"\n",
		"body":          get + "-- body --\n\"wob\\n\"\n",
		"a trailer":     reply + "@trailer a: 1\n" + get + "-- answer --\nHTTP/2 200\nbody \"x\"\n",
		"a reset":       reply + "@reset CANCEL\n" + get + "-- answer --\nHTTP/2 200\nbody \"x\"\n",
		"another reset": reply + "@reset CANCEL\n" + get + "-- answer --\nHTTP/2 200\nbody \"x\"\nreset NO_ERROR\n",
		"a message":     get + "-- answer --\nHTTP/2 200\nx-backend: web\ncontent-length: 4\nmessage \"web\\n\"\n",
		"count":         "-- connect gateway http2 --\n-- repeat 3 together --\nGET / HTTP/2\n\n-- counts --\nweb 2\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, "http2", sections); len(got) != 1 {
				t.Errorf("want one problem, got %q", got)
			}
		})
	}
}
