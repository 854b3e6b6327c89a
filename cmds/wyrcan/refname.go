package main

import (
	"net"
	"net/netip"
	"strings"
)

// fromGuest returns the name by which the guest finds the image that this machine calls ref: on the guest, loopback
// would be the guest itself.
func fromGuest(ref string) string { return replaceHost(ref, loopback, host) }

// toHost returns the name by which this machine finds the image that the guest calls ref.
func toHost(ref string) string {
	return replaceHost(ref, func(name string) bool { return name == host }, "127.0.0.1")
}

// replaceHost returns an image's name without docker://. If is reports true for its host, the host is replaced by to.
func replaceHost(ref string, is func(host string) bool, to string) string {
	ref = strings.TrimPrefix(ref, "docker://")
	name, port, ok := registryOf(ref)
	if !ok || !is(name) {
		return ref
	}
	_, rest, _ := strings.Cut(ref, "/")
	if port != "" {
		to += ":" + port
	}
	return to + "/" + rest
}

// registryOf returns the host and the port of the registry that an image's name begins with. ok is false if the name
// has no registry. By docker's rule the first part is a registry if it contains a dot or a colon, or is localhost.
func registryOf(ref string) (name, port string, ok bool) {
	registry, _, ok := strings.Cut(strings.TrimPrefix(ref, "docker://"), "/")
	if !ok || !strings.ContainsAny(registry, ".:") && !strings.EqualFold(registry, "localhost") {
		return "", "", false
	}
	if h, p, err := net.SplitHostPort(registry); err == nil {
		return h, p, true
	}
	return strings.Trim(registry, "[]"), "", true
}

// loopback reports whether a host name or address always means the local machine.
func loopback(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, 6.3
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && (a.Unmap().IsLoopback() || a.IsUnspecified())
}
