package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
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

// taken returns what of the image is where wyrinit has to be, for people, "" if nothing is: anything in the
// place of its directory, a link that leads nowhere included, or a directory in the place of InitPath, which cannot be
// moved away.
func (p *Plan) taken() string {
	if _, err := p.tree.Lstat(handover.Dir); err == nil {
		return handover.Dir
	}
	if n, err := p.tree.Lstat(handover.Init); err == nil && n.Dir() {
		return "the directory " + handover.Init
	}
	return ""
}

// checkInit refuses what would make the kernel panic: an init that is missing or that the kernel cannot run.
func (p *Plan) checkInit(ctx context.Context, path, advice string) error {
	node, err := p.tree.Lookup(path)
	if err != nil {
		return missing(p.tree, path, advice, err)
	}
	p.start, p.Init = path, node.Path
	if !runs(node) {
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
	user := fmt.Sprintf("/%s, its %s, cannot run without it", node.Path, path)
	switch it, err := p.tree.Lookup(interpreter); {
	case err != nil:
		return missing(p.tree, interpreter, user, err)
	case !runs(it):
		return fmt.Errorf(notBootable+"%s is not an executable file; %s", interpreter, user)
	}
	return nil
}

// runs reports whether the kernel would run a file, as far as its type and its mode tell.
func runs(n *rootfs.Node) bool { return n.Regular() && n.Mode&0o111 != 0 }

// interpreterOf returns the program that runs this one: the interpreter of a script, or the dynamic linker of an ELF
// program for that architecture. It returns "" if the program needs none. Formats that only binfmt_misc could run are
// an error.
func interpreterOf(file []byte, arch string) (string, error) {
	switch {
	case len(file) == 0:
		return "", errors.New("an empty file")
	case bytes.HasPrefix(file, []byte("#!")):
		return scriptInterpreter(file)
	case bytes.HasPrefix(file, []byte(elfMagic)):
		return dynamicLinker(file, arch)
	}
	return "", errors.New("neither a program nor a script")
}

// scriptInterpreter returns the interpreter of a script. It reads the first line as load_script in fs/binfmt_script.c
// does: the line ends with a newline or a zero, and only blanks and tabs part the words. So a carriage return before
// the newline, as Windows has it, is a part of the name.
func scriptInterpreter(file []byte) (string, error) {
	const most = 256 // BINPRM_BUF_SIZE
	line := file[len("#!"):min(len(file), most)]
	if end := bytes.IndexAny(line, "\n\x00"); end >= 0 {
		line = line[:end]
	} else if len(file) >= most && !bytes.ContainsAny(bytes.TrimLeft(line, " \t"), " \t") {
		return "", fmt.Errorf("a script whose interpreter does not fit the first %d bytes, which are all that the kernel "+
			"reads", most)
	}
	words := bytes.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) == 0 {
		return "", errors.New("a script that names no interpreter")
	}
	if name, ok := strings.CutSuffix(string(words[0]), "\r"); ok {
		return "", fmt.Errorf("a script whose lines end as those of Windows do, so the kernel looks for an interpreter %q; "+
			"convert it: sed -i 's/\\r$//'", name+"\r")
	}
	return string(words[0]), nil
}
