package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/modules"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/versions"
)

// Root is what the booted container has as its root, by the values of wyr.root.
type Root string

// The forms of a root.
const (
	// Initramfs is the kernel's first root, into which it has unpacked the files. Without wyrinit it is left as it is.
	Initramfs Root = "initramfs"
	// Tmpfs is the same as a mount of its own, which wyrinit has completed.
	Tmpfs Root = "tmpfs"
	// SquashFS is an image of the files, which stays compressed in memory, with a tmpfs over it for what is written.
	SquashFS Root = "squashfs"
	// EROFS is an image of the files that is not compressed, and that the kernel uses where kexec has left it.
	EROFS Root = "erofs"
)

// part is a part of the kernel: its module, and the option that builds it in.
type part struct{ module, option string }

// What a kernel needs, besides the file system, to mount an image with a tmpfs over it; for the image in a file; for an
// image that was left in memory: package pram.
var (
	overlay  = part{"overlay", "CONFIG_OVERLAY_FS"}
	attached = []part{{"loop", "CONFIG_BLK_DEV_LOOP"}}
	inPlace  = []part{{"nd_pmem", "CONFIG_BLK_DEV_PMEM"}, {"nd_e820", "CONFIG_X86_PMEM_LEGACY"}}
)

// features are options without which such a root would lack something: attributes of files, devices.
var features = []string{"CONFIG_TMPFS_XATTR", "CONFIG_DEVTMPFS"}

// oldest is the first version of Linux whose overlay has all options that wyrinit uses.
const oldest = "4.17"

// findRoot decides about the form of the root. What was asked for and cannot be is a warning: the container boots with
// its files in memory, if they fit.
func (p *Plan) findRoot(ctx context.Context) error {
	p.Root = Tmpfs
	if !p.wyrinit {
		p.Root = Initramfs
	}
	forms := p.wanted()
	if !forms[0].IsImage() {
		return nil
	}
	config, err := p.config(ctx)
	if err != nil {
		return err
	}
	var first error
	for _, root := range forms {
		if !root.IsImage() {
			break
		}
		m, why := p.mount(ctx, root, config)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if why == nil {
			p.Root, p.mounts = root, m
			return nil
		}
		first = cmp.Or(first, why)
	}
	p.unmounted = first
	text := fmt.Sprintf("the root cannot be %s image (wyr.root=%s), so its files are unpacked into memory: %v",
		a(forms[0].Name()), forms[0], first)
	if p.opt.Root == Auto {
		p.Why = "the kernel cannot mount an image of them"
		text = fmt.Sprintf("the root cannot be %s image, so its files are unpacked into memory, of which they leave less "+
			"than half free: %v", a(forms[0].Name()), first)
	}
	p.Warnings = append(p.Warnings, Warning{RootUnpacked, text})
	return nil
}

// mounts is how the kernel mounts an image as the root.
type mounts struct {
	place   handover.Place
	modules []modules.Module
	file    []modules.Module // for the image in a file, if it is in memory
	other   error            // why it cannot be in a file; nil if it is, or can be
}

// mount finds out how the kernel mounts such a root. Its error says why the kernel cannot.
func (p *Plan) mount(ctx context.Context, root Root, config map[string]string) (m mounts, err error) {
	if err := p.unmountable(root, config); err != nil {
		return m, err
	}
	fs := filesystems[root]
	if err := p.unfit(ctx, fs); err != nil {
		return m, err
	}
	mount := []part{fs.part, overlay}
	no := errNotLeft
	if p.opt.InPlace {
		m.place = handover.InMemory
		m.modules, no = p.find(ctx, config, slices.Concat(inPlace, mount))
	}
	if no != nil && fs.inPlace {
		return m, no
	}
	file, err := p.find(ctx, config, slices.Concat(attached, mount))
	if no == nil {
		m.file, m.other = file, err
		return m, nil
	}
	return mounts{place: handover.InFile, modules: file}, err
}

// tooLarge adds to the error about unpacked files that the memory is too little for why they are unpacked.
func (p *Plan) tooLarge(err error) error {
	if p.unmounted == nil {
		return err
	}
	return fmt.Errorf("%w; its kernel cannot keep the files packed: %w", err, p.unmounted)
}

// a returns a name behind its article.
func a(name string) string {
	if strings.ContainsRune("AEIOU", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// unmountable returns why the root cannot be an image with a tmpfs over it, as far as the kernel's version and
// configuration tell; nil if they do not. config is nil if the image does not have it.
func (p *Plan) unmountable(root Root, config map[string]string) error {
	fs := filesystems[root]
	oldest := oldest
	if fs.oldest != "" {
		oldest = fs.oldest
	}
	switch v := p.Kernel.Version; {
	case !p.wyrinit:
		return errors.New("wyrinit, which mounts it, has no place in this container")
	case v == "":
		return errors.New("the kernel does not say its version")
	case versions.Compare(v, oldest) < 0:
		return fmt.Errorf("the kernel %s is older than %s", v, oldest)
	}
	for _, option := range slices.Concat(fs.features, features) {
		if config != nil && config[option] != "y" {
			return fmt.Errorf("the kernel %s was built without %s", p.Kernel.Version, option)
		}
	}
	return nil
}

// unfit returns why the files cannot be in such an image below an overlay. It names the first that means something to
// an overlay, and would be gone: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
func (p *Plan) unfit(ctx context.Context, fs filesystem) error {
	owners := map[uint32]struct{}{}
	for n, err := range p.tree.All(ctx) {
		if err != nil {
			return err
		}
		if n.Mode&unix.S_IFMT == unix.S_IFCHR && n.Major == 0 && n.Minor == 0 || forOverlay(n) {
			return fmt.Errorf("%s is a part of an overlay itself, which cannot be in another one", rootfs.Quote(n.Path))
		}
		if err := rootfs.Mountable(n); err != nil {
			return err
		}
		if fs.owners == 0 {
			continue
		}
		if owners[n.UID], owners[n.GID] = struct{}{}, struct{}{}; len(owners) > fs.owners {
			return fmt.Errorf("its files have more than %d owners and groups, and such an image holds no more", fs.owners)
		}
	}
	return nil
}

// forOverlay reports whether a file has an attribute by which an overlay treats it as another one.
func forOverlay(n *rootfs.Node) bool {
	for name := range n.Xattrs {
		if strings.HasPrefix(name, "trusted.overlay.") {
			return true
		}
	}
	return false
}

// errNotLeft is why an image that is not compressed is not made.
var errNotLeft = errors.New("it would have to stay in memory where the running kernel puts it, and only kexec_load on " +
	"amd64 does that: in the initrd it would be in memory twice")

// find finds the modules of parts that are not built into the kernel.
func (p *Plan) find(ctx context.Context, config map[string]string, parts []part) ([]modules.Module, error) {
	var names []string
	for _, part := range parts {
		if config[part.option] != "y" {
			names = append(names, part.module)
		}
	}
	for _, dir := range []string{"/usr/lib/modules", "/lib/modules"} {
		dir = path.Join(dir, p.Kernel.Version)
		if _, err := p.from.Lookup(dir); err != nil {
			continue
		}
		found, err := modules.Find(reader{ctx, p.from}, dir, names...)
		if missing := new(modules.Missing); errors.As(err, &missing) {
			err = fmt.Errorf("the kernel %s has no module %s, neither built in nor in %s of the image",
				p.Kernel.Version, missing.Name, dir)
		}
		return found, err
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("the image has no modules for its kernel %s, and so not %s", p.Kernel.Version,
			strings.Join(names, ", "))
	}
	return nil, nil
}
