package network

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// Dir is the directory of the administrator's files, where systemd-networkd and the callers of Manager look for them.
const Dir = "/etc/systemd/network"

// Install writes the files below root, where netconf.ReadDirs finds them: the machine then has one configuration,
// whether it came from arguments or from files.
func Install(root string, files []netconf.File) error {
	dir := filepath.Join(root, Dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		name := f.Name + "." + string(f.Kind)
		if f.Name == "" || strings.ContainsAny(f.Name, "/\x00") || strings.HasPrefix(f.Name, ".") {
			return fmt.Errorf("%q is no name for a file", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(f.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
