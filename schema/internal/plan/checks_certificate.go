package plan

import (
	"fmt"
	"strings"

	"github.com/meshc/meshc/schema/diag"
	"github.com/meshc/meshc/schema/internal/pem"
	"github.com/meshc/meshc/schema/kong"
	"github.com/meshc/meshc/schema/tree"
)

// kongCertificate wants a certificate in PEM.
func kongCertificate(n *tree.Node, report func(Fault)) {
	if !isPlain(n) {
		return
	}
	if _, err := pem.Certificates([]byte(n.Text)); err != nil {
		report(Fault{Code: diag.CodeCertificate, Message: err.Error(), Hint: "write the certificate in PEM, its chain after it"})
	}
}

// kongKey wants a private key in PEM. Nothing of it is ever quoted.
func kongKey(n *tree.Node, report func(Fault)) {
	if !isPlain(n) {
		return
	}
	if _, err := pem.Key([]byte(n.Text)); err != nil {
		report(Fault{Code: diag.CodeCertificate, Message: err.Error(), Hint: "write the private key in PEM, not encrypted"})
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
			chain, noChain := pem.Certificates([]byte(cert.Text))
			private, noKey := pem.Key([]byte(key.Text))
			if noChain == nil && noKey == nil && !pem.Pair(chain[0], private) {
				fault(fields[1], "is not the key of the certificate", "take the key that the certificate was made for")
			}
		case isPlain(cert) && !isCertificate(cert.Text), isPlain(key) && !isKey(key.Text):
			// reported, and not worth another half
		case cert.Str() != "" && key.Str() == "" && fields[1] == "key_alt":
			fault("key_alt", "cert_alt and key_alt belong together", "set both or none")
		case key.Str() != "" && cert.Str() == "" && fields[0] == "cert_alt":
			fault("cert_alt", "cert_alt and key_alt belong together", "set both or none")
		}
	}
}

func isCertificate(text string) bool {
	_, err := pem.Certificates([]byte(text))
	return err == nil
}

func isKey(text string) bool {
	_, err := pem.Key([]byte(text))
	return err == nil
}

// isPlain reports whether n is text, and not a reference into a vault.
func isPlain(n *tree.Node) bool {
	return n != nil && n.Kind == tree.String && !strings.HasPrefix(n.Text, kong.VaultReference)
}

// kongCACertificate wants one certificate that may sign others.
func kongCACertificate(n *tree.Node, report func(Fault)) {
	if !isPlain(n) {
		return
	}
	chain, err := pem.Certificates([]byte(n.Text))
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
