package main

import "gitlab.com/wyrcan/wyrcan/pkg/image"

// advice is what a person can do about each cause. HOST stands for the host.
var advice = map[image.Cause]string{
	image.UnknownName: "check the name, and the name servers in /etc/resolv.conf",
	image.NoDNS:       "check the name servers in /etc/resolv.conf",
	image.NoProxy:     "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment",
	image.Refused:     "check whether the registry runs, and its port in the name",
	image.NoRoute:     "check this machine's network (ip route)",
	image.Silent:      "check whether the registry runs, and that no firewall is in between",
	image.TLSRefused:  "check what the registry says about it",
	image.Denied:      "log in with podman login, -authfile FILE or -creds USER",
	image.UnknownIssuer: "bring the certificate of its authority: -cert-dir DIR or " +
		"/etc/containers/certs.d/HOST/ca.crt",
	image.WantsCertificate: "bring client.cert and client.key: -cert-dir DIR or /etc/containers/certs.d/HOST",
	image.WrongName:        "name the registry as its certificate does",
	image.Dated:            "set this machine's clock, or renew the certificate",
	image.WrongCertificate: "check the certificate",
	image.ProxyDenied:      "write the login for HOST to the file of -authfile",
	image.ProxyIssuer:      "bring the certificate of its authority: /etc/ssl/certs",
}

// advise adds to an error of package image what a person can do about it.
func advise(err error) error {
	d := image.Diagnose(err)
	return d.Advise(err, advice[d.Cause], "-tls-verify=false allows it", page)
}
