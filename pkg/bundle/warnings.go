package bundle

import (
	"context"
	"fmt"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
)

// warnings returns a sentence for each thing that will not work as the image's maker may expect, with its consequence.
// It decides nothing.
func (p *Plan) warnings(ctx context.Context) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if p.passed != "" {
		say("%s", p.passed)
	}
	// systemd believes that it runs in an initrd, waits for a root to switch to, and ends in its emergency mode.
	if p.exists("/etc/initrd-release") && !has(p.cmdline, "SYSTEMD_IN_INITRD") {
		say("the image has /etc/initrd-release, so its systemd believes that it runs in an initrd " +
			"and ends in emergency mode: remove that file, or add wyr.arg=SYSTEMD_IN_INITRD=0")
	}
	if usesRamfs(p.cmdline) && p.Root != SquashFS {
		say("root= or rootfstype= is on the container kernel's command line, so / is a ramfs: " +
			"without a size limit, without extended attributes, never swapped")
	}
	switch v := p.Kernel.Version; {
	case v == "" || p.exists("/lib/modules/"+v):
	case p.exists("/usr/lib/modules/" + v):
		say("the image has its modules in /usr/lib/modules/%s, and programs look for them in /lib/modules: "+
			"make /lib a link to usr/lib, or /lib/modules one to ../usr/lib/modules", v)
	default:
		say("the image has no /lib/modules/%s, so its kernel %s has only the drivers that are built in", v, v)
	}
	// systemd uses the D-Bus id if /etc/machine-id is empty: machine-id-setup(1).
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if id, err := p.read(ctx, path, 64); err == nil && len(strings.TrimSpace(string(id))) == 32 {
			say("the image has an id in %s, so DHCP servers and journals take all machines that boot it "+
				"for the same one: make that file empty", path)
			break
		}
	}
	switch {
	case p.opt.Wyrinit == nil:
		if n := p.Stat.Xattrs; n > 0 {
			say("%d files lose their extended attributes (file capabilities among them), "+
				"because nothing restores them", n)
		}
	case !p.wyrinit:
		say("the image has %s, which wyrinit needs for itself: it boots without wyrinit, "+
			"so extended attributes are lost and pivot_root fails", handover.Dir)
	}
	return all
}

func (p *Plan) exists(path string) bool {
	_, err := p.tree.Lookup(path)
	return err == nil
}
