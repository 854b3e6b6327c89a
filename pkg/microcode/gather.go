package microcode

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/small"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// Image is where microcode is looked for.
type Image interface {
	// Names returns the names in a directory; symbolic links are followed.
	Names(dir string) ([]string, error)
	// Read returns the content of a file of at most limit bytes; symbolic links are followed.
	Read(path string, limit int64) ([]byte, error)
}

// Limits in bytes. The microcode of all of Intel's processors since 2006 has 16 MiB, that of one has 2 MiB.
const (
	maxFile = 16 << 20
	maxAll  = 64 << 20
)

// folders are where distributions have firmware. Only the first of them that has anything counts.
var folders = []string{"/lib/firmware", "/usr/lib/firmware"}

// Gather returns the microcode that an image has of what is wanted, and a sentence for each file that cannot be used.
func Gather(img Image, wanted Wanted) (Set, []string) {
	g := gatherer{Image: img, Wanted: wanted, seen: map[string]bool{}}
	if wanted.All || wanted.any(func(p Processor) bool { return p.Vendor == intel }) {
		g.folder("intel-ucode", wanted.isIntel, g.intel)
	}
	if wanted.All || wanted.any(func(p Processor) bool { return p.Vendor == amd }) {
		g.folder("amd-ucode", wanted.isAMD, g.amd)
	}
	return g.Set, g.troubles
}

func (w Wanted) any(is func(Processor) bool) bool { return slices.ContainsFunc(w.Processors, is) }

// isIntel reports whether a name is that of a file for one of the processors: request_microcode_fw in intel.c.
func (w Wanted) isIntel(name string) bool {
	if w.All {
		return len(name) == len("06-3f-02") && strings.Trim(name, "0123456789abcdef-") == ""
	}
	return w.any(func(p Processor) bool { return name == fmt.Sprintf("%02x-%02x-%02x", p.Family, p.Model, p.Stepping) })
}

// isAMD does the same for AMD's, of which a file is for a family: request_microcode_amd in amd.c.
func (w Wanted) isAMD(name string) bool {
	if w.All {
		return strings.HasPrefix(name, "microcode_amd") && strings.HasSuffix(name, ".bin")
	}
	return w.any(func(p Processor) bool {
		if p.Family < 0x15 {
			return name == "microcode_amd.bin"
		}
		return name == fmt.Sprintf("microcode_amd_fam%02xh.bin", p.Family)
	})
}

// bare returns a file's name without the suffixes that distributions give it: those of compressed firmware, which the
// kernel reads too, and Debian's for microcode that is for an initrd only.
func bare(name string) string {
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".zst"), ".xz")
	return strings.TrimSuffix(name, ".initramfs")
}

type gatherer struct {
	Image
	Wanted
	Set
	seen     map[string]bool
	troubles []string
}

// folder adds the files of the first folder that has some of those that are wanted.
func (g *gatherer) folder(name string, wants func(string) bool, add func([]byte) error) {
	for _, folder := range folders {
		dir := path.Join(folder, name)
		names, err := g.Names(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			g.trouble(dir, smallfile.Cause(err))
		}
		names = slices.DeleteFunc(names, func(n string) bool { return !wants(bare(n)) })
		for _, n := range names {
			file := path.Join(dir, n)
			content, err := g.content(file)
			if err == nil {
				g.Files++
				err = g.room(content)
			}
			if err == nil {
				err = add(content)
			}
			if err != nil {
				g.trouble(file, err)
			}
		}
		if len(names) > 0 {
			return
		}
	}
}

// most is how many sentences are about files. An image may have any number of damaged ones.
const most = 3

func (g *gatherer) trouble(file string, err error) {
	if len(g.troubles) < most {
		g.troubles = append(g.troubles, fmt.Sprintf("the microcode in %s of the image is not used: %v", file, err))
	}
}

// content returns the content of a file, which may be compressed.
func (g *gatherer) content(file string) ([]byte, error) {
	b, err := g.Read(file, maxFile)
	if err != nil {
		return nil, smallfile.Cause(err)
	}
	return small.Unpack(b, maxFile)
}

// room returns an error if there is too much with one more file.
func (g *gatherer) room(file []byte) error {
	if g.Size()+int64(len(file)) > maxAll {
		return fmt.Errorf("all files together have more than %d MiB", maxAll>>20)
	}
	return nil
}

func (g *gatherer) intel(file []byte) error {
	var err error
	g.Intel, err = g.updates(g.Intel, file, g.seen)
	return err
}

func (g *gatherer) amd(file []byte) error {
	if err := checkContainers(file); err != nil {
		return err
	}
	if !g.seen[string(file)] {
		g.AMD = append(g.AMD, file...)
		g.seen[string(file)] = true
	}
	return nil
}
