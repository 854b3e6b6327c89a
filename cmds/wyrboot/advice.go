package main

import (
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/certificates"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// advice is what a person can do about each cause.
var advice = map[image.Cause]string{
	image.UnknownName: "check wyr.img, or name another DNS server: wyr.net.FILE.Network.DNS=ADDRESS",
	image.NoDNS:       "name a DNS server that answers: wyr.net.FILE.Network.DNS=ADDRESS",
	image.NoProxy:     "check wyr.proxy and wyr.noproxy",
	image.Refused:     "check whether the registry runs, and its port in wyr.img",
	image.NoRoute:     "check the network's router, or name one: wyr.net.FILE.Network.Gateway=ADDRESS",
	image.Silent:      "check whether the registry runs, and that no firewall is in between",
	image.TLSRefused:  "check what the registry says about it",
	image.WrongName:   "name the registry in wyr.img as its certificate does",
	image.Dated:       "set this machine's clock (wyr.ntp=SERVER), or renew the certificate",
}

// advise adds to an error of package image what a person can do about it.
func (c *cmd) advise(err error) error {
	need, host := image.Needs(err)
	switch do, bring := advice[image.CauseOf(err)], c.bring(need, host); {
	case do != "" && (need == image.NeedNothing || need == image.NeedCertificate):
		err = fmt.Errorf("%w; %s", err, do)
	case bring != "":
		err = fmt.Errorf("%w; %s, see %s", err, bring, page)
	}
	switch host := image.InsecureHost(err); {
	case host != "" && need != image.NeedNothing:
		err = fmt.Errorf("%w; wyr.insecure=%s allows it", err, host)
	case host != "":
		err = fmt.Errorf("%w; wyr.insecure=%s allows it, see %s", err, host, page)
	}
	return err
}

// bring returns what a person has to bring to the boot environment, or to correct there.
func (c *cmd) bring(need image.Need, host string) string {
	certs := "/etc/containers/certs.d/" + host
	switch need {
	case image.NeedLogin:
		if from := c.loginFor(host); from != "" {
			return "check the login from " + from
		}
		return "bring a login: " + credentials.File + " or the credential " + credentials.Name
	case image.NeedAuthority:
		return fmt.Sprintf("bring the certificate of its authority: %s/ca.crt or the credential %s", certs, certificates.Name)
	case image.NeedClientCertificate:
		return fmt.Sprintf("bring %s/client.cert and client.key", certs)
	case image.NeedCertificate:
		return "check the certificate"
	}
	return ""
}
