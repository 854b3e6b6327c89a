package image

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// reason returns what err means, without the terms of Go's packages, and its cause.
func reason(err error) (string, Cause) {
	var (
		f        *fault
		dns      *net.DNSError
		op       *net.OpError
		unknown  x509.UnknownAuthorityError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		timeout  net.Error
		refused  *proxyRefusal
	)
	switch {
	case err == nil:
		return "", Other
	case errors.As(err, &f):
		cause := f.kind
		if cause == Other && f.cause != nil {
			_, cause = reason(f.cause)
		}
		return f.Error(), cause
	case errors.As(err, &refused):
		return refused.Error(), refused.cause()
	case errors.As(err, &dns):
		return nameReason(dns)
	case errors.As(err, &unknown):
		return issuerReason(unknown.Cert), UnknownIssuer
	case errors.As(err, &hostname):
		return hostReason(hostname), WrongName
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return dateReason(invalid.Cert), Dated
	case errors.As(err, &op):
		return connectionReason(op)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE),
		strings.Contains(err.Error(), "server closed idle connection"):
		return "the connection was closed too early", Broken
	case errors.Is(err, syscall.ECONNRESET):
		return "the connection was reset", Broken
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it takes too long to answer", Silent
	case errors.Is(err, context.Canceled):
		return "it was cancelled", Other
	}
	return bare(err), Other
}

// bare returns the text of an error of no known kind, without the names of Go's packages.
func bare(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err // the URL may hold the signature of a storage service, which is a secret
	}
	text := err.Error()
	for {
		rest := text
		for _, prefix := range []string{
			"net/http: HTTP/1.x transport connection broken: ", "net/http: ", "http: ", "tls: ", "x509: ",
		} {
			rest = strings.TrimPrefix(rest, prefix)
		}
		if rest == text {
			return strings.TrimSuffix(text, ": EOF")
		}
		text = rest
	}
}

// nameReason explains an error of Go's resolver. It asks 127.0.0.1 and ::1 if resolv.conf(5) names no server.
func nameReason(e *net.DNSError) (string, Cause) {
	name, server := printable.Line(e.Name), e.Server
	if host, port, err := net.SplitHostPort(server); err == nil && port == "53" {
		server = host
	}
	server = printable.Line(server)
	switch {
	case e.IsNotFound && server == "":
		return fmt.Sprintf("the name %s is unknown", name), UnknownName
	case e.IsNotFound:
		return fmt.Sprintf("the name %s is unknown to DNS server %s", name, server), UnknownName
	case server == "":
		return fmt.Sprintf("no DNS server has answered in time, so the address of %s is not known", name), NoDNS
	case e.IsTimeout:
		return fmt.Sprintf("DNS server %s does not answer, so the address of %s is not known", server, name), NoDNS
	case server == "127.0.0.1" || server == "::1":
		return fmt.Sprintf("this machine knows no DNS server, so the address of %s is not known (nothing answers at %s)",
			name, server), NoDNS
	case strings.Contains(e.Err, "misbehaving"): // SERVFAIL, REFUSED, an answer to another question
		return fmt.Sprintf("DNS server %s fails to find out the address of %s", server, name), NoDNS
	case strings.Contains(e.Err, "refused"):
		return fmt.Sprintf("nothing answers DNS at %s, so the address of %s is not known", server, name), NoDNS
	case strings.Contains(e.Err, "unreachable"), strings.Contains(e.Err, "no route"):
		return fmt.Sprintf("DNS server %s cannot be reached, so the address of %s is not known", server, name), NoDNS
	}
	return fmt.Sprintf("DNS server %s gives no usable answer about %s", server, name), NoDNS
}

// connectionReason explains an error of a connection, or of the attempt to make one.
func connectionReason(op *net.OpError) (string, Cause) {
	peer := "it"
	if op.Addr != nil {
		peer = printable.Line(op.Addr.String())
	}
	switch {
	case op.Op == "proxyconnect":
		text, _ := reason(op.Err)
		return "the proxy cannot be reached: " + text, NoProxy
	case op.Op == "remote error": // a TLS alert (RFC 8446, section 6), whose type is not exported
		return fmt.Sprintf("it refuses the TLS connection (%s)", bare(op.Err)), TLSRefused
	case op.Op == "local error":
		return fmt.Sprintf("no TLS connection can be made (%s)", bare(op.Err)), TLSRefused
	case errors.Is(op, syscall.ECONNREFUSED):
		return peer + " refuses the connection", Refused
	case errors.Is(op, syscall.ENETUNREACH), errors.Is(op, syscall.EADDRNOTAVAIL), errors.Is(op, syscall.EINVAL):
		return "this machine has no route to " + peer, NoRoute
	case errors.Is(op, syscall.EHOSTUNREACH), errors.Is(op, syscall.ENETDOWN), errors.Is(op, syscall.EHOSTDOWN):
		return peer + " cannot be reached", NoRoute
	case errors.Is(op, syscall.EACCES), errors.Is(op, syscall.EPERM):
		return "a firewall forbids connections to " + peer, NoRoute
	case errors.Is(op, syscall.ECONNRESET) && op.Op == "dial":
		return peer + " resets the connection", Refused
	case errors.Is(op, syscall.ECONNRESET):
		return "the connection was reset", Broken
	case errors.Is(op, syscall.EPIPE), errors.Is(op, io.EOF), errors.Is(op, io.ErrUnexpectedEOF),
		errors.Is(op, net.ErrClosed):
		return "the connection was closed too early", Broken
	case op.Timeout():
		return peer + " does not answer", Silent
	}
	return bare(op.Err), Other
}

// issuerReason explains why a certificate from an unknown authority is not trusted.
func issuerReason(cert *x509.Certificate) string {
	const text = "no authority that this machine trusts has issued it"
	switch {
	case cert == nil:
		return text
	case bytes.Equal(cert.RawIssuer, cert.RawSubject):
		return text + ", it is self-signed"
	}
	return fmt.Sprintf("%s, but %q", text, printable.Clip(cert.Issuer.String(), 100))
}

// hostReason explains that a certificate is for other names.
func hostReason(e x509.HostnameError) string {
	var names []string
	if e.Certificate != nil {
		names = slices.Clone(e.Certificate.DNSNames)
		for _, ip := range e.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
	}
	const most = 4
	list := "no name"
	if n := len(names); n > 0 {
		for i, name := range names[:min(n, most)] {
			names[i] = printable.Clip(name, 60)
		}
		list = strings.Join(names[:min(n, most)], ", ")
		if n > most {
			list += fmt.Sprintf(" and %d more", n-most)
		}
	}
	return fmt.Sprintf("it is for %s, not for %s", list, printable.Line(e.Host))
}

// dateReason returns when a certificate is valid.
func dateReason(cert *x509.Certificate) string {
	if cert == nil {
		return "it is too old or too new"
	}
	date := func(t time.Time) string { return t.UTC().Format(time.DateTime) }
	return fmt.Sprintf("it is valid from %s to %s", date(cert.NotBefore), date(cert.NotAfter))
}
