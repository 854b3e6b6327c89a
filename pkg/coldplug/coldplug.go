// Package coldplug loads the drivers for the hardware that is there, and for
// what appears while it watches.
//
// A device's modalias (sysfs, Documentation/ABI) is matched against
// modules.alias as depmod(8) writes it, and the modules of all that match are
// loaded through u-root's kmodule, with their hard dependencies (modules.dep)
// and soft ones (modules.softdep). New devices are learnt from the kernel's
// uevents.
//
// It is no udev: it makes no device nodes, knows no rules, unloads nothing and
// reads no modprobe.d. The names eth0, eth1… are in the order in which drivers
// find their devices, and drivers load in parallel: tell links apart by address
// or path.
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

// Loader loads drivers. The zero value serves the running system. It must not
// be copied once used; its methods may be called at the same time.
type Loader struct {
	// Root is the directory that holds sys and lib/modules; "" is "/".
	Root string

	// Release is the kernel release whose modules are loaded; "" is that of
	// the running kernel.
	Release string

	// Params gives the parameters of modules by name, "max_bonds=2" for
	// "bonding". They come after the defaults of this package, which keep
	// bonding and dummy from making a link that nobody asked for, and before
	// those of the kernel's command line (bonding.max_bonds=2).
	Params map[string]string

	// Quiet is how long no new driver must have been asked for until
	// Settled says so; 0 is two seconds.
	Quiet time.Duration

	// Logf, where set, is told of every driver that loads or fails.
	Logf func(format string, args ...any)

	// dryRun takes the place of loading in tests.
	dryRun func(path string)

	open    sync.Once
	openErr error
	index   *index
	options options
	probe   *kmodule.Prober
	events  *uevents

	mu     sync.Mutex
	seen   map[string]bool     // modaliases dealt with
	tried  map[string]*attempt // modules dealt with, by name
	result Result

	settled     chan struct{}
	settledOnce sync.Once
}

// Result is what loading came to so far.
type Result struct {
	Loaded  []string // modules, in the order in which they were ready
	Failed  []error  // a sentence each; a module without its device is none
	Missing []Device // network cards that no module here and no driver of the kernel serves
	Idle    []Device // those that one should serve, and that are no network interface all the same
	Wanting []Device // those that are one, and whose driver asked for firmware in vain; some do without
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
				close(l.settled) // nobody will wait for what cannot come
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
		if l.index, l.openErr = readIndex(l.path(), release); l.openErr != nil {
			l.openErr = fmt.Errorf("cannot load drivers for kernel %s: %w", release, l.openErr)
			return
		}
		l.options = readOptions(l.path("proc/cmdline"))
		l.probe, l.openErr = kmodule.NewProber(kmodule.ProbeOpts{
			RootDir:        l.path(),
			KVer:           release,
			DryRunCB:       l.dryRun,
			IgnoreProcMods: l.dryRun != nil,
		})
	})
	return l.openErr
}

// Load loads the drivers of all devices present, again and again until none
// brings forth a device that wants another. It returns an error only where it
// cannot work at all (errors.Is(err, fs.ErrNotExist): no modules for this
// kernel, whose drivers may all be built in); what went wrong with single
// drivers is in the Result.
func (l *Loader) Load(ctx context.Context) (Result, error) {
	if err := l.start(); err != nil {
		return Result{}, err
	}
	if l.Root == "" && l.events == nil {
		// Before the first scan, so that no device falls between the two.
		var err error
		if l.events, err = listen(); err != nil {
			return Result{}, err
		}
		answerKernel()
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

// scan loads for what is there now and says whether there was anything new.
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

// ipoib is the alias of the driver that makes network links of InfiniBand adapters.
const ipoib = "rtnl-link-ipoib"

// claim says whether the caller is the first to deal with a modalias.
func (l *Loader) claim(alias string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[alias] {
		return false
	}
	l.seen[alias] = true
	return true
}

// Add loads the modules of the given names or aliases ("8021q",
// "rtnl-link-vlan", "fs-efivarfs"), for what has no device to ask for them. A
// name that the kernel has built in is no error, one that nothing serves is
// (errors.Is(err, fs.ErrNotExist)).
func (l *Loader) Add(ctx context.Context, names ...string) error {
	if err := l.start(); err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		modules := l.index.resolve(name)
		if len(modules) == 0 && !l.index.builtIn(name) {
			errs = append(errs, &noModule{name})
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

// noModule is the error for a name that nothing serves; it is fs.ErrNotExist.
type noModule struct{ name string }

func (e *noModule) Error() string {
	return fmt.Sprintf("this initrd has no kernel module for %q", e.name)
}

func (e *noModule) Is(target error) bool { return target == fs.ErrNotExist }

// modprobe is where the initrd has the program that loads what the kernel itself
// asks for.
const modprobe = "/bbin/modprobe"

// answerKernel tells the kernel of modprobe, if there is one. The kernel would
// look in /sbin (Documentation/admin-guide/sysctl/kernel.rst, modprobe) and, finding
// nothing, go on without: a PHY with the generic driver, a card without its
// Ethernet half.
func answerKernel() {
	if _, err := os.Stat(modprobe); err == nil {
		// A kernel without CONFIG_MODULES has no such file, and no need of it.
		_ = os.WriteFile("/proc/sys/kernel/modprobe", []byte(modprobe+"\n"), 0)
	}
}

// loadAll loads the modules that serve the modaliases. Those of different devices load
// in parallel; those that may want the same device in the order of modules.order,
// since the first one gets it. On USB they may all want the same: a modalias there is
// that of an interface, and a driver can take the whole device.
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
					l.load(m) // its failure is in the Result: the others still count
				}
			}
			return ctx.Err()
		})
	}
	return g.Wait()
}

// load loads a module with its soft dependencies, each once, and returns how the
// module itself went. The plan is made before anything is waited for, so soft
// dependencies that go round in a circle do no harm.
func (l *Loader) load(name string) error {
	var err error
	for _, m := range l.index.plan(name) {
		// kmodule gives what it loads as a dependency no parameters.
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

// attempt is the one try that a module gets.
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
			// Its way to say that there is nothing here for it: a CPU
			// without the instruction, a platform without the chip.
		default:
			a.err = fmt.Errorf("cannot load driver %s: %w", name, err)
			l.result.Failed = append(l.result.Failed, a.err)
			l.logf("%v", a.err)
		}
	})
	return a.err
}

// Result returns what Load, Watch and Add have done so far, and which network
// cards have no driver at this moment.
func (l *Loader) Result() Result {
	if l.start() != nil {
		return Result{}
	}
	l.mu.Lock()
	r := Result{Loaded: slices.Clone(l.result.Loaded), Failed: slices.Clone(l.result.Failed)}
	l.mu.Unlock()
	l.cards(&r)
	return r
}

// Watch loads the drivers of devices that appear, until ctx ends, whose error
// it then returns. Call it after Load, once: what appeared meanwhile waits.
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
			// The kernel had more to tell than the socket could hold.
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

// Settled is closed when, under Watch, no new device has appeared for a while
// (Quiet). Devices may still come: that is what Watch goes on for.
func (l *Loader) Settled() <-chan struct{} {
	l.start() // its error is Load's to tell
	return l.settled
}

// aliases returns what devices ask for, each once. Every device that can ask
// is on a bus; walking /sys/devices instead would visit ten times the files.
func (l *Loader) aliases() ([]string, error) {
	files, err := filepath.Glob(l.path("sys/bus/*/devices/*/modalias"))
	if err != nil {
		return nil, err
	}
	var aliases []string
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // gone again
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
	// Nothing but an adapter calls for IP over InfiniBand.
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
