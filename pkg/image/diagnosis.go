package image

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Cause is a kind of failure that a person can do something about.
type Cause int

// The causes. What to do depends on the program, so advice is the caller's.
const (
	Other       Cause = iota
	UnknownName       // a DNS server says that there is no such name
	NoDNS             // no DNS server gives a usable answer
	NoProxy           // the proxy cannot be reached
	Refused           // the machine is there, and nothing listens on the port
	NoRoute           // this machine has no way to the address
	Silent            // nothing answers at the address
	Broken            // a connection ended too early
	TLSRefused        // the server refused the TLS connection

	// What follows is about access: logins and certificates.

	Denied           // the registry wants a login, or another one
	WantsCertificate // the server wants a client certificate, or another one
	UnknownIssuer    // the certificate is from an authority that is not trusted
	WrongName        // the certificate is for another name
	Dated            // the certificate is not valid by this machine's clock
	WrongCertificate // a certificate cannot be used for another reason
	ProxyDenied      // the proxy wants a login, or another one
	ProxyIssuer      // the certificate of the proxy is from an authority that is not trusted
)

// Access reports whether the cause is about a login or a certificate.
func (c Cause) Access() bool { return c >= Denied }

// A Diagnosis says what a person needs to know of an error to do something about it.
type Diagnosis struct {
	Cause    Cause
	Host     string // "HOST[:PORT]" of which Cause tells, "" if that is not known
	Insecure string // the host that Source.Insecure would have to allow to avoid the error, "" if that would not help
}

// Diagnose returns the diagnosis of err, an error of this package.
func Diagnose(err error) Diagnosis {
	var d Diagnosis
	_, d.Cause = reason(err)
	for f := new(fault); errors.As(err, &f); err = f.cause {
		d.Host, d.Insecure = cmp.Or(d.Host, f.host), cmp.Or(d.Insecure, f.insecure)
	}
	return d
}

// Advise adds to err, which has the diagnosis, what a person can do about it: do, and allow if that helps and is not
// empty. In both, HOST stands for the host. page is a document about logins and certificates.
func (d Diagnosis) Advise(err error, do, allow, page string) error {
	var advice []string
	if do != "" {
		advice = append(advice, strings.ReplaceAll(do, "HOST", d.Host))
	}
	allowed := d.Insecure != "" && allow != ""
	if allowed {
		advice = append(advice, strings.ReplaceAll(allow, "HOST", d.Insecure))
	}
	if len(advice) == 0 {
		return err
	}
	if d.Cause.Access() || allowed {
		advice[0] += ", see " + page
	}
	return fmt.Errorf("%w; %s", err, strings.Join(advice, "; "))
}

// certificateFault returns the error for a certificate of who, at host, that cannot be verified.
func certificateFault(who, host string, verify *tls.CertificateVerificationError) *fault {
	var invalid x509.CertificateInvalidError
	if errors.As(verify, &invalid) && invalid.Reason == x509.Expired {
		// Go has one reason for "expired" and "not yet valid". In both cases this machine's clock may be wrong.
		return &fault{
			text: fmt.Sprintf("the certificate of %s is not valid now (%s by this machine's clock)",
				who, time.Now().UTC().Format(time.DateTime)),
			cause: invalid, host: host,
		}
	}
	f := &fault{text: fmt.Sprintf("the certificate of %s is not trusted", who), cause: verify.Err, insecure: host,
		host: host}
	if _, cause := reason(verify.Err); cause == Other {
		f.kind = WrongCertificate
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
		return &fault{text: who + " " + says, kind: WantsCertificate, host: host}
	}
	return nil
}

// plainRefusal returns the error for a 400 of who by which nginx, which many registries stand behind, refuses a
// client's certificate inside of HTTP, or nil.
func plainRefusal(who, host string, body []byte) *fault {
	text := string(body)
	switch {
	case strings.Contains(text, "No required SSL certificate was sent"):
		return &fault{text: who + " wants a client certificate", status: 400, kind: WantsCertificate, host: host}
	case strings.Contains(text, "The SSL certificate error"):
		return &fault{text: who + " does not accept the client certificate", status: 400,
			kind: WantsCertificate, host: host}
	}
	return nil
}
