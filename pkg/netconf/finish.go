package netconf

// finish works out the defaults that depend on other keys.
func (n *NetworkConfig) finish() {
	member := n.Bond != "" || n.Bridge != ""
	n.LinkLocal6 = !member
	if n.linkLocal6 != nil {
		n.LinkLocal6 = *n.linkLocal6
	}
	if n.linkLocal4 {
		n.LinkLocal4 = LinkLocal4On
		if n.DHCP4 { // systemd.network(5): an address only if there is no lease
			n.LinkLocal4 = LinkLocal4Fallback
		}
	}
	n.AcceptRA = !n.forward6 && !member
	if n.acceptRA != nil {
		n.AcceptRA = *n.acceptRA
	}
	n.AcceptRA = n.AcceptRA && n.LinkLocal6
	n.finishDHCP()
}

// finishDHCP works out the settings that several sections may give. The protocol's own section comes first, then
// [DHCP], then [Network].
func (n *NetworkConfig) finishDHCP() {
	n.DHCPv4.UseDNS = firstSet(true, n.DHCPv4.useDNS, n.old.useDNS)
	n.DHCPv6.UseDNS = firstSet(true, n.DHCPv6.useDNS, n.old.useDNS)
	n.DHCPv4.UseNTP = firstSet(true, n.DHCPv4.useNTP, n.old.useNTP)
	n.DHCPv6.UseNTP = firstSet(true, n.DHCPv6.useNTP, n.old.useNTP)
	n.DHCPv4.UseDomains = firstSet(false, n.DHCPv4.useDomains, n.old.useDomains, n.useDomains)
	n.DHCPv6.UseDomains = firstSet(false, n.DHCPv6.useDomains, n.old.useDomains, n.useDomains)
	n.RA.UseDomains = firstSet(false, n.RA.useDomains, n.useDomains)
	n.DHCPv4.SendHostname = firstSet(true, n.DHCPv4.sendHostname, n.old.sendHostname)
	n.DHCPv6.SendHostname = firstSet(true, n.DHCPv6.sendHostname, n.old.sendHostname)
	n.DHCPv4.RouteMetric = firstSet(1024, n.DHCPv4.routeMetric, n.old.routeMetric)
	n.RA.Metrics = firstSet([3]uint32{512, 1024, 2048}, n.RA.metrics, sameMetrics(n.old.routeMetric))
	n.DHCPv4.UseGateway = firstSet(n.DHCPv4.UseRoutes, n.DHCPv4.useGateway)
	if n.DHCPv6.DUID.Number == 0 && n.DHCPv6.DUID.Raw == nil {
		n.DHCPv6.DUID = n.DHCPv4.DUID
	}
	if !n.DHCPv6.hasVendorClass {
		n.DHCPv6.VendorClass = []string{VendorClass}
	}
	if n.DHCPv4.Anonymize { // RFC 7844; systemd.network(5) lists what it overrides
		n.DHCPv4.ClientIdentifier, n.DHCPv4.SendHostname = "mac", false
		n.DHCPv4.VendorClass, n.DHCPv4.UserClass = "", nil
	}
}

// firstSet returns the first value that is set, or the default.
func firstSet[T any](byDefault T, values ...*T) T {
	for _, v := range values {
		if v != nil {
			return *v
		}
	}
	return byDefault
}

// sameMetrics returns the metric for all three router preferences.
func sameMetrics(n *uint32) *[3]uint32 {
	if n == nil {
		return nil
	}
	return &[3]uint32{*n, *n, *n}
}
