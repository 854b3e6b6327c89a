package audit

import (
	"fmt"
	"path"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// The rules about what each machine must have of its own.

// glob returns the regular files in a directory that are not empty and whose names match one of the patterns.
func (v *View) glob(dir string, patterns ...string) []*rootfs.Node {
	var all []*rootfs.Node
	for _, name := range v.names(dir) {
		for _, pattern := range patterns {
			if ok, err := path.Match(pattern, name); !ok || err != nil {
				continue
			}
			if n, err := v.Tree.Lstat(dir + "/" + name); err == nil && n.Regular() && n.Size > 0 {
				all = append(all, n)
			}
			break
		}
	}
	return all
}

// list names some files, and the number of the others.
func list(nodes []*rootfs.Node) string {
	var names []string
	for _, n := range nodes {
		names = append(names, "/"+n.Path)
	}
	return some(names)
}

// some names the first of a list, and the number of the others.
func some(names []string) string {
	const most, longest = 3, 160
	var first []string
	for _, name := range names[:min(most, len(names))] {
		if len(name) > longest {
			name = rootfs.Quote(name)
		}
		first = append(first, name)
	}
	text := strings.Join(first, ", ")
	if n := len(names) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

func (v *View) keys() []*rootfs.Node {
	return append(v.glob("/etc/ssh", "ssh_host_*_key"), v.glob("/etc/dropbear", "dropbear_*_host_key")...)
}

func hostKeys(v *View) *Finding {
	keys := v.keys()
	if len(keys) == 0 {
		return nil
	}
	return &Finding{HostKeys, "the image has SSH host keys (" + list(keys) + "): all machines share them, and whoever " +
		"can pull the image can pretend to be one", "# In the RUN that installs the SSH server, at its end:\n" +
		"RUN rm -f /etc/ssh/ssh_host_* /etc/dropbear/dropbear_*_host_key" + v.makeKeys("\n")}
}

// makeKeys returns the lines that have a machine make its keys at boot, after a separator; nothing where a unit
// does so already.
func (v *View) makeKeys(separator string) string {
	if !v.family.apt() || v.units.says("ssh.service", "ssh-keygen") {
		return ""
	}
	return separator + `RUN mkdir -p /etc/systemd/system/ssh.service.d \
 && printf '[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n' \
      > /etc/systemd/system/ssh.service.d/host-keys.conf`
}

// noHostKeys looks for Debian's SSH server without keys and without anything that makes them: its package makes keys
// when it is installed, and its unit does not. The units of the other distributions do.
func noHostKeys(v *View) *Finding {
	const unit = "ssh.service"
	if !v.systemd() || !v.family.apt() || len(v.keys()) > 0 || !v.units.enabled(unit) ||
		v.units.says(unit, "ssh-keygen") || v.units.own("keygen") || v.anyOf("/usr/bin/cloud-init") || v.hasHostKeyOption() {
		return nil
	}
	for name := range v.units.wanted {
		// Debian 13 has one for the first boot only, which a boot with an empty /etc/machine-id is not: machine-id(5).
		if (strings.Contains(name, "keygen") || strings.Contains(name, "host-key") || strings.Contains(name, "hostkey")) &&
			(v.units.preset || !v.units.says(name, "ConditionFirstBoot=yes")) {
			return nil
		}
	}
	return &Finding{NoHostKeys, "the SSH server has no host keys and nothing makes them at boot, so it will not start: " +
		"ssh.service of this distribution relies on the keys of the package's installation", v.makeKeys("")}
}

// hasHostKeyOption reports whether sshd is told to take its keys from elsewhere.
func (v *View) hasHostKeyOption() bool {
	texts := []string{v.text("/etc/ssh/sshd_config")}
	for _, name := range v.names("/etc/ssh/sshd_config.d") {
		texts = append(texts, v.text("/etc/ssh/sshd_config.d/"+name))
	}
	for _, text := range texts {
		for _, words := range fields(text) {
			if strings.EqualFold(words[0], "HostKey") {
				return true
			}
		}
	}
	return false
}

func randomSeed(v *View) *Finding {
	seeds := v.glob("/var/lib/systemd", "random-seed")
	seeds = append(seeds, v.glob("/var/lib/urandom", "random-seed")...)
	seeds = append(seeds, v.glob("/var/lib/seedrng", "seed.*")...)
	seeds = append(seeds, v.glob("/var/lib/misc", "random-seed")...)
	seeds = append(seeds, v.glob("/boot/loader", "random-seed")...)
	if len(seeds) == 0 {
		return nil
	}
	return &Finding{RandomSeed, "the image has a random seed (" + list(seeds) + "), which is the same for all " +
		"machines at every boot, and known to whoever can pull the image",
		"# In the last RUN:\nRUN rm -f /var/lib/systemd/random-seed /var/lib/urandom/random-seed /var/lib/seedrng/seed.* " +
			"\\\n      /var/lib/misc/random-seed /boot/loader/random-seed"}
}
