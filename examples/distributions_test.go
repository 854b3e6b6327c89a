package examples

import "strings"

// The names of the packages and units here are those of the distributions. They were looked up in November 2026: for
// Debian 12 and 13 in Debian's index; for the others in public copies of their package sources and package lists.

// merged is the layout of a distribution whose /usr has everything.
const merged = `
	lib -> usr/lib
	sbin -> usr/sbin
	bin -> usr/bin
	usr/lib/
	usr/sbin/
	usr/bin/
	etc/systemd/system/
	!usr/bin/sh a shell
	!usr/lib64/ld-linux-x86-64.so.2 a linker
	lib64 -> usr/lib64
	root/
`

// systemd is what all packages of systemd have.
const systemd = `
	!usr/lib/systemd/systemd #!/bin/sh
	usr/lib/systemd/system/getty@.service [Service]\nExecStart=-/sbin/agetty - $TERM
	usr/lib/systemd/system/getty.target [Unit]
	usr/lib/systemd/system/systemd-logind.service unit multi-user.target
	usr/lib/systemd/system/systemd-remount-fs.service unit local-fs.target
	usr/lib/systemd/system/fstrim.timer unit timers.target
	usr/lib/tmpfiles.d/
	etc/systemd/network/
`

const getty = "\n\tetc/systemd/system/getty.target.wants/getty@tty1.service -> /usr/lib/systemd/system/getty@.service\n"

const (
	networkdUnit = "\n\tusr/lib/systemd/system/systemd-networkd.service unit multi-user.target" +
		"\n\tusr/lib/systemd/network/80-vm-vt.network [Match]\n"
	resolvedUnit = "\n\tusr/lib/systemd/system/systemd-resolved.service unit sysinit.target" +
		"\n\tusr/lib/tmpfiles.d/systemd-resolve.conf L! /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf\n"
	timesyncdUnit = "\n\tusr/lib/systemd/system/systemd-timesyncd.service unit sysinit.target\n"
	udevd         = "\n\t!usr/lib/systemd/systemd-udevd udev\n"
	agetty        = "\n\t!usr/sbin/agetty getty\n\t!usr/bin/login login\n"
)

// dbusID is what the installation of dbus leaves.
const dbusID = "#! echo 0123456789abcdef0123456789abcdef > /var/lib/dbus/machine-id"

// none is a package that the tests need nothing of.
const none = ""

// debians is Debian and Ubuntu, which differ in little. kernels are the packages of the kernel.
func debians(osRelease string, kernels map[string]string) distribution {
	packages := map[string]string{
		"aardvark-dns": none, "ca-certificates": none, "crun": none, "e2fsprogs": none, "fdisk": none,
		"iproute2": none, "iptables": none,
		"iputils-ping": none, "kmod": none, "libcap2-bin": none, "libnss-myhostname": none, "libnss-resolve": none,
		"netavark": none, "nftables": none,
		"dbus": dbusID, "login": "!usr/bin/login login", "util-linux": "!usr/sbin/agetty getty",
		"podman": `
			usr/lib/systemd/system/podman-auto-update.timer unit timers.target
			#! systemctl enable podman-auto-update.timer`,
		"openssh-server": `
			usr/lib/systemd/system/ssh.service unit multi-user.target
			!usr/sbin/sshd sshd
			#! mkdir -p /etc/ssh; for k in rsa ecdsa ed25519; do
				echo secret > /etc/ssh/ssh_host_${k}_key; echo public > /etc/ssh/ssh_host_${k}_key.pub
			done
			systemctl enable ssh`,
		"systemd-resolved": resolvedUnit + dbusID + "; systemctl enable systemd-resolved", // it depends on dbus
		"systemd-sysv": systemd + getty + `
			usr/sbin/init -> ../lib/systemd/systemd
			` + networkdUnit + `
			#! echo 0123456789abcdef0123456789abcdef > /etc/machine-id; mkdir -p /var/log/journal`,
		"systemd-timesyncd": timesyncdUnit + "#! systemctl enable systemd-timesyncd",
		"udev":              udevd,
	}
	for name, files := range kernels {
		packages[name] = files
	}
	return distribution{osRelease: osRelease, manager: "apt", packages: packages, base: merged + agetty + `
		etc/machine-id
		etc/fstab # UNCONFIGURED FSTAB FOR BASE SYSTEM
		var/lib/dbus/
		boot/
	`}
}

// debianKernel is a package with a kernel that calls what builds an initramfs, unless INITRD=No.
func debianKernel(version, format, mode string) string {
	return mode + "boot/vmlinuz-" + version + " " + format + " " + version + `
		boot/config-` + version + ` CONFIG_RD_ZSTD=y\nCONFIG_LSM="landlock,lockdown,yama,apparmor"
		usr/lib/modules/` + version + `/kernel/drivers/net/virtio_net.ko @module
		#! ln -sf boot/vmlinuz-` + version + ` /vmlinuz
		ln -sf boot/initrd.img-` + version + ` /initrd.img
		if [ "${INITRD:-}" != No ]; then echo initramfs > /boot/initrd.img-` + version + `; fi
		: "udev's"; mkdir -p /var/lib/systemd`
}

func debian12() distribution {
	return debians(`ID=debian\nVERSION_ID="12"`, map[string]string{
		"linux-image-amd64": debianKernel("6.1.0-40-amd64", "@bzImage", ""),
	})
}

func debian13() distribution {
	d := debians(`ID=debian\nVERSION_ID="13"`, map[string]string{
		"linux-image-amd64": debianKernel("6.12.48+deb13-amd64", "@bzImage", ""),
	})
	// Its keys are made at the first boot only, which is none with an empty machine id.
	d.packages["openssh-server"] = strings.Replace(d.packages["openssh-server"], "#!", `
		usr/lib/systemd/system/sshd-keygen.service [Unit]\nConditionFirstBoot=yes\n[Install]\nWantedBy=ssh.service
		#! systemctl enable sshd-keygen; `, 1)
	return d
}

func debianArm64() distribution {
	d := debians(`ID=debian\nVERSION_ID="13"`, map[string]string{
		"linux-image-arm64": debianKernel("6.12.48+deb13-arm64", "@Image", ""),
	})
	d.arch = "arm64"
	return d
}

// ubuntu2404 has a kernel that only root can read, and a package of further modules.
func ubuntu2404() distribution {
	const version = "6.8.0-90-generic"
	return debians(`ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"`, map[string]string{
		"linux-image-" + version:         debianKernel(version, "@bzImage", "0"),
		"linux-modules-extra-" + version: "usr/lib/modules/" + version + "/kernel/drivers/net/x.ko.zst",
	})
}

// fedoraMasks is what Fedora's base for containers masks.
const fedoraMasks = `
	etc/systemd/system/console-getty.service -> /dev/null
	etc/systemd/system/dev-hugepages.mount -> /dev/null
	etc/systemd/system/getty.target -> /dev/null
	etc/systemd/system/sys-fs-fuse-connections.mount -> /dev/null
	etc/systemd/system/systemd-logind.service -> /dev/null
	etc/systemd/system/systemd-remount-fs.service -> /dev/null
`

// redHats is Fedora and CentOS Stream: the kernel is beside its modules, and kernel-install copies it into /boot and
// calls dracut.
func redHats(osRelease, version, format string) distribution {
	return distribution{osRelease: osRelease, manager: "dnf", base: merged + fedoraMasks + `
		etc/machine-id
		etc/selinux/config SELINUX=enforcing\nSELINUXTYPE=targeted
		etc/selinux/targeted/policy/policy.33 policy
		boot/
	`, packages: map[string]string{
		"chrony": "usr/lib/systemd/system/chronyd.service unit multi-user.target", "dbus-broker": none, "iproute": none,
		"iputils": none, "kmod": none, "util-linux": agetty,
		"NetworkManager": "usr/lib/systemd/system/NetworkManager.service unit multi-user.target",
		"kernel-core": "usr/lib/modules/" + version + "/vmlinuz " + format + " " + version + `
			usr/lib/modules/` + version + `/config CONFIG_RD_ZSTD=y\nCONFIG_LSM="lockdown,yama,integrity,selinux,bpf,landlock"
			#! if [ "${KERNEL_INSTALL_BYPASS:-}" != 1 ]; then
				cp /usr/lib/modules/` + version + `/vmlinuz /boot/vmlinuz-` + version + `
				echo initramfs > /boot/initramfs-` + version + `.img
				mkdir -p /boot/loader/entries; echo title > /boot/loader/entries/x.conf
			fi`,
		"kernel-modules":      "usr/lib/modules/" + version + "/kernel/drivers/net/bonding.ko.xz",
		"kernel-modules-core": "usr/lib/modules/" + version + "/kernel/drivers/net/virtio_net.ko @module",
		"systemd":             systemd + getty + "usr/sbin/init -> ../lib/systemd/systemd\n",
		"systemd-networkd":    networkdUnit,
		"systemd-resolved":    resolvedUnit,
		"systemd-udev": udevd + timesyncdUnit + "usr/lib/systemd/system/systemd-random-seed.service unit " +
			"sysinit.target",
	}}
}

func fedora() distribution {
	return redHats(`ID=fedora\nVERSION_ID=43`, "6.17.8-300.fc43.x86_64", "@bzImage")
}

// fedoraArm64 has a kernel that decompresses itself.
func fedoraArm64() distribution {
	d := redHats(`ID=fedora\nVERSION_ID=43`, "6.17.8-300.fc43.aarch64", "@zboot")
	d.arch = "arm64"
	return d
}

// centos10 has neither systemd-networkd nor systemd-timesyncd.
func centos10() distribution {
	d := redHats(`ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="10"`, "6.12.0-150.el10.x86_64", "@bzImage")
	delete(d.packages, "systemd-networkd")
	d.packages["systemd-udev"] = udevd
	return d
}

// archLinux has the kernel beside its modules, and a hook of mkinitcpio that copies it into /boot.
func archLinux() distribution {
	const version = "6.17.8-arch1-1"
	return distribution{osRelease: "ID=arch", manager: "pacman", base: merged + `
		etc/machine-id uninitialized
		usr/share/libalpm/hooks/90-mkinitcpio-install.hook hook
		boot/
	`, packages: map[string]string{
		"iproute2": none, "iputils": none, "kmod": none, "mkinitcpio": none,
		"linux": "usr/lib/modules/" + version + "/vmlinuz @bzImage " + version + `
			usr/lib/modules/` + version + `/pkgbase linux
			usr/lib/modules/` + version + `/kernel/drivers/net/virtio_net.ko @module
			#! if [ "$(readlink /etc/pacman.d/hooks/90-mkinitcpio-install.hook)" != /dev/null ]; then
				cp /usr/lib/modules/` + version + `/vmlinuz /boot/vmlinuz-linux
				echo initramfs > /boot/initramfs-linux.img; echo initramfs > /boot/initramfs-linux-fallback.img
			fi`,
		"systemd":            systemd + getty + udevd + agetty + networkdUnit + resolvedUnit + timesyncdUnit,
		"systemd-sysvcompat": "usr/sbin/init -> ../lib/systemd/systemd\n",
	}}
}

// suse has the kernel beside its modules, and links to it in /boot. There is no example of it.
func suse() distribution {
	const version = "6.17.8-1-default"
	return distribution{osRelease: `ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"`, manager: "zypper", base: merged + `
		etc/machine-id
		boot/
	`, packages: map[string]string{
		"kernel-default": "usr/lib/modules/" + version + "/vmlinuz @bzImage " + version + `
			boot/vmlinuz-` + version + ` -> ../usr/lib/modules/` + version + `/vmlinuz
			boot/vmlinuz -> vmlinuz-` + version + `
			usr/lib/modules/` + version + `/kernel/drivers/net/virtio_net.ko @module
			#! if [ "${KERNEL_INSTALL_BYPASS:-}" != 1 ]; then echo initramfs > /boot/initrd-` + version + `; fi`,
		"systemd":          systemd + getty + "usr/sbin/init -> ../lib/systemd/systemd\n",
		"systemd-network":  networkdUnit,
		"systemd-resolved": resolvedUnit,
		"udev":             udevd,
		"util-linux":       agetty,
	}}
}

// alpine has OpenRC, and a kernel whose name in /boot has no version. There is an /usr of its own.
func alpine() distribution {
	const version = "6.12.59-0-lts"
	return distribution{osRelease: `ID=alpine\nVERSION_ID=3.23.0`, manager: "apk", base: `
		!bin/busybox #!/bin/sh
		bin/sh -> busybox
		!lib/ld-musl-x86_64.so.1 linker
		etc/network/
		boot/
		root/
		etc/inittab ::sysinit:/sbin/openrc sysinit\n#ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
	`, packages: map[string]string{
		"alpine-base":         openrc,
		"dhcpcd":              "etc/init.d/dhcpcd x",
		"linux-firmware-none": none,
		"linux-lts": "boot/vmlinuz-lts @bzImage " + version + `
			lib/modules/` + version + `/kernel/drivers/net/virtio_net.ko @module
			#! if ! grep -qs '^disable_trigger=yes' /etc/mkinitfs/mkinitfs.conf; then
				echo initramfs > /boot/initramfs-lts
			fi`,
		"openrc": openrc,
	}}
}

// openrc is OpenRC with busybox as the init.
const openrc = `
	!sbin/openrc openrc
	sbin/init -> /bin/busybox
	etc/runlevels/boot/
	etc/runlevels/default/
	etc/init.d/networking x
`

// bootc is an image as bootc wants it: all in /usr, and the kernel's arguments in files.
func bootc() distribution {
	d := redHats(`ID=fedora\nVARIANT_ID=bootc`, "6.17.8-300.fc43.x86_64", "@bzImage")
	d.base = strings.ReplaceAll(d.base, fedoraMasks, "") + `
		usr/lib/bootc/kargs.d/10-console.toml kargs = ["console=ttyS0"]
	`
	return d
}
