// Package bundle turns a container's tree into what kexec needs: the kernel that is inside it, everything else as an
// initramfs, and a command line. It decides what a bootable container is, how its initramfs is packed, and whether the
// memory is enough (Budget and Room); it loads nothing.
package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/microcode"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// The paths of a bootable container's kernel, of its init, and of the arguments that its kernel always needs.
const (
	KernelPath  = "/boot/wyrcan.kernel"
	InitPath    = "/init"
	CmdlinePath = "/boot/wyrcan.cmdline"
)

// Options say what the bundle is made for.
type Options struct {
	Args    []string // for the container's kernel, after those in the image
	Wyrinit []byte   // the program that takes the place of /init at first; nil leaves it out
	Room    Room     // the memory of the machine that will boot; zero if unknown, which refuses nothing
	Arch    string   // of that machine, as GOARCH names it; "" is this machine's

	// Kernel and Init are the paths of the kernel and of the init in the tree: wyr.kernel, wyr.init. With "" they are
	// KernelPath and InitPath or, where the image has nothing there, what is found.
	Kernel, Init string

	// Microcode says for which processors the image's microcode goes first in the initrd; the zero value is for none.
	Microcode microcode.Wanted
	// KeepKernel leaves the kernel's file in the root, where it is in the image.
	KeepKernel bool

	// Single makes the initrd one archive, which programs other than Linux can read to its end too. Microcode is another
	// archive before it.
	Single bool

	// Root is the form of the root. With Auto the memory and the container decide, and Repack makes what packs contents
	// that wait in another form than theirs. With any other, Packer decides.
	Root   Root
	Repack func(Root) (Packer, error)
	// Packer, if set, is what has packed the contents of the tree. Then the root is an image of them, if the container's
	// kernel can mount that. A kernel that cannot is a warning.
	Packer Packer
	// InPlace says that whoever loads the bundle can leave that image in memory beside the initrd: kexec.LoadImage. It
	// does so if the container's kernel can use it there.
	InPlace bool
	// Verity says whether the container's kernel checks that image while it reads it.
	Verity Verity

	// Record, if set, returns the record that wyrinit leaves in the booted system: see package record. Make calls it when
	// everything else of the bundle is complete. nil leaves the record out, as Single does and as a container without
	// wyrinit does.
	Record func(*Bundle) []byte

	// Grow is called by Inspect and Make for each MiB or so that they need, and says whether they may go on; nil always
	// says yes. Make returns its error.
	Grow func() error
}

func (o *Options) arch() string { return cmp.Or(o.Arch, runtime.GOARCH) }

// Plan is what a bundle will be, as the tree alone tells.
type Plan struct {
	Kernel   *kernel.Kernel
	File     string // the kernel's path in the tree, all links followed
	Init     string // the same for the init
	Chosen   string // which kernel and init were chosen and why, a sentence; "" if the image says it itself
	Root     Root
	Why      string // Auto has chosen this root, a part of a sentence behind "because"; "" if it was asked for
	Packing  initrd.Compression
	Warnings []Warning
	Stat     rootfs.Stat

	opt     Options
	tree    *rootfs.Tree
	from    *rootfs.Tree // where the kernel is looked for: in the tree, or in the image under it that brings one
	start   string       // the path by which the init is started
	passed  string       // which kernels cannot be used, a sentence
	node    *rootfs.Node // the kernel's
	there   bool         // the tree has it at File
	image   *os.File     // the part of it that kexec loads
	cmdline string       // without what depends on the size of the initrd
	wyrinit bool         // it takes the place of /init
	early   []byte       // the archive with microcode
	split   map[string]string
	joins   []handover.Join
	plain   int64 // for initrd.Options

	mounts                      // how the kernel gets the root, if that is an image
	list      handover.Manifest // for wyrinit, then
	packed    *rootfs.Stat      // of an initrd that is not the root itself, once it is laid out
	beside    *os.File          // the image of the root if it is not in the initrd
	unmounted error             // why the root is not the image that it was to be

	checked  bool   // the kernel checks the image of the root
	rootHash string // of its hash tree, once that is made
}

// Bundle is what kexec needs.
type Bundle struct {
	Kernel, Initrd *os.File // without names, in memory
	Image          *os.File // of the root, to be left in memory; nil if it is in the initrd
	Cmdline        string
	Version        string // of the kernel
	Root           Root
	RootHash       string // of the image, in hexadecimal, if the kernel checks it
	Packing        initrd.Compression
	Size           int64 // of the initrd in bytes
	Beside         int64 // of the image in bytes, 0 if it is in the initrd
	Early          int64 // of the archive with microcode in it, 0 if there is none
	Memory         int64 // the least with which the container boots completely, in bytes

	kernel int64 // its size in bytes
	held   int64 // bytes that the next kernel finds in its memory, with the room that it needs for itself

	plan *Plan
}

// Close frees the memory.
func (b *Bundle) Close() error {
	errs := []error{b.Kernel.Close(), b.Initrd.Close()}
	if b.Image != nil {
		errs = append(errs, b.Image.Close())
	}
	return errors.Join(errs...)
}

// Inspect finds out whether the tree is a bootable container, and how to boot it. Its errors tell the maker of the
// image what is missing.
func Inspect(ctx context.Context, tree *rootfs.Tree, opt Options) (_ *Plan, err error) {
	p := &Plan{opt: opt, tree: tree, from: cmp.Or(tree.Under(), tree), Stat: tree.Stat()}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if err := p.findKernel(ctx); err != nil {
		return nil, err
	}
	p.opt.Room = opt.Room.under(p.Kernel.Room)
	if err := p.findInit(ctx); err != nil {
		return nil, err
	}
	p.wyrinit = opt.Wyrinit != nil && p.taken() == ""
	if err := p.findCmdline(ctx); err != nil {
		return nil, err
	}
	p.opt.Room = p.opt.Room.without(p.cmdline)
	if err := p.findRoot(ctx); err != nil {
		return nil, err
	}
	if err := p.findVerity(ctx); err != nil {
		return nil, err
	}
	p.Warnings = append(p.warnings(ctx), p.Warnings...)
	if err := p.findMicrocode(ctx); err != nil {
		return nil, err
	}
	if p.Root.IsImage() {
		return p, nil // how large it will be is known when it is made
	}
	if err := p.findLarge(ctx); err != nil {
		return nil, err
	}
	if err := p.findPacking(ctx); err != nil {
		return nil, err
	}
	// The initrd has at least a fifth of its files' size; Make checks the true size.
	if total, least := p.opt.Room.Total, needs(p.booted(), p.booted().Bytes/5); total != 0 && least > total {
		return nil, p.tooLarge(fmt.Errorf("too little memory: the container needs more than %s to boot (%s of files) "+
			"and the machine has %s; %s",
			units.MiB(least), units.MiB(p.booted().Pages), p.opt.Room.all(), larger))
	}
	return p, nil
}

// findCmdline builds the command line: that of a unified kernel image or of bootc, the container's file, the given
// arguments, and what tells the kernel about the init if wyrinit does not start it.
func (p *Plan) findCmdline(ctx context.Context) error {
	text, err := p.read(ctx, CmdlinePath, 64<<10)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot read %s of the image: %w", CmdlinePath, err)
	}
	own := p.Kernel.Cmdline
	if own == "" {
		if own, err = p.kargs(ctx); err != nil {
			return err
		}
	}
	p.cmdline = join(append([]string{own, fold(string(text))}, p.opt.Args...)...)
	if p.start != InitPath && !p.wyrinit && !has(p.cmdline, "rdinit") {
		p.cmdline = join(p.cmdline, "rdinit="+p.start)
	}
	return fits(p.cmdline, p.Kernel.MaxCmdline)
}

// read returns a small file's content.
func (p *Plan) read(ctx context.Context, path string, most int64) ([]byte, error) {
	return reader{ctx, p.tree}.Read(path, most)
}

// reader reads small files of a tree.
type reader struct {
	ctx  context.Context
	tree *rootfs.Tree
}

// Names returns the names in a directory.
func (r reader) Names(dir string) ([]string, error) { return r.tree.Names(dir) }

// Read returns a small file's content.
func (r reader) Read(path string, most int64) ([]byte, error) {
	node, err := r.tree.Lookup(path)
	if err != nil {
		return nil, err
	}
	if node.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("/%s is not a file", node.Path)
	}
	if node.Size > most {
		return nil, fmt.Errorf("/%s has %d bytes, more than the %d that are sensible", node.Path, node.Size, most)
	}
	f, err := r.tree.Open(r.ctx, node)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Cmdline returns the container kernel's command line for an initrd of the given size on a machine with total bytes of
// memory, 0 if that is unknown. It changes nothing that the image and the arguments say; it adds what the image cannot
// boot without.
func (p *Plan) Cmdline(initrd, total int64) (string, error) {
	line := p.sealed(p.rootHash)
	if p.Root.IsImage() {
		// Nothing boots without that one file. How much memory a small machine needs for itself is an estimate: of
		// 288 MiB the kernel had 239 when it made its root.
		total -= total / 8
	}
	if total != 0 && !underCap(total, p.booted(), initrd) && !has(line, "initramfs_options") && !usesRamfs(line) {
		line = join(line, liftCap)
	}
	return line, fits(line, p.Kernel.MaxCmdline)
}

// usesRamfs reports whether the kernel makes its root a ramfs, which has no size limit: init/do_mounts.c, init_rootfs.
func usesRamfs(line string) bool { return has(line, "root") || has(line, "rootfstype") }

// Make makes the bundle in memory. The bundle takes the plan's kernel over. The tree keeps its names but loses its
// contents: their memory is given back on the way, because the initrd needs it.
func (p *Plan) Make(ctx context.Context) (*Bundle, error) {
	f, err := p.makeInitrd(ctx)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Kernel: p.image, Initrd: f, Image: p.beside, Version: p.Kernel.Version, Root: p.Root, RootHash: p.rootHash,
		Packing: p.Packing, Early: int64(len(p.early)), plan: p}
	if err := p.complete(b); err != nil {
		f.Close()
		return nil, err
	}
	p.image, p.beside = nil, nil
	return b, nil
}

// complete adds what depends on the sizes of the bundle's files.
func (p *Plan) complete(b *Bundle) error {
	err := p.finish(b)
	if err == nil && p.wyrinit && p.opt.Record != nil && !p.opt.Single {
		err = p.leave(b)
	}
	return err
}

// makeInitrd makes the initrd.
func (p *Plan) makeInitrd(ctx context.Context) (*os.File, error) {
	if p.Root.IsImage() {
		return p.squash(ctx)
	}
	opt, err := p.initrdOptions(ctx)
	if err != nil {
		return nil, err
	}
	f, _, err := initrd.Make(ctx, p.tree, opt)
	if err == nil && p.Packing == initrd.Zstd && p.opt.Room.Total != 0 {
		f, err = p.fit(ctx, f)
	}
	return f, err
}

func (p *Plan) finish(b *Bundle) error {
	size, err := sizes(b.Kernel, b.Initrd, b.Image)
	if err != nil {
		return err
	}
	kernel, image := size[0], size[2]
	b.Size, b.Beside = size[1], image
	b.kernel, b.held = kernel, b.Size+image+max(kernel, p.Kernel.Room)
	image += image * pageStructure / memory.Page
	b.Memory = needs(p.booted(), b.Size) + image + decompressors(p.Root, p.opt.Room.Processors)
	total := p.opt.Room.Total
	if total != 0 {
		if b.Memory > total {
			return p.tooLarge(p.cannotBoot(b, image))
		}
		total -= image
	}
	b.Cmdline, err = p.Cmdline(b.Size, total)
	return err
}

// sizes returns how many bytes files have, 0 for one that is nil.
func sizes(files ...*os.File) (list []int64, err error) {
	for _, f := range files {
		if f == nil {
			list = append(list, 0)
			continue
		}
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		list = append(list, info.Size())
	}
	return list, nil
}

// Close frees what Make did not take over.
func (p *Plan) Close() error {
	var errs []error
	for _, f := range []*os.File{p.image, p.beside} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
