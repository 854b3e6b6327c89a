package bundle

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// squash makes an image of the tree, and an initrd with what wyrinit needs to mount it. The image is in the initrd,
// which is not compressed then, or beside it.
func (p *Plan) squash(ctx context.Context) (*os.File, error) {
	packer, err := p.packer(ctx)
	if err != nil {
		return nil, err
	}
	list, err := p.mounted(ctx, packer)
	if err != nil {
		return nil, err
	}
	image, err := packer.Image(ctx, p.tree, time.Unix(0, 0), p.leavesOut)
	if err != nil {
		return nil, err
	}
	if err := p.seal(ctx, image, &list); err != nil {
		image.Close()
		return nil, err
	}
	p.opt.Packer, p.list = nil, list // without its buffers
	return p.mounting(ctx, image)
}

// mounting makes the initrd that mounts an image. It takes the image over.
func (p *Plan) mounting(ctx context.Context, image *os.File) (_ *os.File, err error) {
	opt := initrd.Options{
		Skip:   func(*rootfs.Node) bool { return true },
		Early:  p.early,
		Single: true,
		Grow:   p.opt.Grow,
	}
	list := p.list
	list.Image, list.Modules = p.place, int64(len(p.modules))
	if p.place == handover.InMemory {
		p.beside = image
		err = p.addFiles(&opt, list)
	} else {
		defer image.Close()
		err = p.addImage(&opt, list, image)
	}
	if err != nil {
		return nil, err
	}
	p.packed = p.statOf(opt)
	f, _, err := initrd.Make(ctx, p.tree, opt)
	return f, err
}

// InFile puts the image that was to be left in memory into the initrd, for a running kernel that has refused to load it
// otherwise. After an error the bundle is of no use.
func (b *Bundle) InFile(ctx context.Context) error {
	p := b.plan
	switch {
	case b.Image == nil:
		return errors.New("no image is to be left in memory")
	case p.other != nil:
		return p.other
	}
	p.mounts = mounts{place: handover.InFile, modules: p.file}
	image := b.Image
	b.Image = nil
	f, err := p.mounting(ctx, image)
	if err != nil {
		return err
	}
	b.Initrd.Close()
	b.Initrd = f
	return p.complete(b)
}

// addImage adds the image to the initrd, in parts if it is too large for one file.
func (p *Plan) addImage(opt *initrd.Options, list handover.Manifest, image *os.File) error {
	info, err := image.Stat()
	if err != nil {
		return err
	}
	file := file(handover.Image, 0o600, nil)
	file.Node.Size, file.Content = info.Size(), drained{image}
	if info.Size() > initrd.MaxSize {
		parts := handover.Parts + "1-"
		list.Joins = []handover.Join{{Path: handover.Image, Parts: parts, Size: info.Size()}}
		opt.Split = map[string]string{file.Node.Path: inTree(parts)}
	}
	if err := p.addFiles(opt, list); err != nil {
		return err
	}
	opt.Extra = append(opt.Extra, file)
	return nil
}

// mounted lists what wyrinit does with a root that it mounts.
func (p *Plan) mounted(ctx context.Context, packer Packer) (handover.Manifest, error) {
	m := handover.Manifest{Kind: string(p.Root)}
	for n, err := range p.tree.All(ctx) {
		if err != nil {
			return m, err
		}
		root := n.Path == "." // it is a directory of the tmpfs
		if root {
			m.RootMTime = n.ModTime.Unix()
		}
		if p.leavesOut(n) {
			continue
		}
		lost := packer.Lost(n)
		if root {
			lost = slices.Sorted(maps.Keys(n.Xattrs))
		}
		for _, name := range lost {
			m.Xattrs = append(m.Xattrs, handover.Xattr{Path: "/" + n.Path, Name: name, Value: n.Xattrs[name]})
		}
	}
	return m, nil
}

// addFiles adds the files of package handover: wyrinit in the place of /init, its list, and modules. The list comes
// first in the archive and the mark of completeness last, so that wyrinit notices if the kernel could not unpack the
// whole archive.
func (p *Plan) addFiles(opt *initrd.Options, list handover.Manifest) error {
	if p.start != InitPath {
		list.Init = p.start
	}
	var b bytes.Buffer
	if err := list.Write(&b); err != nil {
		return err
	}
	opt.Extra = []initrd.File{
		{Node: rootfs.Node{Path: inTree(handover.Dir), Mode: unix.S_IFDIR | 0o700, ModTime: time.Unix(0, 0)}},
		file(handover.List, 0o600, b.Bytes()),
		file(handover.Init, 0o755, p.opt.Wyrinit),
	}
	for i, m := range p.modules {
		opt.Extra = append(opt.Extra, file(handover.Modules+strconv.Itoa(i+1), 0o600, m.Content))
	}
	opt.Last = []initrd.File{file(handover.Complete, 0o600, nil)}
	return nil
}

// statOf returns the size of what the kernel unpacks.
func (p *Plan) statOf(opt initrd.Options) *rootfs.Stat {
	s := &rootfs.Stat{Page: p.Stat.Page, Entries: len(opt.Extra), Inodes: len(opt.Extra)}
	for _, f := range opt.Extra {
		s.Bytes += f.Node.Size
		s.Pages += p.pages(f.Node.Size)
	}
	if len(opt.Split) > 0 {
		s.Pages += initrd.PartSize
	}
	return s
}

// drained is a file in memory that is read from its beginning to its end, and gives its memory back on the way.
type drained struct{ f *os.File }

func (d drained) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.f.ReadAt(p, off)
	if err == nil {
		end := off + int64(n)
		err = memory.GiveBack(d.f, off&^(memory.Page-1), end&^(memory.Page-1))
	}
	return n, err
}
