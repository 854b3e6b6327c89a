// wyrboot boots this machine into a container.
//
// Synopsis:
//
//	wyrboot [-cmdline FILE] [ARGUMENT...]
//
// Description:
//
//	u-root's init starts wyrboot first. wyrboot loads the drivers of the present hardware, brings the network up,
//	downloads and verifies the container image that wyr.img= names, turns its whole file system into an initramfs, and
//	starts the kernel that is inside the container. It never returns: it starts the container, or says why it cannot and
//	reboots. Started by a person, from a shell, it returns on failure.
//
//	The kernel's command line says what to boot, and the ARGUMENTs, which count as if they stood at its beginning:
//	u-root's init makes them of uroot.uinitargs= and /etc/uinit.flags. If none names an image, these are asked in this
//	order: the EFI variable that wyr.efi=write stored, system credentials, coreboot's VPD, and DHCP servers.
//
// Options:
//
//	-cmdline FILE: read the arguments from FILE instead of /proc/cmdline
//
// Example:
//
//	echo 'wyr.img=registry.example/debian wyr.arg=quiet' > /tmp/line; wyrboot -cmdline /tmp/line
package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/vpd"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/clock"
	"gitlab.com/wyrcan/wyrcan/pkg/coldplug"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/efivar"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// version is set by the Makefile with -ldflags -X. A u-root of somebody else does not know it.
var version string

// release returns the version of this program.
func release() string { return cmp.Or(version, "unreleased") }

// documents is the address of the documentation.
const documents = "https://gitlab.com/wyrcan/wyrcan"

// wyrinit is the path, in the initrd, of the program that bundles put in the place of a container's /init.
const wyrinit = "/usr/lib/wyrcan/wyrinit"

func main() {
	c := &cmd{console: console.Open(""), store: &efivar.Var{}, root: os.DirFS("/"), vpd: vpd.NewReader(),
		owner: ownsMachine()}
	c.trouble = &console.Trouble{Out: c.console, Sayf: c.sayf, Prefix: "wyrboot: "}
	wrong := c.arguments(os.Args[1:])
	if !c.owner {
		if wrong == nil {
			wrong = c.run(context.Background())
		}
		c.sayf("%v", wrong)
		c.console.Flush(2 * time.Second)
		os.Exit(1)
	}
	// init starts its shell when the uinit has ended. In this initrd that shell is wyrboot again, which notices it
	// here.
	err := os.MkdirAll(filepath.Dir(started), 0o755)
	if err == nil && errors.Is(os.Mkdir(started, 0o755), fs.ErrExist) {
		c.fail(context.Background(),
			errors.New("wyrboot died without a word, which is a mistake in Wyrcan itself, please report it"))
	}
	if wrong != nil {
		c.fail(context.Background(), wrong)
	}
	c.fail(context.Background(), c.run(context.Background()))
}

// started exists once wyrboot has run as the uinit.
const started = "/run/wyrboot"

// ownsMachine reports whether u-root's init started this program as the uinit, and not a person from a shell. The
// uinit's parent is process 1, and that runs the same busybox.
func ownsMachine() bool {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil || os.Getppid() != 1 {
		return false
	}
	init, err := os.Readlink("/proc/1/exe")
	return err == nil && filepath.Base(init) == filepath.Base(self)
}

type cmd struct {
	console *console.Console
	cmdline string
	words   []string // arguments of this program, which count as if they stood before those of the command line
	store   config.Store
	root    fs.FS       // of this machine: what its owner put there
	vpd     *vpd.Reader // coreboot's Vital Product Data
	owner   bool        // this program may reboot the machine

	system    syscred.Set             // system credentials
	logins    credentials.Credentials // for registries
	trusted   *x509.CertPool          // certificate authorities
	found     config.Found            // the configuration as it was found, which wyr.efi=write stores
	missing   error                   // why none names an image, before the network is up; nil if one does
	config    config.Config           // what this machine boots
	confirmed bool                    // wyr.efi=write is to be done: a person has answered yes, or nobody is asked
	net       *network.Manager
	clock     *clock.Clock
	policies  policy.Policies
	boot      *boot.Boot // how this machine boots an image
	trouble   *console.Trouble
	stack     boot.Stack // what is booted; empty until it is resolved

	// The stages: for the record of this boot, and for the error of one that takes too long.
	stages  []record.Stage // that are over
	running string         // the stage that has begun
	began   time.Time

	loader      *coldplug.Loader
	driversErr  error              // why no driver could be loaded
	stopDrivers context.CancelFunc // stops loading drivers for hardware that appears later
	unwatched   chan struct{}      // closed when such hardware gets no driver any more
}

// run boots the machine. It returns only if it cannot.
func (c *cmd) run(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			for line := range strings.Lines(string(debug.Stack())) {
				c.sayf("%s", line)
			}
			err = fmt.Errorf("a mistake in Wyrcan itself, please report it with the lines above: %v", p)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.owner { // firmware does not end its last line, and a quiet kernel prints nothing after it
		io.WriteString(c.console, "\n")
	}
	c.sayf("Wyrcan %s, the container bootloader", release())
	c.sayf("documents: %s", documents)
	c.took("kernel", uptime())
	c.clock = c.newClock()
	c.clock.Floor()

	if err := c.stage("drivers", func() error { return c.drivers(ctx) }); err != nil {
		c.sayf("some hardware may stay without a driver: %v", err)
	}
	if l := readLock(c.root).String(); l != "" {
		c.sayf("%s", l)
	}
	var unreadable []error
	c.system, unreadable = c.systemCredentials(ctx)
	if err := c.configure(ctx); err != nil {
		return err
	}
	if c.policies, err = policies(builtinPolicy, policy.File, c.system, unreadable); err != nil {
		return fmt.Errorf("cannot tell which images may be booted: %w", err)
	}
	ctx, stop := c.limited(ctx)
	defer stop()
	return c.late(ctx, c.start(ctx))
}

// start brings the network up, reads the image, and starts its kernel. It returns only if it cannot.
func (c *cmd) start(ctx context.Context) error {
	if err := c.stage("network", func() error { return c.online(ctx) }); err != nil {
		return err
	}
	defer c.net.Close()
	c.boot = &boot.Boot{
		Budget: budget(),
		Logf:   c.sayf,
		Spare:  c.spare,

		Policies: c.policies,
		Root:     cmp.Or(bundle.Root(c.config.Root), bundle.Auto),
		// The host tool checks the layers' uncompressed digests. Here that would take half as long again on a processor
		// without instructions for SHA-256. The manifest's digests are checked in any case.
		SkipDiffIDs: true,
	}
	if c.boot.Budget.Copies == 0 {
		c.boot.Hold = hold
	}
	if !c.config.NoRecord {
		c.boot.Record = c.record
	}
	c.logins, c.trusted = c.registryLogins(), c.roots()
	c.setClock(ctx)
	c.useProxy()
	if err := c.complete(ctx, c.net.State); err != nil {
		return err
	}
	tree, err := c.fetch(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()

	var b *bundle.Bundle
	if err := c.stage("convert", func() error { b, err = c.convert(ctx, tree); return err }); err != nil {
		return fmt.Errorf("cannot boot %s: %w", c.config.Image, err)
	}
	version := printable.Line(b.Version)
	form := fmt.Sprintf("compression: %v", b.Packing)
	switch {
	case b.Beside > 0:
		form = fmt.Sprintf("beside %s of %s", b.Root.Name(), units.Bytes(b.Beside))
	case b.Root.IsImage():
		form = b.Root.Name()
	}
	c.sayf("kernel %s, initrd of %s (%s), command line %q", version, units.Bytes(b.Size), form, b.Cmdline)
	if b.Early > 0 {
		c.sayf("its first %s are microcode for this processor", units.Bytes(b.Early))
	}
	by := signed(b.Kernel)
	if err := c.stage("load", func() error { return c.boot.Load(ctx, b) }); err != nil {
		return c.refused(err, by)
	}
	if c.persist() {
		c.reboot()
	}
	c.sayf("starts kernel %s of %s after %.1f s", version, c.config.Image, uptime().Seconds())
	c.console.Flush(2 * time.Second)
	return c.boot.Jump()
}

// drivers loads the drivers of the present hardware, and in the background those of hardware that appears later. It
// names network cards without a driver, because there is no boot without the network.
func (c *cmd) drivers(ctx context.Context) error {
	ctx, c.stopDrivers = context.WithCancel(ctx)
	l := &coldplug.Loader{Logf: c.sayf}
	c.loader = l
	c.unwatched = make(chan struct{})
	found, err := l.Load(ctx)
	if err != nil {
		c.driversErr = err
		close(c.unwatched)
		return err
	}
	said := map[string]bool{}
	say := func(missing []coldplug.Device) {
		for _, d := range missing {
			if !said[d.Name] {
				c.sayf("%s", d.Trouble())
			}
			said[d.Name] = true
		}
	}
	say(found.Missing)
	go func() {
		defer close(c.unwatched)
		if err := l.Watch(ctx); ctx.Err() == nil {
			c.sayf("hardware that appears from here on gets no driver: %v", err)
		}
	}()
	go func() {
		select {
		case <-l.Settled():
			found := l.Result()
			say(found.Missing)
			say(slices.DeleteFunc(found.Idle, func(d coldplug.Device) bool { return len(d.Firmware) == 0 }))
		case <-ctx.Done():
		}
	}()
	return nil
}

// stage runs one step of the boot and says how long that took, in a form that tests and people can search for.
func (c *cmd) stage(name string, step func() error) error {
	c.running, c.began = name, time.Now()
	if err := step(); err != nil {
		return err
	}
	c.took(name, time.Since(c.began))
	return nil
}

func (c *cmd) took(stage string, d time.Duration) {
	c.stages = append(c.stages, timed(stage, d))
	c.sayf("stage %s %.2f s", stage, d.Seconds())
}

// uptime returns the time since the kernel started.
func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// sayf prints one line on the console and into the kernel's log.
func (c *cmd) sayf(format string, args ...any) {
	line := sentence(format, args...)
	io.WriteString(c.console, line+"\n")
	console.KernelLog(line)
}

// sentence returns one line, whatever strangers have put into the arguments, so that they cannot forge lines of
// wyrboot.
func sentence(format string, args ...any) string {
	return printable.Clip("wyrboot: "+fmt.Sprintf(format, args...), printable.Long)
}
