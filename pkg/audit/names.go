package audit

import (
	"path"
	"slices"
	"strings"
)

// The rules about the names of machines.

// stubs are what /etc/resolv.conf leads to where systemd-resolved answers: systemd-resolved.service(8),
// "/etc/resolv.conf".
var stubs = []string{
	"/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf", "/usr/lib/systemd/resolv.conf",
	"/lib/systemd/resolv.conf",
}

const resolvConfPath = "/etc/resolv.conf"

func resolvConf(v *View) *Finding {
	if !v.systemd() || v.made(resolvConfPath) || v.hasWriter() {
		return nil
	}
	resolved := v.units.enabled("systemd-resolved.service")
	to, link := v.target(resolvConfPath)
	if link && strings.HasPrefix(to, "/var/run/") {
		to = strings.TrimPrefix(to, "/var")
	}
	servers := nameServers(v.text(resolvConfPath))
	switch {
	case resolved && (link && slices.Contains(stubs, to) || isStub(servers)):
		return nil
	case resolved && len(servers) > 0:
		return &Finding{ResolvConf, "/etc/resolv.conf is a file with the name servers of the machine that built the image (" +
			strings.Join(servers[:min(len(servers), 3)], ", ") + "), and all machines would ask these: systemd-resolved takes " +
			"them for the system's own", linkResolvConf}
	case resolved:
		return &Finding{ResolvConf, "/etc/resolv.conf " + v.state(resolvConfPath) + ", and nothing makes it the link to " +
			"systemd-resolved's: programs that read it find no name server", linkResolvConf}
	case len(servers) > 0, v.units.preset && v.units.has("systemd-resolved.service"),
		!v.units.enabled("systemd-networkd.service"), v.units.own("resolv"):
		return nil
	}
	mend := "RUN systemctl enable systemd-resolved\n" + linkResolvConf
	if p := v.family.resolved(); p != "" && !v.units.has("systemd-resolved.service") {
		mend = v.family.install(p) + "\n" + mend
	}
	return &Finding{ResolvConf, "/etc/resolv.conf " + v.state(resolvConfPath) + ", and nothing makes it: " +
		"systemd-networkd leaves that to systemd-resolved, which is not enabled, so no name will be found", mend}
}

// linkResolvConf mends it for systemd-resolved. Builders mount their own file there, so no RUN can replace it.
const linkResolvConf = "RUN echo 'L+ /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf' \\\n" +
	"      > /usr/lib/tmpfiles.d/00-resolv-conf.conf"

// resolved returns the package with systemd-resolved, "" if it is in the package systemd.
func (f family) resolved() string {
	if f == arch || f == unknown {
		return ""
	}
	return "systemd-resolved"
}

// state says what is wrong with a file that names nothing.
func (v *View) state(file string) string {
	_, link := v.target(file)
	switch {
	case v.missing(file):
		return "is missing"
	case link && !v.exists(file):
		return "is a link that leads nowhere"
	case len(fields(v.text(file))) > 0:
		return "has no name server"
	}
	return "is empty"
}

// hasWriter reports whether something besides systemd brings the network up. All of that writes /etc/resolv.conf, and
// NetworkManager does so next to systemd-resolved too, unless that is a link to the latter's.
func (v *View) hasWriter() bool {
	for _, m := range managers {
		if !strings.HasPrefix(m, "systemd-networkd") && v.units.enabled(m) {
			return true
		}
	}
	for _, program := range []string{"/usr/sbin/resolvconf", "/sbin/resolvconf", "/usr/bin/resolvconf"} {
		if n, err := v.Tree.Lookup(program); err == nil && path.Base(n.Path) != "resolvectl" {
			return true
		}
	}
	return false
}

// nameServers returns the servers in a resolv.conf(5).
func nameServers(text string) []string {
	var all []string
	for _, words := range fields(text) {
		if words[0] == "nameserver" && len(words) > 1 {
			all = append(all, words[1])
		}
	}
	return all
}

// isStub reports whether all servers are systemd-resolved on this machine.
func isStub(servers []string) bool {
	return len(servers) > 0 && !slices.ContainsFunc(servers, func(s string) bool {
		return s != "127.0.0.53" && s != "127.0.0.54"
	})
}

func hosts(v *View) *Finding {
	const file = "/etc/hosts"
	if hostsHas(v.text(file), "localhost") || v.made(file) || v.missing(file) && !v.distribution {
		return nil
	}
	how, why := "has no localhost", ""
	if len(fields(v.text(file))) == 0 {
		how, why = v.state(file), ": builders mount their own file while they run commands, and leave an empty one"
	}
	return &Finding{Hosts, "/etc/hosts " + how + ", so programs that read it themselves do not find localhost" + why,
		v.makeHosts()}
}

// makeHosts returns the lines that give a machine a hosts file. No RUN can write it, because builders mount their own.
func (v *View) makeHosts() string {
	if v.systemd() {
		// dash's echo would make two lines of it; systemd-tmpfiles is to do that.
		return `RUN printf '%s\n' 'f+ /etc/hosts - - - - 127.0.0.1 localhost\n::1 localhost' \
      > /usr/lib/tmpfiles.d/00-hosts.conf`
	}
	return "# In a file hosts beside the Containerfile: 127.0.0.1 localhost\n# After the last RUN:\nCOPY hosts /etc/hosts"
}

// hostsHas reports whether a hosts(5) has a name.
func hostsHas(text, name string) bool {
	return slices.ContainsFunc(fields(text), func(words []string) bool { return slices.Contains(words[1:], name) })
}
