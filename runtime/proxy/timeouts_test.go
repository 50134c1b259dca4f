package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/runtime/filter"
)

// soon is a timeout of which only the end is waited for; what must come before it
// has inTime.
const (
	soon   = snapshot.Duration(30 * time.Millisecond)
	inTime = second
)

// noTick keeps the janitor out of it: what is left of the timeouts is exact.
func noTick(c *Config) { c.tick = time.Hour }

// observed is a filter that lets everything pass and keeps what Log says, and
// with hold the request for ever.
type observed struct {
	mu      sync.Mutex
	records []filter.Record
	hold    bool
}

func (o *observed) install(w *world) func(*Config) {
	return kinds{"observed": func(filter.Stream) filter.HTTP { return &observer{o: o} }}.install(w, func(string) {})
}

type observer struct {
	filter.PassThrough
	o *observed
}

func (f *observer) RequestHeaders(*filter.Headers, bool) filter.HeadersStatus {
	if f.o.hold {
		return filter.HeadersStop
	}
	return filter.HeadersContinue
}

func (f *observer) Log(r *filter.Record) {
	f.o.mu.Lock()
	defer f.o.mu.Unlock()
	f.o.records = append(f.o.records, *r)
}

// last returns the record of the stream that ended last, once there are n.
func (o *observed) last(t *testing.T, n int) (r filter.Record) {
	until(t, "the stream is logged", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		if len(o.records) == n {
			r = o.records[n-1]
		}
		return len(o.records) >= n
	})
	return r
}

// quiet is a backend that answers nothing under /quiet, half of a body under
// /half, and everything else at once.
func quiet(t *testing.T) string {
	return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			q, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			switch q.URL.Path {
			case "/quiet":
				io.Copy(io.Discard, r)
				return
			case "/half":
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				io.Copy(io.Discard, r)
				return
			}
			io.Copy(io.Discard, q.Body)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
}

func TestStreamsThatTakeTooLong(t *testing.T) {
	const upgrade = "Connection: upgrade\nUpgrade: websocket\n"
	for _, c := range []struct {
		name, request string
		route         snapshot.Route
		hold          bool
		status        int
		body, details string
		keeps         bool
	}{
		{"timeout", "GET /quiet HTTP/1.1\n", snapshot.Route{Timeout: soon}, false, 504, "upstream request timeout", "response_timeout", true},
		{"timeout of an upgrade", "GET /quiet HTTP/1.1\n" + upgrade, snapshot.Route{Timeout: soon}, false, 504, "upstream request timeout", "response_timeout", false},
		{"idle", "GET /quiet HTTP/1.1\n", snapshot.Route{IdleTimeout: soon}, false, 504, "stream timeout", "stream_idle_timeout", true},
		{"idle client", "POST /quiet HTTP/1.1\nContent-Length: 1\n", snapshot.Route{IdleTimeout: soon, Timeout: 1}, false, 408, "stream timeout", "stream_idle_timeout", false},
		{"silent endpoint", "POST /quiet HTTP/1.1\nContent-Length: 0\n", snapshot.Route{ReadTimeout: soon}, false, 504, "upstream request timeout", "upstream_per_try_idle_timeout", true},
		{"silent endpoint of an upgrade", "GET /quiet HTTP/1.1\n" + upgrade, snapshot.Route{ReadTimeout: soon}, false, 504, "upstream request timeout", "upstream_per_try_idle_timeout", false},
		{"idle client of a silent endpoint", "POST /quiet HTTP/1.1\nContent-Length: 1\n", snapshot.Route{IdleTimeout: soon, ReadTimeout: 1}, false, 408, "stream timeout", "stream_idle_timeout", false},
		{"idle in a filter", "GET /quiet HTTP/1.1\n", snapshot.Route{IdleTimeout: soon, Timeout: 1}, true, 504, "stream timeout", "stream_idle_timeout", true},
	} {
		for _, filtered := range []bool{false, true} {
			if !filtered && c.hold {
				continue
			}
			t.Run(fmt.Sprint(c.name, ", filtered ", filtered), func(t *testing.T) {
				w := &world{}
				w.cluster("a", quiet(t))
				c.route.Name, c.route.Targets = "r", targetList([]string{"a"})
				w.routed("x", c.route)
				w.host("y", "a")
				o := &observed{hold: c.hold}
				change := func(*Config) {}
				if filtered {
					change = o.install(w)
				}
				p := run(t, w, change, noTick)
				cl := dial(t, p.address(t, "gateway"))
				cl.send(c.request + "Host: x\n\n")
				r, body := cl.response("GET")
				if r.StatusCode != c.status || body != c.body || r.Close == c.keeps {
					t.Errorf("%d %q, close %t", r.StatusCode, body, r.Close)
				}
				if filtered {
					if r := o.last(t, 1); r.Details != c.details || r.Status != c.status {
						t.Errorf("logged %d %q", r.Status, r.Details)
					}
				}
				if !c.keeps {
					if _, err := cl.r.ReadByte(); err != io.EOF {
						t.Errorf("the connection stays open: %v", err)
					}
				} else if !c.hold {
					cl.send("GET / HTTP/1.1\nHost: y\n\n")
					if r, body := cl.response("GET"); r.StatusCode != 200 || body != "ok" {
						t.Errorf("the next request: %d %q", r.StatusCode, body)
					}
				}
			})
		}
	}
}

func TestResponseThatIsNotCompleteInTimeIsCutOff(t *testing.T) {
	for name, route := range map[string]snapshot.Route{"timeout": {Timeout: inTime}, "idle": {IdleTimeout: inTime}, "read": {ReadTimeout: inTime}} {
		for _, filtered := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", filtered ", filtered), func(t *testing.T) {
				t.Parallel()
				route := route
				w := &world{}
				w.cluster("a", quiet(t))
				route.Name, route.Targets = "r", targetList([]string{"a"})
				w.routed("x", route)
				o := &observed{}
				change := func(*Config) {}
				if filtered {
					change = o.install(w)
				}
				p := run(t, w, change, noTick)
				c := dial(t, p.address(t, "gateway"))
				c.send("GET /half HTTP/1.1\nHost: x\n\n")
				r, err := http.ReadResponse(c.r, nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(r.Body); err != io.ErrUnexpectedEOF || string(body) != "half" {
					t.Errorf("%q, %v", body, err)
				}
			})
		}
	}
}

// The time of the route begins with the end of the request, and a websocket's
// ends with the 101.
func TestWhenTheTimeoutCounts(t *testing.T) {
	w := &world{}
	got := make(chan string, 1)
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if q.Header.Get("Upgrade") != "" {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		} else {
			q.Body.Read(make([]byte, 1))
			got <- "body"
		}
		io.Copy(io.Discard, r)
	}))
	w.routed("x", snapshot.Route{Name: "r", Timeout: snapshot.Duration(time.Minute), Targets: targetList([]string{"a"})})
	p := run(t, w, noTick)
	deadline := func() int64 {
		var s *stream
		p.mu.Lock()
		for _, so := range p.sockets {
			so.each(func(c connection) {
				if d, ok := c.(*downstream); ok {
					s = &d.stream
				}
			})
		}
		p.mu.Unlock()
		if s == nil {
			return -1
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.timeouts.response
	}
	c := dial(t, p.address(t, "gateway"))
	c.send("POST / HTTP/1.1\nHost: x\nContent-Length: 2\n\n1")
	<-got
	if at := deadline(); at != 0 {
		t.Errorf("the time runs before the request is over: %d", at)
	}
	c.send("2")
	until(t, "the time runs", func() bool { return deadline() > 0 })
	c.Close()
	p.sweep(now())
	until(t, "the client is gone", func() bool { return live(p) == 0 })
	c = dial(t, p.address(t, "gateway"))
	c.send("GET / HTTP/1.1\nHost: x\nConnection: upgrade\nUpgrade: websocket\n\n")
	if r, err := http.ReadResponse(c.r, nil); err != nil || r.StatusCode != 101 {
		t.Fatal(r, err)
	}
	until(t, "the time has ended", func() bool { return deadline() == 0 })
}

// Whether an answer or the timeout comes first, each request gets one of the
// two, its own, and the connection goes on.
func TestTimeoutAndAnswerTogether(t *testing.T) {
	bounds := map[string]func(r *snapshot.Route, d snapshot.Duration){
		"timeout": func(r *snapshot.Route, d snapshot.Duration) { r.Timeout = d },
		"read": func(r *snapshot.Route, d snapshot.Duration) {
			r.ReadTimeout, r.Retry = d, snapshot.Retry{On: snapshot.ListOf("connect-failure")} // not once more
		},
	}
	for name, bound := range bounds {
		for _, filtered := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", filtered ", filtered), func(t *testing.T) {
				t.Parallel()
				// What comes together on one machine does not on a slower one.
				seen := map[int]int{}
				for unit := time.Millisecond; unit <= 256*time.Millisecond && (seen[200] == 0 || seen[504] == 0); unit *= 4 {
					seen = timeoutAndAnswer(t, filtered, unit, bound)
				}
				if seen[200] == 0 || seen[504] == 0 {
					t.Errorf("statuses %v", seen)
				}
			})
		}
	}
}

// timeoutAndAnswer sends requests that are answered after 0 to 4 units, and may
// take 2, which bound sets; it returns how often each status came.
func timeoutAndAnswer(t *testing.T, filtered bool, unit time.Duration, bound func(*snapshot.Route, snapshot.Duration)) map[int]int {
	w := &world{}
	w.cluster("a", backend(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(rand.Int64N(int64(4 * unit))))
		io.WriteString(w, r.URL.Path)
	}))
	r := snapshot.Route{Name: "r", Targets: targetList([]string{"a"}), IdleTimeout: snapshot.Duration(3 * unit)}
	bound(&r, snapshot.Duration(2*unit))
	w.routed("x", r)
	o := &observed{}
	change := func(*Config) {}
	if filtered {
		change = o.install(w)
	}
	p := run(t, w, change)
	c := dial(t, p.address(t, "gateway"))
	seen := map[int]int{}
	for i := range max(20, 300/int(unit/time.Millisecond)) {
		path := "/" + strconv.Itoa(i)
		c.send("GET %s HTTP/1.1\nHost: x\n\n", path)
		r, err := http.ReadResponse(c.r, nil)
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF) { // as below, and the head is lost
			c = dial(t, p.address(t, "gateway"))
			continue
		}
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		body, err := io.ReadAll(r.Body)
		seen[r.StatusCode]++
		want := path
		if r.StatusCode == 504 {
			want = "upstream request timeout"
		}
		if err != nil && r.StatusCode == 200 { // timed out between head and body
			c = dial(t, p.address(t, "gateway"))
			continue
		}
		if err != nil || string(body) != want && string(body) != "stream timeout" {
			t.Fatalf("request %d: %d %q, %v", i, r.StatusCode, body, err)
		}
	}
	return seen
}

func TestTCPListenersHaveTheirOwnIdleTimeout(t *testing.T) {
	w := &world{}
	w.cluster("a", rawBackend(t, func(c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }))
	w.tcp("l", "a")
	w.dataplane[0].IdleTimeout = soon
	p := run(t, w, noTick)
	c := dial(t, p.address(t, "l"))
	if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
}

func TestTCPConnectAttempts(t *testing.T) {
	alive := rawBackend(t, func(c net.Conn, _ *bufio.Reader) { io.WriteString(c, "here") })
	for attempts, want := range map[uint32]int{0: 2, 1: 2, 2: 4} {
		w := &world{}
		w.cluster("a", nobody, alive)
		w.tcp("l", "a")
		w.dataplane[0].ConnectAttempts = attempts
		p := run(t, w)
		connected := 0
		for range 4 { // each endpoint has its turn
			b, _ := io.ReadAll(dial(t, p.address(t, "l")))
			if string(b) == "here" {
				connected++
			}
			if attempts == 2 && string(b) != "here" {
				t.Errorf("no second attempt")
			}
		}
		if attempts < 2 && connected != want {
			t.Errorf("%d attempts: %d of 4 connected, want %d", attempts, connected, want)
		}
	}
}
