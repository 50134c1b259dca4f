package compiler

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/kuma"
)

// kongStream is a Kong Route for bytes.
type kongStream struct {
	doc     *schema.Document
	service *service
	*passage
	// doors are where it takes connections; none means the gateway's listener
	// for TLS.
	doors []door
	// plain takes all connections; otherwise they are of TLS. names are those
	// of which a client must have asked for one, or any where there are none, and
	// passes says that TLS does not end here.
	plain, passes bool
	names         []string
	ranges        []string // of the clients, in standard form; none: all
}

// door is an address of the gateway: an IP address, or "" for its own, and a port.
type door struct {
	address string
	port    uint16
}

func (d door) String() string {
	if d.address == "" {
		return fmt.Sprintf("%s:%d", snapshot.Gateway, d.port)
	}
	return fmt.Sprintf("%s:%s:%d", snapshot.Gateway, d.address, d.port)
}

// carriesBytes reports whether a Route of these protocols is for bytes.
func carriesBytes(r *kong.Route) bool {
	return slices.ContainsFunc(r.Protocols, func(p string) bool { return p == "tcp" || p == "tls" || p == "tls_passthrough" })
}

// stream makes what the gateway needs of a Route for bytes to s, or says why
// it is left out.
func (w *kongWorld) stream(d *schema.Document, s *service) {
	r := d.Body.(*kong.Route)
	leave := func(path []any, message, hint string) {
		w.b.unsupported = append(w.b.unsupported, finding(diag.CodeNotApplied, diag.Warning, d, path, "the route is left out: "+message, hint))
	}
	out := &kongStream{doc: d, service: s, plain: slices.Contains(r.Protocols, "tcp"), passes: slices.Contains(r.Protocols, "tls_passthrough")}
	for i, from := range r.Sources {
		if from.Port != 0 || from.IP == "" {
			leave([]any{"sources", i, "port"}, "clients are told apart by their addresses alone", "name addresses without ports")
			return
		}
		out.ranges = append(out.ranges, rangeOf(from.IP).String())
	}
	slices.Sort(out.ranges)
	if i := slices.IndexFunc(r.Protocols, func(p string) bool { return p == "tls" || p == "tls_passthrough" }); i >= 0 && out.plain {
		w.b.unsupported = append(w.b.unsupported, finding(diag.CodeNotApplied, diag.Warning, d, []any{"protocols", i},
			fmt.Sprintf("%s has no effect beside tcp: all that comes is carried as it is, whatever the server name, and TLS does not end here", r.Protocols[i]),
			"write two routes, one for tcp and one for "+r.Protocols[i]+", each with ports of its own"))
	}
	for i, to := range r.Destinations {
		at := door{port: uint16(to.Port)}
		if to.IP != "" {
			switch p := rangeOf(to.IP); {
			case p.IsSingleIP():
				at.address = p.Addr().String()
			case p.Bits() > 0:
				leave([]any{"destinations", i, "ip"}, "a listener has one address, not a range of them", "name an address, or leave ip out for the gateway's own")
				return
			}
		}
		if at.port == 0 {
			leave([]any{"destinations", i}, "it says on no port for it to listen", "name a port")
			return
		}
		out.doors = append(out.doors, at)
	}
	for _, name := range r.SNIs {
		out.names = append(out.names, serverName(name))
	}
	switch {
	case out.plain && len(out.doors) == 0:
		leave([]any{"protocols"}, "it says on no port to listen for it", "name ports in destinations")
		return
	case !out.plain && len(out.doors)+len(out.names) == 0:
		leave([]any{"protocols"}, "it would take all that comes over TLS", "name snis, or ports in destinations")
		return
	}
	w.b.streams = append(w.b.streams, out)
}

// rangeOf reads an address or a range, which have been checked.
func rangeOf(text string) netip.Prefix {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked()
	}
	ip, _ := netip.ParseAddr(text)
	return netip.PrefixFrom(ip, ip.BitLen())
}

// attachStreams finds where the routes for bytes lead, and puts them in the order
// of Kong's traditional router: whoever says more comes first.
func (b *build) attachStreams() {
	if len(b.streams) == 0 {
		return
	}
	from := b.callerOf("default", gatewayTags)
	for _, s := range b.streams {
		s.passage = b.passage(from, map[string]string{kuma.ServiceTag: s.service.name})
	}
	says := func(s *kongStream) (n int) {
		r := s.doc.Body.(*kong.Route)
		for _, given := range []bool{len(r.SNIs) > 0, len(r.Sources) > 0, len(r.Destinations) > 0} {
			if given {
				n++
			}
		}
		return n
	}
	slices.SortFunc(b.streams, func(x, y *kongStream) int {
		return cmp.Or(cmp.Compare(says(y), says(x)), cmp.Compare(x.doc.Body.(*kong.Route).CreatedAt, y.doc.Body.(*kong.Route).CreatedAt), strings.Compare(x.doc.ID(), y.doc.ID()))
	})
}

// targets are where the bytes go.
func (s *kongStream) targets() snapshot.List[snapshot.Target] {
	return s.lowerAll(s.service.name, "tcp", nil)[len(s.http)].Targets
}

// idle and attempts are those of policies, or else Kong's own of the service
// (kong/runloop/balancer sets them for streams as for requests).
func (s *kongStream) idle() snapshot.Duration {
	if s.timeout != nil {
		return tcpIdle(s.timeout)
	}
	read, write := kongTimeouts(s.service.doc)
	return snapshot.Duration(max(read, write)) // as lua-resty-core's ngx.balancer has it for streams
}

func (s *kongStream) attempts() uint32 {
	if n := connectAttempts(s.retry); n > 0 {
		return n
	}
	if n := s.service.doc.Body.(*kong.Service).Retries; n != nil {
		return uint32(*n) + 1
	}
	return 6
}

// lowerStreams makes the listeners that routes for bytes have of their own, and
// the chains of those that share the gateway's listener for TLS.
func (b *build) lowerStreams() (own []snapshot.Listener, shared []snapshot.Chain) {
	doors := map[door]*snapshot.Listener{}
	taken := map[door]map[string]*kongStream{} // by server name
	for _, s := range b.streams {
		if len(s.doors) == 0 {
			shared = append(shared, b.streamChains(s, door{}, taken)...)
		}
		for _, at := range s.doors {
			if s.plain {
				b.openPlain(s, at, doors)
				continue
			}
			if l := doors[at]; l != nil && l.Chains.Len() == 0 {
				b.tellTaken(s, fmt.Sprintf("port %d", at.port), b.document(l.Sources.At(0)))
				continue
			}
			if chains := b.streamChains(s, at, taken); len(chains) > 0 {
				l := doors[at]
				if l == nil {
					l = &snapshot.Listener{Name: at.String(), Direction: snapshot.Gateway, Protocol: snapshot.TCP, Address: at.address, Port: at.port, IfLocal: at.address != ""}
					doors[at] = l
				}
				l.Chains = snapshot.ListOf(append(l.Chains.Slice(), chains...)...)
				l.Sources = sourcesOfChains(l.Chains)
			}
		}
	}
	for _, l := range doors {
		l.Digest = l.Sum()
		own = append(own, *l)
	}
	slices.SortFunc(own, func(x, y snapshot.Listener) int { return strings.Compare(x.Name, y.Name) })
	return own, shared
}

// openPlain makes the listener of s, which takes all that comes, at a door.
func (b *build) openPlain(s *kongStream, at door, doors map[door]*snapshot.Listener) {
	if l := doors[at]; l != nil {
		if other := b.document(l.Sources.At(0)); other != s.doc {
			b.tellTaken(s, fmt.Sprintf("port %d", at.port), other)
		}
		return
	}
	doors[at] = &snapshot.Listener{
		Name: at.String(), Direction: snapshot.Gateway, Protocol: snapshot.TCP, Address: at.address, Port: at.port, IfLocal: at.address != "",
		Service: s.service.name, Targets: s.targets(), SourceRanges: snapshot.ListOf(s.ranges...),
		IdleTimeout: s.idle(), ConnectAttempts: s.attempts(), Sources: sources(nil, s.doc),
	}
}

func (b *build) tellTaken(s *kongStream, what string, other *schema.Document) {
	b.unsupported = append(b.unsupported, finding(diag.CodeNotApplied, diag.Warning, s.doc, nil,
		fmt.Sprintf("%s is that of %s, which says as much or more: meshc gives it to one route", what, describe(other)),
		"name other ports, or snis", diag.Related{Place: other.Place(), Message: "the route that has it"}))
}

// streamChains makes the chains of s at a door: one where TLS does not end here,
// else one for each certificate. taken are the server names that are given away.
func (b *build) streamChains(s *kongStream, at door, taken map[door]map[string]*kongStream) []snapshot.Chain {
	own := taken[at]
	if own == nil {
		own = map[string]*kongStream{}
		taken[at] = own
	}
	names := s.names
	if len(names) == 0 {
		names = []string{snapshot.AnyServerName}
		for name := range b.shown { // each has its own
			if !s.passes && name != snapshot.AnyServerName {
				names = append(names, name)
			}
		}
		slices.Sort(names)
	}
	byCert := map[*kongShown][]string{}
	var order []*kongShown
	for _, name := range names {
		if other := own[name]; other != nil {
			if other != s {
				b.tellTaken(s, "server name "+name, other.doc)
			}
			continue
		}
		var cert *kongShown
		if !s.passes {
			cert = b.shownFor(name)
		}
		own[name] = s
		if byCert[cert] == nil {
			order = append(order, cert)
		}
		byCert[cert] = append(byCert[cert], name)
	}
	var out []snapshot.Chain
	for i, cert := range order {
		c := snapshot.Chain{
			Name: "tls/" + s.doc.Name, ServerNames: snapshot.ListOf(slices.Sorted(slices.Values(byCert[cert]))...), SourceRanges: snapshot.ListOf(s.ranges...),
			Protocol: snapshot.TCP, Targets: s.targets(), IdleTimeout: s.idle(), ConnectAttempts: s.attempts(), Sources: sources(nil, s.doc),
		}
		if i > 0 {
			c.Name = fmt.Sprintf("%s#%d", c.Name, i)
		}
		if cert != nil {
			c.Certificates, c.Sources = cert.certificates(), sources(cert.docs(), s.doc)
		}
		out = append(out, c)
	}
	return out
}

func sourcesOfChains(chains snapshot.List[snapshot.Chain]) snapshot.List[string] {
	var all []string
	for _, c := range chains.All() {
		all = append(all, c.Sources.Slice()...)
	}
	slices.Sort(all)
	return snapshot.ListOf(slices.Compact(all)...)
}

// checkUnreached tells of Kong's services that the gateway cannot route requests
// to and that no route leads bytes to.
func (w *kongWorld) checkUnreached() {
	reached := map[*schema.Document]bool{}
	for _, s := range w.b.streams {
		reached[s.service.doc] = true
	}
	for _, d := range w.byKind["kong/Service"] {
		k := d.Body.(*kong.Service)
		if plain, _ := plainProtocol(k.Protocol); plain == "tcp" && !reached[d] {
			w.unsupported(diag.CodeNotApplied, diag.Warning, d, "protocol", fmt.Sprintf("the gateway gives a service of protocol %s what comes by routes of protocol tcp or tls alone, and there is none; dataplanes carry its bytes", k.Protocol), "")
		}
	}
}
