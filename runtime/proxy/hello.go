package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/meshc/meshc/compiler/snapshot"
)

// maxHello bounds what is read of a connection, in bytes, until its ClientHello
// is whole: Envoy's max_client_hello_size.
const maxHello = 16 << 10

var (
	errHelloSize = errors.New("the ClientHello is too large")
	// errPasses ends a handshake that is not ours to make.
	errPasses = errors.New("the connection passes as it is")
)

// preview is a connection whose ClientHello is still to be read. What is read
// of it is kept, for whoever gets the connection as it came, and nothing is
// written where the handshake is not ours.
type preview struct {
	net.Conn
	read  []byte
	over  bool // it is known who takes the connection
	muted bool
}

// NetConn lets others see through, as through TLS.
func (p *preview) NetConn() net.Conn { return p.Conn }

func (p *preview) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if p.over {
		return n, err
	}
	if len(p.read)+n > maxHello {
		p.muted = true
		return 0, errHelloSize
	}
	p.read = append(p.read, b[:n]...)
	return n, err
}

func (p *preview) Write(b []byte) (int, error) {
	if p.muted {
		return len(b), nil
	}
	return p.Conn.Write(b)
}

// choose finds the chain for a ClientHello, and returns what it shows. Whoever
// is taken by none learns nothing: the connection just ends, as in Envoy.
func (e *entrance) choose(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	e.preview.over = true
	name := strings.ToLower(hello.ServerName)
	c := e.l.chains.find(name)
	switch {
	case c == nil:
		e.preview.muted = true
		if name == "" {
			return nil, errors.New("the client asks for no server name, and no certificate is for any")
		}
		return nil, fmt.Errorf("there is no certificate for the server name %q", name)
	case !c.ranges.admit(addressOf(e.nc.RemoteAddr()).Addr()):
		e.preview.muted = true
		return nil, fmt.Errorf("the client's address may not use %q", c.name)
	case c.shown == nil:
		e.chain, e.preview.muted = c, true
		return nil, errPasses
	}
	e.chain, e.preview.read = c, nil
	configs, err := c.shown.configs(e.l.gen.identities)
	if err != nil {
		return nil, err
	}
	e.own = presented(hello, configs.no.Certificates)
	// A client that offers nothing of ours is served without, as Envoy does.
	if c.protocol == snapshot.HTTP && slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(configs.http.NextProtos, p) }) {
		return configs.http, nil
	}
	return configs.no, nil
}
