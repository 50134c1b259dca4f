package xds_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/meshc/meshc/runtime/status"
	"github.com/meshc/meshc/runtime/xds"
)

// signer signs certificates of a test.
type signer struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newSigner(t testing.TB, name string) *signer {
	t.Helper()
	a := &signer{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign(name, &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// sign makes a certificate, and NAME.crt and NAME.key in a's folder.
func (a *signer) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	a.write(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return cert, key
}

func (a *signer) write(file string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(file), content, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *signer) path(file string) string { return filepath.Join(a.dir, file) }

// server signs a server's certificate and returns its files, with a as the
// authority of clients.
func (a *signer) server() xds.TLSFiles {
	a.sign("server", &x509.Certificate{DNSNames: []string{"meshc"}})
	return xds.TLSFiles{Certificate: a.path("server.crt"), Key: a.path("server.key"), ClientCA: a.path("ca.crt")}
}

// client signs a client's certificate with URIs, and returns what it dials with.
func (a *signer) client(trusts *signer, uris ...string) grpc.DialOption {
	a.t.Helper()
	template := &x509.Certificate{}
	for _, u := range uris {
		parsed, err := neturl.Parse(u)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = append(template.URIs, parsed)
	}
	a.sign("client", template)
	pair, err := tls.LoadX509KeyPair(a.path("client.crt"), a.path("client.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(trusts.cert)
	return grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "meshc"}))
}

// overTLS starts a server with these files.
func overTLS(t *testing.T, files xds.TLSFiles) *rig {
	t.Helper()
	config, err := xds.OpenTLS(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return start(t, func(c *xds.Config) {
		c.TLS = config
		c.AccessLog = func(context.Context, string, *accesslogv3.StreamAccessLogsMessage) error { return nil }
	})
}

// ask returns the error of the first request of a client that says it is node.
func (r *rig) ask(node string, how grpc.DialOption) error {
	r.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.addr, how)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: node}, TypeUrl: cds}); err != nil {
		return err
	}
	_, err = s.Recv()
	return err
}

func TestClientsAreWhoTheirCertificateSays(t *testing.T) {
	ca, stranger := newSigner(t, "ca"), newSigner(t, "ca")
	r := overTLS(t, ca.server())
	r.publish(world(nil, gateway(), proxy("default.shop"), proxy("default.stock")))
	for _, c := range []struct {
		name    string
		node    string
		uris    []string
		by      *signer
		refused codes.Code
		says    string
	}{
		{name: "its own", node: "default.shop", uris: []string{"meshc:default.shop"}},
		{name: "the gateway", node: "gateway", uris: []string{"meshc:gateway"}},
		{name: "one of several", node: "default.stock", uris: []string{"spiffe://x/y", "meshc:default.shop", "meshc:default.stock"}},
		{name: "a mesh", node: "default.shop", uris: []string{"meshc:default.*"}},
		{name: "all", node: "gateway", uris: []string{"meshc:*"}},
		{name: "another", node: "default.shop", uris: []string{"meshc:default.stock"}, refused: codes.PermissionDenied, says: "URI SAN meshc:default.shop"},
		{name: "another mesh", node: "default.shop", uris: []string{"meshc:def.*"}, refused: codes.PermissionDenied, says: `meshc:default.shop`},
		{name: "none", node: "default.shop", refused: codes.PermissionDenied, says: "names no node"},
		{name: "a stranger's", node: "default.shop", uris: []string{"meshc:default.shop"}, by: stranger, refused: codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			by := c.by
			if by == nil {
				by = ca
			}
			err := r.ask(c.node, by.client(ca, c.uris...))
			if grpcstatus.Code(err) != c.refused || (err != nil && !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v", err)
			}
		})
	}
	r.eventually("was refused", func(n status.Node) bool {
		return n.ID == "default.shop" && strings.Contains(n.Refused, "names no node") && !n.Disconnected.IsZero()
	})

	// Of what was refused, nothing stays beside the node once that is there.
	if err := r.ask("default.shop", ca.client(ca, "meshc:default.shop")); err != nil {
		t.Fatal(err)
	}
	for _, n := range r.board.Nodes() {
		if n.ID == "default.shop" && n.Refused != "" {
			t.Errorf("the board still shows %+v", n)
		}
	}
}

func TestClientsWithoutCertificate(t *testing.T) {
	ca := newSigner(t, "ca")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	anonymous := grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "meshc"}))
	files := ca.server()
	r := overTLS(t, files)
	r.publish(world(nil, gateway()))
	if err := r.ask("gateway", anonymous); grpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("with --xds-client-ca: %v", err)
	}

	files.ClientCA = ""
	r = overTLS(t, files)
	r.publish(world(nil, gateway()))
	if err := r.ask("gateway", anonymous); err != nil {
		t.Errorf("without: %v", err)
	}
}

// TestLoggersAreWhoTheirCertificateSays: nobody writes into another's log.
func TestLoggersAreWhoTheirCertificateSays(t *testing.T) {
	ca := newSigner(t, "ca")
	r := overTLS(t, ca.server())
	for node, want := range map[string]codes.Code{"default.shop": codes.OK, "default.stock": codes.PermissionDenied} {
		conn, err := grpc.NewClient("passthrough:///"+r.addr, ca.client(ca, "meshc:default.shop"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		s, err := accesslogv3.NewAccessLogServiceClient(conn).StreamAccessLogs(ctx)
		if err == nil {
			_ = s.Send(&accesslogv3.StreamAccessLogsMessage{Identifier: &accesslogv3.StreamAccessLogsMessage_Identifier{
				Node: &corev3.Node{Id: node}, LogName: "{}",
			}})
			_, err = s.CloseAndRecv()
		}
		if grpcstatus.Code(err) != want {
			t.Errorf("%s: %v", node, err)
		}
		cancel()
		conn.Close()
	}
}

// TestTLSFilesAreFollowed: a renewed certificate and another authority count
// from the next handshake on, and what cannot be read changes nothing.
func TestTLSFilesAreFollowed(t *testing.T) {
	ca, next := newSigner(t, "ca"), newSigner(t, "ca")
	files := ca.server()
	log := &bytes.Buffer{}
	config, err := xds.OpenTLS(files, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *xds.Config) { c.TLS = config })
	r.publish(world(nil, gateway()))
	old := ca.client(ca, "meshc:gateway")
	if err := r.ask("gateway", old); err != nil {
		t.Fatal(err)
	}
	ca.write("server.key", []byte("half a k"))
	if err := r.ask("gateway", old); err != nil {
		t.Fatalf("with half a key: %v", err)
	}

	renewed := next.server()
	for from, to := range map[string]string{renewed.Certificate: files.Certificate, renewed.Key: files.Key, renewed.ClientCA: files.ClientCA} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.ask("gateway", next.client(next, "meshc:gateway")); err != nil {
		t.Errorf("after the change: %v", err)
	}
	if err := r.ask("gateway", ca.client(next, "meshc:gateway")); grpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("the old authority's client: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil { // and nobody writes into the log
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "stay in force") || strings.Contains(log.String(), "half a k") {
		t.Errorf("log: %s", log)
	}
}

func TestOpenTLSRefuses(t *testing.T) {
	ca := newSigner(t, "ca")
	good := ca.server()
	ca.write("empty.crt", nil)
	for _, c := range []struct {
		name  string
		files xds.TLSFiles
		says  string
	}{
		{"no file", xds.TLSFiles{Certificate: ca.path("nowhere.crt"), Key: good.Key}, "nowhere.crt"},
		{"another's key", xds.TLSFiles{Certificate: good.Certificate, Key: ca.path("ca.key")}, "does not match"},
		{"no authority", xds.TLSFiles{Certificate: good.Certificate, Key: good.Key, ClientCA: ca.path("empty.crt")}, "no certificate in PEM"},
	} {
		if _, err := xds.OpenTLS(c.files, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
