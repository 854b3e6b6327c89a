// Package boot goes from a resolved image to a kernel that is loaded and ready to be started, in three steps:
//
//	Read     the image's layers become one tree
//	Convert  the tree becomes a kernel, an initrd and a command line
//	Load     the running kernel loads them
//
// wyrboot and wyrcan kexec take all three steps; wyrcan morph takes the first two, check and unpack the first. Each
// step checks the memory, with the numbers of the caller's Budget and its remedy, and frees what the next one does not
// need.
//
// What decides on an image, or adds to it, belongs here and nowhere else: the policies about signatures at the
// beginning of Read, where the image's digest is known and no layer was read; further images, and a machine's own
// layers, in Read's list of layers; another form of root in Convert, between the tree and the bundle.
//
// Jump starts that kernel, for a program that does so itself.
//
// The package finds no images: see package image. It does not retry; the caller may call Read again.
package boot

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// Boot is how a program boots images.
type Boot struct {
	// Budget is the memory of this machine, where the work is done.
	Budget bundle.Budget
	// Target is the memory of the machine that will boot; nil if that is this one.
	Target *bundle.Room
	// Logf is told what a person should know; nil is quiet.
	Logf func(format string, args ...any)

	// Policies must all accept an image before Read reads a layer of it. Without any, every image is accepted. The
	// record of the boot names the keys that have signed it, as far as a policy asked for them.
	Policies policy.Policies

	// Formats are what layers may be compressed with besides gzip and zstd.
	Formats []compression.Format
	// SkipDiffIDs leaves out the check of the layers' uncompressed digests: see rootfs.Options.
	SkipDiffIDs bool
	// Overflow makes a file on a disk for contents that do not fit into the memory, and Free returns how many bytes
	// that disk has free. Without them such contents are packed.
	Overflow func() (*os.File, error)
	Free     func() int64
	// Root is the form of the booted root that is wanted. If it is an image, or bundle.Auto expects one, Read packs the
	// contents for it.
	Root bundle.Root
	// Verity says whether the container's kernel checks that image: "yes", "no", or "" for yes if a policy has asked for
	// a signature and the kernel can.
	Verity string
	// Store, if set, makes the place for the contents of a layer: see rootfs.Options.
	Store func() (rootfs.Store, error)
	// Spare, if set, gives up memory that the program can do without. Read calls it if the memory may be too little.
	Spare func()
	// Again, if set, is told how many bytes of layers Read downloads once more: see rootfs.Options.Twice.
	Again func(bytes int64)
	// Grown, if set, is called for each MiB or so that Convert makes.
	Grown func()

	// Record returns what the record of this boot says of the image, of the stages and of the network; Convert adds the
	// rest and leaves the record in the booted system. nil leaves it out.
	Record func() record.Record

	// Kernel loads; nil is the running kernel.
	Kernel Kernel
	// Hold is kexec.Hold, for a program that calls Jump right after Load: then the running kernel gets no copies. It
	// returns what starts the kernel. image may be nil. If Hold is nil or fails, Kernel loads.
	Hold func(kernel, initrd, image *os.File, cmdline string) (jump func() error, err error)

	jump func() error // what Hold has returned

	// Of the images that were read last: who has signed them, for the record, and what has packed them for the root.
	signers []string
	signed  bool // a policy has asked for a signature of one of them
	packer  bundle.Packer
}

// Kernel is what Load needs of the running kernel: package kexec has it.
type Kernel interface {
	Load(kernel, initrd *os.File, cmdline string) (kexec.Result, error)
	// LoadImage loads with an image that stays in memory. CanLeaveImage returns nil if it can.
	LoadImage(kernel, initrd, image *os.File, cmdline string) error
	CanLeaveImage() error
	Wait(ctx context.Context) error
}

type running struct{}

func (running) Load(kernel, initrd *os.File, cmdline string) (kexec.Result, error) {
	return kexec.Load(kernel, initrd, cmdline)
}
func (running) LoadImage(kernel, initrd, image *os.File, cmdline string) error {
	return kexec.LoadImage(kernel, initrd, image, cmdline)
}
func (running) CanLeaveImage() error           { return kexec.CanLeaveImage() }
func (running) Wait(ctx context.Context) error { return kexec.Wait(ctx) }

// running returns the kernel that loads.
func (b *Boot) running() Kernel {
	if b.Kernel != nil {
		return b.Kernel
	}
	return running{}
}

func (b *Boot) logf(format string, args ...any) {
	if b.Logf != nil {
		b.Logf(format, args...)
	}
}

// Inspect finds out how the tree boots. It sets what of opt the Boot knows: Room, Grow, Root, Packer, Repack,
// Verity, and InPlace if the running kernel is to load it.
func (b *Boot) Inspect(ctx context.Context, tree *rootfs.Tree, opt bundle.Options) (*bundle.Plan, error) {
	if b.Target != nil {
		opt.Room = *b.Target
	} else {
		var err error
		if opt.Room, err = b.Budget.Room(); err != nil {
			return nil, err
		}
	}
	opt.Grow, opt.Root, opt.Packer = b.grow, b.Root, b.packer
	opt.Repack = func(root bundle.Root) (bundle.Packer, error) { return newPacker(root, b.grow) }
	opt.Verity = b.verity()
	// Whoever makes a bundle for a boot loader or for another machine does not load it.
	if b.Budget.Copies > 0 || b.Hold != nil {
		opt.InPlace = b.running().CanLeaveImage() == nil
	}
	return bundle.Inspect(ctx, tree, opt)
}

// verity says whether the kernel checks the image of the root. Who wants to know who has made the system wants it to
// stay that.
func (b *Boot) verity() bundle.Verity {
	switch {
	case b.Verity == "yes":
		return bundle.Checked
	case b.Verity == "" && b.signed:
		return bundle.CheckedIfPossible
	}
	return bundle.Unchecked
}

// grow says whether Convert may go on.
func (b *Boot) grow() error {
	if b.Grown != nil {
		b.Grown()
	}
	return b.Budget.Enough()
}

// Convert turns the tree into what kexec needs, and tells the warnings. It closes the tree.
func (b *Boot) Convert(ctx context.Context, tree *rootfs.Tree, opt bundle.Options) (*bundle.Bundle, error) {
	defer tree.Close()
	debug.FreeOSMemory() // of what has read the layers
	if b.Record != nil {
		opt.Record = b.record
	}
	plan, err := b.Inspect(ctx, tree, opt)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	if plan.Chosen != "" {
		b.logf("chosen: %s", plan.Chosen)
	}
	if plan.Root.IsImage() && plan.Why != "" {
		b.logf("the files stay packed in memory (%s), because %s", plan.Root.Name(), plan.Why)
	}
	for _, w := range plan.Warnings {
		b.logf("%s", strings.TrimSpace(w.Text))
	}
	b.packer = nil // with its buffers
	return plan.Make(ctx)
}

// Load makes the running kernel load the bundle, and returns when that kernel is ready to be started. Then it closes
// the bundle. If it fails, the bundle may be of no use.
func (b *Boot) Load(ctx context.Context, made *bundle.Bundle) error {
	debug.FreeOSMemory() // of what made the bundle
	how, err := b.load(ctx, made)
	if err != nil {
		return err
	}
	if how.Why != nil {
		b.logf("loaded the kernel with %s, which takes longer: %v", how.Method, how.Why)
	}
	made.Close() // the running kernel has copies, or what Hold has mapped stays
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return b.running().Wait(ctx)
}

// load loads with Hold or, if there is none or it fails, with copies.
func (b *Boot) load(ctx context.Context, made *bundle.Bundle) (how kexec.Result, err error) {
	room, err := b.Budget.Room()
	if err != nil {
		return how, err
	}
	if b.Hold != nil {
		room.Copies = 0
		if err = canLoad(ctx, made, room); err != nil {
			return how, err
		}
		if b.jump, err = b.Hold(made.Kernel, made.Initrd, made.Image, made.Cmdline); err == nil {
			return how, nil
		}
		b.logf("cannot load the kernel without a second copy of everything, so there will be one: %v", err)
		room.Copies = kexec.Copies()
	}
	room.Copies = max(room.Copies, 1)
	if err := canLoad(ctx, made, room); err != nil {
		return how, err
	}
	if made.Image == nil {
		return b.running().Load(made.Kernel, made.Initrd, made.Cmdline)
	}
	err = b.running().LoadImage(made.Kernel, made.Initrd, made.Image, made.Cmdline)
	if err == nil || ctx.Err() != nil {
		return how, err
	}
	return b.loadInFile(ctx, made, room, err)
}

// loadInFile loads a bundle with the image of its root in the initrd, where the running kernel has refused to leave the
// image in memory. room is the memory before it was.
func (b *Boot) loadInFile(
	ctx context.Context, made *bundle.Bundle, room bundle.Room, refused error,
) (how kexec.Result, err error) {
	err = made.InFile(ctx)
	if err == nil {
		b.logf("the image of the root goes into the initrd: %v", refused)
		debug.FreeOSMemory()
		copies := room.Copies
		if room, err = b.Budget.Room(); err == nil {
			room.Copies = copies
			err = canLoad(ctx, made, room)
		}
	}
	if err == nil {
		how, err = b.running().Load(made.Kernel, made.Initrd, made.Cmdline)
	}
	if err != nil {
		err = fmt.Errorf("%w; and with the image of the root in the initrd: %w", refused, err)
	}
	return how, err
}

// canLoad says whether to begin with a load, in which the kernel cannot be interrupted.
func canLoad(ctx context.Context, made *bundle.Bundle, room bundle.Room) error {
	if err := made.CanLoad(room); err != nil {
		return err
	}
	return ctx.Err()
}

// Jump starts the kernel that Load has loaded. It returns only on failure.
func (b *Boot) Jump() error {
	if b.jump != nil {
		return b.jump()
	}
	return kexec.Jump()
}
