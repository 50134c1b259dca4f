package proxy

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

// udpBackend answers each datagram with its name and what it got.
func udpBackend(t *testing.T, name string) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(append([]byte(name+" "), buf[:n]...), from)
		}
	}()
	return pc.LocalAddr().String()
}

// udpWorld is a UDP listener on address (host:port) before backends.
func udpWorld(host string, port uint16, ranges []string, backends ...string) *world {
	w := &world{}
	w.cluster("dns", backends...)
	w.clusters[0].Protocol = snapshot.UDP
	w.dataplane = append(w.dataplane, snapshot.Listener{
		Name: "udp", Direction: snapshot.Node, Protocol: snapshot.UDP, Address: host, Port: port,
		SourceRanges: snapshot.ListOf(ranges...), Targets: targetList([]string{"dns"}),
	})
	return w
}

// ask sends a datagram until there is an answer to it: one may be lost.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	for range 50 {
		c.Write([]byte(text))
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			if strings.HasSuffix(string(buf[:n]), " "+text) { // and not to an earlier one
				return string(buf[:n-len(text)-1])
			}
		}
	}
	t.Fatalf("no answer to %.20q", text)
	return ""
}

func TestUDPSessionsKeepToTheirEndpoint(t *testing.T) {
	port := freePort(t, "udp")
	p := run(t, udpWorld("0.0.0.0", port, nil, udpBackend(t, "a"), udpBackend(t, "b")))
	_ = p
	seen := map[string]int{}
	for i := range 8 {
		// An address of ours that is not the one that a route to the client has.
		c, err := net.Dial("udp", fmt.Sprintf("127.0.0.%d:%d", 1+i%2*2, port))
		if err != nil {
			t.Fatal(err)
		}
		first := ask(t, c, "hello")
		seen[first]++
		for j := range 5 {
			if got := ask(t, c, fmt.Sprint(j)); got != first {
				t.Errorf("client %d: %s after %s", i, got, first)
			}
		}
		large := string(bytes.Repeat([]byte("x"), 40_000))
		if got := ask(t, c, large); got != first {
			t.Errorf("client %d: a large datagram went to %s", i, got)
		}
		c.Close()
	}
	if len(seen) != 2 {
		t.Errorf("endpoints that served: %v, want both", seen)
	}
}

func TestUDPSessionLeavesAnEndpointThatIsGone(t *testing.T) {
	port := freePort(t, "udp")
	a, b := udpBackend(t, "a"), udpBackend(t, "b")
	p := run(t, udpWorld("127.0.0.1", port, nil, a))
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := ask(t, c, "1"); got != "a" {
		t.Fatal(got)
	}
	publish(t, p, udpWorld("127.0.0.1", port, nil, b))
	until(t, "the session has moved", func() bool { return ask(t, c, "2") == "b" })
}

func TestSourceRanges(t *testing.T) {
	port := freePort(t, "udp")
	p := run(t, udpWorld("127.0.0.1", port, []string{"10.0.0.0/8", "fd00::/8"}, udpBackend(t, "a")))
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	refused := func() uint64 { return p.metrics.connections("udp").denied.Load() }
	until(t, "the client is refused", func() bool { c.Write([]byte("x")); return refused() > 0 })
	publish(t, p, udpWorld("127.0.0.1", port, []string{"127.0.0.1/32"}, udpBackend(t, "a")))
	ask(t, c, "y")

	at := onPort(t)
	w := at("127.0.0.1")
	w.dataplane[0].SourceRanges = snapshot.ListOf("10.0.0.0/8")
	q := run(t, w)
	tcp := dial(t, q.address(t, "on 127.0.0.1"))
	if _, err := tcp.r.ReadByte(); err == nil {
		t.Error("a TCP client from elsewhere was let in")
	}
}

func TestListenersOfOtherMachines(t *testing.T) {
	w := onPort(t)("127.0.0.1", "192.0.2.1")
	for i := range w.dataplane {
		w.dataplane[i].IfLocal = true
	}
	p := run(t, w)
	if _, ok := p.Addresses()["on 192.0.2.1"]; ok {
		t.Error("an address of another machine is listened on")
	}
	p.address(t, "on 127.0.0.1")
}

func TestAnswer(t *testing.T) {
	w := &world{}
	w.host("health")
	r := w.vhosts[0].Routes.At(0)
	r.Answer = snapshot.Answer{Status: 503, ContentType: "application/json", Body: `{"localEndpoints":0}`}
	w.vhosts[0].Routes = snapshot.ListOf(r)
	p := run(t, w)
	c := dial(t, p.address(t, "gateway"))
	c.send("GET /x HTTP/1.1\nHost: health\n\n")
	res, body := c.response("GET")
	if res.StatusCode != 503 || body != `{"localEndpoints":0}` || res.Header.Get("content-type") != "application/json" {
		t.Errorf("%d %q %q", res.StatusCode, body, res.Header)
	}
}

// However many addresses a sender makes up, a listener has so many sessions, and
// each keeps so many datagrams.
func TestUDPSessionsAreBounded(t *testing.T) {
	ln, err := bindUDP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := ln.(*datagrams)
	var first *session
	for i := range 3 * 1024 {
		s := d.deliver(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1 + i}, nil, []byte("x"))
		if first == nil {
			first = s
		}
		if want := i < 1024; (s != nil) != want {
			t.Fatalf("session %d: %t, want %t", i, s != nil, want)
		}
	}
	for range 100 {
		d.deliver(first.addr.(*net.UDPAddr), nil, make([]byte, 10))
	}
	if n := len(first.in); n != 16 {
		t.Errorf("%d datagrams wait", n)
	}
	<-first.in
	if b := <-first.in; cap(b) > 16 {
		t.Errorf("a datagram of 10 bytes lies in %d", cap(b))
	}
	first.Close()
	if d.deliver(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000}, nil, nil) == nil {
		t.Error("there is no room after one has ended")
	}
}
