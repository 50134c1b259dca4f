//go:build linux

package behaviour

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// tlsOptions are the words NAME=VALUE that follow the kind of a backend, or
// "tls" in a step that connects.
type tlsOptions map[string]string

func parseOptions(words []string, known ...string) (tlsOptions, error) {
	o := tlsOptions{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok || value == "" || !slices.Contains(known, name) {
			return nil, fmt.Errorf("%q is not one of %s=VALUE", word, strings.Join(known, "=VALUE, "))
		}
		o[name] = value
	}
	return o, nil
}

// check says which certificate that the options name is not declared.
func (o tlsOptions) check(declared []declaredCertificate) error {
	for _, option := range []string{"tls", "clients", "ca", "cert"} {
		if name := o[option]; name != "" && !slices.ContainsFunc(declared, func(d declaredCertificate) bool { return d.name == name }) {
			return fmt.Errorf("no certificate is called %q", name)
		}
	}
	return nil
}

// secured returns ln as the options of a backend want it: over TLS with the
// certificate that tls names, and asking clients for one, which must be of the CA
// that clients names.
func (o tlsOptions) secured(ln net.Listener, certs *certificates, kind string) net.Listener {
	if o["tls"] == "" {
		return ln
	}
	config := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certs.get(o["tls"]), nil },
		ClientAuth:     tls.RequestClientCert,
	}
	if o["clients"] != "" {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, certs.pool(o["clients"])
	}
	switch kind {
	case "http":
		config.NextProtos = []string{"http/1.1"}
	case "http2", "grpc":
		config.NextProtos = []string{"h2"}
	}
	return tls.NewListener(ln, config)
}

// seen says what the server of a connection saw of its client: the name that
// was asked for, the certificate, the protocol that they agreed on. It is ""
// without TLS.
func seen(c net.Conn) string {
	t, ok := c.(*tls.Conn)
	if !ok {
		return ""
	}
	state := t.ConnectionState()
	text := "to " + orNone(state.ServerName) + " from " + nameOf(state.PeerCertificates)
	if state.NegotiatedProtocol != "" {
		text += " over " + state.NegotiatedProtocol
	}
	return text
}

func orNone(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

// nameOf returns whose certificate is shown: its URIs, or else its subject.
func nameOf(certs []*x509.Certificate) string {
	if len(certs) == 0 {
		return "none"
	}
	var uris []string
	for _, u := range certs[0].URIs {
		uris = append(uris, u.String())
	}
	if len(uris) == 0 {
		return certs[0].Subject.String()
	}
	return strings.Join(uris, ",")
}

// handshake makes the TLS connection of a client: sni is the name that it asks
// for, ca what the server's certificate must lead to (without, any will do), cert
// the certificate that it shows, alpn the protocols that it offers. That the
// server refuses is no error here: it shows when something is read.
func (o tlsOptions) handshake(c net.Conn, certs *certificates) (net.Conn, error) {
	config := &tls.Config{ServerName: o["sni"], InsecureSkipVerify: true}
	if alpn := o["alpn"]; alpn != "" {
		config.NextProtos = strings.Split(alpn, ",")
	}
	if name := o["cert"]; name != "" {
		config.Certificates = []tls.Certificate{*certs.get(name)}
	}
	if name := o["ca"]; name != "" {
		config.VerifyConnection = func(s tls.ConnectionState) error {
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: certs.pool(name), DNSName: o["sni"], KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			})
			if err != nil {
				return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
			}
			return nil
		}
	}
	t := tls.Client(c, config)
	t.SetDeadline(time.Now().Add(patience))
	err := t.Handshake()
	if _, ours := errors.AsType[*tls.CertificateVerificationError](err); ours {
		c.Close()
		return nil, err
	}
	return t, nil
}

// ended reports whether err is how a connection ends where the other side
// closes it, a TLS alert included.
func ended(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// peer returns what the server of a connection showed.
func peer(c net.Conn) (string, error) {
	t, ok := c.(*tls.Conn)
	if !ok {
		return "", errors.New("no connection over TLS is open")
	}
	return nameOf(t.ConnectionState().PeerCertificates), nil
}

// open connects as the words of a step say: TARGET [http2 | tls OPTION…].
func (t *transcript) open(args []string) error {
	c, err := t.network.dial(t.target(args[0]))
	if err != nil {
		return err
	}
	h2 := len(args) > 1 && args[1] == "http2"
	if len(args) > 1 && !h2 {
		o, err := parseOptions(args[2:], clientOptions...)
		if err != nil {
			return err
		}
		if c, err = o.handshake(c, t.certs); err != nil {
			return err
		}
		h2 = c.(*tls.Conn).ConnectionState().NegotiatedProtocol == "h2"
	}
	if h2 {
		t.conn = c
		t.h2, err = newH2Client(c)
		return err
	}
	t.conn, t.r = c, bufio.NewReaderSize(c, 64<<10)
	return nil
}

var clientOptions = []string{"sni", "ca", "cert", "alpn"}
