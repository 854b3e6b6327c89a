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

// inits is where inits are in images without InitPath: /sbin/init is where all distributions have theirs, and where the
// kernel looks first (init/main.c, kernel_init); containers of distributions may have systemd without that link. Where
// /usr is not merged the others are other places. The image of busybox has /bin/init.
var inits = []string{
	"/sbin/init", "/usr/lib/systemd/systemd", "/usr/bin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/bin/init",
}

// findInit finds the program that the container starts with: the one that wyr.init names, the image's /init, or the
// first of inits that is one.
func (p *Plan) findInit(ctx context.Context) error {
	path, advice := p.opt.Init, "wyr.init is to be the path of a program in it"
	if path == "" {
		if _, err := p.tree.Lstat(InitPath); err != nil {
			return p.searchInit(ctx)
		}
		path, advice = InitPath, "make it a link to the image's init: ln -s /sbin/init "+InitPath
	}
	if p.opt.Init != "" {
		p.chose("init %s, because wyr.init names it", path)
	}
	return p.checkInit(ctx, path, advice)
}

// searchInit finds the init of an image that has no InitPath. A program that the image was made to run, its Entrypoint
// or Cmd, is none: it expects that somebody else has mounted /proc and brought the network up, and the kernel panics
// when it ends.
func (p *Plan) searchInit(ctx context.Context) error {
	var first error
	for _, path := range inits {
		if _, err := p.tree.Lstat(path); err != nil {
			continue
		}
		err := p.checkInit(ctx, path, "")
		if err == nil {
			p.chose("init %s, because there is no %s", path, InitPath)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return fmt.Errorf("%w; it has no %s and no other init", first, InitPath)
	}
	return fmt.Errorf(notBootable+"%s is not in it, and neither is %s; install an init in it, or name a program to start "+
		"instead (wyr.init=/PATH): its Entrypoint and Cmd are not started, because they rely on a system around them",
		InitPath, alternatives(inits))
}

// checkInit refuses what would make the kernel panic: an init that is missing or that the kernel cannot run.
func (p *Plan) checkInit(ctx context.Context, path, advice string) error {
	node, err := p.tree.Lookup(path)
	if err != nil {
		return missing(p.tree, path, advice, err)
	}
	p.start, p.Init = path, node.Path
	if node.Mode&unix.S_IFMT != unix.S_IFREG || node.Mode&0o111 == 0 {
		return fmt.Errorf(notBootable+"%s is to be a program, and /%s is not an executable file", path, node.Path)
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
		return fmt.Errorf(notBootable+"/%s, its %s, is %w", node.Path, path, err)
	}
	if interpreter == "" {
		return nil
	}
	if _, err := p.tree.Lookup(interpreter); err != nil {
		return missing(p.tree, interpreter, fmt.Sprintf("/%s, its %s, cannot run without it", node.Path, path), err)
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
