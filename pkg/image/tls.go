package image

import (
	"crypto/tls"
	"crypto/x509"
)

// tlsConfig returns what connections with TLS must have at least. It says what Go's defaults say today, because these
// depend on how a program was built: a busybox of u-root is built outside of a module, and then Go has the defaults of
// version 1.20, which offer TLS_RSA and 3DES (https://go.dev/doc/godebug, tlsrsakex and tls3des).
func tlsConfig(roots *x509.CertPool) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	for _, suite := range tls.CipherSuites() { // without those that have known weaknesses
		c.CipherSuites = append(c.CipherSuites, suite.ID)
	}
	return c
}
