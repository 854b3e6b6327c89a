package bundle

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/modules"
	"gitlab.com/wyrcan/wyrcan/pkg/verity"
)

// Verity says whether the container's kernel checks the image of the root while it reads it, with dm-verity.
type Verity int

// The values of Verity.
const (
	// Unchecked leaves the hash tree out.
	Unchecked Verity = iota
	// CheckedIfPossible makes a warning of a kernel that cannot check an image. A root that is unpacked is none to check.
	CheckedIfPossible
	// Checked refuses a container of which the kernel could not check the root.
	Checked
)

// What a kernel needs to check an image. SHA-256 had another name before Linux 6.16.
var (
	checks = part{"dm_verity", "CONFIG_DM_VERITY"}
	hashes = []part{{"sha256_generic", "CONFIG_CRYPTO_SHA256"}, {"sha256", "CONFIG_CRYPTO_SHA256"}}
)

// faster has drivers that compute SHA-256 with instructions of the processor. A kernel may do without. dm-verity takes
// the best of those that are loaded when wyrinit sets it up.
var faster = map[string][]part{
	"amd64": {{"sha256_ssse3", "CONFIG_CRYPTO_SHA256_SSSE3"}},
	"arm64": {{"sha2_ce", "CONFIG_CRYPTO_SHA2_ARM64_CE"}, {"sha256_arm64", "CONFIG_CRYPTO_SHA256_ARM64"}},
}

// ways ends the errors about a root that cannot be checked.
const ways = "or leave wyr.verity=yes out, and nothing checks the root while the system runs"

// findVerity decides whether the kernel checks the root's image, and finds the modules for that.
func (p *Plan) findVerity(ctx context.Context) error {
	if p.opt.Verity == Unchecked || p.opt.Verity == CheckedIfPossible && !p.Root.IsImage() {
		return nil
	}
	if !p.Root.IsImage() {
		return p.noImage()
	}
	found, err := p.findChecks(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && p.opt.Verity == Checked:
		return fmt.Errorf("the kernel cannot check the root's image, as wyr.verity=yes asks: %w; "+
			"use a kernel with dm-verity, with its modules, %s", err, ways)
	case err != nil:
		p.Warnings = append(p.Warnings, Warning{RootUnchecked, fmt.Sprintf("the image is signed, but nothing checks the "+
			"root while the system runs (wyr.verity): %v", err)})
		return nil
	}
	p.modules, p.file = union(p.modules, found), union(p.file, found)
	p.checked = true
	return fits(p.sealed(strings.Repeat("0", 64)), p.Kernel.MaxCmdline)
}

// union returns the modules of both lists, in their order.
func union(list, more []modules.Module) []modules.Module {
	for _, m := range more {
		if !slices.ContainsFunc(list, func(o modules.Module) bool { return o.Name == m.Name }) {
			list = append(list, m)
		}
	}
	return list
}

// noImage returns the error about a root that is no image.
func (p *Plan) noImage() error {
	if p.unmounted != nil {
		return fmt.Errorf("the root cannot be an image, which wyr.verity=yes asks the kernel to check: %w; "+
			"use a kernel that can mount one, with its modules, %s", p.unmounted, ways)
	}
	return fmt.Errorf("wyr.verity=yes asks the kernel to check the root's image, and the root is %s: files that are "+
		"unpacked into memory, where nothing checks them; use wyr.root=squashfs, %s", p.Root, ways)
}

// findChecks finds the modules with which the kernel checks an image.
func (p *Plan) findChecks(ctx context.Context) (all []modules.Module, err error) {
	config, err := p.config(ctx)
	if err != nil {
		return nil, err
	}
	for _, hash := range hashes {
		var found []modules.Module
		var e error
		if found, e = p.find(ctx, config, []part{checks, hash}); e == nil {
			all, err = found, nil
			break
		}
		err = cmp.Or(err, e)
	}
	for _, f := range faster[p.Kernel.Arch] {
		if more, e := p.find(ctx, config, []part{f}); err == nil && e == nil {
			all = append(all, more...)
		}
	}
	return all, err
}

// seal appends the hash tree to the root's image, and tells wyrinit of it.
func (p *Plan) seal(ctx context.Context, image *os.File, list *handover.Manifest) error {
	if !p.checked {
		return nil
	}
	s, err := verity.Append(ctx, image, p.opt.Grow)
	if err != nil {
		return err
	}
	p.rootHash = hex.EncodeToString(s.Hash[:])
	list.Verity = handover.Verity{Blocks: s.Blocks, Salt: string(s.Salt[:])}
	return nil
}

// sealed returns the command line with the hash in front, where no open quote can hide it.
func (p *Plan) sealed(hash string) string {
	if hash == "" {
		return p.cmdline
	}
	return join(handover.RootHash+"="+hash, p.cmdline)
}
