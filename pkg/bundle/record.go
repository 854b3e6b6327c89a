package bundle

import (
	"golang.org/x/sys/unix"

	"github.com/u-root/u-root/pkg/cpio"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
)

// leave adds the record of this boot to a bundle that is complete otherwise. The record says how large the initrd is,
// and so comes behind it: in an archive of its own, which the kernel reads as one with those before. It is no loss if
// the kernel has no room for that.
func (p *Plan) leave(b *Bundle) error {
	content := p.opt.Record(b)
	if content == nil {
		return nil
	}
	if _, err := b.Initrd.WriteAt(recordArchive(b.Size, content), b.Size); err != nil {
		return err
	}
	return p.finish(b)
}

// recordArchive returns an archive with the record, for the end of an initrd of so many bytes. Between archives, the
// kernel passes over zeros up to a multiple of four bytes: Documentation/driver-api/early-userspace/buffer-format.rst.
func recordArchive(size int64, content []byte) []byte {
	b := newc.Pad(nil, size)
	b = append(b, newc.Header(nil, cpio.Info{
		Name: inTree(handover.Record), Mode: unix.S_IFREG | 0o600, NLink: 1, FileSize: uint64(len(content)),
	})...)
	b = append(b, content...)
	b = newc.Pad(b, int64(len(content)))
	return append(b, newc.Trailer(nil)...)
}
