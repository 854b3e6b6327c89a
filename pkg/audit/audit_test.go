package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

const version = "6.1.0-40-amd64"

// good is a Debian with nothing wrong: systemd, networkd, resolved and a login prompt.
func good() []imagetest.Entry {
	const system = "usr/lib/systemd/system/"
	wants := func(target, unit string) imagetest.Entry {
		return imagetest.Symlink("etc/systemd/system/"+target+".wants/"+unit, "/usr/lib/systemd/system/"+unit)
	}
	return []imagetest.Entry{
		imagetest.Symlink("lib", "usr/lib"), imagetest.Symlink("sbin", "usr/sbin"), imagetest.Symlink("bin", "usr/bin"),
		imagetest.File("usr/lib/os-release", "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\n"),
		imagetest.Symlink("etc/os-release", "../usr/lib/os-release"),
		imagetest.File("boot/vmlinuz-"+version, "kernel"),
		imagetest.File("usr/lib/modules/"+version+"/kernel/x.ko", "module"),
		imagetest.File("usr/lib/systemd/systemd", "init").Mode(0o755),
		imagetest.File("usr/lib/systemd/systemd-udevd", "udev").Mode(0o755),
		imagetest.File("usr/sbin/agetty", "getty").Mode(0o755), imagetest.File("usr/bin/login", "login").Mode(0o755),
		imagetest.File(system+"getty@.service", "[Service]\nExecStart=-/sbin/agetty - $TERM\n"),
		imagetest.Symlink("etc/systemd/system/getty.target.wants/getty@tty1.service", "/lib/systemd/system/getty@.service"),
		imagetest.File(system+"systemd-networkd.service", "[Service]\n"),
		wants("multi-user.target", "systemd-networkd.service"),
		imagetest.File(system+"systemd-resolved.service", "[Service]\n"),
		wants("sysinit.target", "systemd-resolved.service"),
		imagetest.File("etc/systemd/network/80-ether.network", "[Match]\nType=ether\n"),
		imagetest.Symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
		imagetest.File("etc/hosts", "# names\n127.0.0.1 localhost\n"),
		imagetest.File("etc/machine-id", ""),
		imagetest.File("etc/fstab", "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n"),
	}
}

// without leaves paths out.
func without(entries []imagetest.Entry, paths ...string) []imagetest.Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e imagetest.Entry) bool {
		return slices.Contains(paths, e.Header.Name)
	})
}

// as is good in another distribution.
func as(osRelease string) []imagetest.Entry {
	return append(without(good(), "usr/lib/os-release"), imagetest.File("usr/lib/os-release", osRelease))
}

// look prepares the image of some entries, which may replace earlier ones.
func look(t testing.TB, cmdline string, entries ...imagetest.Entry) *View {
	t.Helper()
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{imagetest.Files(entries...).Blob(t)}, rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	v, err := Look(t.Context(), Image{
		Tree: tree, Kernel: "boot/vmlinuz-" + version, Version: version, Init: "usr/lib/systemd/systemd", Cmdline: cmdline,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func findings(t testing.TB, v *View) []Finding {
	t.Helper()
	all, err := v.Findings()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func ids(all []Finding) []string {
	list := []string{}
	for _, f := range all {
		list = append(list, f.ID)
	}
	return list
}

// change is something that is done to a good image, and the kinds of findings that it has then.
type change struct {
	without []string
	with    []imagetest.Entry
	cmdline string
	want    []string
	says    string // in the finding
}

func file(name, content string) []imagetest.Entry {
	return []imagetest.Entry{imagetest.File(name, content)}
}

func link(name, target string) []imagetest.Entry {
	return []imagetest.Entry{imagetest.Symlink(name, target)}
}

func one(id string) []string { return []string{id} }

func masks(units ...string) (all []imagetest.Entry) {
	for _, u := range units {
		all = append(all, link("etc/systemd/system/"+u, "/dev/null")...)
	}
	return all
}

const (
	resolv   = "etc/resolv.conf"
	resolved = "etc/systemd/system/sysinit.target.wants/systemd-resolved.service"
	networkd = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
	ether    = "etc/systemd/network/80-ether.network"
)

// enabled is a unit that a system starts.
func enabled(unit, text string) []imagetest.Entry {
	return append(file("usr/lib/systemd/system/"+unit, text),
		link("etc/systemd/system/multi-user.target.wants/"+unit, "/usr/lib/systemd/system/"+unit)...)
}

func aboutNames() map[string]change {
	foreign := []string{resolv}
	return map[string]change{
		"nothing": {},
		"resolv.conf of the build": {
			without: foreign, with: file(resolv, "nameserver 192.0.2.1\n"), want: one(ResolvConf), says: "192.0.2.1",
		},
		"the same through a link": {
			without: foreign,
			with:    append(link(resolv, "resolv.conf.build"), file("etc/resolv.conf.build", "nameserver 192.0.2.1")...),
			want:    one(ResolvConf), says: "192.0.2.1",
		},
		"it is empty": {without: foreign, with: file(resolv, ""), want: one(ResolvConf), says: "is empty"},
		"it has comments": {
			without: foreign, with: file(resolv, "# by a builder\n"), want: one(ResolvConf), says: "is empty",
		},
		"it is missing": {without: foreign, want: one(ResolvConf), says: "is missing"},
		"a link to nowhere": {
			without: foreign,
			with:    link(resolv, "/run/gone"),
			want:    one(ResolvConf),
			says:    "leads nowhere",
		},
		"a link in a circle": {
			without: foreign,
			with:    link(resolv, "resolv.conf"),
			want:    one(ResolvConf),
			says:    "leads nowhere",
		},
		"an absolute link":    {without: foreign, with: link(resolv, "/run/systemd/resolve/resolv.conf")},
		"a link by /var/run":  {without: foreign, with: link(resolv, "/var/run/systemd/resolve/stub-resolv.conf")},
		"the static stub":     {without: foreign, with: link(resolv, "../usr/lib/systemd/resolv.conf")},
		"a file for the stub": {without: foreign, with: file(resolv, "nameserver 127.0.0.53\noptions edns0\n")},
		"tmpfiles replaces it": {
			without: foreign, with: append(file(resolv, "nameserver 192.0.2.1\n"),
				file("usr/lib/tmpfiles.d/00-x.conf", "L+ /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf\n")...),
		},
		"tmpfiles does not replace it": {
			without: foreign, with: append(file(resolv, "nameserver 192.0.2.1\n"),
				file("usr/lib/tmpfiles.d/x.conf", "L! /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf\n")...),
			want: one(ResolvConf),
		},
		"tmpfiles replaces it in a line too late": {
			without: foreign, with: append(append(file(resolv, "nameserver 192.0.2.1\n"),
				file("usr/lib/tmpfiles.d/a.conf", "L! /etc/resolv.conf - - - - ../run/x\n")...),
				file("etc/tmpfiles.d/b.conf", "L+ /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf\n")...),
			want: one(ResolvConf),
		},
		"tmpfiles makes it": {
			without: foreign,
			with:    file("usr/lib/tmpfiles.d/x.conf", "L! /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf\n"),
		},
		"a masked file of tmpfiles": {
			without: foreign, with: append(link("etc/tmpfiles.d/x.conf", "/dev/null"),
				file("usr/lib/tmpfiles.d/x.conf", "L+ /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf\n")...),
			want: one(ResolvConf),
		},
		"resolved is masked, and a server is named": {
			without: foreign, with: append(masks("systemd-resolved.service"), file(resolv, "nameserver 192.0.2.1\n")...),
		},
		"only networkd, no server": {
			without: []string{resolv, resolved}, with: file(resolv, ""), want: one(ResolvConf), says: "is not enabled",
		},
		"only networkd, a link to nowhere": {
			without: []string{resolved}, want: one(ResolvConf), says: "is not enabled",
		},
		"networkd and a unit that writes it": {
			without: []string{resolv, resolved},
			with:    enabled("names.service", "x"),
			want:    one(ResolvConf),
		},
		"networkd and a unit of the image's maker": {
			without: []string{resolv, resolved},
			with: file("etc/systemd/system/names.service", "ExecStart=/bin/sh -c 'echo nameserver 192.0.2.1 > "+
				"/etc/resolv.conf'"),
		},
		"NetworkManager writes it": {
			without: []string{resolv, resolved, networkd}, with: enabled("NetworkManager.service", ""),
		},
		"NetworkManager rewrites it": {
			without: foreign, with: append(enabled("NetworkManager.service", ""), file(resolv, "nameserver 192.0.2.1\n")...),
		},
		"resolvconf writes it": {without: foreign, with: file("sbin/resolvconf", "openresolv")},
		"resolvectl does not": {
			without: foreign, want: one(ResolvConf),
			with: append(file("usr/bin/resolvectl", "x"), link("usr/sbin/resolvconf", "../bin/resolvectl")...),
		},
		"units by presets": {
			without: []string{resolv, resolved, "etc/machine-id"},
		},
		"no hosts":    {without: []string{"etc/hosts"}, want: one(Hosts), says: "is missing"},
		"empty hosts": {without: []string{"etc/hosts"}, with: file("etc/hosts", ""), want: one(Hosts), says: "is empty"},
		"hosts without it": {
			without: []string{"etc/hosts"},
			with:    file("etc/hosts", "192.0.2.1 a # localhost\n"),
			want:    one(Hosts),
			says:    "no localhost",
		},
		"tmpfiles makes hosts": {
			without: []string{"etc/hosts"}, with: file("etc/tmpfiles.d/hosts.conf", "C /etc/hosts - - - - /usr/share/hosts\n"),
		},
		"no distribution": {without: []string{"etc/hosts", "etc/os-release", "usr/lib/os-release"}},
	}
}

func aboutIdentity() map[string]change {
	const key = "etc/ssh/ssh_host_ed25519_key"
	ssh := enabled("ssh.service", "ExecStartPre=/usr/sbin/sshd -t\n")
	return map[string]change{
		"host keys": {
			with: append(file(key, "secret"), file(key+".pub", "public")...),
			want: one(HostKeys),
			says: key,
		},
		"a public key": {with: file(key+".pub", "public")},
		"dropbear's":   {with: file("etc/dropbear/dropbear_rsa_host_key", "secret"), want: one(HostKeys)},
		"an empty key": {with: file(key, "")},
		"no keys":      {with: ssh, want: one(NoHostKeys)},
		"Debian 13, keygen": {
			with: append(slices.Clone(ssh), enabled("sshd-keygen.service", "[Unit]\nConditionFirstBoot=yes\n")...),
			want: one(NoHostKeys),
		},
		"Debian 13, a true first boot": {
			without: []string{"etc/machine-id"},
			with:    append(slices.Clone(ssh), enabled("sshd-keygen.service", "[Unit]\nConditionFirstBoot=yes\n")...),
		},
		"a part of the unit makes them": {
			with: append(slices.Clone(ssh),
				file("usr/lib/systemd/system/ssh.service.d/x.conf", "ExecStartPre=ssh-keygen -A")...),
		},
		"another unit makes them": {
			with: append(slices.Clone(ssh), file("etc/systemd/system/keys.service", "ExecStart=/usr/bin/ssh-keygen -A")...),
		},
		"keys from elsewhere": {
			with: append(slices.Clone(ssh), file("etc/ssh/sshd_config.d/x.conf", "HostKey /run/credentials/key\n")...),
		},
		"seed of systemd": {with: file("var/lib/systemd/random-seed", "x"), want: one(RandomSeed)},
		"seed of OpenRC":  {with: file("var/lib/seedrng/seed.credit", "x"), want: one(RandomSeed)},
		"an empty seed":   {with: file("var/lib/systemd/random-seed", "")},
	}
}

func aboutServices() map[string]change {
	return map[string]change{
		"no network": {without: []string{networkd, ether}, want: one(NoNetwork), says: "no unit that could"},
		"the unit is missing": {
			without: []string{"usr/lib/systemd/system/systemd-networkd.service"}, want: one(NoNetwork),
		},
		"the unit is masked": {with: masks("systemd-networkd.service"), want: one(NoNetwork)},
		"the kernel does it": {without: []string{networkd, ether}, cmdline: "ip=dhcp"},
		"networkd has no file": {
			without: []string{ether},
			with:    file("usr/lib/systemd/network/80-vm-vt.network", "x"),
			want:    one(NoNetwork),
			says:    "no .network file",
		},
		"ifupdown": {without: []string{networkd, ether}, with: enabled("networking.service", "")},
		"dhcpcd of a link": {
			without: []string{networkd},
			with: append(file("usr/lib/systemd/system/dhcpcd@.service", ""),
				link("etc/systemd/system/multi-user.target.wants/dhcpcd@eth0.service", "x")...),
		},
		"netplan": {
			without: []string{networkd, ether},
			with:    append(file("etc/netplan/x.yaml", ""), file("usr/lib/systemd/system-generators/netplan", "")...),
		},
		"a unit of its own": {
			without: []string{networkd, ether},
			with:    file("etc/systemd/system/net.service", "ExecStart=udhcpc -i eth0\nExecStartPre=ip link set eth0 up"),
		},
		"presets": {without: []string{networkd, ether, "etc/machine-id"}},
		"no udev": {without: []string{"usr/lib/systemd/systemd-udevd"}, want: one(NoUdev)},
		"no udev, no module": {
			without: []string{"usr/lib/systemd/systemd-udevd", "usr/lib/modules/" + version + "/kernel/x.ko"},
		},
		"udev is masked": {with: masks("systemd-udevd.service"), want: one(Masked), says: "no driver"},
		"a container's base": {
			with: masks("systemd-remount-fs.service", "dev-hugepages.mount", "sys-fs-fuse-connections.mount",
				"systemd-logind.service", "getty.target", "console-getty.service"),
			want: one(Masked), says: "getty.target",
		},
		"no login prompt on purpose": {with: masks("getty.target")},
		"masked by an empty file":    {with: file("etc/systemd/system/systemd-udevd.service", ""), want: one(Masked)},
		"no agetty":                  {without: []string{"usr/sbin/agetty"}, want: one(NoGetty), says: "agetty"},
		"no login":                   {without: []string{"usr/bin/login"}, want: one(NoGetty), says: "login"},
		"another getty": {
			without: []string{"usr/sbin/agetty"},
			with:    file("etc/systemd/system/getty@.service", "ExecStart=/x"),
			want:    one(NoGetty),
		},
		"from docker":         {with: file(".dockerenv", ""), want: one(DockerEnv)},
		"told that it is not": {with: file(".dockerenv", ""), cmdline: "container="},
		"root in fstab": {
			without: []string{"etc/fstab"},
			with:    file("etc/fstab", "UUID=1-2 / ext4 defaults 0 1\n"),
			want:    one(Fstab),
		},
		"data in fstab": {
			without: []string{"etc/fstab"},
			with:    file("etc/fstab", "LABEL=data /data ext4 nofail 0 2\n#/dev/sda1 / ext4\n"),
		},
		"tmpfs in fstab": {
			without: []string{"etc/fstab"},
			with:    file("etc/fstab", "tmpfs / tmpfs defaults 0 0\n"),
		},
	}
}

func aboutSELinux() map[string]change {
	policy := append(file("etc/selinux/config", "# x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"),
		file("etc/selinux/targeted/policy/policy.33", "x")...)
	config := func(lsm string) []imagetest.Entry {
		return append(slices.Clone(policy), file("usr/lib/modules/"+version+"/config", "CONFIG_LSM=\""+lsm+"\"\n")...)
	}
	return map[string]change{
		"Debian's kernel":   {with: config("landlock,apparmor")},
		"no config":         {with: policy},
		"Fedora's kernel":   {with: config("lockdown,yama,selinux,bpf"), want: one(SELinux)},
		"off":               {with: config("selinux"), cmdline: "quiet selinux=0"},
		"not enforced":      {with: config("selinux"), cmdline: "enforcing=0"},
		"asked for":         {with: policy, cmdline: "security=selinux", want: one(SELinux)},
		"another is wanted": {with: config("selinux"), cmdline: "lsm=apparmor"},
		"no policy":         {with: append(config("selinux")[2:], policy[0])},
		"permissive":        {with: append(config("selinux")[1:], file("etc/selinux/config", "SELINUX=permissive\n")...)},
		"another place": {
			with: append(config("selinux"), file("etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=../../x\n")...),
			want: one(SELinux),
		},
		"labels": {
			without: []string{"usr/lib/systemd/systemd"},
			with: append(config("selinux"), imagetest.File("usr/lib/systemd/systemd", "init").Mode(0o755).
				Xattr("security.selinux", "system_u:object_r:init_exec_t:s0")),
		},
	}
}

func aboutSpace() map[string]change {
	large := strings.Repeat("x", 1<<20)
	const another = "usr/lib/modules/6.1.0-39-amd64/"
	return map[string]change{
		"Debian's initramfs": {
			with: append(file("boot/initrd.img-"+version, large), link("initrd.img", "boot/initrd.img-"+version)...),
			want: one(BootFiles), says: "1.05 MB you could drop",
		},
		"a link to an initramfs": {with: link("initrd.img", "boot/initrd.img-"+version)},
		"Arch's":                 {with: file("boot/initramfs-linux-fallback.img", large), want: one(BootFiles)},
		"Alpine's":               {with: file("boot/initramfs-lts", large), want: one(BootFiles)},
		"openSUSE's":             {with: file("usr/lib/modules/"+version+"/initrd", large), want: one(BootFiles)},
		"bootc's":                {with: file("usr/lib/modules/"+version+"/initramfs.img", large), want: one(BootFiles)},
		"of kernel-install":      {with: file("boot/0123456789abcdef/"+version+"/initrd", large), want: one(BootFiles)},
		"entries": {
			with: file("boot/loader/entries/x.conf", "title x"),
			want: one(BootFiles),
			says: "/boot/loader",
		},
		"kdump's": {
			with: file("boot/initramfs-"+version+"kdump.img", large), cmdline: "crashkernel=256M",
		},
		"kdump's without kdump": {with: file("boot/initramfs-"+version+"kdump.img", large), want: one(BootFiles)},
		"a second kernel": {
			with: append(file("boot/vmlinuz-6.1.0-39-amd64", large), file(another+"kernel/a.ko", large)...),
			want: one(OtherKernels), says: "2.10 MB you could drop",
		},
		"modules of others": {with: file(another+"extra/a.ko", large)},
		"the same kernel twice": {
			with: file("usr/lib/modules/"+version+"/vmlinuz", large), want: one(OtherKernels), says: "/vmlinuz",
		},
		"the same file twice": {with: []imagetest.Entry{imagetest.Link("boot/vmlinuz-copy", "boot/vmlinuz-"+version)}},
		"for kdump":           {with: file("usr/lib/modules/"+version+"/vmlinuz", large), cmdline: "crashkernel=256M"},
		"apt's lists": {
			with: file("var/lib/apt/lists/x_Packages.lz4", large), want: one(PackageCaches),
			says: "1.05 MB you could drop: lists and packages that were downloaded for the build (/var/lib/apt/lists: 1.05 MB)",
		},
		"apt's packages": {with: file("var/cache/apt/archives/x.deb", "x"), want: one(PackageCaches), says: "1 B"},
		"apt's locks":    {with: append(file("var/lib/apt/lists/lock", "x"), file("var/cache/apt/archives/lock", "x")...)},
		"dnf":            {with: file("var/cache/dnf/fedora-1/repodata/primary.xml.gz", "x"), want: one(PackageCaches)},
		"dnf 5":          {with: file("var/cache/libdnf5/fedora-1/solv/fedora.solv", "x"), want: one(PackageCaches)},
		"yum":            {with: file("var/cache/yum/x86_64/primary.sqlite", "x"), want: one(PackageCaches)},
		"pacman": {
			with: append(file("var/cache/pacman/pkg/x.pkg.tar.zst", "x"), file("var/lib/pacman/sync/core.db", "x")...),
			want: one(PackageCaches), says: "/var/cache/pacman/pkg: 1 B; /var/lib/pacman/sync: 1 B",
		},
		"apk":    {with: file("var/cache/apk/APKINDEX.1.tar.gz", "x"), want: one(PackageCaches)},
		"zypper": {with: file("var/cache/zypp/solv/repo/solv", "x"), want: one(PackageCaches)},
		"through a link": {
			with: append(link("var/cache/dnf", "../lib/x"), file("var/lib/x/y.rpm", "x")...),
			want: one(PackageCaches),
		},
	}
}

// Each change has the findings that belong to it, and no others; each finding says what to do.
func TestFindings(t *testing.T) {
	for _, table := range []map[string]change{
		aboutNames(), aboutIdentity(), aboutServices(), aboutSELinux(), aboutSpace(),
	} {
		for name, c := range table {
			t.Run(name, func(t *testing.T) {
				all := findings(t, look(t, c.cmdline, append(without(good(), c.without...), c.with...)...))
				if c.want == nil {
					c.want = []string{}
				}
				if diff := cmp.Diff(c.want, ids(all)); diff != "" {
					t.Fatalf("findings (-want +got):\n%s\n%q", diff, all)
				}
				for _, f := range all {
					if !strings.Contains(f.Text, c.says) || !strings.Contains(f.Mend, "\nRUN ") &&
						!strings.HasPrefix(f.Mend, "RUN ") && !strings.Contains(f.Mend, "\nCOPY ") {
						t.Errorf("%+v: want %q in the text, and lines for a Containerfile", f, c.says)
					}
				}
			})
		}
	}
}

// A mend does not repeat what the image has.
func TestMendOfKeys(t *testing.T) {
	keys := append(good(), file("etc/ssh/ssh_host_rsa_key", "secret")...)
	keys = append(keys, enabled("ssh.service", "x")...)
	for has, entries := range map[bool][]imagetest.Entry{
		true:  keys,
		false: append(slices.Clone(keys), file("usr/lib/systemd/system/ssh.service.d/k.conf", "ssh-keygen -A")...),
	} {
		all := findings(t, look(t, "", entries...))
		if len(all) != 1 || strings.Contains(all[0].Mend, "ssh-keygen -A") != has {
			t.Errorf("%q", all)
		}
	}
}

// Another init than systemd has the findings that do not depend on systemd.
func TestOtherInit(t *testing.T) {
	entries := append(without(good(), resolv, networkd, "usr/lib/systemd/systemd-udevd"), file(resolv, "")...)
	openrc := append(as("ID=alpine\n"), file("sbin/openrc", "x")...)
	openrc = append(openrc, imagetest.Dir("etc/runlevels/boot"))
	for name, c := range map[string]struct {
		entries []imagetest.Entry
		want    []string
	}{
		"unknown":                {entries, []string{}},
		"OpenRC without network": {openrc, one(NoNetwork)},
		"OpenRC": {append(slices.Clone(openrc), link("etc/runlevels/boot/networking", "/etc/init.d/networking")...),
			[]string{}},
		"OpenRC with its own script": {append(slices.Clone(openrc), link("etc/runlevels/default/local", "x")...), []string{}},
		"lo is no network": {
			append(slices.Clone(openrc), link("etc/runlevels/boot/net.lo", "x")...),
			one(NoNetwork),
		},
	} {
		v := look(t, "", c.entries...)
		v.Init = "bin/busybox"
		if diff := cmp.Diff(c.want, ids(findings(t, v))); diff != "" {
			t.Errorf("%s: findings (-want +got):\n%s", name, diff)
		}
	}
}

// The names of files in an image are no commands in what a person copies.
func TestHostileNames(t *testing.T) {
	v := look(t, "", append(good(), file("boot/vmlinuz-$(touch x)'; y", "k")...)...)
	all := findings(t, v)
	const want = `RUN rm -rf '/boot/vmlinuz-$(touch x)'\''; y'`
	if len(all) != 1 || !strings.HasSuffix(all[0].Mend, want) {
		t.Errorf("%q, want %s", all, want)
	}
	v = look(t, "", append(good(), file("boot/vmlinuz-a\nRUN evil", "k")...)...)
	if all := findings(t, v); len(all) != 1 || strings.Contains(all[0].Mend, "evil") {
		t.Errorf("%q", all)
	}
}

// Links in circles, names without end and directories in the place of files are no reason to fail, and none to take
// long.
func TestHostileTree(t *testing.T) {
	hostile := append(
		without(good(), resolv, "etc/hosts", "etc/os-release", "usr/lib/os-release", "etc/machine-id", ether),
		imagetest.Dir("usr/lib/os-release/x"), imagetest.Symlink("etc/os-release", "os-release"),
		imagetest.Symlink("etc/resolv.conf", "hosts"), imagetest.Symlink("etc/hosts", "resolv.conf"),
		imagetest.Symlink("var/cache/dnf", "/"), imagetest.Symlink("var/cache/apk", "apk"),
		imagetest.Symlink("usr/lib/tmpfiles.d/a.conf", "."), imagetest.Symlink("etc/systemd/system/loop.wants", "."),
		imagetest.Dir("etc/ssh/ssh_host_rsa_key"), imagetest.FIFO("etc/fstab.d"), imagetest.Dir("etc/machine-id"),
		imagetest.FIFO("var/lib/systemd/random-seed"), imagetest.Symlink("etc/systemd/network", "../systemd/network"))
	large := strings.Repeat("nothing here\n", maxText/13)
	hostile = append(hostile, imagetest.File("etc/ssh/sshd_config.d/0", large))
	for i := range 20000 {
		n := fmt.Sprint(i)
		hostile = append(hostile, imagetest.File("usr/lib/modules/"+n+"/kernel/x.ko", n),
			imagetest.Link("etc/ssh/sshd_config.d/x"+n, "etc/ssh/sshd_config.d/0"),
			imagetest.Link("usr/lib/tmpfiles.d/"+n+".conf", "etc/ssh/sshd_config.d/0"))
	}
	hostile = append(hostile, enabled("ssh.service", "")...)
	began := time.Now()
	v := look(t, "", hostile...)
	all := findings(t, v)
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it took %v", d)
	}
	if v.read > maxTexts {
		t.Errorf("%d bytes were read", v.read)
	}
	if len(all) == 0 || len(all) > 10 {
		t.Errorf("%d findings: %q", len(all), all)
	}
	for _, f := range all {
		if len(f.Text) > 2000 {
			t.Errorf("a text of %d bytes", len(f.Text))
		}
	}
}

// What a distribution calls the package is in the sentence. Where there is no package, nothing is said.
func TestFirmware(t *testing.T) {
	drivers := []string{"r8169", "bnx2x", "qed"}
	for osRelease, want := range map[string]string{
		"ID=debian\n": "Broadcom NetXtreme II, 10 Gbit/s (bnx2x: firmware-bnx2x), " +
			"QLogic and Marvell FastLinQ (qed: firmware-qlogic)",
		"ID=ubuntu\nID_LIKE=debian\n": "(bnx2x: linux-firmware), QLogic and Marvell FastLinQ (qed: " +
			"linux-firmware)",
		"ID=fedora\n":                            "(qed: qed-firmware)",
		"ID=\"centos\"\nID_LIKE=\"rhel fedora\"": "(bnx2x: linux-firmware)",
		"ID=arch\n":                              "(bnx2x: linux-firmware-broadcom)",
		"ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n": "(bnx2x: kernel-firmware-bnx2)",
		"ID=alpine\n":   "(qed: linux-firmware-qed)",
		"ID=homemade\n": "",
	} {
		v := look(t, "", as(osRelease)...)
		f := v.Firmware(drivers)
		if (f == nil) != (want == "") || f != nil && (!strings.Contains(f.Text, want) || !strings.Contains(f.Mend, "RUN ")) {
			t.Errorf("%s: %+v, want %q", osRelease, f, want)
		}
		if f := v.Firmware([]string{"r8169", "tg3"}); f != nil {
			t.Errorf("%s: %+v about cards that work without", osRelease, f)
		}
	}
}

// An audit of a context that has ended does not call the image good.
func TestCancelled(t *testing.T) {
	v := look(t, "", good()...)
	ctx, cancel := context.WithCancel(t.Context())
	v.ctx = ctx
	cancel()
	if all, err := v.Findings(); err == nil {
		t.Errorf("%v without an error", all)
	}
	if _, err := Look(ctx, v.Image); err == nil {
		t.Error("Look has no error")
	}
}

// Each kind that Mend knows has lines, and none is empty in any distribution.
func TestMend(t *testing.T) {
	for _, id := range []string{"debian", "ubuntu", "fedora", "centos", "arch", "opensuse-leap", "alpine", "other"} {
		v := look(t, "", as("ID="+id+"\n")...)
		for _, kind := range []string{
			"kernel-passed-over", "initrd-release", "ramfs-root", "modules-elsewhere", "no-modules", "machine-id",
			"attributes-lost", "wyrinit-path", "microcode", EmptyModules, DamagedModules,
		} {
			if v.Mend(kind) == "" {
				t.Errorf("%s: no mend for %s", id, kind)
			}
		}
	}
}
