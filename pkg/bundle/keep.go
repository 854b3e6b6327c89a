package bundle

import (
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// The kernel's file is left out of the root: nothing reads it any more, and it would take memory. It stays where kdump
// wants to load it again, and so it does if somebody asks for it. A file with another name stays by that name: it takes
// the same memory then.

// Kept returns how many bytes of memory the kernel's file takes in the booted root, and why it is there, in words that
// follow "it stays". It returns 0 if the file is left out.
func (p *Plan) Kept() (size int64, why string) {
	switch {
	case !p.there && p.node.Links == 0: // an upper image covers it
		return 0, ""
	case p.crashes():
		why = "for kdump, because of crashkernel="
	case p.opt.KeepKernel:
		why = "as was asked for"
	case p.node.Links > 1, !p.there:
		why = "by its other names"
	default:
		return 0, ""
	}
	return p.pages(p.node.Size), why
}

// crashes reports whether the command line reserves memory for a kernel that takes over after a crash:
// Documentation/admin-guide/kdump/kdump.rst.
func (p *Plan) crashes() bool { return has(p.cmdline, "crashkernel") }

// leavesOut reports whether a path of the tree is not in the root.
func (p *Plan) leavesOut(n *rootfs.Node) bool {
	return p.there && n.Path == p.File && !p.opt.KeepKernel && !p.crashes()
}

// booted sums up what the kernel unpacks.
func (p *Plan) booted() rootfs.Stat {
	if p.packed != nil {
		return *p.packed
	}
	return p.files()
}

// files sums up unpacked files: everything but a kernel that is left out, and one part of a large file besides the file
// that wyrinit appends it to.
func (p *Plan) files() rootfs.Stat {
	s := p.Stat
	if kept, _ := p.Kept(); kept == 0 && p.there {
		s.Inodes--
		s.Bytes -= p.node.Size
		s.Pages -= p.pages(p.node.Size)
	}
	if len(p.joins) > 0 {
		s.Pages += initrd.PartSize
	}
	return s
}

// pages rounds up to whole pages of the container's kernel.
func (p *Plan) pages(n int64) int64 { return (n + p.Stat.Page - 1) &^ (p.Stat.Page - 1) }
