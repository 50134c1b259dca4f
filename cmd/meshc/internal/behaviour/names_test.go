//go:build linux

package behaviour

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
)

func TestNames(t *testing.T) {
	var known names
	if err := known.learn("a.example 60 10.0.0.1 10.0.0.2\nb.example 0 10.0.0.3\n"); err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	go known.serve(pc)
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
	look := func(name string) []netip.Addr {
		found, err := r.LookupNetIP(t.Context(), "ip", name)
		if dns, ok := err.(*net.DNSError); err != nil && (!ok || !dns.IsNotFound) {
			t.Fatal(err)
		}
		for i := range found {
			found[i] = found[i].Unmap()
		}
		return found
	}
	if got := look("A.example."); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}) {
		t.Errorf("a.example: %v", got)
	}
	if err := known.learn("b.example 1 10.0.0.4\nc.example fails\n"); err != nil {
		t.Fatal(err)
	}
	if got := look("b.example."); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.0.0.4")}) {
		t.Errorf("b.example: %v", got)
	}
	if _, err := r.LookupNetIP(t.Context(), "ip", "c.example."); err == nil || err.(*net.DNSError).IsNotFound {
		t.Errorf("c.example: %v", err)
	}
	if got := look("a.example."); got != nil {
		t.Errorf("a.example, forgotten: %v", got)
	}
}
