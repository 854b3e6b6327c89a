package audit

import (
	"slices"
	"strings"
)

// selinux looks for a policy that the system would load and enforce while no file has a label, since images seldom
// carry
// them: then the policy refuses nearly everything.
func selinux(v *View) *Finding {
	if !v.systemd() || !v.hasSELinux() {
		return nil
	}
	mode, kind := selinuxMode(v.text("/etc/selinux/config"))
	if value, ok := v.argument("enforcing"); ok {
		mode = map[string]string{"0": "permissive", "1": "enforcing"}[value]
	}
	if mode != "enforcing" || !slices.ContainsFunc(v.names("/etc/selinux/"+kind+"/policy"), func(name string) bool {
		return strings.HasPrefix(name, "policy.")
	}) {
		return nil
	}
	if n, err := v.Tree.Lookup(v.Init); err != nil || n.Xattrs["security.selinux"] != "" {
		return nil
	}
	return &Finding{SELinux, "/etc/selinux/config says enforcing, and the files of the image have no labels, so the " +
		"policy refuses nearly everything and the system does not start", "RUN echo selinux=0 >> /boot/wyrcan.cmdline"}
}

// hasSELinux reports whether the kernel uses SELinux with this command line: security/selinux/hooks.c and
// security/security.c.
func (v *View) hasSELinux() bool {
	if value, ok := v.argument("selinux"); ok && value == "0" {
		return false
	}
	if value, ok := v.argument("lsm"); ok {
		return strings.Contains(value, "selinux")
	}
	if value, ok := v.argument("security"); ok {
		return value == "selinux"
	}
	for _, file := range []string{"/usr/lib/modules/" + v.Version + "/config", "/boot/config-" + v.Version} {
		if text := v.text(file); v.Version != "" && text != "" {
			return strings.Contains(assignments(text)["CONFIG_LSM"], "selinux")
		}
	}
	return v.family.dnf()
}

// selinuxMode returns SELINUX and SELINUXTYPE of a selinux_config(5).
func selinuxMode(text string) (mode, kind string) {
	values := assignments(text)
	mode, kind = strings.ToLower(values["SELINUX"]), values["SELINUXTYPE"]
	if kind == "" || strings.Contains(kind, "/") {
		kind = "targeted"
	}
	return mode, kind
}
