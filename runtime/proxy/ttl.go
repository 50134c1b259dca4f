package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// lookup asks the resolver of the system, as package net does, and returns how
// long the answer holds besides; 0 where nobody says, as for a name out of a file.
// net does not tell the TTLs, so they are read off the wire.
func lookup(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	var seen answers
	return seen.lookup(ctx, host, seen.dial)
}

// lookup asks for host over what dial makes. Package net says that there is no such
// name, too, where that has no IPv6 address and the server failed for the IPv4 ones:
// only if its strict way says so is it taken for an answer. That way is not the first,
// for it finds no address at all where a server is silent about IPv6.
func (a *answers) lookup(ctx context.Context, host string, dial func(ctx context.Context, network, address string) (net.Conn, error)) ([]netip.Addr, time.Duration, error) {
	r := net.Resolver{PreferGo: true, Dial: dial}
	addresses, err := r.LookupNetIP(ctx, "ip", host)
	if failed, ok := errors.AsType[*net.DNSError](err); ok && failed.IsNotFound {
		r.StrictErrors = true
		addresses, err = r.LookupNetIP(ctx, "ip", host)
	}
	return addresses, a.ttl(), err
}

// answers sees the DNS messages of one lookup.
type answers struct {
	mu    sync.Mutex
	some  bool
	least uint32 // TTL, in seconds
}

func (a *answers) ttl() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Duration(a.least) * time.Second
}

// see takes note of a message; what is none is passed over.
func (a *answers) see(message []byte) {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil || p.SkipAllQuestions() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return
		}
		switch h.Type {
		case dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME:
			if !a.some || h.TTL < a.least {
				a.some, a.least = true, h.TTL
			}
		}
		if p.SkipAnswer() != nil {
			return
		}
	}
}

func (a *answers) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if u, ok := c.(*net.UDPConn); ok {
		return &seenPackets{u, a}, nil
	}
	return &seenStream{Conn: c, answers: a}, nil
}

// seenPackets is a connection of which each Read is one message.
type seenPackets struct {
	*net.UDPConn
	answers *answers
}

func (c *seenPackets) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	c.answers.see(b[:n])
	return n, err
}

// seenStream is a connection of messages that have their length before them.
type seenStream struct {
	net.Conn
	answers *answers
	read    []byte
}

func (c *seenStream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read = append(c.read, b[:n]...)
	for len(c.read) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(c.read))
		if len(c.read) < end {
			break
		}
		c.answers.see(c.read[2:end])
		c.read = c.read[end:]
	}
	return n, err
}
