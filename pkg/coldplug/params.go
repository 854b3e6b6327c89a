package coldplug

import (
	"os"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// defaultParams keep modules from creating links when they load.
var defaultParams = map[string]string{
	"bonding": "max_bonds=0",
	"dummy":   "numdummies=0",
}

// options are the module options on the kernel's command line. For a loadable module
// modprobe reads them, not the kernel (modprobe(8),
// Documentation/admin-guide/kernel-parameters.rst): MODULE.PARAMETER=VALUE, and
// modprobe.blacklist=MODULE,… for modules that must not load by an alias.
type options struct {
	params map[string][]string
	barred map[string]bool
}

// readOptions reads the command line in file. Without that file there are no options.
func readOptions(file string) options {
	o := options{params: make(map[string][]string), barred: make(map[string]bool)}
	line, err := os.ReadFile(file)
	if err != nil {
		return o
	}
	for _, arg := range cmdline.Parse(string(line)) {
		module, param, ok := strings.Cut(arg.Key, ".")
		if !ok || module == "" || param == "" {
			continue
		}
		if module == "modprobe" && param == "blacklist" {
			for _, name := range strings.Split(arg.Value, ",") {
				o.barred[underscored(name)] = true
			}
			continue
		}
		arg.Key = param
		module = underscored(module)
		o.params[module] = append(o.params[module], arg.String())
	}
	return o
}

// params returns the parameters of a module: the defaults, then those of Params, then
// those of the command line. If a parameter occurs twice, the module uses the later one.
func (l *Loader) params(module string) string {
	all := append([]string{defaultParams[module], l.Params[module]}, l.options.params[module]...)
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), " ")
}
