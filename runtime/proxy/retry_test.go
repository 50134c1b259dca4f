package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

func retryOf(attempts uint32, on ...string) snapshot.Retry {
	return snapshot.Retry{
		On: snapshot.ListOf(on...), Attempts: attempts,
		BackOffBase: snapshot.Duration(time.Millisecond), BackOffMax: snapshot.Duration(2 * time.Millisecond),
	}
}

// playing is a backend that answers try n, which counts from 0, as the list
// says: a response, "cut" for none, "silent" for none ever. The last of it goes
// on for ever. It keeps what it got.
type playing struct {
	address string
	mu      sync.Mutex
	bodies  []string
}

func play(t testing.TB, answers ...string) *playing {
	b := &playing{}
	b.address = rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, err := io.ReadAll(q.Body)
			b.mu.Lock()
			n := len(b.bodies)
			b.bodies = append(b.bodies, string(body))
			b.mu.Unlock()
			if err != nil {
				return
			}
			switch a := answers[min(n, len(answers)-1)]; a {
			case "cut":
				return
			case "silent":
				io.Copy(io.Discard, r)
				return
			default:
				io.WriteString(c, strings.ReplaceAll(a, "\n", "\r\n"))
			}
		}
	})
	return b
}

func (b *playing) got() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.bodies...)
}

const (
	answerOK   = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"
	answer503  = "HTTP/1.1 503 No\nContent-Length: 2\n\nno"
	answer418  = "HTTP/1.1 418 No\nContent-Length: 0\n\n"
	answerGRPC = "HTTP/1.1 200 OK\nContent-Type: application/grpc\nGrpc-Status: 14\nContent-Length: 0\n\n"
)

func TestRetries(t *testing.T) {
	perTry := func(r snapshot.Retry) snapshot.Retry { r.PerTryTimeout = inTime; return r }
	statuses := func(r snapshot.Retry, list ...uint32) snapshot.Retry { r.Statuses = snapshot.ListOf(list...); return r }
	for _, c := range []struct {
		name           string
		retry          snapshot.Retry
		answers        []string
		tries, status  int
		flags, details string
	}{
		{"no policy", snapshot.Retry{}, []string{answer503}, 1, 503, "", "via_upstream"},
		{"gateway error", retryOf(2, "gateway-error"), []string{answer503, answer503, answerOK}, 3, 200, "", "via_upstream"},
		{"no attempts left", retryOf(2, "gateway-error"), []string{answer503}, 3, 503, "URX", "via_upstream"},
		{"other status", retryOf(2, "gateway-error"), []string{answer418}, 1, 418, "", "via_upstream"},
		{"listed status", statuses(retryOf(1, "retriable-status-codes"), 418), []string{answer418, answerOK}, 2, 200, "", "via_upstream"},
		{"5xx", retryOf(1, "5xx"), []string{"HTTP/1.1 500 No\nContent-Length: 0\n\n", answerOK}, 2, 200, "", "via_upstream"},
		{"reset as gateway error", retryOf(1, "gateway-error"), []string{"cut", answerOK}, 2, 200, "", "via_upstream"},
		{"reset", retryOf(1, "reset"), []string{"cut"}, 2, 503, "URX,UC", "upstream_reset_before_response_started{connection_termination}"},
		{"reset is no connect failure", retryOf(1, "connect-failure", "refused-stream"), []string{"cut"}, 1, 503, "UC", "upstream_reset_before_response_started{connection_termination}"},
		{"gRPC", retryOf(1, "unavailable"), []string{answerGRPC, answerOK}, 2, 200, "", "via_upstream"},
		{"other gRPC", retryOf(1, "cancelled"), []string{answerGRPC}, 1, 200, "", "via_upstream"},
		{"per try", perTry(retryOf(1, "gateway-error")), []string{"silent", answerOK}, 2, 200, "", "via_upstream"},
		{"per try, none left", perTry(retryOf(1, "gateway-error")), []string{"silent"}, 2, 504, "URX,UT", "upstream_per_try_timeout"},
		{"per try, not asked for", perTry(retryOf(1, "connect-failure")), []string{"silent"}, 1, 504, "UT", "upstream_per_try_timeout"},
		{"per try as 504", perTry(statuses(retryOf(1, "retriable-status-codes"), 504)), []string{"silent", answerOK}, 2, 200, "", "via_upstream"},
	} {
		for _, request := range []string{"GET / HTTP/1.1\nHost: x\n\n", "POST / HTTP/1.1\nHost: x\nContent-Length: 5\n\nwhole", "POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5\nwhole\n0\n\n"} {
			for _, filtered := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %.4s, filtered %t", c.name, request, filtered), func(t *testing.T) {
					t.Parallel()
					b := play(t, c.answers...)
					w := &world{}
					w.cluster("a", b.address)
					w.routed("x", snapshot.Route{Name: "r", Retry: c.retry, Targets: targetList([]string{"a"})})
					o := &observed{}
					change := func(*Config) {}
					if filtered {
						change = o.install(w)
					}
					p := run(t, w, change, noTick)
					cl := dial(t, p.address(t, "gateway"))
					for range 2 {
						cl.send(strings.ReplaceAll(request, "%", "%%"))
						if r, body := cl.response("GET"); r.StatusCode != c.status {
							t.Errorf("%d %q, want %d", r.StatusCode, body, c.status)
						}
						if len(c.answers) > 1 {
							break // else each request is like the one before
						}
						b.mu.Lock()
						if n := len(b.bodies); n != c.tries {
							t.Errorf("%d tries, want %d", n, c.tries)
						}
						b.bodies = nil
						b.mu.Unlock()
					}
					for _, body := range b.got() {
						if request[0] == 'P' && body != "whole" {
							t.Errorf("the backend got %q", body)
						}
					}
					if n := len(b.got()); len(c.answers) > 1 && n != c.tries {
						t.Errorf("%d tries, want %d", n, c.tries)
					}
					if filtered {
						n := 2
						if len(c.answers) > 1 {
							n = 1
						}
						if r := o.last(t, n); r.Flags != c.flags || r.Details != c.details {
							t.Errorf("logged flags %q, details %q", r.Flags, r.Details)
						}
					}
					state := p.current.clusters[0].state
					until(t, "nothing is in flight", func() bool {
						return state.load.retries.now.Load() == 0 && state.load.requests.now.Load() == 0
					})
				})
			}
		}
	}
}

// A pooled connection that breaks counts as a try where tries are counted.
func TestDeadConnectionsCountAsTries(t *testing.T) {
	b := play(t, answerOK, "cut")
	w := &world{}
	w.cluster("a", b.address)
	w.routed("x", snapshot.Route{Name: "r", Retry: retryOf(1, "reset"), Targets: targetList([]string{"a"})})
	p := run(t, w, noTick)
	for range 2 {
		get(t, p, "x", "/")
	}
	if n := len(b.got()); n != 3 {
		t.Errorf("%d tries", n)
	}
}

// Without a policy, what may be sent twice is, and no more; at another endpoint.
func TestOneRetryWithoutPolicy(t *testing.T) {
	for method, tries := range map[string]int{"GET": 2, "PUT": 2, "DELETE": 2, "POST": 1, "PATCH": 1} {
		b := play(t, "cut")
		w := &world{}
		w.cluster("a", b.address)
		w.routed("x", snapshot.Route{Name: "r", Targets: targetList([]string{"a"})})
		p := run(t, w, noTick)
		c := dial(t, p.address(t, "gateway"))
		c.send("%s / HTTP/1.1\nHost: x\nContent-Length: 5\n\nwhole", method)
		if r, _ := c.response(method); r.StatusCode != 503 || len(b.got()) != tries {
			t.Errorf("%s: %d after %d tries, want %d", method, r.StatusCode, len(b.got()), tries)
		}
		for _, body := range b.got() {
			if body != "whole" {
				t.Errorf("%s: the backend got %q", method, body)
			}
		}
	}
}

// What could not be sent for want of a connection is still here, however much is to come.
func TestOneRetryGoesElsewhere(t *testing.T) {
	w := &world{}
	w.cluster("a", nobody, play(t, answerOK).address)
	w.routed("x", snapshot.Route{Name: "r", Targets: targetList([]string{"a"})})
	for _, filtered := range []bool{false, true} {
		change := []func(*Config){noTick}
		if o := (&observed{}); filtered {
			change = append(change, o.install(w))
		}
		p := run(t, w, change...)
		long := strings.Repeat("x", 100<<10)
		for range 4 {
			c := dial(t, p.address(t, "gateway"))
			c.send("PUT / HTTP/1.1\nHost: x\nContent-Length: %d\n\n%s", 2*len(long), long)
			c.send("%s", long)
			if r, body := c.response("PUT"); r.StatusCode != 200 || body != "ok" {
				t.Errorf("filtered %t: %d %q", filtered, r.StatusCode, body)
			}
		}
	}
}

// A body that is not kept, for nothing asked for that, is not sent again.
func TestNoRetryOfABodyUnderWay(t *testing.T) {
	b := play(t, "cut")
	w := &world{}
	w.cluster("a", b.address)
	w.routed("x", snapshot.Route{Name: "r", Targets: targetList([]string{"a"})})
	p := run(t, w, noTick)
	c := dial(t, p.address(t, "gateway"))
	c.send("PUT / HTTP/1.1\nHost: x\nContent-Length: 200000\n\n%s", strings.Repeat("x", 200000))
	if r, _ := c.response("PUT"); r.StatusCode != 503 || len(b.got()) != 1 {
		t.Errorf("%d after %d tries", r.StatusCode, len(b.got()))
	}
}

// Neither the route's time nor the cluster's budget is exceeded for it.
func TestOneRetryIsBounded(t *testing.T) {
	b := play(t, "cut")
	w := &world{}
	w.cluster("a", play(t, "cut", "silent").address)
	w.cluster("b", b.address)
	w.clusters[1].Thresholds.MaxRetries = 1
	w.routed("x", snapshot.Route{Name: "x", Timeout: soon, Targets: targetList([]string{"a"})})
	w.routed("y", snapshot.Route{Name: "y", Targets: targetList([]string{"b"})})
	o := &observed{}
	p := run(t, w, o.install(w), noTick)
	if r, body := get(t, p, "x", "/"); r.StatusCode != 504 {
		t.Errorf("%d %q", r.StatusCode, body)
	}
	o.last(t, 1)
	if c := p.current.clusters[0]; c.state.load.retries.now.Load() != 0 {
		t.Error("the retry still counts")
	}
	if !p.current.clusters[1].retryBegin() { // that of another request
		t.Fatal("no retry")
	}
	if r, _ := get(t, p, "y", "/"); r.StatusCode != 503 || len(b.got()) != 1 {
		t.Errorf("%d after %d tries", r.StatusCode, len(b.got()))
	}
	if r := o.last(t, 2); !strings.Contains(r.Flags, "UO") {
		t.Errorf("flags %q", r.Flags)
	}
}

// Each try has an endpoint of its own.
func TestRetriesGoElsewhere(t *testing.T) {
	w := &world{}
	w.cluster("a", nobody, named(t, "alive"))
	w.routed("x", snapshot.Route{Name: "r", Retry: retryOf(1, "connect-failure"), Targets: targetList([]string{"a"})})
	p := run(t, w)
	for range 4 {
		if r, body := get(t, p, "x", "/"); r.StatusCode != 200 || body != "alive" {
			t.Errorf("%d %q", r.StatusCode, body)
		}
	}
}

func TestRetriesEndWithTheRoutesTimeout(t *testing.T) {
	b := play(t, "cut")
	w := &world{}
	w.cluster("a", b.address)
	retry := retryOf(1000, "reset")
	retry.BackOffBase, retry.BackOffMax = snapshot.Duration(time.Hour), snapshot.Duration(time.Hour)
	w.routed("x", snapshot.Route{Name: "r", Retry: retry, Timeout: soon, Targets: targetList([]string{"a"})})
	p := run(t, w, noTick)
	r, body := get(t, p, "x", "/")
	if r.StatusCode != 504 || body != "upstream request timeout" {
		t.Errorf("%d %q", r.StatusCode, body)
	}
	until(t, "no retry is counted any more", func() bool { return p.current.clusters[0].state.load.retries.now.Load() == 0 })
}

// A client that leaves during the back-off ends it.
func TestClientLeavesDuringTheBackOff(t *testing.T) {
	b := play(t, "cut")
	w := &world{}
	w.cluster("a", b.address)
	retry := retryOf(1000, "reset")
	retry.BackOffBase, retry.BackOffMax = snapshot.Duration(time.Hour), snapshot.Duration(time.Hour)
	w.routed("x", snapshot.Route{Name: "r", Retry: retry, Targets: targetList([]string{"a"})})
	p := run(t, w)
	state := p.current.clusters[0].state
	c := dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\n\n")
	until(t, "the back-off", func() bool { return state.load.retries.now.Load() == 1 })
	publish(t, p, &world{}) // a reload does not disturb it
	c.Close()
	until(t, "it has ended", func() bool { return state.load.retries.now.Load() == 0 && live(p) == 0 })
}

// A body that is more than may be kept goes out once.
func TestLongBodiesAreNotSentAgain(t *testing.T) {
	const limit = 256 << 10
	for _, size := range []int{limit, limit + 1, 4 * limit} {
		b := play(t, "cut", answerOK)
		w := &world{}
		w.cluster("a", b.address)
		w.routed("x", snapshot.Route{Name: "r", Retry: retryOf(1, "reset"), Targets: targetList([]string{"a"})})
		p := run(t, w, func(c *Config) { c.BufferLimit = limit })
		c := dial(t, p.address(t, "gateway"))
		body := bytes.Repeat([]byte("x"), size)
		c.send("POST / HTTP/1.1\nHost: x\nContent-Length: %d\n\n", size)
		c.Write(body)
		want := 503
		if size <= limit {
			want = 200
		}
		if r, _ := c.response("POST"); r.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", size, r.StatusCode, want)
		}
		for i, got := range b.got() {
			if got != string(body) {
				t.Errorf("%d bytes: try %d got %d", size, i, len(got))
			}
		}
	}
}

// What a client still sends while its first try fails reaches the next whole.
func TestRetryAmidTheUpload(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprint("filtered ", filtered), func(t *testing.T) {
			var n atomic.Int32
			begun := make(chan struct{}, 2)
			w := &world{}
			w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				q, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				first := make([]byte, 4)
				io.ReadFull(q.Body, first)
				try := n.Add(1)
				begun <- struct{}{}
				if try == 1 {
					io.WriteString(c, "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")
					return
				}
				rest, err := io.ReadAll(q.Body)
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s%s", len(first)+len(rest), first, rest)
			}))
			w.routed("x", snapshot.Route{Name: "r", Retry: retryOf(1, "gateway-error"), Targets: targetList([]string{"a"})})
			change := func(*Config) {}
			if filtered {
				change = (&observed{}).install(w)
			}
			p := run(t, w, change)
			c := dial(t, p.address(t, "gateway"))
			c.send("POST / HTTP/1.1\nHost: x\nContent-Length: 8\n\nhalf")
			<-begun
			<-begun
			c.send("full")
			if r, body := c.response("POST"); r.StatusCode != 200 || body != "halffull" {
				t.Errorf("%d %q", r.StatusCode, body)
			}
		})
	}
}

// Tries begin and end while the client sends on, and the last gets it all.
func TestRetriesThroughoutTheUpload(t *testing.T) {
	const failures, piece, pieces = 40, 100, 400
	var tries atomic.Int32
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if tries.Add(1) <= failures {
			io.WriteString(c, "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")
			return
		}
		body, _ := io.ReadAll(q.Body)
		size := fmt.Sprint(len(body))
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(size), size)
	}))
	retry := retryOf(failures, "gateway-error")
	retry.BackOffBase, retry.BackOffMax = 1, 1
	w.routed("x", snapshot.Route{Name: "r", Retry: retry, Targets: targetList([]string{"a"})})
	p := run(t, w, noTick)
	c := dial(t, p.address(t, "gateway"))
	c.send("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n")
	for range pieces {
		c.send("%x\n%s\n", piece, strings.Repeat("x", piece))
	}
	until(t, "the last try", func() bool { return tries.Load() > failures })
	c.send("0\n\n")
	if r, body := c.response("POST"); r.StatusCode != 200 || body != fmt.Sprint(piece*pieces) {
		t.Errorf("%d %q", r.StatusCode, body)
	}
}

// Over the budget there are no retries, and the first answer goes through.
func TestRetriesAreBounded(t *testing.T) {
	b := play(t, answer503)
	w := &world{}
	w.cluster("a", b.address)
	w.clusters[0].Thresholds.MaxRetries = 1
	w.routed("x", snapshot.Route{Name: "r", Retry: retryOf(1, "gateway-error"), Targets: targetList([]string{"a"})})
	o := &observed{}
	p := run(t, w, o.install(w))
	c := p.current.clusters[0]
	if !c.retryBegin() { // that of another request
		t.Fatal("no retry")
	}
	if r, body := get(t, p, "x", "/"); r.StatusCode != 503 || body != "no" || len(b.got()) != 1 {
		t.Errorf("%d %q after %d tries", r.StatusCode, body, len(b.got()))
	}
	if r := o.last(t, 1); r.Flags != "UO" {
		t.Errorf("flags %q", r.Flags)
	}
	c.retryEnd()
	get(t, p, "x", "/")
	if n := len(b.got()); n != 3 {
		t.Errorf("%d tries", n)
	}
	m := p.current.meters[meterKey{"gateway", "a"}]
	if m.retries.Load() != 1 || m.retryOverflows.Load() != 1 || m.retrySuccesses.Load() != 0 {
		t.Errorf("counted %d, %d over the bound, %d successes", m.retries.Load(), m.retryOverflows.Load(), m.retrySuccesses.Load())
	}
}

// Whatever a backend does, a request is tried as often as it may be at most, no
// try gets a body that was not sent, and the client gets one whole answer.
func TestRetriesAtRandom(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprint("filtered ", filtered), func(t *testing.T) {
			const attempts, limit = 3, 100 << 10
			var mu sync.Mutex
			tries := map[string]int{}
			sent := map[string]string{}
			w := &world{}
			address := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				for {
					q, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					id := q.Header.Get("X-Id")
					mu.Lock()
					tries[id]++
					mu.Unlock()
					what := rand.IntN(8)
					if what == 0 {
						return
					}
					if what == 1 { // answered before the body is here
						io.WriteString(c, "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")
						return
					}
					body, err := io.ReadAll(q.Body)
					mu.Lock()
					if want := sent[id]; !strings.HasPrefix(want, string(body)) || err == nil && string(body) != want {
						t.Errorf("%s: got %d bytes of %d, %v", id, len(body), len(want), err)
					}
					mu.Unlock()
					switch {
					case err != nil || what == 2:
						return
					case what == 3:
						io.WriteString(c, "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")
					case what == 4:
						io.Copy(io.Discard, r)
						return
					default:
						fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(id), id)
					}
				}
			})
			w.cluster("a", address, nobody)
			w.endpoints[0].Endpoints = snapshot.ListOf(w.endpoints[0].Endpoints.Slice()...)
			retry := retryOf(attempts, "gateway-error")
			retry.PerTryTimeout = soon
			w.routed("x", snapshot.Route{
				Name: "r", Retry: retry, Timeout: snapshot.Duration(200 * time.Millisecond), Targets: targetList([]string{"a"}),
			})
			change := func(*Config) {}
			if filtered {
				change = (&observed{}).install(w)
			}
			p := run(t, w, change, func(c *Config) { c.BufferLimit = limit })
			var clients sync.WaitGroup
			for worker := range 8 {
				clients.Go(func() {
					for i := range 15 {
						id := fmt.Sprintf("%d-%d", worker, i)
						body := strings.Repeat(id, rand.IntN([]int{1, 100, 1 << 10, 40 << 10}[rand.IntN(4)]))
						mu.Lock()
						sent[id] = body
						mu.Unlock()
						q, _ := http.NewRequest("POST", "http://"+p.address(t, "gateway")+"/", struct{ io.Reader }{strings.NewReader(body)})
						q.Host = "x"
						q.Header.Set("X-Id", id)
						if rand.IntN(2) == 0 {
							q.ContentLength = int64(len(body))
						}
						r, err := http.DefaultTransport.RoundTrip(q)
						if err != nil {
							// An answer before the end of a long body may cost the connection.
							if len(body) < limit {
								t.Errorf("%s, %d bytes: %v", id, len(body), err)
							}
							continue
						}
						answer, err := io.ReadAll(r.Body)
						r.Body.Close()
						if err != nil || r.StatusCode == 200 && string(answer) != id {
							t.Errorf("%s: %d %q, %v", id, r.StatusCode, answer, err)
						}
					}
				})
			}
			clients.Wait()
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			most := 0
			mu.Lock()
			for id, n := range tries {
				most = max(most, n)
				if n > 1+attempts {
					t.Errorf("%s: %d tries", id, n)
				}
			}
			mu.Unlock()
			if most < 2 {
				t.Error("nothing was tried again")
			}
			load := &p.current.clusters[0].state.load
			until(t, "nothing is in flight", func() bool {
				return load.retries.now.Load() == 0 && load.requests.now.Load() == 0 && load.pending.now.Load() == 0
			})
		})
	}
}

func TestBackOff(t *testing.T) {
	r, err := newRetries(snapshot.Retry{
		On: snapshot.ListOf("reset"), Attempts: 9, PerTryTimeout: 5,
		BackOffBase: snapshot.Duration(10 * time.Millisecond), BackOffMax: snapshot.Duration(35 * time.Millisecond),
	}, 5)
	if err != nil || r.perTry != 0 {
		t.Fatal(r, err)
	}
	for n, bound := range []time.Duration{1: 10, 2: 20, 3: 35, 9: 35} {
		if bound == 0 {
			continue
		}
		bound *= time.Millisecond
		longest := time.Duration(0)
		for range 2000 {
			longest = max(longest, r.backOff(n))
		}
		if longest >= bound || longest < bound*9/10 {
			t.Errorf("retry %d waits up to %v, want %v", n, longest, bound)
		}
	}
	if _, err := newRetries(snapshot.Retry{On: snapshot.ListOf("often")}, 0); err == nil {
		t.Error("a condition that nobody knows")
	}
}
