// Wyrcan checks, converts and boots bootable containers on your own machine.
//
// Synopsis:
//
//	wyrcan COMMAND [OPTION...] [ARGUMENT...]
//
// Description:
//
//	A bootable container is an image with a kernel at /boot/wyrcan.kernel and an init at /init. An IMAGE is a name at a
//	registry, [registry/]name[:tag][@digest], or on this machine oci:DIR[:NAME], oci-archive:FILE[:NAME],
//	docker-archive:FILE[:NAME], dir:DIR, containers-storage:NAME, docker-daemon:NAME, or the path of such a directory or
//	file.
//
//	Results go to standard output, everything else to standard error. Credentials are those of docker login and podman
//	login.
//
//	wyrcan COMMAND -help tells more about each.
//
// Example:
//
//	wyrcan run registry.example/debian
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// cmd is one run of the tool, with everything that it uses of its surroundings.
type cmd struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	args   []string    // without the name of the program
	home   string      // the directory with what make has built: this program, wyrcan.kernel, wyrcan.initrd
	root   string      // the root of /proc, /sys and /run, which tell what this system can do; "" is /
	kernel boot.Kernel // the running kernel, for kexec; nil is the real one

	access *access // the options for registries; nil where a command has none
	trust  *trust  // the options for signatures; nil where a command has none

	seen func(*flagSet) // gets the options of a command whose help is asked for, and nothing is printed; usually nil
}

// subcommand is one line of the tool's help.
type subcommand struct {
	name    string
	summary string
	run     func(ctx context.Context, args []string) error
}

func (c *cmd) subcommands() []subcommand {
	return []subcommand{
		{"run", "boot an image in QEMU, through Wyrcan", c.runInQEMU},
		{"demo", "boot a small container in QEMU that shows how it works", c.demo},
		{"check", "tell whether an image is bootable, and what it needs", c.check},
		{"verify", "tell whether an image has the signatures that you ask for", c.verify},
		{"morph", "convert an image into a kernel, an initrd and a command line", c.morph},
		{"unpack", "write the files of an image into a directory, or a SquashFS image", c.unpack},
		{"kexec", "reboot this machine into an image", c.kexec},
		{"status", "say what this machine was booted with, and whether that is still current", c.status},
		{"push", "send an image on this machine to a registry", c.push},
		{"serve", "offer Wyrcan to machines that boot from the network", c.serve},
		{"completion", "print what has a shell complete the commands of this tool", c.completion},
	}
}

func main() {
	ctx := untilSignal(context.Background())
	c := command(os.Args)
	err := c.run(ctx)
	var s *ended
	if err != nil && (errors.As(context.Cause(ctx), &s) || errors.As(err, &s)) {
		fmt.Fprintf(os.Stderr, "wyrcan: %v\n", s)
		// A shell that runs this program in a loop must see that a signal ended it. SIGQUIT would make Go print all
		// goroutines.
		if s.signal == syscall.SIGQUIT {
			os.Exit(128 + int(s.signal)) // the status that a shell gives
		}
		signal.Reset(s.signal)
		syscall.Kill(syscall.Getpid(), s.signal)
		time.Sleep(time.Second) // it may reach another thread
	}
	if code := code(err); code != 0 {
		var s *status
		if !errors.As(err, &s) || s.err != nil {
			fmt.Fprintln(c.stderr, printable.Clip(fmt.Sprintf("wyrcan: %v", err), printable.Long))
		}
		os.Exit(code)
	}
}

// ended is the error of a run that a signal has ended.
type ended struct{ signal syscall.Signal }

func (e *ended) Error() string {
	if e.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "ended by a signal: " + e.signal.String()
}

// untilSignal returns a context that ends at the first signal that asks this program to end, so that it can remove what
// it has begun. At the second signal the program ends at once. Signals that its parent has it ignore, as nohup does,
// stay ignored.
func untilSignal(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	for _, s := range ending() {
		signal.Notify(signals, s)
	}
	go func() {
		s := (<-signals).(syscall.Signal)
		signal.Stop(signals)
		cancel(&ended{s})
	}()
	return ctx
}

// ending returns the signals that ask this program to end, but for those that it was started to ignore.
func ending() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}
	return slices.DeleteFunc(all, signal.Ignored)
}

func command(args []string) *cmd {
	// Messages quote registries, certificates and images, which may hold control characters.
	stderr := console.NewScreen(os.Stderr, term.IsTerminal(int(os.Stderr.Fd())))
	return &cmd{stdin: os.Stdin, stdout: os.Stdout, stderr: stderr, args: args[1:], home: home()}
}

// status is an exit status with a meaning: 2 for a wrong use, others as the subcommands say.
type status struct {
	code int
	err  error // nil if everything was said already
}

func (s *status) Error() string {
	if s.err == nil {
		return fmt.Sprintf("exit status %d", s.code)
	}
	return s.err.Error()
}

func (s *status) Unwrap() error { return s.err }

// code returns the exit status for the error of a run.
func code(err error) int {
	var s *status
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &s):
		return s.code
	}
	return 1
}

// usage returns the error of a command line that is wrong.
func usage(format string, args ...any) error {
	return &status{code: 2, err: fmt.Errorf(format, args...)}
}

func (c *cmd) run(ctx context.Context) error {
	if len(c.args) == 0 {
		c.help(c.stderr)
		return &status{code: 2}
	}
	switch c.args[0] {
	case "help", "-help", "--help", "-h":
		if len(c.args) > 1 && c.args[0] == "help" {
			return (&cmd{stdout: c.stdout, stderr: c.stderr, args: []string{c.args[1], "-help"}}).run(ctx)
		}
		c.help(c.stdout)
		return nil
	case "version", "-version", "--version":
		if len(c.args) > 1 {
			return usage("version takes no argument")
		}
		return writeVersion(c.stdout)
	case describes: // for the manual pages
		return json.NewEncoder(c.stdout).Encode(c.manual(ctx))
	case completes: // for a shell
		return c.complete(ctx, c.args[1:])
	}
	names := []string{"help", "version"}
	for _, s := range c.subcommands() {
		if s.name == c.args[0] {
			return s.run(ctx, c.args[1:])
		}
		names = append(names, s.name)
	}
	if name := guess(c.args[0], names); name != "" {
		return usage("%q is no command: did you mean %s?", c.args[0], name)
	}
	return usage("%q is no command: wyrcan help lists them", c.args[0])
}

func (c *cmd) help(w io.Writer) {
	fmt.Fprintf(w, "usage: wyrcan COMMAND [OPTION...] [ARGUMENT...]\n\n"+
		"Wyrcan boots machines into containers. This is its tool for your own machine.\n\n")
	for _, s := range c.subcommands() {
		fmt.Fprintf(w, "  %-10s %s\n", s.name, s.summary)
	}
	fmt.Fprint(w, "\nAn IMAGE is a name at a registry, [docker://][registry/]name[:tag][@digest], or on\nthis machine\n\n")
	for _, f := range forms() {
		fmt.Fprintf(w, "  %-28s %s\n", f.prefix+":"+f.rest, f.about)
	}
	fmt.Fprint(w, `
or the path of such a directory or file. Credentials are those of docker login and
podman login.

wyrcan COMMAND -help tells more about a command, wyrcan version which wyrcan
this is.
`)
}

// flagSet is the options of a subcommand.
type flagSet struct {
	*flag.FlagSet
	c        *cmd
	synopsis string
	about    string
}

// flags starts the options of a subcommand. In its help, synopsis follows its name, and about says what it does.
func (c *cmd) flags(name, synopsis, about string) *flagSet {
	f := &flagSet{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), c: c, synopsis: synopsis, about: about}
	f.SetOutput(io.Discard) // errors are printed once, by main
	f.Usage = func() {}
	return f
}

// parse reads options before, between and after the arguments, and returns the arguments. There must be want of them,
// or at least want if more is set.
func (f *flagSet) parse(args []string, want int, more bool) ([]string, error) {
	var rest []string
	for {
		err := f.Parse(args)
		if errors.Is(err, flag.ErrHelp) && f.c.seen != nil {
			f.c.seen(f)
			return nil, err
		}
		if errors.Is(err, flag.ErrHelp) {
			f.SetOutput(f.c.stdout)
			fmt.Fprintf(f.c.stdout, "usage: wyrcan %s %s\n\n%s\n", f.Name(), f.synopsis, f.about)
			f.PrintDefaults()
			return nil, err
		}
		if err != nil {
			return nil, f.wrong(err)
		}
		args = f.Args()
		if len(args) == 0 {
			break
		}
		rest, args = append(rest, args[0]), args[1:]
	}
	switch {
	case len(rest) < want:
		return nil, usage("%s: an argument is missing; usage: wyrcan %[1]s %s", f.Name(), f.synopsis)
	case len(rest) > want && !more:
		return nil, usage("%s: %q is one argument too many; usage: wyrcan %[1]s %s", f.Name(), rest[want], f.synopsis)
	}
	if a := f.c.access; a != nil {
		return rest, a.read(f.c)
	}
	return rest, nil
}

// wrong returns what is wrong with the options.
func (f *flagSet) wrong(err error) error {
	// Package flag has no type for this error.
	typed, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		if about, ok := strings.CutSuffix(err.Error(), ": parse error"); ok { // of a number or a time
			err = fmt.Errorf("%s: want a whole number for a number, and 90s or 5m for a time", about)
		}
		return usage("%s: %v (wyrcan %s -help lists the options)", f.Name(), err, f.Name())
	}
	var names []string
	f.VisitAll(func(o *flag.Flag) { names = append(names, o.Name) })
	if name := guess(typed, names); name != "" {
		return usage("%s has no option -%s: did you mean -%s?", f.Name(), typed, name)
	}
	return usage("%s has no option -%s: wyrcan %s -help lists them", f.Name(), typed, f.Name())
}

// list is an option that may be given several times.
type list []string

func (l *list) String() string     { return fmt.Sprint([]string(*l)) }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
