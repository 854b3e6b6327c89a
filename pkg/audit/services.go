package audit

import (
	"path"
	"slices"
	"strings"
)

// The rules about what a system starts.

// managers are the units that bring a network up.
var managers = []string{
	"systemd-networkd.service", "NetworkManager.service", "networking.service", "network.service", "dhcpcd.service",
	"dhcpcd@", "dhclient@", "ifup@", "connman.service", "wicked.service", "wickedd.service", "netctl@", "netctl-auto@",
	"netctl-ifplugd@", "iwd.service", "cloud-init.service", "cloud-init-local.service", "cloud-init-main.service",
	"udhcpc.service", "udhcpc@", "systemd-networkd.socket", "nm-cloud-setup.service", "ifplugd.service",
}

func noNetwork(v *View) *Finding {
	if _, ok := v.argument("ip"); ok { // the kernel, or systemd-network-generator
		return nil
	}
	switch {
	case v.systemd():
		return v.noNetworkUnit()
	case v.exists("/etc/runlevels") && v.anyOf("/sbin/openrc", "/usr/sbin/openrc", "/usr/bin/openrc", "/sbin/openrc-run"):
		return v.noNetworkService()
	}
	return nil
}

func (v *View) noNetworkUnit() *Finding {
	var enabled, there bool
	for _, m := range managers {
		enabled = enabled || v.units.enabled(m)
		there = there || v.units.has(strings.TrimSuffix(m, "@")+strings.Repeat("@.service", strings.Count(m, "@")))
	}
	if enabled && (!v.only("systemd-networkd") || v.hasNetworkFile()) {
		return nil
	}
	if v.units.preset && there || v.units.own("dhc", "ip link", "ip addr", "ifconfig", "ifup", "network") ||
		v.exists("/etc/netplan") && v.anyOf("/usr/lib/systemd/system-generators/netplan",
			"/lib/systemd/system-generators/netplan") {
		return nil
	}
	const file = `RUN mkdir -p /etc/systemd/network \
 && printf '[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n' > /etc/systemd/network/80-ether.network`
	if enabled {
		return &Finding{NoNetwork, "systemd-networkd is enabled, and no .network file is for Ethernet links, so the " +
			"network stays down unless the machine is booted with wyr.net.keep=yes", file}
	}
	mend := "RUN systemctl enable systemd-networkd systemd-resolved\n" + file + "\n" + linkResolvConf
	switch {
	case v.family == rhel:
		mend = v.family.install("NetworkManager") + "\nRUN systemctl enable NetworkManager"
	case v.family == fedora:
		mend = v.family.install("systemd-networkd", "systemd-resolved") + "\n" + mend
	case v.family.apt():
		mend = v.family.install("systemd-resolved") + "\n" + mend
	case v.family == suse:
		mend = v.family.install("systemd-network", "systemd-resolved") + "\n" + mend
	}
	return &Finding{NoNetwork, "nothing in the image brings the network up: no unit that could is enabled", mend}
}

// only reports whether all managers that are enabled belong to one of them.
func (v *View) only(name string) bool {
	for _, m := range managers {
		if !strings.HasPrefix(m, name) && v.units.enabled(m) {
			return false
		}
	}
	return true
}

// hasNetworkFile reports whether systemd-networkd has a file that is not one of systemd's own, which are for
// containers, virtual machines, Wi-Fi and tunnels.
func (v *View) hasNetworkFile() bool {
	stock := []string{
		"80-container-", "80-vm-", "80-namespace-ns", "80-6rd-tunnel", "80-wifi-", "80-auto-link-local", "80-iwd",
	}
	for _, dir := range []string{
		"/etc/systemd/network", "/usr/local/lib/systemd/network", "/usr/lib/systemd/network", "/lib/systemd/network",
	} {
		for _, name := range v.names(dir) {
			if strings.HasSuffix(name, ".network") && !slices.ContainsFunc(stock, func(s string) bool {
				return strings.HasPrefix(name, s)
			}) {
				return true
			}
		}
	}
	return false
}

// noNetworkService is noNetwork for OpenRC.
func (v *View) noNetworkService() *Finding {
	known := []string{
		"networking", "net.", "network", "NetworkManager", "dhcpcd", "connman", "wpa_supplicant", "iwd", "ifupdown", "local",
		"cloud-init", "tiny-cloud", "udhcpc",
	}
	for _, level := range v.names("/etc/runlevels") {
		for _, service := range v.names("/etc/runlevels/" + level) {
			if service != "net.lo" && slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(service, k) }) {
				return nil
			}
		}
	}
	return &Finding{NoNetwork, "nothing in the image brings the network up: no service that could is in a runlevel",
		`RUN printf 'auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n' > /etc/network/interfaces \
 && rc-update add networking boot`}
}

// noUdev looks for a system whose kernel has modules and that has nothing to load them for its hardware.
func noUdev(v *View) *Finding {
	if !v.systemd() || v.Version == "" || v.anyOf("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd",
		"/sbin/udevd", "/usr/sbin/udevd", "/usr/bin/udevd", "/usr/lib/udev/udevd", "/lib/udev/udevd") {
		return nil
	}
	if len(v.names("/lib/modules/"+v.Version)) == 0 { // another finding
		return nil
	}
	name := "udev"
	if v.family.dnf() {
		name = "systemd-udev"
	}
	return &Finding{NoUdev, "there is no udev, so no driver is loaded: no network card and no disk will work",
		v.family.install(name)}
}

// masked looks for the masks that bases of containers have, such as Fedora's and CentOS's: what is useless in a
// container and missing on a machine.
func masked(v *View) *Finding {
	if !v.systemd() {
		return nil
	}
	effects := []struct{ unit, effect string }{
		{"systemd-udevd.service", "no driver is loaded"},
		{"systemd-udev-trigger.service", "no driver is loaded for the hardware that is there at boot"},
		{"getty.target", "no console has a login prompt"},
		{"systemd-logind.service", "logins have no session"},
		{"systemd-tmpfiles-setup.service", "directories in /run are missing"},
	}
	traces := []string{
		"systemd-remount-fs.service", "dev-hugepages.mount", "sys-fs-fuse-connections.mount", "console-getty.service",
		"systemd-random-seed.service", "systemd-machine-id-commit.service",
	}
	inContainers := slices.ContainsFunc(traces, v.units.masked)
	var units, effect []string
	for _, e := range effects {
		if v.units.masked(e.unit) && (inContainers || strings.HasPrefix(e.unit, "systemd-udev")) {
			units, effect = append(units, e.unit), append(effect, e.effect)
		}
	}
	if len(units) == 0 {
		return nil
	}
	return &Finding{Masked, "the image, or the base that it was built on, masks " + strings.Join(units, ", ") +
		", as containers do: " + strings.Join(effect, ", "), "RUN systemctl unmask " + strings.Join(units, " ")}
}

// noGetty looks for a login prompt that cannot start, because its program is missing.
func noGetty(v *View) *Finding {
	if !v.systemd() || v.units.masked("getty.target") || !v.units.enabled("getty@") {
		return nil
	}
	unit := v.text("/etc/systemd/system/getty@.service") + v.text("/usr/lib/systemd/system/getty@.service") +
		v.text("/lib/systemd/system/getty@.service")
	if !strings.Contains(unit, "/agetty") {
		return nil
	}
	for _, program := range []string{"agetty", "login"} {
		if v.anyOf("/sbin/"+program, "/usr/sbin/"+program, "/bin/"+program, "/usr/bin/"+program) {
			continue
		}
		name := "util-linux"
		if program == "login" && v.family.apt() {
			name = "login"
		}
		return &Finding{NoGetty, "the consoles' login prompt does not start: " + program + " is not in the image",
			v.family.install(name)}
	}
	return nil
}

func dockerEnv(v *View) *Finding {
	const file = "/.dockerenv"
	if value, ok := v.argument("container"); ok && value == "" || !v.systemd() || v.missing(file) {
		return nil
	}
	// detect_container in src/basic/virt.c of systemd
	return &Finding{DockerEnv, "the image has /.dockerenv, so systemd believes that it runs in Docker: it loads no " +
		"drivers and leaves the hardware alone",
		"# docker commit and docker export leave the file; a build does not. In a build with buildah or podman:\n" +
			"RUN rm -f /.dockerenv\n" +
			"# Docker has the file there in each RUN; tell systemd that it is in no container:\n" +
			"RUN echo container= >> /boot/wyrcan.cmdline"}
}

func fstab(v *View) *Finding {
	if !v.systemd() || v.units.masked("systemd-remount-fs.service") {
		return nil
	}
	source := rootSource(v.text("/etc/fstab"))
	if source == "" {
		return nil
	}
	return &Finding{Fstab, "/etc/fstab says that / is on " + source + ": the root is in memory, so systemd-remount-fs " +
		"fails",
		"RUN sed -i '/^[^#[:space:]]\\+[[:space:]]\\+\\/[[:space:]]/d' /etc/fstab"}
}

// rootSource returns the device that an fstab(5) has for /, "" if there is none.
func rootSource(text string) string {
	for _, words := range fields(text) {
		if len(words) < 3 || path.Clean(words[1]) != "/" {
			continue
		}
		for _, prefix := range []string{"UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/"} {
			if strings.HasPrefix(words[0], prefix) {
				return words[0]
			}
		}
	}
	return ""
}
