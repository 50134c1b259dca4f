//go:build linux

// Package behaviour drives real traffic through both data planes of meshc, the
// built-in proxy and a real Envoy, and compares what each did with one
// expectation. It is imported by tests alone.
//
// A case is a txtar archive; cmd/meshc/testdata/behaviour holds them. Its
// sections are, in any number:
//
//	files/PATH           a file of the input tree
//	tree PATH            an existing folder as the input tree, relative to the test's
//	modules              folders of Wasm modules, one a line, relative to the test's:
//	                     .../NAME/NAME.wasm, or what its Go files build to, lies in the
//	                     input tree as NAME.wasm; with .../NAME/plugin.yaml on the
//	                     line that document lies there as well
//	nodes                the proxies to run, one a line; "gateway" when left out
//	flags                more flags of meshc serve; --drain-timeout is Envoy's, too
//	environment          NAME VALUE, one a line, for meshc serve
//	names                NAME TTL ADDRESS… or NAME fails, one a line: what a DNS server
//	                     says, TTL in seconds; all else does not exist. Both data planes
//	                     ask it
//	backends             NAME ADDRESS:PORT KIND, one a line, where KIND is http, http2,
//	                     grpc, tcp, udp, lines or spans; over TLS with tls=CERTIFICATE, and
//	                     clients=CA where it wants certificates of these; requests=1
//	                     closes after each answer (HTTP/1.1)
//	certificates         what is made before the run, one a line: NAME is a CA, NAME CA
//	                     [SAN…] a certificate of it. In files, $CERTS is the folder with
//	                     NAME.crt and NAME.key, $TEXT(NAME.key) such a file as it is,
//	                     $PEM(NAME.key) as a string in quotes, $BASE64(NAME.key) in base64
//
// and then a transcript, carried out in the order written:
//
//	reply NAME [N]       what backend NAME sends back for its next request, or N requests
//	down NAME            backend NAME refuses connections from here on, and cuts its own
//	up NAME              it listens again
//	resolve              what the DNS server says from here on, as in names
//	connect TARGET [http2 | tls [sni=NAME] [ca=CA] [cert=CERTIFICATE] [alpn=A,B]]
//	                     open a connection to "gateway" or ADDRESS:PORT; over TLS, ca is what
//	                     the server's certificate is verified against, cert what is
//	                     shown; with http2, or where alpn comes to h2, HTTP/2 is spoken on it
//	peer                 whose certificate the server showed: its URIs, or else its subject
//	send                 bytes from the client; connects to the gateway if nothing is open
//	half-close           the client will send no more
//	receive NAME [head]  what backend NAME got, whole or only as far as its head
//	silent NAME          backend NAME got nothing that no receive has named
//	release NAME         let backend NAME pass the @gate it waits at
//	answer [head]        the response, whole or only as far as its head
//	body                 this much of the response's body, as it arrives
//	read                 exactly these bytes, from a connection that is not HTTP (any more)
//	closed               the connection was closed by the other side
//	repeat N [fresh|together [NAME M]|tcp]
//	                     send the request N times: on one connection, each on a
//	                     fresh one, all at once on fresh ones (HTTP/2: on one), or
//	                     as raw bytes each on a fresh one. For each answer from the Mth
//	                     on to those sent together, backend NAME may pass its @gate
//	counts [at last]     how many of the repeated requests each backend served:
//	                     "NAME N", "NAME LOW..HIGH", or "NAME|NAME N" where only
//	                     one of them may serve any; the NAME of answers that no
//	                     backend signed is their status, of gRPC's grpc-STATUS; of
//	                     raw bytes and those sent together that got none it is closed.
//	                     At last, they are all sent again until it is so
//	until [fresh] FIELD VALUE
//	                     send the request, on one connection or each on a fresh one,
//	                     until its answer has this field; :status is its status.
//	                     Where each request adds to what the field counts, VALUE
//	                     is >=N: N itself may never be seen
//	until closed         the same for bytes, until nothing comes back but the end
//	until peer           connect until the server shows this certificate
//	until line           connect until the first line that comes is this one
//	edit PATH            write a file of the input tree
//	certify NAME         make a certificate anew, as this line or else its first says;
//	                     its subject then has OU=2, 3, …
//	snapshots            how many different snapshots have served
//	refused TARGET       nobody listens there
//	diagnostics          /meshc/diagnostics comes to show these: CODE SEVERITY FILE:LINE
//	only PLANE           the steps from here on are for the data plane "proxy" or "envoy"
//	                     alone, until "only both": for a kind that one of them cannot have
//	datagram ADDRESS:PORT TEXT
//	                     what comes back when TEXT is sent over UDP
//	metric NAME          what a Wasm plugin's metric comes to, summed over all
//	                     proxies; of a histogram NAME_count or NAME_sum
//	scrape ADDRESS:PORT/PATH
//	                     each line is a regular expression: a whole line of what
//	                     Prometheus gets there matches it, sooner or later. The data
//	                     planes name their metrics differently, so "only" stands before
//	logged NAME          these lines came, next, to the backend NAME, or stand in the
//	                     file NAME of the folder that $LOGS stands for in the input;
//	                     what is another each time is left out of them (log.go);
//	                     of a backend of kind spans, a collector of Zipkin, a line is a span
//
// Lines that go on the wire (reply, send, read, repeat) end in CRLF, unless
// they are one of these: a Go string literal, written as it says; "@bytes N", N
// bytes of a fixed pattern; in a reply also "@before-body" as the first line
// (do not wait for the request's body), "@gate" (wait for release), "@await N" (until
// N requests have come, all told), "@echo" (send back what comes until the end),
// "@close" and "@reset".
//
// Lines about messages (receive, answer) are the start line, the fields as
// they were on the wire with their names in lower case, then the body, the
// trailers, and "until close" for a body that ended with the connection.
//
// In HTTP/2 what a section sends begins with the start line and the fields, in
// lower case, pseudo headers first ("POST /path HTTP/2" or "HTTP/2 200", then
// ":authority: web"; :scheme is http if it is not said), and an empty line; then
// come bytes as above, `@message "text"`, a message of gRPC, and "@trailer NAME:
// VALUE". What is sent last ends the stream, unless "@open" or "@reset CODE" comes
// after it ("@goaway" and "@close" are the connection's; `""` ends a stream that was
// left open). A send that begins with no request line goes on with the stream before;
// answers are asked for in the order of the requests. Messages of gRPC are shown as
// such, and a stream that did not end in order by "reset CODE" or "cut off";
// a reset that comes when the request was whole, by a receive of its own.
//
// allowed.txt is the one list of what may differ between the two data planes.
// An http or http2 backend without a reply answers 200 with its name in x-backend,
// and as the body what it got, or else its name; a grpc backend does so in
// messages, with grpc-status 0; a tcp backend first sends its name and a line end,
// and then what it gets; a udp backend answers each datagram with its name and what
// it got. Over TLS all but the last add, in x-tls and behind their name, what they saw of
// the client: "to NAME from CERTIFICATE over PROTOCOL".
//
// With MESHC_UPDATE=envoy (or proxy) the expectations are rewritten with what
// that data plane did. Read the difference as you would read code.
package behaviour
