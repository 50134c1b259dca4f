package proxy

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// answerTo makes the answer to a DNS query: 10.0.0.1 behind a CNAME, and no
// IPv6 address.
func answerTo(t *testing.T, query []byte, truncated bool) []byte {
	var q dnsmessage.Message
	if err := q.Unpack(query); err != nil {
		t.Error(err)
		return nil
	}
	name := q.Questions[0].Name
	other := dnsmessage.MustNewName("other.example.")
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true, Truncated: truncated},
		Questions: q.Questions,
	}
	if q.Questions[0].Type == dnsmessage.TypeA && !truncated {
		in := dnsmessage.ClassINET
		m.Answers = []dnsmessage.Resource{
			{Header: dnsmessage.ResourceHeader{Name: name, Class: in, TTL: 300}, Body: &dnsmessage.CNAMEResource{CNAME: other}},
			{Header: dnsmessage.ResourceHeader{Name: other, Class: in, TTL: 70}, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}},
			{Header: dnsmessage.ResourceHeader{Name: other, Class: in, TTL: 1}, Body: &dnsmessage.TXTResource{TXT: []string{"x"}}},
		}
	}
	b, err := m.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

// The least TTL of an answer's addresses and aliases counts, whatever the
// answer came over.
func TestAnswersHoldForTheirTTL(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	streams, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer streams.Close()
	for _, truncated := range []bool{false, true} {
		go func() {
			b := make([]byte, 1024)
			for range 2 { // A and AAAA
				n, from, err := packets.ReadFrom(b)
				if err != nil {
					return
				}
				packets.WriteTo(answerTo(t, b[:n], truncated), from)
			}
		}()
		go func() {
			for range 2 {
				c, err := streams.Accept()
				if err != nil {
					return
				}
				var length [2]byte
				io.ReadFull(c, length[:])
				query := make([]byte, binary.BigEndian.Uint16(length[:]))
				io.ReadFull(c, query)
				answer := answerTo(t, query, false)
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
				c.Close()
			}
		}()
		var seen answers
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		addresses, ttl, err := seen.lookup(ctx, "backend.example.", func(ctx context.Context, network, _ string) (net.Conn, error) {
			if network == "tcp" {
				return seen.dial(ctx, network, streams.Addr().String())
			}
			return seen.dial(ctx, network, packets.LocalAddr().String())
		})
		if err != nil || len(addresses) != 1 || addresses[0].Unmap() != netip.MustParseAddr("10.0.0.1") {
			t.Fatalf("truncated %t: %v, %v", truncated, addresses, err)
		}
		if ttl != 70*time.Second {
			t.Errorf("truncated %t: a TTL of %v", truncated, ttl)
		}
		streams.Close()
		if !truncated {
			if streams, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, ttl, err := lookup(t.Context(), "127.0.0.1"); err != nil || ttl != 0 {
		t.Errorf("a literal: %v, %v", ttl, err)
	}
}

// That there is no address of IPv6 does not mean that there is no such name where the
// server fails for those of IPv4.
func TestNoSuchNameIsForBothFamilies(t *testing.T) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() {
		b := make([]byte, 1024)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(b[:n]); err != nil {
				t.Error(err)
				return
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA && q.Name.String() == "fails.example." {
				m.RCode = dnsmessage.RCodeServerFailure
			}
			answer, err := m.Pack()
			if err != nil {
				t.Error(err)
				return
			}
			packets.WriteTo(answer, from)
		}
	}()
	for host, gone := range map[string]bool{"fails.example": false, "gone.example": true} {
		var seen answers
		_, _, err := seen.lookup(t.Context(), host, func(ctx context.Context, _, _ string) (net.Conn, error) {
			return seen.dial(ctx, "udp", packets.LocalAddr().String())
		})
		if failed, ok := err.(*net.DNSError); !ok || failed.IsNotFound != gone {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte{}, 1)
	f.Add([]byte("\x00\x0c\x00\x00\x80\x00\x00\x00\x00\x01\x00\x00\x00\x00"), 3)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		var whole, piecewise answers
		whole.see(b)
		near, far := net.Pipe()
		go func() {
			far.Write(b)
			far.Close()
		}()
		c := seenStream{Conn: near, answers: &piecewise}
		p := make([]byte, 1+max(step, -step)%64)
		for {
			if _, err := c.Read(p); err != nil {
				break
			}
		}
		near.Close()
		if piecewise.some && len(b) < 2+12 {
			t.Error("an answer out of nothing")
		}
	})
}
