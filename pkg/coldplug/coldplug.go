// Package coldplug loads the drivers of the devices that are present, and of
// devices that appear while it watches.
//
// It matches a device's modalias (sysfs, Documentation/ABI) with the patterns
// in modules.alias, which depmod(8) writes. It loads the matching modules with
// u-root's kmodule, with their hard dependencies (modules.dep) and their soft
// dependencies (modules.softdep). The kernel's uevents announce new devices.
//
// It does not replace udev: it creates no device nodes, has no rules, unloads
// nothing and does not read modprobe.d. Drivers load in parallel and name links
// eth0, eth1… in the order in which they find their devices. So identify a link
// by its address or path, not by its name.
package coldplug

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/u-root/u-root/pkg/kmodule"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Loader loads drivers. The zero value loads them for the running system. It
// must not be copied after use. Its methods may be called concurrently.
type Loader struct {
	// Root is the directory that holds sys and lib/modules; "" is "/".
	Root string

	// Release is the kernel release whose modules are loaded; "" is the
	// release of the running kernel.
	Release string

	// Params has the parameters of modules by module name, such as
	// "max_bonds=2" for "bonding". They come after the defaults of this
	// package, which keep bonding and dummy from creating a link of their
	// own, and before those of the kernel's command line
	// (bonding.max_bonds=2).
	Params map[string]string

	// Quiet is how long no device may ask for a new driver before the
	// devices count as settled; 0 is two seconds.
	Quiet time.Duration

	// Logf, if set, is called for every driver that loads or fails.
	Logf func(format string, args ...any)

	// dryRun replaces loading in tests.
	dryRun func(path string)

	open    sync.Once
	openErr error
	index   *index
	builtIn bool // the kernel has no modules at all
	options options
	probe   *kmodule.Prober
	events  *uevents

	mu     sync.Mutex
	seen   map[string]bool     // modaliases already handled
	tried  map[string]*attempt // modules already tried, by name
	result Result

	settled     chan struct{}
	settledOnce sync.Once
}

// Result says what was loaded so far, and which network cards are not usable.
type Result struct {
	Loaded  []string // modules, in the order in which they were ready
	Failed  []error  // one sentence for each module that failed; a module whose device is absent has not failed
	Missing []Device // network cards for which there is no module and no built-in driver
	Idle    []Device // network cards that have a driver, but no network interface
	Wanting []Device // network cards with an interface whose driver did not find its firmware; some work without it

	// BuiltIn reports whether the kernel was built without modules: it has the drivers that it has.
	BuiltIn bool
}

func (l *Loader) logf(format string, args ...any) {
	if l.Logf != nil {
		l.Logf(format, args...)
	}
}

func (l *Loader) path(elem ...string) string {
	return filepath.Join(append([]string{"/", l.Root}, elem...)...)
}

// start reads the indexes, once.
func (l *Loader) start() error {
	l.open.Do(func() {
		l.seen = make(map[string]bool)
		l.tried = make(map[string]*attempt)
		l.settled = make(chan struct{})
		defer func() {
			if l.openErr != nil {
				close(l.settled) // no device will ever come
			}
		}()

		release := l.Release
		if release == "" {
			var u unix.Utsname
			if l.openErr = unix.Uname(&u); l.openErr != nil {
				return
			}
			release = unix.ByteSliceToString(u.Release[:])
		}
		l.options = readOptions(l.path("proc/cmdline"))
		l.index, l.openErr = readIndex(l.path(), release)
		if l.builtIn = errors.Is(l.openErr, fs.ErrNotExist) && l.withoutModules(); l.builtIn {
			l.index, l.openErr = newIndex(), nil
			return
		}
		if l.openErr != nil {
			l.openErr = fmt.Errorf("cannot load drivers for kernel %s: %w", release, l.openErr)
			return
		}
		l.probe, l.openErr = kmodule.NewProber(kmodule.ProbeOpts{
			RootDir:        l.path(),
			KVer:           release,
			DryRunCB:       l.dryRun,
			IgnoreProcMods: l.dryRun != nil,
		})
	})
	return l.openErr
}

// Load loads the drivers of all devices that are present. A driver may create
// new devices, so it repeats this until no new device appears. It returns an
// error only if it cannot work at all (errors.Is(err, fs.ErrNotExist): there
// are no modules for this kernel, although it could load some). A kernel without
// CONFIG_MODULES has all its drivers, and nothing is loaded. Failures of single
// drivers are in the Result.
func (l *Loader) Load(ctx context.Context) (Result, error) {
	if err := l.start(); err != nil {
		return Result{}, err
	}
	if l.Root == "" && l.events == nil {
		// Before the first scan, so that no device is missed.
		var err error
		if l.events, err = listen(); err != nil {
			return Result{}, err
		}
		setModprobe()
	}
	for {
		found, err := l.scan(ctx)
		if err != nil {
			return Result{}, err
		}
		if !found {
			return l.Result(), nil
		}
	}
}

// scan loads the drivers of the devices that are present now, and reports
// whether it found a new modalias.
func (l *Loader) scan(ctx context.Context) (found bool, err error) {
	aliases, err := l.aliases()
	if err != nil {
		return false, err
	}
	var fresh []string
	for _, alias := range aliases {
		if l.claim(alias) {
			fresh = append(fresh, alias)
		}
	}
	return len(fresh) > 0, l.loadAll(ctx, fresh...)
}

// ipoib is the alias of the driver that creates network links for InfiniBand adapters.
const ipoib = "rtnl-link-ipoib"

// claim reports whether the caller is the first to handle a modalias.
func (l *Loader) claim(alias string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[alias] {
		return false
	}
	l.seen[alias] = true
	return true
}

// Add loads modules by name or alias ("8021q", "rtnl-link-vlan",
// "fs-efivarfs"), for features that have no device. It is no error if a module
// is built into the kernel. It is an error if there is no such module
// (errors.Is(err, fs.ErrNotExist)).
func (l *Loader) Add(ctx context.Context, names ...string) error {
	if err := l.start(); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		modules := l.index.resolve(name)
		if len(modules) == 0 && !l.inside(name) {
			errs = append(errs, &noModule{name, l.builtIn})
			continue
		}
		for _, m := range modules {
			errs = append(errs, l.load(m))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}

// modprobe is the path in the initrd of the program that loads the modules that
// the kernel itself requests.
const modprobe = "/bbin/modprobe"

// setModprobe tells the kernel the path of modprobe, if it exists. By default the
// kernel looks in /sbin (Documentation/admin-guide/sysctl/kernel.rst, modprobe),
// finds nothing and continues without the module: a PHY then uses the generic
// driver, and some cards lack their Ethernet part.
func setModprobe() {
	if _, err := os.Stat(modprobe); err == nil {
		// A kernel without CONFIG_MODULES has no such file and needs none.
		_ = os.WriteFile("/proc/sys/kernel/modprobe", []byte(modprobe+"\n"), 0)
	}
}

// loadAll loads the modules that match the modaliases. Modules for different devices
// load in parallel. Modules for the same device load in the order of modules.order,
// because the first one gets the device. All USB modaliases count as one device: on
// USB a modalias belongs to an interface, but a driver can claim the whole device.
func (l *Loader) loadAll(ctx context.Context, modaliases ...string) error {
	groups := make(map[string][]string)
	for _, alias := range modaliases {
		group := alias
		if strings.HasPrefix(alias, "usb:") {
			group = "usb:"
		}
		groups[group] = append(groups[group], alias)
	}
	var g errgroup.Group
	g.SetLimit(2 * runtime.NumCPU())
	for _, group := range groups {
		g.Go(func() error {
			for _, m := range l.index.lookup(group...) {
				if ctx.Err() == nil && !l.options.barred[m] {
					l.load(m) // a failure is in the Result; the other modules still load
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// load loads a module with its soft dependencies, each once, and returns the error
// of the module itself. It makes its plan before it loads anything, so circular soft
// dependencies do no harm.
func (l *Loader) load(name string) error {
	var err error
	for _, m := range l.index.plan(name) {
		// kmodule passes no parameters to a module that it loads as a dependency.
		for _, dep := range slices.Backward(l.index.deps[m]) {
			if l.params(dep) != "" {
				l.insert(dep)
			}
		}
		if e := l.insert(m); m == name {
			err = e
		}
	}
	return err
}

// attempt makes sure that a module is tried only once, and keeps the error.
type attempt struct {
	once sync.Once
	err  error
}

func (l *Loader) insert(name string) error {
	l.mu.Lock()
	a := l.tried[name]
	if a == nil {
		a = new(attempt)
		l.tried[name] = a
	}
	l.mu.Unlock()

	a.once.Do(func() {
		begin := time.Now()
		err := l.probe.Probe(name, l.params(name))

		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case err == nil:
			l.result.Loaded = append(l.result.Loaded, name)
			l.logf("driver %s loaded in %.2f s", name, time.Since(begin).Seconds())
		case errors.Is(err, unix.ENODEV):
			// The module's hardware is absent: a CPU without the
			// instruction, a platform without the chip.
		default:
			a.err = fmt.Errorf("cannot load driver %s: %w", name, err)
			l.result.Failed = append(l.result.Failed, a.err)
			l.logf("%v", a.err)
		}
	})
	return a.err
}

// Result returns what Load, Watch and Add have done so far, and which network
// cards are not usable at the moment.
func (l *Loader) Result() Result {
	if l.start() != nil {
		return Result{}
	}
	l.mu.Lock()
	r := Result{Loaded: slices.Clone(l.result.Loaded), Failed: slices.Clone(l.result.Failed), BuiltIn: l.builtIn}
	l.mu.Unlock()
	l.cards(&r)
	return r
}

// Watch loads the drivers of devices that appear. It ends with ctx and returns
// its error. Call it once, after Load: devices that appeared in between are not
// lost.
func (l *Loader) Watch(ctx context.Context) error {
	if err := l.start(); err != nil {
		return err
	}
	if l.events == nil {
		return errors.New("cannot watch for devices before Load has begun to listen")
	}
	quiet := l.Quiet
	if quiet == 0 {
		quiet = 2 * time.Second
	}
	settle := time.AfterFunc(quiet, func() { l.settledOnce.Do(func() { close(l.settled) }) })
	defer settle.Stop()
	defer context.AfterFunc(ctx, func() { l.events.Close() })()

	for {
		ev, err := l.events.next()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS):
			// The kernel sent more messages than the socket could hold.
			settle.Stop()
			if _, err := l.scan(ctx); err != nil {
				return err
			}
			settle.Reset(quiet)
			continue
		case err != nil:
			return err
		}
		if ev["ACTION"] != "add" {
			continue
		}
		alias := ev["MODALIAS"]
		if ev["SUBSYSTEM"] == "mdio_bus" {
			alias = phyAlias(filepath.Join("/sys", ev["DEVPATH"]))
		}
		if ev["SUBSYSTEM"] == "infiniband" {
			alias = ipoib
		}
		if alias == "" || !l.claim(alias) {
			continue
		}
		settle.Stop() // a driver may take longer than quiet
		if err := l.loadAll(ctx, alias); err != nil {
			return err
		}
		settle.Reset(quiet)
	}
}

// Settled returns a channel that Watch closes when no new device has appeared
// for some time (Quiet). More devices may still appear later, so Watch goes on.
func (l *Loader) Settled() <-chan struct{} {
	l.start() // Load returns the error
	return l.settled
}

// aliases returns the modaliases of all devices, each once. Every device with a
// modalias is on a bus; /sys/devices has ten times as many files.
func (l *Loader) aliases() ([]string, error) {
	files, err := filepath.Glob(l.path("sys/bus/*/devices/*/modalias"))
	if err != nil {
		return nil, err
	}
	var aliases []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the device is gone again
		}
		aliases = append(aliases, strings.TrimSpace(string(b)))
	}
	phys, err := filepath.Glob(l.path("sys/bus/mdio_bus/devices/*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range phys {
		aliases = append(aliases, phyAlias(dir))
	}
	// No device has a modalias for IP over InfiniBand; an adapter needs it.
	if adapters, _ := filepath.Glob(l.path("sys/class/infiniband/*")); len(adapters) > 0 {
		aliases = append(aliases, ipoib)
	}
	// The store of UEFI's variables is a file system, not a device.
	if _, err := os.Stat(l.path("sys/firmware/efi")); err == nil {
		aliases = append(aliases, "fs-efivarfs")
	}
	slices.Sort(aliases)
	return slices.DeleteFunc(slices.Compact(aliases), func(s string) bool { return s == "" }), nil
}
