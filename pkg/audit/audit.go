// Package audit finds what is wrong with an image that boots: what all its machines would share and must not, what a
// booted system will miss, and what takes memory without any use. A rule is a function that looks at the tree and
// returns a finding or nothing. A false alarm is worse than silence, so a rule that cannot know says nothing.
package audit

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Finding is one thing that is wrong with an image.
type Finding struct {
	ID   string `json:"id"`   // of its kind: one of the constants here, or of package bundle
	Text string `json:"text"` // a sentence with the consequence
	Mend string `json:"mend"` // lines for the image's Containerfile that mend it
}

// The kinds of findings.
const (
	ResolvConf     = "resolv-conf"
	Hosts          = "hosts"
	HostKeys       = "ssh-host-keys"
	NoHostKeys     = "ssh-no-host-keys"
	RandomSeed     = "random-seed"
	BootFiles      = "initramfs"
	OtherKernels   = "other-kernels"
	PackageCaches  = "package-caches"
	NoNetwork      = "no-network"
	NoUdev         = "no-udev"
	Masked         = "masked-units"
	NoGetty        = "no-getty"
	SELinux        = "selinux"
	Fstab          = "fstab"
	DockerEnv      = "dockerenv"
	EmptyModules   = "empty-modules"
	DamagedModules = "damaged-modules"
	NICFirmware    = "nic-firmware"
)

// Image is an image that boots, and what of it does.
type Image struct {
	Tree    *rootfs.Tree
	Kernel  string // the path of the kernel's file, all links followed
	Version string // of the kernel; "" if it is unknown
	Init    string // the path of the init, all links followed
	Cmdline string
}

// rules are all rules, in the order of the report.
var rules = []func(*View) *Finding{
	noUdev, masked, noNetwork, resolvConf, hosts, noGetty, selinux, fstab, dockerEnv,
	hostKeys, noHostKeys, randomSeed,
	bootFiles, otherKernels, packageCaches,
}

// Findings returns what is wrong with the image.
func (v *View) Findings() ([]Finding, error) {
	var all []Finding
	for _, rule := range rules {
		f := rule(v)
		if err := errors.Join(v.ctx.Err(), v.err); err != nil {
			return nil, err
		}
		if f != nil {
			all = append(all, *f)
		}
	}
	return all, nil
}

// View is an image with what several rules ask for.
type View struct {
	Image
	ctx    context.Context
	err    error // of reading a file's content, which is no fact about the image
	family family
	// distribution says that the image has an os-release(5): it is no mere program with an init.
	distribution bool
	units        unitSet
	read         int64          // bytes of texts
	files        []*rootfs.Node // regular files that may be of no use, each once
}

// Look prepares an image for the rules.
func Look(ctx context.Context, img Image) (*View, error) {
	v := &View{Image: img, ctx: ctx}
	for _, file := range []string{"/etc/os-release", "/usr/lib/os-release"} { // os-release(5)
		if text := v.text(file); text != "" {
			v.family, v.distribution = familyOf(text), true
			break
		}
	}
	v.units = readUnits(v)
	return v, errors.Join(v.err, v.gather())
}

// systemd reports whether systemd is the init.
func (v *View) systemd() bool { return path.Base(v.Init) == "systemd" }

// exists reports whether a path leads to something in the image.
func (v *View) exists(path string) bool {
	_, err := v.Tree.Lookup(path)
	return err == nil
}

// anyOf reports whether one of these paths leads to something in the image.
func (v *View) anyOf(paths ...string) bool {
	for _, p := range paths {
		if v.exists(p) {
			return true
		}
	}
	return false
}

// names returns the names in a directory, none if there is no such directory.
func (v *View) names(dir string) []string {
	names, _ := v.Tree.Names(dir)
	return names
}

// maxText is how much is read of a file with settings: no file has more that a person has written. maxTexts is how much
// is read of all of them together.
const maxText, maxTexts = 256 << 10, 64 << 20

// text returns the beginning of a file with settings, and "" if there is no such file.
func (v *View) text(path string) string {
	n, err := v.Tree.Lookup(path)
	if err != nil || !n.Regular() {
		return ""
	}
	return v.content(n)
}

func (v *View) content(n *rootfs.Node) string {
	r, err := v.Tree.Open(v.ctx, n)
	if err != nil {
		v.err = errors.Join(v.err, err)
		return ""
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, min(maxText, maxTexts-v.read)))
	if err != nil {
		v.err = errors.Join(v.err, err)
	}
	v.read += int64(len(b))
	return string(b)
}

// target returns where a symbolic link leads, as an absolute path, and whether the path is one.
func (v *View) target(link string) (string, bool) {
	n, err := v.Tree.Lstat(link)
	if err != nil || !n.Symlink() {
		return "", false
	}
	return absolute(link, n.Target), true
}

// absolute returns where a link at a path leads.
func absolute(link, target string) string {
	if !path.IsAbs(target) {
		target = path.Join(path.Dir(link), target)
	}
	return path.Clean("/" + target)
}

// missing reports whether nothing is at a path, not even a link that leads nowhere.
func (v *View) missing(path string) bool {
	_, err := v.Tree.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// argument returns the value of an argument of the kernel, the last one, and whether it is there.
func (v *View) argument(name string) (value string, ok bool) {
	for _, word := range strings.Fields(v.Cmdline) {
		if n, val, _ := strings.Cut(word, "="); n == name {
			value, ok = val, true
		}
	}
	return value, ok
}
