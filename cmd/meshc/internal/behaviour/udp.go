//go:build linux

package behaviour

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// startDatagrams starts a backend of kind udp: it answers each datagram with its
// name and what it got.
func (n *Network) startDatagrams(name, address string) (*Backend, error) {
	var pc net.PacketConn
	err := n.in(func() (err error) {
		pc, err = net.ListenPacket("udp", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", name, err)
	}
	b := &Backend{Name: name, kind: "udp", ln: packetCloser{pc}, gate: make(chan struct{}), over: make(chan struct{}), changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	b.done.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			k, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(append([]byte(name+" "), buf[:k]...), from)
		}
	})
	return b, nil
}

// packetCloser is a socket for datagrams where a listener is to be closed.
type packetCloser struct{ net.PacketConn }

func (packetCloser) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (p packetCloser) Addr() net.Addr          { return p.LocalAddr() }

// datagram sends a datagram until there is an answer to it, for one may be
// lost, and compares the answer.
func (t *transcript) datagram(s step) error {
	c, err := t.network.dialContext(context.Background(), "udp", t.target(s.args[0]))
	if err != nil {
		return err
	}
	defer c.Close()
	payload := s.args[1]
	buf := make([]byte, 64<<10)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		c.Write([]byte(payload))
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		k, err := c.Read(buf)
		if err == nil && strings.HasSuffix(string(buf[:k]), payload) {
			t.compare(s, string(buf[:k]))
			return nil
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			time.Sleep(5 * time.Millisecond) // refused: the listener is about to open
		}
	}
	return fmt.Errorf("no answer to datagrams")
}
