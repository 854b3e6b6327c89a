package audit

import "gitlab.com/wyrcan/wyrcan/pkg/bundle"

// Mend returns the lines that mend what package bundle warns of, and what is said about drivers, by the kind.
func (v *View) Mend(id string) string {
	f := v.family
	switch id {
	case bundle.InitrdRelease:
		return "RUN rm -f /etc/initrd-release"
	case bundle.MachineID:
		return "# In the last RUN:\nRUN rm -f /var/lib/dbus/machine-id && : > /etc/machine-id"
	case bundle.ModulesElsewhere:
		return "RUN mkdir -p /lib && ln -s ../usr/lib/modules /lib/modules"
	case bundle.NoModules, EmptyModules, DamagedModules:
		return f.kernel()
	case bundle.RootIsRamfs:
		return "# Remove root= and rootfstype= from /boot/wyrcan.cmdline, from kargs.d and from wyr.arg.\n" +
			"RUN sed -i 's/\\broot\\(fstype\\)\\?=[^ ]*//g' /boot/wyrcan.cmdline"
	case bundle.KernelPassedOver:
		return "# Say which kernel is to boot:\nRUN ln -sf /boot/vmlinuz-VERSION /boot/wyrcan.kernel"
	case bundle.WyrinitPath:
		return "RUN rm -rf /.wyrcan"
	case bundle.AttributesLost:
		return "# Build wyrcan with wyrinit (make), or boot without wyr.root=initramfs."
	case bundle.RootUnpacked:
		return "# Install a kernel that can mount it, with its modules, or boot with wyr.root=tmpfs."
	case bundle.RootUnchecked:
		return "# Install a kernel with dm-verity, with its modules."
	case bundle.Microcode:
		return f.install(f.microcode()...)
	}
	return ""
}

// kernel returns the line that installs a kernel with its modules.
func (f family) kernel() string {
	switch {
	case f == debian:
		return f.install(`"linux-image-$(dpkg --print-architecture)"`)
	case f == ubuntu:
		return f.install("linux-image-generic")
	case f.dnf():
		return f.install("kernel-core", "kernel-modules", "kernel-modules-core")
	case f == arch:
		return f.install("linux")
	case f == suse:
		return f.install("kernel-default")
	case f == alpine:
		return f.install("linux-lts")
	}
	return "# Install the kernel's modules in /lib/modules/VERSION."
}

// microcode returns the packages with microcode.
func (f family) microcode() []string {
	switch {
	case f.apt():
		return []string{"amd64-microcode", "intel-microcode"}
	case f.dnf():
		return []string{"amd-ucode-firmware", "microcode_ctl"}
	case f == arch, f == alpine:
		return []string{"amd-ucode", "intel-ucode"}
	case f == suse:
		return []string{"ucode-amd", "ucode-intel"}
	}
	return []string{"the microcode again"}
}
