package plan

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/tree"
)

// vaultReference begins a value that Kong fetches from a vault.
const vaultReference = "{vault://"

// kongCertificate wants a certificate in PEM.
func kongCertificate(n *tree.Node, report func(Fault)) {
	if !isPlain(n) {
		return
	}
	if _, err := certificates(n.Text); err != nil {
		report(Fault{Code: diag.CodeCertificate, Message: err.Error(), Hint: "write the certificate in PEM, its chain after it"})
	}
}

// kongKey wants a private key in PEM. Nothing of it is ever quoted.
func kongKey(n *tree.Node, report func(Fault)) {
	if !isPlain(n) {
		return
	}
	if problem := keyProblem(n.Text); problem != "" {
		report(Fault{Code: diag.CodeCertificate, Message: problem, Hint: "write the private key in PEM, not encrypted"})
	}
}

// kongKeyPair wants the key of the certificate, and of the alternative one both
// or none. What does not parse by itself has been reported.
func kongKeyPair(n *tree.Node, report func(Fault)) {
	fault := func(field, message, hint string) {
		report(Fault{At: []any{field}, Code: diag.CodeCertificate, Message: message, Hint: hint})
	}
	for _, fields := range [][2]string{{"cert", "key"}, {"cert_alt", "key_alt"}} {
		cert, key := n.Get(fields[0]), n.Get(fields[1])
		switch {
		case isPlain(cert) && isPlain(key):
			if _, err := certificates(cert.Text); err != nil || keyProblem(key.Text) != "" {
				continue
			}
			if _, err := tls.X509KeyPair([]byte(cert.Text), []byte(key.Text)); err != nil {
				fault(fields[1], "the key is not the one of the certificate", "take the key that the certificate was made for")
			}
		case cert.Str() != "" && key.Str() == "" && fields[1] == "key_alt":
			fault("key_alt", "cert_alt and key_alt belong together", "set both or none")
		case key.Str() != "" && cert.Str() == "" && fields[0] == "cert_alt":
			fault("cert_alt", "cert_alt and key_alt belong together", "set both or none")
		}
	}
}

// isPlain reports whether n is text, and not a reference into a vault.
func isPlain(n *tree.Node) bool {
	return n != nil && n.Kind == tree.String && !strings.HasPrefix(n.Text, vaultReference)
}

// kongCACertificate wants one certificate that may sign others.
func kongCACertificate(n *tree.Node, report func(Fault)) {
	if !isPlain(n) {
		return
	}
	chain, err := certificates(n.Text)
	message, hint := "", "write the certificate of an authority in PEM"
	switch {
	case err != nil:
		message = err.Error()
	case len(chain) > 1:
		message, hint = fmt.Sprintf("holds %d certificates", len(chain)), "write one ca_certificates entry for each"
	case !chain[0].BasicConstraintsValid || !chain[0].IsCA:
		message = fmt.Sprintf("the certificate of %s is not one of an authority (basic constraint CA)", chain[0].Subject)
	default:
		return
	}
	report(Fault{Code: diag.CodeCertificate, Message: message, Hint: hint})
}

// certificates returns those in a text of PEM, of which there is at least one.
func certificates(text string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a PEM block of type %q, want CERTIFICATE", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d does not parse: %s", len(out)+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		out = append(out, cert)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("is not a certificate in PEM")
	}
	return out, nil
}

// keyProblem says what is wrong with a private key in PEM, or "".
func keyProblem(text string) string {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return "is not a private key in PEM"
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return "the private key is encrypted"
		case block.Type != "PRIVATE KEY" && !strings.HasSuffix(block.Type, " PRIVATE KEY"):
			continue // as EC PARAMETERS
		}
		if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return ""
		}
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return ""
		}
		if _, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return ""
		}
		return "the private key does not parse"
	}
}
