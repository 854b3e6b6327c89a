// wyrnet configures the network from systemd-networkd's files, or with DHCP on every Ethernet link if there are none.
//
// Synopsis:
//
//	wyrnet [-t DURATION] [-C ROOT] [-r FILE] [-k]
//	wyrnet -n [-C ROOT] [-cmdline FILE | wyr.net.[KIND.]FILE.SECTION.KEY=VALUE...]
//
// Description:
//
//	wyrnet reads .link, .netdev and .network files from /etc/systemd/network and the other directories of
//	systemd-networkd, applies them, and prints what each link got. It ends as soon as one link can reach out.
//	Links that are later are not configured, unless -k is given.
//
//	With -n it changes nothing. It prints what is not understood in the files, by file, section and key. Then it
//	prints for each link which file fits it and what that file does, and at last the files that nothing uses.
//	wyr.net. arguments, from wyrnet's own command line or else from the kernel's, count as files and replace files
//	of the same name.
//
// Options:
//
//	-t DURATION  give up after so long (default 2m)
//	-C ROOT      read the files below another root
//	-r FILE      write name servers to FILE instead of /etc/resolv.conf
//	-k           keep running: take in links that come late and renew leases, until a signal ends it
//	-n           print what would be done, and do nothing
//	-cmdline FILE
//	             with -n, read the arguments from FILE instead of /proc/cmdline
//
// Example:
//
//	wyrnet -t 30s
//	wyrnet -n 'wyr.net.lan.Match.Name=eth0 eth1' wyr.net.lan.Network.DHCP=yes
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/coldplug"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

type cmd struct {
	stdout io.Writer

	root    string
	resolv  string
	timeout time.Duration
	keep    bool

	plan      bool
	cmdline   string
	arguments []string
}

func command(stdout, stderr io.Writer, args []string) (*cmd, error) {
	c := &cmd{stdout: stdout}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.root, "C", "/", "read the files below another `ROOT`")
	f.StringVar(&c.resolv, "r", "", "write name servers to `FILE` instead of /etc/resolv.conf")
	f.DurationVar(&c.timeout, "t", 2*time.Minute, "give up after so long, a `DURATION` such as 30s")
	f.BoolVar(&c.keep, "k", false, "keep running until a signal ends it")
	f.BoolVar(&c.plan, "n", false, "print what would be done, and do nothing; wyr.net. arguments may follow")
	f.StringVar(&c.cmdline, "cmdline", "/proc/cmdline", "with -n, read the arguments from `FILE`")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if c.plan {
		c.arguments = f.Args()
	} else if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return c, nil
}

func (c *cmd) run(ctx context.Context) error {
	logf := func(format string, args ...any) { fmt.Fprintln(c.stdout, sentence(format, args...)) }
	files, warnings := netconf.ReadDirs(os.DirFS(c.root), netconf.Dirs)
	for _, w := range warnings {
		logf("%s", w)
	}
	if c.plan {
		described, err := c.described(logf)
		if err != nil {
			return err
		}
		files = slices.DeleteFunc(files, func(f netconf.File) bool {
			return slices.ContainsFunc(described,
				func(d netconf.File) bool { return d.Name == f.Name && d.Kind == f.Kind })
		})
		return (&network.Manager{Files: append(files, described...)}).Plan(c.stdout)
	}
	var modules coldplug.Loader
	m := &network.Manager{
		Files:      files,
		ResolvConf: c.resolv,
		Modules:    func(alias string) error { return modules.Add(ctx, alias) },
		Logf:       logf,
	}
	defer m.Close()
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := m.Up(limited); err != nil {
		return withCards(err, modules.Result())
	}
	if c.keep {
		<-ctx.Done()
	}
	return nil
}

// withCards adds to an error of the network the network cards that have no interface.
func withCards(err error, found coldplug.Result) error {
	if offline := new(network.Offline); !errors.As(err, &offline) {
		return err
	}
	for _, d := range slices.Concat(found.Missing, found.Idle, found.Wanting) {
		err = fmt.Errorf("%w; %s", err, d.Trouble())
	}
	return err
}

// described returns the files that wyr.net. arguments describe.
func (c *cmd) described(logf func(string, ...any)) ([]netconf.File, error) {
	var args []cmdline.Arg
	for _, a := range c.arguments { // the shell has taken the quotes away
		key, value, has := strings.Cut(a, "=")
		args = append(args, cmdline.Arg{Key: key, Value: value, HasValue: has})
	}
	if args == nil {
		line, err := os.ReadFile(c.cmdline)
		if err != nil {
			return nil, fmt.Errorf("cannot read the kernel's command line: %w", err)
		}
		args = cmdline.Parse(string(line))
	}
	found, err := config.Load(args)
	if err != nil && !errors.Is(err, config.ErrNoImage) {
		return nil, err
	}
	for _, w := range found.Warnings {
		logf("%s", w)
	}
	return found.Network, nil
}

// sentence returns one line, whatever servers have put into the arguments.
func sentence(format string, args ...any) string {
	return printable.Clip(fmt.Sprintf(format, args...), printable.Long)
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer cancel()
	log.SetFlags(0)
	c, err := command(console.NewScreen(os.Stdout, false), os.Stderr, os.Args)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = c.run(ctx)
	}
	if err != nil {
		log.Fatal(sentence("wyrnet: %v", err))
	}
}
