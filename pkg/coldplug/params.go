package coldplug

import (
	"os"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
)

// defaultParams keeps modules from making links of their own.
var defaultParams = map[string]string{
	"bonding": "max_bonds=0",
	"dummy":   "numdummies=0",
}

// options is what the kernel's command line says about modules, which is modprobe's
// to read and not the kernel's (modprobe(8), Documentation/admin-guide/kernel-parameters.rst):
// MODULE.PARAMETER=VALUE, and modprobe.blacklist=MODULE,… for those that no alias
// may load.
type options struct {
	params map[string][]string
	barred map[string]bool
}

// readOptions reads the command line in file. Without one there are no options.
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
// those of the command line. Of two with the same name the module takes the latter.
func (l *Loader) params(module string) string {
	all := append([]string{defaultParams[module], l.Params[module]}, l.options.params[module]...)
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), " ")
}
