// modules selects the kernel modules that a bootloader needs, with their
// dependencies, and writes them as an initramfs archive.
//
// Synopsis:
//
//	modules -from DIR -o FILE [-arch ARCH] [-firmware DIR] [-rdma]
//	modules -from DIR -names [-arch ARCH] [-rdma]
//
// Description:
//
//	DIR of -from is a kernel's module directory with the kernel's version as
//	its name (…/lib/modules/6.1.0-1-amd64), or a symlink to one. The archive
//	(newc, not compressed) holds the selected modules, decompressed, and the
//	indexes that depmod(8) makes from them, under lib/modules/VERSION. With
//	-firmware it also holds, under lib/firmware, the files of that DIR (laid
//	out like /lib/firmware) that the selected modules name in their firmware=
//	entries. The same input gives the same bytes. modules prints which of them
//	name firmware that is not in the archive.
//
//	With -names it prints the names of these files, and writes no archive.
//
// Options:
//
//	-from:     the kernel's module directory
//	-o:        the archive to write
//	-arch:     the architecture of the kernel, as GOARCH names it
//	-firmware: a firmware directory; without it no firmware is copied
//	-rdma:     add the drivers for IP over InfiniBand
//	-names:    print the names of the firmware, which may be patterns
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

type cmd struct {
	stdout   io.Writer
	from     string
	output   string
	arch     string
	firmware string
	rdma     bool
	names    bool
}

func command(args []string) (*cmd, error) {
	c := &cmd{stdout: os.Stdout}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.StringVar(&c.from, "from", "", "the kernel's module `directory`")
	f.StringVar(&c.output, "o", "", "the archive `file` to write")
	f.StringVar(&c.arch, "arch", runtime.GOARCH, "the kernel's `architecture`")
	f.StringVar(&c.firmware, "firmware", "", "add the firmware that the modules name from this `directory`")
	f.BoolVar(&c.rdma, "rdma", false, "add the drivers for IP over InfiniBand")
	f.BoolVar(&c.names, "names", false, "print the names of the firmware, and write no archive")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if c.from == "" || (c.output == "") != c.names || f.NArg() > 0 {
		return nil, errors.New("usage: modules -from DIR -o FILE [-arch ARCH] [-firmware DIR] [-rdma], " +
			"or modules -from DIR -names [-arch ARCH] [-rdma]")
	}
	return c, nil
}

func (c *cmd) run() error {
	from, err := filepath.EvalSymlinks(c.from)
	if err != nil {
		return err
	}
	src, err := openSource(from)
	if err != nil {
		return err
	}
	paths := slices.Concat(wanted, wantedOn[c.arch])
	if c.rdma {
		paths = append(paths, wantedRDMA...)
	}
	chosen, err := src.choose(paths)
	if err != nil {
		return err
	}
	if c.names {
		names, err := firmwareNames(chosen)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.stdout, strings.Join(names, "\n"))
		return err
	}
	return c.write(src, chosen, filepath.Base(from))
}

// write writes the archive with the modules of a kernel.
func (c *cmd) write(src *source, chosen []*module, version string) error {
	// depmod works on a directory tree, so create a temporary one.
	stage, err := os.MkdirTemp("", "modules")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	modules := filepath.Join(stage, "lib/modules", version)
	var size int64
	for _, m := range chosen {
		n, err := m.install(modules)
		if err != nil {
			return fmt.Errorf("cannot install module %s: %w", m.name, err)
		}
		size += n
	}
	if err := src.installIndexes(modules); err != nil {
		return err
	}
	if out, err := exec.Command("depmod", "-b", stage, version).CombinedOutput(); err != nil {
		return fmt.Errorf("depmod: %v: %s", err, out)
	}
	if err := dropUnread(modules); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%d of %d modules of %s, %.1f MB\n", len(chosen), len(src.byName), version, float64(size)/1e6)

	added, err := installFirmware(c.firmware, filepath.Join(stage, "lib/firmware"), chosen)
	if err != nil {
		return err
	}
	if c.firmware != "" {
		fmt.Fprintf(c.stdout, "%d firmware files, %.1f MB\n", added.files, float64(added.size)/1e6)
	}
	if len(added.without) > 0 {
		hint := ""
		if c.firmware == "" {
			hint = "; make FIRMWARE=debian adds what Debian has"
		}
		fmt.Fprintf(c.stdout, "without firmware, which they may need to work: %s%s\n",
			strings.Join(added.without, " "), hint)
	}
	return writeArchive(c.output, stage)
}

func main() {
	c, err := command(os.Args)
	if err == nil {
		err = c.run()
	}
	if err != nil {
		log.Fatalf("modules: %v", err)
	}
}
