//go:build linux

package behaviour

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// namesAddress is where programs look for a DNS server if nothing else is said.
const namesAddress = "127.0.0.1:53"

// resolver is why the programs under test do not ask at namesAddress.
var resolver = errors.New("not in a namespace of our own")

// askHere has this process and those that it starts, which have a mount
// namespace of their own, ask for names at namesAddress and nowhere else. It
// writes to no file of the machine's.
func askHere() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("a resolv.conf of the tests' own: %w", err)
	}
	f, err := os.CreateTemp("", "resolv.conf")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	host, _, _ := net.SplitHostPort(namesAddress)
	_, err = fmt.Fprintf(f, "nameserver %s\n", host)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	// Where there is no such file, it is what everybody assumes.
	if err := unix.Mount(f.Name(), "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("a resolv.conf of the tests' own: %w", err)
	}
	return nil
}

// names is a DNS server (RFC 1035) for what a case says.
type names struct {
	mu    sync.Mutex
	known map[string]nameRecord
}

// nameRecord is what is known of a name.
type nameRecord struct {
	ttl       uint32 // seconds
	addresses []netip.Addr
	fails     bool // the server says that it cannot tell
}

// parseNames reads NAME TTL ADDRESS… or NAME fails, one a line; TTL in seconds, the
// addresses of IPv4.
func parseNames(text string) (map[string]nameRecord, error) {
	known := map[string]nameRecord{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 2 && f[1] == "fails" {
			known[f[0]] = nameRecord{fails: true}
			continue
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("%q is not NAME TTL ADDRESS… or NAME fails", strings.TrimSpace(line))
		}
		ttl, err := strconv.ParseUint(f[1], 10, 31)
		if err != nil {
			return nil, err
		}
		r := nameRecord{ttl: uint32(ttl)}
		for _, text := range f[2:] {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, err
			}
			if !a.Is4() {
				return nil, fmt.Errorf("%s is not an address of IPv4", a)
			}
			r.addresses = append(r.addresses, a)
		}
		known[f[0]] = r
	}
	return known, nil
}

// startNames starts a DNS server in the network until the test ends.
func (n *Network) startNames(t testing.TB, text string) (*names, error) {
	if resolver != nil {
		return nil, resolver
	}
	s := &names{}
	if err := s.learn(text); err != nil {
		return nil, err
	}
	var pc net.PacketConn
	err := n.in(func() (err error) {
		pc, err = net.ListenPacket("udp", namesAddress)
		return err
	})
	if err != nil {
		return nil, err
	}
	var done sync.WaitGroup
	done.Go(func() { s.serve(pc) })
	t.Cleanup(func() {
		pc.Close()
		done.Wait()
	})
	return s, nil
}

// serve answers queries until pc is closed.
func (s *names) serve(pc net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		k, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer, err := s.answer(buf[:k]); err == nil {
			pc.WriteTo(answer, from)
		}
	}
}

// learn forgets what is known for what text says.
func (s *names) learn(text string) error {
	known, err := parseNames(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = known
	return err
}

// answer is the response to a query: an unknown name does not exist, a known one
// has addresses of IPv4 and nothing else.
func (s *names) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	if len(m.Questions) != 1 {
		return nil, errors.New("not one question")
	}
	q := m.Questions[0]
	s.mu.Lock()
	r, ok := s.known[strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))]
	s.mu.Unlock()
	out := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true},
		Questions: m.Questions,
	}
	switch {
	case !ok:
		out.RCode = dnsmessage.RCodeNameError
	case r.fails:
		out.RCode = dnsmessage.RCodeServerFailure
	}
	if q.Type == dnsmessage.TypeA {
		for _, a := range r.addresses {
			out.Answers = append(out.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: r.ttl},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return out.Pack()
}
