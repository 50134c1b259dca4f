//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshc/meshc/cmd/meshc/internal/behaviour"
)

// abiGuests is where the guest, its three builds and the list of deviations are.
const abiGuests = "../../plugins/wasm/internal/abitest"

// Where things are in the namespace of the tests.
const (
	abiBackendAddr = "10.9.1.1:8080"
	abiTCPAddr     = "10.9.1.2:9000"
	abiDeadAddr    = "10.9.1.3:1"
	abiTLSHost     = "10.9.1.4"
	abiTLSAddr     = abiTLSHost + ":8443"
	abiInboundAddr = "10.9.2.1:8001"
	abiAppAddr     = "10.9.2.2:9001"
	abiNode        = "default.abi"
	abiAdmin       = 9901
)

// TestABI runs the conformance guest in both data planes, configured from the
// same documents, and wants the same trace of both, but for the deviations
// listed. MESHC_ABI_TRACE names a folder that keeps the traces and differences.
func TestABI(t *testing.T) {
	list, err := readABIDeviations(filepath.Join(abiGuests, "deviations.txt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	compared := 0
	t.Cleanup(func() { // once all have ended
		if compared == 3 {
			for _, line := range list.unused() {
				t.Errorf("deviations.txt: this allows nothing: take it out: %s", line)
			}
		}
	})
	var mu sync.Mutex // of list and compared
	for _, abi := range []string{"010", "020", "021"} {
		t.Run(abi, func(t *testing.T) {
			t.Parallel()
			planes := []string{"envoy", "proxy"}
			traces := make([]map[string][]string, len(planes)) // those that ran
			t.Cleanup(func() {
				if traces[0] == nil || traces[1] == nil {
					return // one failed, or -run wants the other alone
				}
				mu.Lock()
				defer mu.Unlock()
				compareABI(t, abi, list, traces[0], traces[1])
				compared++
			})
			for i, plane := range planes {
				t.Run(plane, func(t *testing.T) {
					t.Parallel()
					trace := newABITrace()
					var clients map[string][]string
					t.Cleanup(func() { // after the data plane's last words
						all := trace.serving()
						for name, lines := range clients {
							all[name+" client"] = lines
						}
						keepABI(t, plane+"-"+abi, abiText(all))
						traces[i] = all
					})
					clients = runABI(t, abi, plane, trace)
				})
			}
		})
	}
}

// compareABI wants no difference between two traces that is not in the list.
func compareABI(t *testing.T, abi string, list abiDeviations, envoy, ours map[string][]string) {
	t.Helper()
	var unlisted []string
	for _, d := range abiDifferences(envoy, ours) {
		if !list.allow(d) {
			unlisted = append(unlisted, d.String())
		}
	}
	keepABI(t, "differences-"+abi, strings.Join(unlisted, "\n"))
	if n := len(unlisted); n > 0 {
		t.Errorf("%d differences that no line of deviations.txt allows:\n%s", n, strings.Join(unlisted[:min(n, 100)], "\n"))
	}
}

// keepABI writes text to the folder that MESHC_ABI_TRACE names, if any.
func keepABI(t *testing.T, name, text string) {
	t.Helper()
	dir := os.Getenv("MESHC_ABI_TRACE")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}

func abiText(all map[string][]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(all)) {
		for _, l := range all[k] {
			fmt.Fprintf(&b, "%s %s\n", k, l)
		}
	}
	return b.String()
}

// runABI goes through all scenarios on one data plane, and returns what the
// client saw in each.
func runABI(t *testing.T, abi, plane string, trace *abiTrace) map[string][]string {
	t.Helper()
	network := behaviour.NewNetwork(t)
	for _, address := range []string{abiBackendAddr, abiAppAddr, abiTLSAddr} {
		abiBackend(t, network, address, func(scenario, event string) { trace.await(scenario, event, nil) }) //nolint:errcheck // the scenario tells
	}
	abiTCP(t, network, abiTCPAddr)
	server := startABI(t, network, abi, plane, trace)
	clients := map[string][]string{}
	for _, s := range abiScenarios(abi) {
		trace.pace()
		client, err := s.run(server)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		clients[s.name] = client
		select {
		case <-server.ended:
			t.Fatalf("%s ended the data plane", s.name)
		default:
		}
	}
	return clients
}

// abiServer is a data plane that runs the guest.
type abiServer struct {
	network *behaviour.Network
	address map[string]string // of outbounds, by service
	trace   *abiTrace
	ended   <-chan struct{} // closed when the process is gone
}

// abiCluster are the clusters of the scenarios, by what scripts call them.
var abiCluster = strings.NewReplacer("{http}", "backend", "{grpc}", "grpc", "{dead}", "dead")

// abiScenario is what one request or connection does.
type abiScenario struct {
	name string
	// script is the guest's; {http}, {grpc}, {dead} stand for names of clusters.
	script string
	// send is the request but for x-script and x-name; the default is GET /ok.
	// The pieces after the first go each after the event of the same index in after.
	send  []string
	after []string
	// until are the events to wait for, besides the stream's end.
	until []string
	// hang means that no response is wanted: the client closes after until.
	hang bool
	// to is the service that is called, "backend" where it is empty; "inbound"
	// is the data plane's own, over TLS.
	to string
	// http2 means that the client speaks it; abiFrames says what send is then.
	http2 bool
	// connection means that it is for TCP, to a service of its own: send are the pieces.
	connection bool
	// newer means that ABI 0.1.0 has no call for it, or that Envoy crashes there.
	newer bool
}

// text is the script with its name and the clusters' names.
func (s abiScenario) text() string { return s.name + "|" + abiCluster.Replace(s.script) }

// run does it once and returns what the client saw, a line each.
func (s abiScenario) run(server *abiServer) ([]string, error) {
	c, err := s.dial(server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(75 * time.Second))
	send := s.send
	if !s.connection {
		if len(send) == 0 {
			send = []string{"GET /ok HTTP/1.1\r\n\r\n"}
		}
		line, rest, _ := strings.Cut(send[0], "\r\n")
		send = slices.Clone(send)
		send[0] = line + "\r\nHost: abi.test\r\nX-Name: " + s.name + "\r\nX-Script: " + s.text() + "\r\nX-Two: one\r\nX-Two: two\r\n" + rest
	}
	if s.http2 {
		if send = abiFrames(send); len(s.after) == 0 {
			send = []string{strings.Join(send, "")}
		}
	}
	failed, over := make(chan error, 1), make(chan struct{})
	go func() {
		for i, piece := range send {
			if i > 0 && i-1 < len(s.after) && s.after[i-1] != "" {
				if err := server.trace.await(s.name, s.after[i-1], over); err != nil {
					failed <- err
					return
				}
			}
			if piece == "EOF" {
				c.(*net.TCPConn).CloseWrite() //nolint:errcheck // it may be closed
				continue
			}
			if _, err := io.WriteString(c, piece); err != nil {
				break // the answer may have come before
			}
		}
		failed <- nil
	}()
	var client []string
	switch {
	case s.hang:
		for _, u := range s.until {
			if err := server.trace.await(s.name, u, nil); err != nil {
				return nil, err
			}
		}
		c.Close()
	case s.connection:
		b, err := io.ReadAll(c)
		client = append(client, fmt.Sprintf("%q %s", b, abiEnd(err)))
	case s.http2:
		client = slices.DeleteFunc(abiStream(c), func(l string) bool { return l == "" })
	default:
		client = abiResponse(c, send[0])
	}
	close(over)
	if err := <-failed; err != nil {
		return client, err
	}
	c.Close()
	for _, u := range append(slices.Clone(s.until), "delete#1 returns") {
		if err := server.trace.await(s.name, u, nil); err != nil {
			return client, err
		}
	}
	return client, nil
}

// dial connects to the service.
func (s abiScenario) dial(server *abiServer) (net.Conn, error) {
	switch to := s.to; {
	case s.to == "inbound":
		c, err := server.network.Dial(abiInboundAddr)
		if err != nil {
			return nil, err
		}
		return tls.Client(c, abiTLSClient()), nil
	case s.connection:
		return server.network.Dial(server.address[s.name])
	case to == "":
		return server.network.Dial(server.address["backend"])
	default:
		return server.network.Dial(server.address[to])
	}
}

// abiEnd says how reading ended.
func abiEnd(err error) string {
	switch {
	case err == nil:
		return "closed"
	case strings.Contains(err.Error(), "timeout"):
		return "timeout"
	case strings.Contains(err.Error(), "reset"):
		return "reset"
	}
	return err.Error()
}

func abiResponse(c net.Conn, request string) []string {
	method, _, _ := strings.Cut(request, " ")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return []string{"no response: " + abiEnd(err)}
	}
	body, err := io.ReadAll(resp.Body)
	lines := []string{fmt.Sprintf("%d length %d %v", resp.StatusCode, resp.ContentLength, resp.TransferEncoding)}
	lines = append(lines, strings.Split(abiHeaders(resp.Header), "\n")...)
	lines = append(lines, abiBody(body)...)
	if err != nil {
		lines = append(lines, "body: "+abiEnd(err))
	}
	lines = append(lines, strings.Split(abiHeaders(resp.Trailer), "\n")...)
	for i := range lines {
		lines[i] = abiNormal(lines[i])
	}
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" })
}
