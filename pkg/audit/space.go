package audit

import (
	"path"
	"slices"
	"strings"
	"unicode"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// The rules about what takes memory on every machine, and is of no use there.

// useless are the directories where such files are.
var useless = []string{
	"/boot", "/efi", "/usr/lib/modules", "/lib/modules",
	"/var/lib/apt/lists", "/var/cache/apt", "/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum",
	"/var/cache/pacman/pkg", "/var/lib/pacman/sync", "/var/cache/apk", "/etc/apk/cache", "/var/cache/zypp",
}

// gather lists the regular files that may be of no use.
func (v *View) gather() error {
	var prefixes []string
	for _, dir := range useless {
		if n, err := v.Tree.Lookup(dir); err == nil && n.Dir() && n.Path != "." {
			prefixes = append(prefixes, n.Path+"/")
		}
	}
	seen := map[rootfs.Identity]bool{}
	for n, err := range v.Tree.All(v.ctx) {
		if err != nil {
			return err
		}
		at := strings.Contains(n.Path, "/") && slices.ContainsFunc(prefixes, func(p string) bool {
			return strings.HasPrefix(n.Path, p)
		})
		if (at || path.Dir(n.Path) == ".") && n.Regular() && n.Size > 0 && !seen[n.Identity()] {
			seen[n.Identity()] = true
			v.files = append(v.files, n)
		}
	}
	return nil
}

// below returns the files in a directory and below it that match, and their paths in it.
func (v *View) below(dir string, match func(rest string) bool) []*rootfs.Node {
	prefix := ""
	if dir != "/" {
		n, err := v.Tree.Lookup(dir)
		if err != nil || !n.Dir() {
			return nil
		}
		prefix = n.Path + "/"
	}
	var all []*rootfs.Node
	for _, n := range v.files {
		if rest, ok := strings.CutPrefix(n.Path, prefix); ok && match(rest) {
			all = append(all, n)
		}
	}
	return all
}

// matching returns a function that reports whether a path matches one of the patterns.
func matching(patterns ...string) func(string) bool {
	return func(rest string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			ok, err := path.Match(p, rest)
			return ok && err == nil
		})
	}
}

// unique leaves each file out that is in the list already, and the kernel that boots.
func (v *View) unique(nodes []*rootfs.Node) (all []*rootfs.Node, size int64) {
	seen := map[rootfs.Identity]bool{}
	if k, err := v.Tree.Lookup(v.Kernel); err == nil {
		seen[k.Identity()] = true
	}
	for _, n := range nodes {
		if !seen[n.Identity()] {
			seen[n.Identity()] = true
			all, size = append(all, n), size+n.Size
		}
	}
	return all, size
}

// crashes reports whether the kernel keeps memory for another one, which needs an initramfs of its own.
func (v *View) crashes() bool {
	_, ok := v.argument("crashkernel")
	return ok
}

func bootFiles(v *View) *Finding {
	nodes := v.below("/boot", matching("initrd", "initrd.img*", "initrd-*", "initramfs*", "*/*/initrd*"))
	nodes = append(nodes, v.below("/efi", matching("*/*/initrd*"))...)
	nodes = append(nodes, v.below("/", matching("initrd", "initrd.img*", "initramfs*"))...)
	for _, dir := range []string{"/usr/lib/modules", "/lib/modules"} {
		nodes = append(nodes, v.below(dir, matching("*/initrd", "*/initrd.img*", "*/initramfs*"))...)
	}
	nodes = slices.DeleteFunc(nodes, func(n *rootfs.Node) bool {
		return v.crashes() && strings.Contains(path.Base(n.Path), "kdump")
	})
	loader := v.below("/boot", func(rest string) bool { return strings.HasPrefix(rest, "loader/") })
	all, size := v.unique(append(nodes, loader...))
	if len(all) == 0 {
		return nil
	}
	what, _ := v.unique(nodes)
	var names []string
	for _, n := range what {
		names = append(names, "/"+n.Path)
	}
	if len(loader) > 0 {
		names = append(names, "/boot/loader")
	}
	return &Finding{BootFiles, units.Bytes(size) + " you could drop: Wyrcan uses neither an initramfs nor the entries " +
		"of a boot loader (" + some(names) + ")", v.family.noInitramfs()}
}

// noInitramfs returns the lines that keep an initramfs from being built.
func (f family) noInitramfs() string {
	const remove = "rm -rf /boot/initrd* /initrd.img* /boot/initramfs* /boot/loader /usr/lib/modules/*/initr*"
	switch {
	case f.apt():
		return "# Before the RUN that installs the kernel:\nENV INITRD=No\n# At the end of that RUN:\nRUN " + remove
	case f.dnf(), f == suse:
		return "# Before the RUN that installs the kernel:\nENV KERNEL_INSTALL_BYPASS=1\n# At the end of that RUN:\nRUN " +
			remove
	case f == arch:
		return "# Before the RUN that installs the kernel:\nRUN mkdir -p /etc/pacman.d/hooks \\\n" +
			" && ln -s /dev/null /etc/pacman.d/hooks/90-mkinitcpio-install.hook\n# At the end of that RUN:\nRUN " + remove
	}
	return "# At the end of the RUN that installs the kernel:\nRUN " + remove
}

// kernelFiles are where kernels are, in /boot.
var kernelFiles = matching("vmlinuz*", "vmlinux-*", "Image", "Image-*", "Image.gz*", "bzImage*", "EFI/Linux/*.efi",
	"*/*/linux")

// maxOthers is how many kernels are counted.
const maxOthers = 16

func otherKernels(v *View) *Finding {
	if v.Version == "" {
		return nil
	}
	ofThis := func(rest string) bool { return strings.Contains(rest, v.Version) }
	nodes := v.below("/boot", func(rest string) bool { return kernelFiles(rest) && !(v.crashes() && ofThis(rest)) })
	nodes = append(nodes, v.below("/", matching("vmlinuz*"))...)
	var names []string
	named, _ := v.unique(nodes)
	for _, n := range named {
		names = append(names, "/"+n.Path)
	}
	for _, dir := range []string{"/usr/lib/modules", "/lib/modules"} {
		if t, err := v.Tree.Lookup(dir); err != nil || "/"+t.Path != dir {
			continue // the same directory
		}
		others := 0
		for _, version := range v.names(dir) {
			// What has no modules of a kernel's own build may hold those of others, for all versions.
			if version == v.Version || !v.exists(dir+"/"+version+"/kernel") || others == maxOthers {
				continue
			}
			others++
			nodes = append(nodes, v.below(dir+"/"+version, func(string) bool { return true })...)
			names = append(names, dir+"/"+version)
		}
		own := v.below(dir+"/"+v.Version, matching("vmlinuz", "Image", "Image.gz", "*.efi"))
		own, _ = v.unique(own)
		if !v.crashes() {
			nodes = append(nodes, own...)
			for _, n := range own {
				names = append(names, "/"+n.Path)
			}
		}
	}
	all, size := v.unique(nodes)
	if len(all) == 0 {
		return nil
	}
	return &Finding{OtherKernels, units.Bytes(size) + " you could drop: the machine boots /" + v.Kernel + " (" +
		v.Version + "), and the image has more kernels than that (" + some(names) + ")",
		"# In the RUN that installs the kernel, so that no layer has them:\nRUN rm -rf " + quoted(names)}
}

// quoted returns paths as words for a shell. Those with control characters are left out.
func quoted(paths []string) string {
	var words []string
	for _, p := range paths {
		if strings.ContainsFunc(p, unicode.IsControl) {
			continue
		}
		const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+~-"
		if strings.Trim(p, harmless) != "" {
			p = "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
		}
		words = append(words, p)
	}
	return strings.Join(words, " ")
}

func packageCaches(v *View) *Finding {
	var what []string
	var all []*rootfs.Node
	for _, dir := range useless[4:] {
		found := v.below(dir, func(rest string) bool { return !housekeeping(path.Base(rest)) })
		found, size := v.unique(found)
		if len(found) > 0 {
			what = append(what, dir+": "+units.Bytes(size))
			all = append(all, found...)
		}
	}
	all, size := v.unique(all)
	if len(all) == 0 {
		return nil
	}
	return &Finding{PackageCaches, units.Bytes(size) + " you could drop: lists and packages that were downloaded for " +
		"the build (" + strings.Join(what, "; ") + ")", v.family.clean()}
}

// housekeeping reports whether a package manager leaves a file of that name when it has cleaned up.
func housekeeping(name string) bool {
	return matching("lock", "*.lock", "*_lock.pid", "*.pid", "*.json", "last_makecache", "CACHEDIR.TAG", ".keep")(name)
}

// clean returns the lines that remove what package managers download.
func (f family) clean() string {
	const first = "# At the end of each RUN that installs something, so that no layer has them:\nRUN "
	switch {
	case f.apt():
		return first + "apt-get clean && rm -rf /var/lib/apt/lists/*"
	case f.dnf():
		return first + "dnf clean all && rm -rf /var/cache/*dnf* /var/cache/yum"
	case f == arch:
		return first + "rm -rf /var/cache/pacman/pkg/* /var/lib/pacman/sync/*"
	case f == suse:
		return first + "zypper clean --all && rm -rf /var/cache/zypp/*"
	case f == alpine:
		return first + "rm -rf /var/cache/apk/*"
	}
	return first + "rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/*dnf* /var/cache/yum /var/cache/zypp/* \\\n" +
		"      /var/cache/pacman/pkg/* /var/lib/pacman/sync/* /var/cache/apk/*"
}
