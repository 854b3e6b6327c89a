package main

import (
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/certificates"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// mirrors names the registry that an error about a mirror is about.
const mirrors = "wyr.mirror or registries.conf"

// advice is what a person can do about each cause. HOST stands for the host, NAMED for what names the registry.
var advice = map[image.Cause]string{
	image.UnknownName: "check NAMED, or name another DNS server: wyr.net.FILE.Network.DNS=ADDRESS",
	image.NoDNS:       "name a DNS server that answers: wyr.net.FILE.Network.DNS=ADDRESS",
	image.NoProxy:     "check wyr.proxy and wyr.noproxy",
	image.Refused:     "check whether the registry runs, and its port in NAMED",
	image.NoRoute:     "check the network's router, or name one: wyr.net.FILE.Network.Gateway=ADDRESS",
	image.Silent:      "check whether the registry runs, and that no firewall is in between",
	image.TLSRefused:  "check what the registry says about it",
	image.Denied:      "bring a login: " + credentials.File + " or the credential " + credentials.Name,
	image.UnknownIssuer: "bring the certificate of its authority: /etc/containers/certs.d/HOST/ca.crt or the credential " +
		certificates.Name,
	image.WantsCertificate: "bring /etc/containers/certs.d/HOST/client.cert and client.key",
	image.WrongName:        "name the registry in NAMED as its certificate does",
	image.Dated:            "set this machine's clock (wyr.ntp=SERVER), or renew the certificate",
	image.WrongCertificate: "check the certificate",
	image.ProxyDenied:      "bring a login for HOST: " + credentials.File + " or the credential " + credentials.Name,
	image.ProxyIssuer: "bring the certificate of its authority: /etc/ssl/certs/ca.pem or the credential " +
		certificates.Name,
}

// advise adds to an error of package image what a person can do about it.
func (c *cmd) advise(err error) error { return c.adviseAbout(origin(err), err) }

// adviseAbout is advise for a registry that is named by what named says.
func (c *cmd) adviseAbout(named string, err error) error {
	d := image.Diagnose(err)
	do := strings.ReplaceAll(advice[d.Cause], "NAMED", named)
	if d.Cause == image.Denied || d.Cause == image.ProxyDenied {
		if from := c.loginFor(d.Host); from != "" {
			do = "check the login from " + from
		}
	}
	return d.Advise(err, do, "wyr.insecure=HOST allows it", page)
}
