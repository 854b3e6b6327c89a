// Package modules finds kernel modules in an image by their names, with those that they depend on. depmod(8) has listed
// these in modules.dep, and the kernel's build has listed in modules.builtin what needs no module.
package modules

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/small"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// Image is where modules are looked for.
type Image interface {
	// Read returns the content of a file of at most limit bytes; symbolic links are followed.
	Read(path string, limit int64) ([]byte, error)
}

// Module is a kernel module as the kernel loads it: not compressed.
type Module struct {
	Name    string // with underscores
	Content []byte
}

// Limits, in bytes and in modules. The modules.dep of a distribution's kernel has 1 MiB. The modules that a root needs
// have 0.5 MiB together.
const (
	maxList  = 16 << 20
	maxAll   = 32 << 20
	maxCount = 64
)

// Missing is the error about a module that an image does not have.
type Missing struct{ Name string }

func (m *Missing) Error() string { return "it has no module " + m.Name }

// Find returns the modules with these names and all that they depend on, in the order in which they are loaded. dir is
// the kernel's directory of modules. Drivers that are built into the kernel have no module.
func Find(img Image, dir string, names ...string) ([]Module, error) {
	f := finder{img: img, dir: dir, done: map[string]bool{}, room: maxAll}
	if err := f.lists(); err != nil {
		return nil, err
	}
	for _, name := range names {
		name = plain(name)
		if f.builtin[name] {
			continue
		}
		file, ok := f.files[name]
		if !ok {
			return nil, &Missing{name}
		}
		if err := f.add(file); err != nil {
			return nil, err
		}
	}
	return f.found, nil
}

// finder looks for modules.
type finder struct {
	img     Image
	dir     string
	builtin map[string]bool     // names of drivers
	files   map[string]string   // the path of a module by its name
	needs   map[string][]string // paths of modules by the path of what depends on them

	done  map[string]bool // paths that are in found, or about to be
	found []Module
	room  int64 // bytes that further modules may have
}

// lists reads modules.builtin and modules.dep, whose form is that of depmod.c and of the kernel's build. An image may
// have one of them, or none.
func (f *finder) lists() error {
	f.builtin, f.files, f.needs = map[string]bool{}, map[string]string{}, map[string][]string{}
	text, err := f.list("modules.builtin")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) { // "kernel/fs/squashfs/squashfs.ko"
		f.builtin[name(string(bytes.TrimSpace(line)))] = true
	}
	if text, err = f.list("modules.dep"); err != nil {
		return err
	}
	for line := range bytes.Lines(text) { // "kernel/drivers/nvdimm/nd_pmem.ko.xz: kernel/drivers/nvdimm/libnvdimm.ko.xz"
		file, needs, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		if _, twice := f.files[name(file)]; !twice {
			f.files[name(file)] = file
		}
		f.needs[file] = strings.Fields(needs)
	}
	return nil
}

// list reads a list, which is empty if there is none.
func (f *finder) list(name string) ([]byte, error) {
	b, err := f.img.Read(path.Join(f.dir, name), maxList)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path.Join(f.dir, name), smallfile.Cause(err))
	}
	return b, nil
}

// add adds a module behind those that it depends on. modules.dep has the one to load first at the end of a line.
func (f *finder) add(file string) error {
	if f.done[file] {
		return nil
	}
	if len(f.done) == maxCount {
		return fmt.Errorf("more than %d modules depend on each other", maxCount)
	}
	f.done[file] = true
	needs := f.needs[file]
	if other, ok := f.files[asked[name(file)]]; ok {
		needs = append(slices.Clip(needs), other)
	}
	for _, other := range slices.Backward(needs) {
		if err := f.add(other); err != nil {
			return err
		}
	}
	at := file
	if !path.IsAbs(file) { // depmod lists modules outside of the directory so
		at = path.Join(f.dir, file)
	}
	b, err := f.img.Read(at, f.room)
	if errors.Is(err, fs.ErrNotExist) {
		return &Missing{name(file)}
	}
	if err == nil {
		b, err = small.Unpack(b, f.room)
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", at, smallfile.Cause(err))
	}
	if !bytes.HasPrefix(b, []byte("\x7fELF")) {
		return fmt.Errorf("%s is no module", at)
	}
	f.room -= int64(len(b))
	f.found = append(f.found, Module{name(file), b})
	return nil
}

// asked has the modules that another one asks the kernel for when it is loaded, which would start modprobe. modules.dep
// does not say that. It needs none where the driver is built in.
var asked = map[string]string{"libcrc32c": "crc32c_generic"}

// name returns the name of the module in a file.
func name(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return plain(base)
}

// plain returns a name as the kernel writes it.
func plain(name string) string { return strings.ReplaceAll(name, "-", "_") }
