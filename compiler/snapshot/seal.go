package snapshot

import (
	"crypto/sha256"
	"slices"
)

// An element's digest is that of its content without the Digest field. An
// element that holds others (a proxy its listeners, a listener its virtual
// hosts) covers them by their digests, not by their content, so that one
// changed virtual host among ten thousand does not cost all of them again.

// Sum returns the digest of v.
func (v VirtualHost) Sum() Digest {
	v.Digest = Digest{}
	return DigestOf(v)
}

// Sum returns the digest of l. It trusts the digests that l's virtual hosts
// have and computes those that are missing.
func (l Listener) Sum() Digest {
	hosts := sum(l.VirtualHosts)
	l.VirtualHosts, l.Digest = List[VirtualHost]{}, Digest{}
	return DigestOf(struct {
		Listener     Listener `json:"listener"`
		VirtualHosts Digest   `json:"virtualHosts"`
	}{l, hosts})
}

// Sum returns the digest of p. It trusts the digests that p's listeners have
// and computes those that are missing.
func (p Proxy) Sum() Digest {
	listeners := sum(p.Listeners)
	p.Listeners, p.Digest = List[Listener]{}, Digest{}
	return DigestOf(struct {
		Proxy     Proxy  `json:"proxy"`
		Listeners Digest `json:"listeners"`
	}{p, listeners})
}

// Sum returns the digest of c.
func (c Cluster) Sum() Digest {
	c.Digest = Digest{}
	return DigestOf(c)
}

// Sum returns the digest of e.
func (e EndpointSet) Sum() Digest {
	e.Digest = Digest{}
	return DigestOf(e)
}

// Sum returns the digest of d.
func (d Document) Sum() Digest {
	d.Digest = Digest{}
	return DigestOf(d)
}

// Sum returns the digest of a.
func (a Authority) Sum() Digest {
	a.Digest = Digest{}
	return DigestOf(a)
}

// Sum returns the digest of x.
func (x Secret) Sum() Digest {
	x.Digest = Digest{}
	return DigestOf(x)
}

// Sum returns the SHA-256 of b's data.
func (b Blob) Sum() Digest { return sha256.Sum256([]byte(b.Data)) }

// Sum returns the version of s: the digest of the digests of its proxies,
// clusters, endpoints, documents, blobs, authorities and secrets. Origins are no part of it.
func (s Snapshot) Sum() Digest {
	return DigestOf([]Digest{sum(s.Proxies), sum(s.Clusters), sum(s.Endpoints), sum(s.Documents), sum(s.Blobs), sum(s.Authorities), sum(s.Secrets)})
}

// Seal returns s with every missing digest filled in, and with its Version. A
// digest that is set is believed, and so are those inside its element: an
// element that is carried over from an earlier snapshot costs nothing.
func Seal(s Snapshot) Snapshot {
	s.Proxies = sealed(s.Proxies)
	s.Clusters = sealed(s.Clusters)
	s.Endpoints = sealed(s.Endpoints)
	s.Documents = sealed(s.Documents)
	s.Blobs = sealed(s.Blobs)
	s.Authorities = sealed(s.Authorities)
	s.Secrets = sealed(s.Secrets)
	s.Version = s.Sum()
	return s
}

// element is a part that carries its own digest.
type element[T any] interface {
	Sum() Digest
	digest() Digest
	// seal returns the element with its digest and those inside it filled in.
	seal() T
	// label names the element in an error.
	label() string
}

func (v VirtualHost) digest() Digest { return v.Digest }
func (l Listener) digest() Digest    { return l.Digest }
func (p Proxy) digest() Digest       { return p.Digest }
func (c Cluster) digest() Digest     { return c.Digest }
func (e EndpointSet) digest() Digest { return e.Digest }
func (d Document) digest() Digest    { return d.Digest }
func (b Blob) digest() Digest        { return b.Digest }
func (a Authority) digest() Digest   { return a.Digest }
func (x Secret) digest() Digest      { return x.Digest }

func (v VirtualHost) label() string { return "virtual host " + quote(v.Name) }
func (l Listener) label() string    { return "listener " + quote(l.Name) }
func (p Proxy) label() string       { return "proxy " + quote(p.ID) }
func (c Cluster) label() string     { return "cluster " + quote(c.Name) }
func (e EndpointSet) label() string { return "endpoints " + quote(e.Name) }
func (d Document) label() string    { return "document " + quote(d.ID) }
func (b Blob) label() string        { return "blob " + b.Digest.String() }
func (a Authority) label() string   { return "authority " + quote(a.ID) }
func (x Secret) label() string      { return "secret " + quote(x.ID) }

func (v VirtualHost) seal() VirtualHost { v.Digest = v.Sum(); return v }
func (c Cluster) seal() Cluster         { c.Digest = c.Sum(); return c }
func (e EndpointSet) seal() EndpointSet { e.Digest = e.Sum(); return e }
func (d Document) seal() Document       { d.Digest = d.Sum(); return d }
func (b Blob) seal() Blob               { b.Digest = b.Sum(); return b }
func (a Authority) seal() Authority     { a.Digest = a.Sum(); return a }
func (x Secret) seal() Secret           { x.Digest = x.Sum(); return x }

func (l Listener) seal() Listener {
	l.VirtualHosts = sealed(l.VirtualHosts)
	l.Digest = l.Sum()
	return l
}

func (p Proxy) seal() Proxy {
	p.Listeners = sealed(p.Listeners)
	p.Digest = p.Sum()
	return p
}

// sealed returns l with every element sealed; l itself where all were.
func sealed[T element[T]](l List[T]) List[T] {
	copied := false
	for i := range l.items {
		if !l.items[i].digest().IsZero() {
			continue
		}
		if !copied {
			l, copied = List[T]{items: slices.Clone(l.items)}, true
		}
		l.items[i] = l.items[i].seal()
	}
	return l
}

// sum returns the digest of the elements' digests, each computed where it is
// not set.
func sum[T element[T]](l List[T]) Digest {
	h := sha256.New()
	buf := make([]byte, 0, 128*sha256.Size) // hashing one at a time costs twice as much
	for i := range l.items {
		d := l.items[i].digest()
		if d.IsZero() {
			d = l.items[i].Sum()
		}
		if buf = append(buf, d[:]...); len(buf) == cap(buf) {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write(buf)
	return Digest(h.Sum(nil))
}
