package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// findInit refuses what would make the kernel panic: an /init that is missing or that the kernel cannot run.
func (p *Plan) findInit(ctx context.Context) error {
	node, err := p.tree.Lookup(InitPath)
	if err != nil {
		return p.missing(InitPath, "make it a link to the image's init: ln -s /sbin/init "+InitPath, err)
	}
	p.Init = node.Path
	if node.Mode&unix.S_IFMT != unix.S_IFREG || node.Mode&0o111 == 0 {
		return fmt.Errorf("the image is not bootable: %s is to be a program, and /%s is not an executable file",
			InitPath, node.Path)
	}
	r, err := p.tree.Open(ctx, node)
	if err != nil {
		return err
	}
	defer r.Close()
	const most = 64 << 20 // no init's program headers are farther back; the rest is not checked
	head, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return fmt.Errorf("cannot read /%s: %w", node.Path, err)
	}
	interpreter, err := interpreterOf(head, p.opt.arch())
	if err != nil {
		return fmt.Errorf("the image is not bootable: /%s, its /init, is %w", node.Path, err)
	}
	if interpreter == "" {
		return nil
	}
	if _, err := p.tree.Lookup(interpreter); err != nil {
		return p.missing(interpreter, fmt.Sprintf("/%s, its /init, cannot run without it", node.Path), err)
	}
	return nil
}

// interpreterOf returns the program that runs this one: the interpreter of a script (fs/binfmt_script.c), or the
// dynamic linker of an ELF program for that architecture. It returns "" if the program needs none. Formats that only
// binfmt_misc could run are an error.
func interpreterOf(file []byte, arch string) (string, error) {
	if line, ok := bytes.CutPrefix(file, []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if words := strings.Fields(string(line)); len(words) > 0 {
			return words[0], nil
		}
		return "", errors.New("a script that names no interpreter")
	}
	if len(file) == 0 {
		return "", errors.New("an empty file")
	}
	if !bytes.HasPrefix(file, []byte(elfMagic)) {
		return "", errors.New("neither a program nor a script")
	}
	return dynamicLinker(file, arch)
}
