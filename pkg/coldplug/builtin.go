package coldplug

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// withoutModules reports whether the kernel was built without CONFIG_MODULES, so
// that nothing can be missing in /lib/modules: only with it is there a
// /proc/modules (kernel/module/procfs.c). Without /proc nobody knows.
func (l *Loader) withoutModules() bool {
	if _, err := os.Stat(l.path("proc/cmdline")); err != nil {
		return false
	}
	_, err := os.Stat(l.path("proc/modules"))
	return errors.Is(err, fs.ErrNotExist)
}

// inside reports whether the module, or one with that alias, is built into the kernel. A kernel without modules has no
// list of them, but a directory for most (kernel/params.c).
func (l *Loader) inside(name string) bool {
	if !l.builtIn {
		return l.index.builtIn(name)
	}
	if strings.ContainsAny(name, "/.") {
		return false
	}
	_, err := os.Stat(l.path("sys/module", underscored(name)))
	return err == nil
}

// noModule is the error for a name or alias without a module; it is fs.ErrNotExist.
type noModule struct {
	name    string
	builtIn bool
}

func (e *noModule) Error() string {
	if e.builtIn {
		return fmt.Sprintf("this kernel was built without modules, and has nothing built in that is called %q", e.name)
	}
	return fmt.Sprintf("this initrd has no kernel module for %q", e.name)
}

func (e *noModule) Is(target error) bool { return target == fs.ErrNotExist }
