package image

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Need is what a person has to bring, or to correct, so that an error does not come back.
type Need int

// The needs. NeedCertificate is for certificates that are wrong in a way that no authority mends.
const (
	NeedNothing Need = iota
	NeedLogin
	NeedAuthority
	NeedClientCertificate
	NeedCertificate
)

// Needs returns what err, an error of this package, needs, and for which host, "HOST[:PORT]".
func Needs(err error) (need Need, host string) {
	var f *fault
	if errors.As(err, &f) {
		return f.need, f.host
	}
	return NeedNothing, ""
}

// certificateFault returns the error for a certificate of who, at host, that cannot be verified.
func certificateFault(who, host string, verify *tls.CertificateVerificationError) *fault {
	var invalid x509.CertificateInvalidError
	if errors.As(verify, &invalid) && invalid.Reason == x509.Expired {
		// Go has one reason for "expired" and "not yet valid". In both cases this machine's clock may be wrong.
		return &fault{
			text: fmt.Sprintf("the certificate of %s is not valid now (%s by this machine's clock)",
				who, time.Now().UTC().Format(time.DateTime)),
			cause: invalid, need: NeedCertificate, host: host,
		}
	}
	f := &fault{text: fmt.Sprintf("the certificate of %s is not trusted", who), cause: verify.Err, insecure: host,
		need: NeedCertificate, host: host}
	if errors.As(verify, new(x509.UnknownAuthorityError)) {
		f.need = NeedAuthority
	}
	return f
}

// clientRefusals are the alerts of RFC 8446, section 6.2, by which a server refuses the client's certificate, in the
// words of crypto/tls, which exports no type for them.
var clientRefusals = map[string]string{
	"certificate required":          "wants a client certificate",
	"bad certificate":               "wants a client certificate, or another one",
	"unsupported certificate":       "does not support the kind of the client certificate",
	"revoked certificate":           "does not accept the client certificate: it is revoked",
	"expired certificate":           "does not accept the client certificate: it has expired",
	"unknown certificate":           "does not accept the client certificate",
	"unknown certificate authority": "does not accept the client certificate: it does not know its authority",
	"access denied":                 "does not accept the client certificate: it gives no access",
}

// clientFault returns the error for an alert by which who refuses the client's certificate, or nil.
func clientFault(who, host string, err error) *fault {
	_, alert, found := strings.Cut(err.Error(), "remote error: tls: ")
	if says, ok := clientRefusals[alert]; found && ok {
		return &fault{text: who + " " + says, need: NeedClientCertificate, host: host}
	}
	return nil
}

// plainRefusal returns the error for a 400 of who by which nginx, which many registries stand behind, refuses a
// client's certificate inside of HTTP, or nil.
func plainRefusal(who, host string, body []byte) *fault {
	text := string(body)
	switch {
	case strings.Contains(text, "No required SSL certificate was sent"):
		return &fault{text: who + " wants a client certificate", status: 400, need: NeedClientCertificate, host: host}
	case strings.Contains(text, "The SSL certificate error"):
		return &fault{text: who + " does not accept the client certificate", status: 400,
			need: NeedClientCertificate, host: host}
	}
	return nil
}
