package examples

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The Containerfile of each distribution makes an image with nothing to warn of, which boots what it is meant to boot.
func TestExamples(t *testing.T) {
	const systemd = "usr/lib/systemd/systemd"
	all := recipes(t)
	for name, c := range map[string]struct {
		example string
		of      distribution
		kernel  string
		init    string
	}{
		"Debian 12":          {"debian", debian12(), "boot/vmlinuz-6.1.0-40-amd64", systemd},
		"Debian 13":          {"debian", debian13(), "boot/vmlinuz-6.12.48+deb13-amd64", systemd},
		"Debian 13 on arm64": {"debian", debianArm64(), "boot/vmlinuz-6.12.48+deb13-arm64", systemd},
		"Ubuntu 24.04":       {"ubuntu", ubuntu2404(), "boot/vmlinuz-6.8.0-90-generic", systemd},
		"Fedora":             {"fedora", fedora(), "usr/lib/modules/6.17.8-300.fc43.x86_64/vmlinuz", systemd},
		"Fedora on arm64":    {"fedora", fedoraArm64(), "usr/lib/modules/6.17.8-300.fc43.aarch64/vmlinuz", systemd},
		"CentOS Stream 10":   {"centos", centos10(), "usr/lib/modules/6.12.0-150.el10.x86_64/vmlinuz", systemd},
		"Arch Linux":         {"archlinux", archLinux(), "usr/lib/modules/6.17.8-arch1-1/vmlinuz", systemd},
		"Alpine Linux":       {"alpine", alpine(), "boot/vmlinuz-lts", "bin/busybox"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuild(t, c.of)
			b.run(all[c.example], ".", nil)
			plan, found := b.examine()
			if len(found) > 0 {
				t.Errorf("warnings: %q", found)
			}
			// The image itself says what it boots, so nothing was chosen.
			if plan.File != c.kernel || plan.Init != c.init || plan.Chosen != "" {
				t.Errorf("it boots %s and %s (%s), want %s", plan.File, plan.Init, plan.Chosen, c.kernel)
			}
			// Without the links the same kernel and init are found.
			for _, link := range []string{"/boot/wyrcan.kernel", "/init"} {
				if err := os.Remove(b.dir + link); err != nil {
					t.Fatal(err)
				}
			}
			plan, found = b.examine()
			if plan.File != c.kernel || plan.Init != c.init || plan.Chosen == "" || len(found) > 0 {
				t.Errorf("without the links it boots %s and %s (%s), warnings %q", plan.File, plan.Init, plan.Chosen, found)
			}
		})
	}
}

// What is built on the Debian of the examples has nothing to warn of either.
func TestDerivedExamples(t *testing.T) {
	all := recipes(t)
	for _, of := range []distribution{debian12(), debian13()} {
		for example, args := range map[string]map[string]string{
			"server": {"KEYS": "ssh-ed25519 AAAA somebody"}, "containers": nil, "disk": nil,
		} {
			b := newBuild(t, of)
			b.run(all["debian"], ".", nil)
			b.run(all[example], ".", args)
			if _, found := b.examine(); len(found) > 0 {
				t.Errorf("%s on %s: %q", example, of.osRelease, found)
			}
		}
	}
}

// faults are Containerfiles as somebody writes them who has only made containers.
func faults() map[string]struct {
	of   distribution
	file string
	boot string // the kernel
	want []string
} {
	return map[string]struct {
		of   distribution
		file string
		boot string
		want []string
	}{
		"Debian 12": {debian12(), `
FROM debian:stable
RUN apt-get update
RUN apt-get install -y linux-image-amd64 openssh-server systemd-resolved systemd-sysv udev
`, "boot/vmlinuz-6.1.0-40-amd64", []string{
			"machine-id", "no-network", "resolv-conf", "hosts", "ssh-host-keys",
			"initramfs", "package-caches",
		}},
		"Debian 13 without host keys": {debian13(), `
FROM debian:stable
ENV INITRD=No
RUN apt-get update
RUN apt-get install -y dbus linux-image-amd64 openssh-server systemd-sysv
RUN apt-get clean && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*
RUN systemctl enable systemd-networkd
RUN rm /etc/machine-id && touch /etc/machine-id
`, "boot/vmlinuz-6.12.48+deb13-amd64", []string{
			"machine-id", "no-udev", "no-network", "resolv-conf", "hosts",
			"ssh-no-host-keys",
		}},
		"Debian 12 of a disk, by docker export": {debian12(), `
FROM scratch
ENV INITRD=No
RUN apt-get update
RUN apt-get install -y linux-image-amd64 systemd-resolved systemd-sysv udev
RUN apt-get clean && rm -rf /var/lib/apt/lists/*
RUN printf 'UUID=1-2 / ext4 defaults 0 1\nLABEL=data /data ext4 nofail 0 2\n' > /etc/fstab
RUN touch /.dockerenv /etc/initrd-release && mkdir /.wyrcan
RUN echo 'quiet root=UUID=1-2 ro rootfstype=ext4 console=ttyS0' > /boot/wyrcan.cmdline
RUN rm /lib && mkdir -p /lib && ln -s ../usr/lib/systemd /lib/systemd
RUN echo seed > /var/lib/systemd/random-seed
RUN mkdir -p /etc/systemd/network && printf '[Match]\nType=ether\n' > /etc/systemd/network/a.network
RUN systemctl enable systemd-networkd && rm -f /usr/bin/login
RUN ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
`, "boot/vmlinuz-6.1.0-40-amd64", []string{
			"initrd-release", "ramfs-root", "modules-elsewhere", "machine-id", "wyrinit-path",
			"hosts", "no-getty", "fstab", "dockerenv", "random-seed",
		}},
		"Ubuntu 24.04": {ubuntu2404(), `
FROM ubuntu:24.04
RUN apt-get update
RUN apt-get install -y linux-image-6.8.0-90-generic systemd-resolved systemd-sysv udev
RUN apt-get clean
RUN mkdir -p /etc/systemd/network && printf '[Match]\nType=ether\n' > /etc/systemd/network/a.network
RUN systemctl enable systemd-networkd
RUN : > /etc/machine-id
`, "boot/vmlinuz-6.8.0-90-generic", []string{"machine-id", "resolv-conf", "hosts", "initramfs", "package-caches"}},
		"Fedora": {fedora(), `
FROM fedora
RUN dnf install -y kernel-core kernel-modules kernel-modules-core systemd systemd-udev util-linux
`, "usr/lib/modules/6.17.8-300.fc43.x86_64/vmlinuz", []string{
			"masked-units", "no-network", "hosts", "selinux", "initramfs",
			"other-kernels", "package-caches",
		}},
		"Fedora on arm64": {fedoraArm64(), `
FROM fedora
RUN dnf install -y kernel-core kernel-modules-core systemd systemd-networkd systemd-udev
RUN systemctl unmask getty.target systemd-logind.service
RUN systemctl enable systemd-networkd
`, "usr/lib/modules/6.17.8-300.fc43.aarch64/vmlinuz", []string{
			"no-network", "resolv-conf", "hosts", "no-getty", "selinux",
			"initramfs", "other-kernels", "package-caches",
		}},
		"CentOS Stream 10": {centos10(), `
FROM centos
RUN KERNEL_INSTALL_BYPASS=1 dnf install -y kernel-core kernel-modules-core NetworkManager systemd util-linux
RUN dnf clean all
RUN systemctl enable NetworkManager
RUN echo console=ttyS0 > /boot/wyrcan.cmdline
`, "usr/lib/modules/6.12.0-150.el10.x86_64/vmlinuz", []string{"no-udev", "masked-units", "hosts", "selinux"}},
		"Arch Linux": {archLinux(), `
FROM archlinux
RUN pacman -Syu --noconfirm linux mkinitcpio systemd systemd-sysvcompat
RUN systemctl enable systemd-networkd systemd-resolved && : > /etc/machine-id
`, "usr/lib/modules/6.17.8-arch1-1/vmlinuz", []string{
			"no-network", "resolv-conf", "hosts", "initramfs", "other-kernels",
			"package-caches",
		}},
		"openSUSE": {suse(), `
FROM opensuse/tumbleweed
RUN zypper --non-interactive install kernel-default systemd systemd-network systemd-resolved udev util-linux
RUN systemctl enable systemd-networkd systemd-resolved
RUN mkdir -p /var/lib/systemd && echo seed > /var/lib/systemd/random-seed
`, "usr/lib/modules/6.17.8-1-default/vmlinuz", []string{
			"no-network", "resolv-conf", "hosts", "random-seed", "initramfs",
			"package-caches",
		}},
		"Alpine": {alpine(), `
FROM alpine
RUN apk add linux-lts openrc
`, "boot/vmlinuz-lts", []string{"no-network", "hosts", "initramfs", "package-caches"}},
		"bootc": {bootc(), `
FROM quay/bootc
RUN KERNEL_INSTALL_BYPASS=1 dnf install -y kernel-core kernel-modules-core NetworkManager systemd \
      systemd-udev util-linux
RUN dnf clean all && systemctl enable NetworkManager
RUN cp /.test/busybox /usr/lib/modules/6.17.8-300.fc43.x86_64/initramfs.img
`, "usr/lib/modules/6.17.8-300.fc43.x86_64/vmlinuz", []string{"hosts", "selinux", "initramfs"}},
	}
}

// The faults of each image are found, and no others. The lines of -explain mend them: an image with these lines at its
// end has nothing to warn of.
func TestFaultsAndMends(t *testing.T) {
	table := faults()
	for _, name := range slices.Sorted(maps.Keys(table)) {
		c := table[name]
		t.Run(name, func(t *testing.T) {
			b := newBuild(t, c.of)
			run := func(text string) {
				t.Helper()
				steps, err := parse(text)
				if err != nil {
					t.Fatalf("%v in\n%s", err, text)
				}
				context := t.TempDir()
				if err := os.WriteFile(filepath.Join(context, "hosts"), []byte("127.0.0.1 localhost\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				b.run(steps, context, nil)
			}
			run(strings.TrimSpace(c.file))
			_, found := b.examine()
			if diff := cmp.Diff(c.want, kinds(found)); diff != "" {
				t.Fatalf("warnings (-want +got):\n%s\n%q", diff, found)
			}
			const last = "# In the last RUN:"
			for _, behind := range []bool{false, true} {
				for _, f := range found {
					if strings.HasPrefix(f.Mend, last) == behind {
						run("FROM x\n" + f.Mend)
					}
				}
			}
			plan, left := b.examine()
			if len(left) > 0 {
				t.Errorf("the mends\n%q\nleave %q", found, left)
			}
			if plan.File != c.boot || plan.Chosen == "" {
				t.Errorf("it boots %s (%s), want %s", plan.File, plan.Chosen, c.boot)
			}
		})
	}
}
