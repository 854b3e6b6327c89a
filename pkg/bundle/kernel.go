package bundle

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

const notBootable = "the image is not bootable: "

// findKernel finds the kernel: the one that wyr.kernel names, the one that the image names, or the best.
func (p *Plan) findKernel(ctx context.Context) error {
	path, advice := p.opt.Kernel, "wyr.kernel is to be the path of a kernel in it"
	if path == "" {
		if _, err := p.from.Lstat(KernelPath); err != nil {
			return p.searchKernel(ctx)
		}
		path = KernelPath
		advice = "install a kernel in it, and make that a link to the kernel: ln -s /vmlinuz " + KernelPath
	}
	node, err := p.from.Lookup(path)
	if err != nil {
		return missing(p.from, path, advice, err)
	}
	k, file, err := p.openKernel(ctx, path, node)
	if err != nil {
		return err
	}
	p.take(k, file, node)
	if p.opt.Kernel != "" {
		p.chose("kernel %s, because wyr.kernel names it", path)
	}
	return nil
}

// take makes k the kernel: file is the part of it that kexec loads, node is where it is in the tree.
func (p *Plan) take(k *kernel.Kernel, file *os.File, node *rootfs.Node) {
	p.Kernel, p.image, p.node, p.File, p.there = k, file, node, node.Path, true
	if p.from == p.tree {
		return
	}
	// It may be elsewhere in the whole tree, or something else in its place.
	n, err := p.tree.Lookup("/" + node.Path)
	if p.there = err == nil && n.Same(node); p.there {
		p.node, p.File = n, n.Path
	}
}

// chose adds to Chosen.
func (p *Plan) chose(format string, args ...any) {
	if p.Chosen != "" {
		p.Chosen += "; "
	}
	p.Chosen += fmt.Sprintf(format, args...)
}

// openKernel copies a kernel out of the tree, because its parser needs random access. path is how it was found. The
// file is what kexec loads.
func (p *Plan) openKernel(
	ctx context.Context, path string, node *rootfs.Node,
) (_ *kernel.Kernel, _ *os.File, err error) {
	if node.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, nil, fmt.Errorf(notBootable+"%s is to be a kernel, and /%s is not a file", path, node.Path)
	}
	if node.Size > kernel.MaxFile {
		return nil, nil, fmt.Errorf(notBootable+"/%s has %s, and no kernel has more than %s",
			node.Path, units.MiB(node.Size), units.MiB(kernel.MaxFile))
	}
	file, size, err := p.spool(ctx, node)
	if err != nil {
		return nil, nil, &unreadable{fmt.Errorf("cannot read the kernel /%s: %w", node.Path, err)}
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	k, err := kernel.Parse(&readerAt{ctx, file}, size)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if err != nil {
		return nil, nil, fmt.Errorf(notBootable+"/%s is %w", node.Path, err)
	}
	if k.Image != nil { // the kernel that was inside the file
		file.Close()
		file, k.Image = k.Image, nil
	}
	if arch := p.opt.arch(); k.Arch != arch {
		return nil, nil, fmt.Errorf("the image is not bootable on %s: /%s is a kernel for %s", arch, node.Path, k.Arch)
	}
	return k, file, nil
}

// unreadable is the error of a kernel that could not be read, whatever is in it.
type unreadable struct{ error }

func (u *unreadable) Unwrap() error { return u.error }

// readerAt fails once the context is done. A kernel's parser does only a limited amount of work between two reads.
type readerAt struct {
	ctx context.Context
	r   io.ReaderAt
}

func (r *readerAt) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.ReadAt(p, off)
}

func (p *Plan) spool(ctx context.Context, node *rootfs.Node) (*os.File, int64, error) {
	r, err := p.from.Open(ctx, node)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	f, err := memory.File("kernel")
	if err != nil {
		return nil, 0, err
	}
	for size := int64(0); ; {
		n, err := io.CopyN(f, r, 1<<20)
		size += n
		if err == io.EOF {
			return f, size, nil
		}
		if err == nil && p.opt.Grow != nil {
			err = p.opt.Grow()
		}
		if err != nil {
			f.Close()
			return nil, 0, err
		}
	}
}
