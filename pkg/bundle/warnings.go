package bundle

import (
	"context"
	"fmt"
	"strings"
)

// Warning says what will not work as the image's maker may expect.
type Warning struct {
	ID   string // of its kind, for programs
	Text string // a sentence, with the consequence
}

// The kinds of warnings.
const (
	KernelPassedOver = "kernel-passed-over"
	InitrdRelease    = "initrd-release"
	RootIsRamfs      = "ramfs-root"
	ModulesElsewhere = "modules-elsewhere"
	NoModules        = "no-modules"
	MachineID        = "machine-id"
	AttributesLost   = "attributes-lost"
	WyrinitPath      = "wyrinit-path"
	RootUnpacked     = "root-unpacked"
	RootUnchecked    = "root-unchecked"
	Microcode        = "microcode"
)

// warnings returns what will not work as the image's maker may expect. It decides nothing.
func (p *Plan) warnings(ctx context.Context) []Warning {
	var all []Warning
	say := func(id, format string, args ...any) { all = append(all, Warning{id, fmt.Sprintf(format, args...)}) }
	if p.passed != "" {
		say(KernelPassedOver, "%s", p.passed)
	}
	// systemd believes that it runs in an initrd, waits for a root to switch to, and ends in its emergency mode.
	if p.exists("/etc/initrd-release") && !has(p.cmdline, "SYSTEMD_IN_INITRD") {
		say(InitrdRelease, "the image has /etc/initrd-release, so its systemd believes that it runs in an initrd "+
			"and ends in emergency mode: remove that file, or add wyr.arg=SYSTEMD_IN_INITRD=0")
	}
	if usesRamfs(p.cmdline) && !p.Root.IsImage() {
		say(RootIsRamfs, "root= or rootfstype= is on the container kernel's command line, so / is a ramfs: "+
			"without a size limit, without extended attributes, never swapped")
	}
	switch v := p.Kernel.Version; {
	case v == "" || p.exists("/lib/modules/"+v):
	case p.exists("/usr/lib/modules/" + v):
		say(ModulesElsewhere, "the image has its modules in /usr/lib/modules/%s, and programs look for them in "+
			"/lib/modules: make /lib a link to usr/lib, or /lib/modules one to ../usr/lib/modules", v)
	default:
		say(NoModules, "the image has no /lib/modules/%s, so its kernel %s has only the drivers that are built in", v, v)
	}
	// systemd uses the D-Bus id if /etc/machine-id is empty: machine-id-setup(1).
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if id, err := p.read(ctx, path, 64); err == nil && len(strings.TrimSpace(string(id))) == 32 {
			say(MachineID, "the image has an id in %s, so DHCP servers and journals take all machines that boot it "+
				"for the same one: make that file empty", path)
			break
		}
	}
	switch {
	case p.opt.Wyrinit == nil:
		if n := p.Stat.Xattrs; n > 0 {
			say(AttributesLost, "%d files lose their extended attributes (file capabilities among them), "+
				"because nothing restores them", n)
		}
	case !p.wyrinit:
		say(WyrinitPath, "the image has %s, which wyrinit needs for itself: it boots without wyrinit, "+
			"so extended attributes are lost and pivot_root fails", p.taken())
	}
	return all
}

func (p *Plan) exists(path string) bool {
	_, err := p.tree.Lookup(path)
	return err == nil
}
