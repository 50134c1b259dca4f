package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshc/meshc/compiler/snapshot"
)

const (
	// refreshAfter is the time between two lookups of a name in use where its
	// answer has no TTL or no address, or there was none: Envoy's dns_refresh_rate.
	refreshAfter = 5 * time.Second
	// pickUp is how soon a new answer comes into use.
	pickUp = 500 * time.Millisecond
	// lookupTimeout bounds one lookup.
	lookupTimeout = 5 * time.Second
	// forgetAfter is how long an unused name is remembered.
	forgetAfter = 10 * time.Minute
)

// names is what is known of host names, shared by all clusters and
// generations.
type names struct {
	proxy  *Proxy
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	hosts   map[string]*hostName
	lookups sync.WaitGroup
	stopped bool
}

// hostName is the last good answer for a name.
type hostName struct {
	host      string
	addresses []netip.Addr
	version   uint64        // changes with addresses
	due       time.Time     // when to look it up again
	used      time.Time     // when the name was last wanted
	pending   chan struct{} // closed when the lookup going on has ended; nil without one
	answered  bool          // a lookup has ended, well or not
}

func newNames(p *Proxy) *names {
	n := &names{proxy: p, hosts: map[string]*hostName{}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// lookup returns the addresses of host and their version. It waits for the
// first answer, or ctx; later ones are looked up behind its back.
func (n *names) lookup(ctx context.Context, host string) ([]netip.Addr, uint64) {
	now := time.Now()
	n.mu.Lock()
	h := n.hosts[host]
	if h == nil {
		n.forget(now)
		h = &hostName{host: host}
		n.hosts[host] = h
	}
	h.used = now
	if h.pending == nil && !now.Before(h.due) && !n.stopped {
		h.pending = make(chan struct{})
		n.lookups.Go(func() { n.ask(h) })
	}
	if pending := h.pending; !h.answered && pending != nil {
		n.mu.Unlock()
		select {
		case <-pending:
		case <-ctx.Done():
		}
		n.mu.Lock()
	}
	defer n.mu.Unlock()
	return h.addresses, h.version
}

// forget drops what has not been wanted for long; mu is held.
func (n *names) forget(now time.Time) {
	for host, h := range n.hosts {
		if h.pending == nil && now.Sub(h.used) > forgetAfter {
			delete(n.hosts, host)
		}
	}
}

func (n *names) ask(h *hostName) {
	ctx, cancel := context.WithTimeout(n.ctx, lookupTimeout)
	defer cancel()
	addresses, ttl, err := n.proxy.cfg.Resolve(ctx, h.host)
	if failed, ok := errors.AsType[*net.DNSError](err); ok && failed.IsNotFound {
		addresses, err = nil, nil // an answer like any other
	}
	if ttl <= 0 || err != nil || len(addresses) == 0 {
		ttl = refreshAfter
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	defer close(h.pending)
	h.pending, h.answered, h.due = nil, true, time.Now().Add(ttl)
	if err != nil {
		if n.ctx.Err() == nil {
			n.proxy.log.Warn("name not resolved, keeping the last answer", "host", h.host, "error", err)
		}
		return
	}
	addresses = onlyOneFamily(addresses)
	if len(addresses) == 0 {
		n.proxy.log.Warn("name has no addresses", "host", h.host)
	}
	if !slices.Equal(addresses, h.addresses) {
		h.addresses = addresses
		h.version++
	}
}

// wait ends the lookups going on.
func (n *names) wait() {
	n.cancel()
	n.mu.Lock()
	n.stopped = true
	n.mu.Unlock()
	n.lookups.Wait()
}

// onlyOneFamily returns the IPv4 addresses where there are any, else the IPv6
// ones, sorted (Envoy's V4_PREFERRED).
func onlyOneFamily(all []netip.Addr) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	if len(v4) == 0 {
		v4 = v6
	}
	slices.SortFunc(v4, netip.Addr.Compare)
	return slices.Compact(v4)
}

// dnsCluster turns the names of a cluster into endpoints: each address of
// each name is one (Envoy's STRICT_DNS).
type dnsCluster struct {
	proxy   *Proxy
	cluster *cluster
	set     snapshot.List[snapshot.Endpoint]
	last    atomic.Pointer[resolved]
}

type resolved struct {
	versions []uint64
	until    time.Time // when to ask names again
	*members
}

func newDNSCluster(p *Proxy, c *cluster, set snapshot.List[snapshot.Endpoint]) *dnsCluster {
	return &dnsCluster{proxy: p, cluster: c, set: set}
}

// speaks reports whether an endpoint is spoken to over s, which is nil for the clear.
func (d *dnsCluster) speaks(s *secured) bool {
	for _, e := range d.set.All() {
		if d.cluster.transports[e.Transport].same(s) {
			return true
		}
	}
	return false
}

// resolve returns the endpoints as they are known now.
func (d *dnsCluster) resolve(ctx context.Context) *members {
	last := d.last.Load()
	now := time.Now()
	if last != nil && now.Before(last.until) {
		return last.members
	}
	versions := make([]uint64, d.set.Len())
	addresses := make([][]netip.Addr, d.set.Len())
	for i, e := range d.set.All() {
		addresses[i], versions[i] = d.proxy.names.lookup(ctx, e.Address)
	}
	// An answer that is being looked up is picked up soon, at the price of
	// asking names for each request until then.
	next := &resolved{versions: versions}
	if last != nil && slices.Equal(last.versions, versions) {
		next.members = last.members
		next.until = now.Add(pickUp)
	} else {
		next.members = &members{}
		for i, e := range d.set.All() {
			for _, a := range addresses[i] {
				pl := d.cluster.state.dnsPool(d.proxy, netip.AddrPortFrom(a, e.Port), d.cluster.transports[e.Transport])
				next.endpoints = append(next.endpoints, newEndpoint(pl, e))
			}
		}
	}
	d.last.Store(next)
	if last == nil || last.members != next.members {
		d.cluster.state.checker.changed(d.cluster)
	}
	return next.members
}
