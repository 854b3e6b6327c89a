package bundle

import (
	"context"
	"fmt"
	"path"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/kargs"
)

// maxKargs is how many files with kernel arguments are read.
const maxKargs = 256

// kargs returns the kernel arguments in the files of bootc, in the order of their names. They are for a kernel that the
// image does not name by KernelPath: an image with that was made for Wyrcan and has its arguments in CmdlinePath.
func (p *Plan) kargs(ctx context.Context) (string, error) {
	if _, err := p.from.Lstat(KernelPath); err == nil || p.exists(KernelPath) {
		return "", nil
	}
	names, _ := p.tree.Names(kargs.Dir) // none in most images
	var all []string
	count := 0
	for _, name := range names {
		if !strings.HasSuffix(name, kargs.Suffix) {
			continue
		}
		if count++; count > maxKargs {
			return "", fmt.Errorf("the image has more than %d files in %s", maxKargs, kargs.Dir)
		}
		file := path.Join(kargs.Dir, name)
		text, err := p.read(ctx, file, kargs.MaxSize)
		if err != nil {
			return "", fmt.Errorf("cannot read %s of the image: %w", file, err)
		}
		list, err := kargs.Parse(text, p.opt.arch())
		if err != nil {
			return "", fmt.Errorf(notBootable+"the kernel arguments in %s cannot be used: %w", file, err)
		}
		all = append(all, list...)
	}
	return join(all...), nil
}
