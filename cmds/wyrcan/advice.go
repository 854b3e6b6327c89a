package main

import (
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// advice is what a person can do about each cause.
var advice = map[image.Cause]string{
	image.UnknownName: "check the name, and the name servers in /etc/resolv.conf",
	image.NoDNS:       "check the name servers in /etc/resolv.conf",
	image.NoProxy:     "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment",
	image.Refused:     "check whether the registry runs, and its port in the name",
	image.NoRoute:     "check this machine's network (ip route)",
	image.Silent:      "check whether the registry runs, and that no firewall is in between",
	image.TLSRefused:  "check what the registry says about it",
	image.WrongName:   "name the registry as its certificate does",
	image.Dated:       "set this machine's clock, or renew the certificate",
}

// advise adds to an error of package image what a person can do about it.
func advise(err error) error {
	need, host := image.Needs(err)
	certs := "/etc/containers/certs.d/" + host
	bring := map[image.Need]string{
		image.NeedLogin:             "log in with podman login, -authfile FILE or -creds USER",
		image.NeedAuthority:         "bring the certificate of its authority: -cert-dir DIR or " + certs + "/ca.crt",
		image.NeedClientCertificate: "bring client.cert and client.key: -cert-dir DIR or " + certs,
		image.NeedCertificate:       "check the certificate",
	}[need]
	switch do := advice[image.CauseOf(err)]; {
	case do != "" && (need == image.NeedNothing || need == image.NeedCertificate):
		err = fmt.Errorf("%w; %s", err, do)
	case bring != "":
		err = fmt.Errorf("%w; %s, see %s", err, bring, page)
	}
	switch {
	case image.InsecureHost(err) != "" && need != image.NeedNothing:
		err = fmt.Errorf("%w; -tls-verify=false allows it", err)
	case image.InsecureHost(err) != "":
		err = fmt.Errorf("%w; -tls-verify=false allows it, see %s", err, page)
	}
	return err
}
