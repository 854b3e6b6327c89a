package bundle

import (
	"context"

	"gitlab.com/wyrcan/wyrcan/pkg/microcode"
)

// Microcode returns the microcode that the image has of what is wanted, and a sentence for each file of it that cannot
// be used. It must be called before Make.
func (p *Plan) Microcode(ctx context.Context, wanted microcode.Wanted) (microcode.Set, []string, error) {
	if p.Kernel.Arch != "amd64" || wanted.None() {
		return microcode.Set{}, nil, nil
	}
	set, troubles := microcode.Gather(reader{ctx, p.tree}, wanted)
	return set, troubles, ctx.Err()
}

// findMicrocode makes the archive that comes first in the initrd.
func (p *Plan) findMicrocode(ctx context.Context) error {
	set, troubles, err := p.Microcode(ctx, p.opt.Microcode)
	p.early = set.Archive()
	for _, t := range troubles {
		p.Warnings = append(p.Warnings, Warning{Microcode, t})
	}
	return err
}
