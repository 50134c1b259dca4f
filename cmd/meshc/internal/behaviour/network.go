//go:build linux

package behaviour

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Network is a network namespace: what listens in one is seen by nobody in
// another, so each test can have the addresses that its documents name, at the
// same time as others. A nil Network is the one that all tests run in.
type Network struct {
	fd     int // of the namespace
	client http.Client
}

// home is the network that the test binary runs in.
var home *Network

// NewNetwork makes a network for a test, in which the addresses are local that
// are so after Isolate. It goes when the last process and socket in it are gone.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	n := &Network{fd: -1}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := bringUp(); err != nil {
			return err
		}
		var err error
		n.fd, err = openNamespace()
		return err
	})
	if err != nil {
		t.Fatalf("a network namespace for the test: %v", err)
	}
	n.client = newClient(n)
	t.Cleanup(func() { unix.Close(n.fd) })
	return n
}

// homeNamespace is where every thread is that onThread does not hold.
var homeNamespace = sync.OnceValues(openNamespace)

func openNamespace() (int, error) {
	return unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// onThread calls f on a thread that nobody else uses meanwhile, and that is
// where it was before once f has returned: the thread has to live on, for the
// kernel kills the processes of a thread that ends (see start).
func onThread(f func() error) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		before, err := homeNamespace()
		if err != nil {
			failed <- err
			return
		}
		err = f()
		if back := unix.Setns(before, unix.CLONE_NEWNET); back != nil {
			panic(fmt.Sprintf("a thread cannot leave its network namespace: %v", back))
		}
		runtime.UnlockOSThread()
		failed <- err
	}()
	return <-failed
}

// in calls f on a thread in the network: the sockets that f makes, and the
// processes that it starts, are there for good.
func (n *Network) in(f func() error) error {
	if n == nil {
		return f()
	}
	return onThread(func() error {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	})
}

// Dial connects to a TCP address, which must be numeric: names would be looked
// up on other threads.
func (n *Network) Dial(address string) (net.Conn, error) {
	return n.dialContext(context.Background(), "tcp", address)
}

func (n *Network) dialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	d := net.Dialer{Timeout: patience}
	err = n.in(func() error {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Listen listens on a TCP address.
func (n *Network) Listen(address string) (ln net.Listener, err error) {
	err = n.in(func() error {
		ln, err = net.Listen("tcp", address)
		return err
	})
	return ln, err
}

// newClient returns a client for REST views and Envoy's admin. It keeps no
// connection, for those it asks are stopped while it lives.
func newClient(n *Network) http.Client {
	return http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: n.dialContext}, Timeout: patience}
}

var homeClient = newClient(home)

// Get returns the body of a 200 answer, and "" for anything else.
func (n *Network) Get(url string) string {
	client := &homeClient
	if n != nil {
		client = &n.client
	}
	r, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return ""
	}
	return string(b)
}

// dial connects, waiting for a listener that is about to open.
func (n *Network) dial(address string) (net.Conn, error) {
	deadline := time.Now().Add(patience)
	for {
		c, err := n.Dial(address)
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(deadline) {
			return c, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
