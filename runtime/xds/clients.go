package xds

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	grpcstatus "google.golang.org/grpc/status"
)

// TLS is how a Server proves who it is and, with a ClientCA, who may ask it for
// what. Its files are read at each handshake, of which an Envoy makes one, so
// that a renewed one counts at once; what cannot be used leaves the last good
// ones in force, and the log says so.
type TLS struct {
	files TLSFiles
	log   *slog.Logger

	mu   sync.Mutex
	good *tls.Config
	told seldom
}

// TLSFiles are paths of files in PEM.
type TLSFiles struct {
	// Certificate is the server's, with what leads to its authority.
	Certificate string
	Key         string
	// ClientCA holds the authorities that sign certificates of clients; empty
	// lets every client be the node that it says it is.
	ClientCA string
}

// OpenTLS reads the files a first time. An error names the file.
func OpenTLS(files TLSFiles, log *slog.Logger) (*TLS, error) {
	t := &TLS{files: files, log: log}
	good, err := files.read()
	if err != nil {
		return nil, err
	}
	t.good = good
	return t, nil
}

// Authenticates reports whether clients have to prove who they are.
func (t *TLS) Authenticates() bool { return t != nil && t.files.ClientCA != "" }

func (f TLSFiles) read() (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s with the key %s: %w", f.Certificate, f.Key, err)
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{certificate},
		NextProtos:   []string{"h2"},
		MinVersion:   tls.VersionTLS12,
		// A resumed session would show what the client was when it began.
		SessionTicketsDisabled: true,
	}
	if f.ClientCA == "" {
		return c, nil
	}
	text, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("the authorities of clients: %w", err)
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the authorities of clients: %s holds no certificate in PEM", f.ClientCA)
	}
	return c, nil
}

// current returns what the next handshake goes by.
func (t *TLS) current(*tls.ClientHelloInfo) (*tls.Config, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if next, err := t.files.read(); err == nil {
		t.good = next
	} else {
		t.told.do(func(uint64) {
			t.log.Error("the TLS files of the xDS server cannot be used: those read before stay in force", "problem", err)
		})
	}
	return t.good, nil
}

// credentials returns t as gRPC wants it; failed handshakes go to fail.
func (t *TLS) credentials(fail func(net.Addr, error)) credentials.TransportCredentials {
	return handshakes{credentials.NewTLS(&tls.Config{GetConfigForClient: t.current, MinVersion: tls.VersionTLS12}), fail}
}

// handshakes tells of those that failed, of which gRPC is silent.
type handshakes struct {
	credentials.TransportCredentials
	fail func(net.Addr, error)
}

func (h handshakes) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(c)
	if err != nil {
		h.fail(c.RemoteAddr(), err)
	}
	return conn, info, err
}

func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.fail}
}

// handshakeFailed counts a client that showed no certificate, or one that no
// authority of ours signed, and logs it unless another was logged a moment ago.
func (s *Server) handshakeFailed(from net.Addr, err error) {
	s.metrics.refused.WithLabelValues("handshake").Inc()
	s.told.do(func(others uint64) {
		s.cfg.Log.Warn("xDS client refused: the TLS handshake failed", "address", from.String(), "reason", err, "others since the last line", others)
	})
}

// nodeScheme is that of the URIs in a client's certificate that say which nodes
// it may be: meshc:MESH.NAME, meshc:gateway, meshc:MESH.* or meshc:*. A DNS name
// would do for most nodes, but neither for the underscore that a dataplane's name
// may hold nor, to every authority, for the asterisk.
const nodeScheme = "meshc"

// authorize returns an error for the client unless it may be the node that it
// says it is. Without authentication every client may.
func (s *Server) authorize(ctx context.Context, nodeID string) error {
	if !s.cfg.TLS.Authenticates() {
		return nil
	}
	var admitted []string
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			for _, u := range info.State.VerifiedChains[0][0].URIs {
				if u.Scheme == nodeScheme {
					admitted = append(admitted, u.Opaque)
				}
			}
		}
	}
	for _, pattern := range admitted {
		if admits(pattern, nodeID) {
			return nil
		}
	}
	s.metrics.refused.WithLabelValues("node").Inc()
	const remedy = "it has to hold the URI SAN %s:%s"
	if len(admitted) == 0 {
		return grpcstatus.Errorf(codes.PermissionDenied, "the client's certificate names no node: "+remedy, nodeScheme, nodeID)
	}
	return grpcstatus.Errorf(codes.PermissionDenied, "the client's certificate is for %s, not for the node %q: "+remedy,
		strings.Join(admitted[:min(len(admitted), maxListed)], ", "), nodeID, nodeScheme, nodeID)
}

// maxListed bounds how many nodes an error names.
const maxListed = 10

// admits reports whether pattern is nodeID, or stands for it with an asterisk in
// place of all names of a mesh, or of all nodes.
func admits(pattern, nodeID string) bool {
	if mesh, ok := strings.CutSuffix(pattern, ".*"); ok {
		return mesh != "" && strings.HasPrefix(nodeID, mesh+".")
	}
	return pattern == "*" || pattern == nodeID
}

// seldom lets something be said once a second at most.
type seldom struct {
	last   atomic.Int64 // Unix nanoseconds
	missed atomic.Uint64
}

// do calls say unless it was called less than a second ago, with how often it
// was not since then.
func (s *seldom) do(say func(missed uint64)) {
	now, last := time.Now().UnixNano(), s.last.Load()
	if last != 0 && now-last < int64(time.Second) || !s.last.CompareAndSwap(last, now) {
		s.missed.Add(1)
		return
	}
	say(s.missed.Swap(0))
}
