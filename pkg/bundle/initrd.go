package bundle

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/initrd"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"golang.org/x/sys/unix"
)

// initrdOptions returns what the initramfs is made of: the whole tree, as a rule without the kernel, and what
// wyrinit needs to complete it.
func (p *Plan) initrdOptions(ctx context.Context) (initrd.Options, error) {
	opt := initrd.Options{
		Compression: p.Packing,
		Plain:       p.plain,
		Skip:        p.leavesOut,
		Early:       p.early,
		Single:      p.opt.Single,
		Grow:        p.opt.Grow,
	}
	if !p.wyrinit {
		return opt, nil
	}
	err := p.addWyrinit(ctx, &opt)
	return opt, err
}

// fit packs an initrd more tightly if the container would not boot otherwise.
func (p *Plan) fit(ctx context.Context, f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil && worthSqueezing(p.opt.Room.Total, p.booted(), info.Size()) {
		return initrd.Squeeze(ctx, f, int64(len(p.early)), p.opt.Grow)
	}
	return f, err
}

// addWyrinit puts wyrinit in the place of /init, with a list of what newc cannot carry.
func (p *Plan) addWyrinit(ctx context.Context, opt *initrd.Options) error {
	m, err := p.manifest(ctx)
	if err != nil {
		return err
	}
	opt.Split = p.split
	opt.Move = map[string]string{inTree(handover.Init): inTree(handover.OriginalInit)}
	return p.addFiles(opt, m)
}

// inTree returns a path in the form of rootfs and initrd.
func inTree(path string) string { return strings.TrimPrefix(path, "/") }

func file(path string, perm uint32, content []byte) initrd.File {
	return initrd.File{
		Node: rootfs.Node{
			Path:    inTree(path),
			Mode:    unix.S_IFREG | perm,
			Size:    int64(len(content)),
			ModTime: time.Unix(0, 0),
		},
		Content: bytes.NewReader(content),
	}
}

// findLarge finds the files that are too large for an initramfs. They come in parts, which wyrinit joins. It refuses
// what an initramfs has no form for, so that nobody learns of that only when all is packed.
func (p *Plan) findLarge(ctx context.Context) error {
	var found []*rootfs.Node
	p.split = map[string]string{}
	for n, err := range p.tree.All(ctx) {
		if err != nil {
			return err
		}
		err := newc.CheckPath(n.Path)
		if err == nil {
			err = newc.CheckTarget(n.Target)
		}
		if err != nil {
			return fmt.Errorf(notBootable+"%s %w", rootfs.Quote(n.Path), err)
		}
		if !n.Regular() || n.Size <= initrd.MaxSize || n.Same(p.node) {
			continue
		}
		if !p.wyrinit {
			return fmt.Errorf("the image is not bootable without wyrinit: /%s has %d bytes "+
				"and a file in an initramfs can have at most %d (2 GiB - 1), so that wyrinit has to put it together",
				n.Path, n.Size, initrd.MaxSize)
		}
		i := slices.IndexFunc(found, n.Same) // the same file by another name
		if i < 0 {
			i = len(found)
			found = append(found, n)
			p.joins = append(p.joins, handover.Join{
				Path:  "/" + n.Path,
				Parts: handover.Parts + strconv.Itoa(i+1) + "-",
				Size:  n.Size,
				MTime: n.ModTime.Unix(),
			})
		}
		p.split[n.Path] = inTree(p.joins[i].Parts)
	}
	return nil
}

// manifest lists what newc cannot carry. A file with several names is listed under each of them, which does no harm.
func (p *Plan) manifest(ctx context.Context) (handover.Manifest, error) {
	m := handover.Manifest{Joins: p.joins}
	for n, err := range p.tree.All(ctx) {
		if err != nil {
			return m, err
		}
		if n.Path == "." {
			m.RootMTime = n.ModTime.Unix()
		}
		if p.leavesOut(n) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
			m.Xattrs = append(m.Xattrs, handover.Xattr{Path: "/" + n.Path, Name: name, Value: n.Xattrs[name]})
		}
	}
	return m, nil
}
