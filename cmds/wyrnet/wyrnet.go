// wyrnet brings the network up from the files of systemd-networkd, or with DHCP on every Ethernet link if there are none.
//
// Synopsis:
//
//	wyrnet [-t DURATION] [-C ROOT] [-r FILE] [-k]
//
// Description:
//
//	wyrnet reads .link, .netdev and .network files from /etc/systemd/network and its fellow directories, applies them, and
//	prints what each link got. It ends as soon as one link can reach out; a link that is later than that is left alone
//	then, unless -k is given.
//
// Options:
//
//	-t DURATION  give up after so long (default 2m)
//	-C ROOT      read the files below another root
//	-r FILE      write name servers to FILE instead of /etc/resolv.conf
//	-k           keep running: take in links that come late and renew leases, until a signal ends it
//
// Example:
//
//	wyrnet -t 30s
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
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/coldplug"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
)

type cmd struct {
	stdout io.Writer

	root    string
	resolv  string
	timeout time.Duration
	keep    bool
}

func command(stdout, stderr io.Writer, args []string) (*cmd, error) {
	c := &cmd{stdout: stdout}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.root, "C", "/", "read the files below another `ROOT`")
	f.StringVar(&c.resolv, "r", "", "write name servers to `FILE` instead of /etc/resolv.conf")
	f.DurationVar(&c.timeout, "t", 2*time.Minute, "give up after so long, a `DURATION` such as 30s")
	f.BoolVar(&c.keep, "k", false, "keep running until a signal ends it")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return c, nil
}

func (c *cmd) run(ctx context.Context) error {
	logf := func(format string, args ...any) { fmt.Fprintf(c.stdout, format+"\n", args...) }
	files, warnings := netconf.ReadDirs(os.DirFS(c.root), netconf.Dirs)
	for _, w := range warnings {
		logf("%s", w)
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
		return err
	}
	if c.keep {
		<-ctx.Done()
	}
	return nil
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer cancel()
	c, err := command(os.Stdout, os.Stderr, os.Args)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = c.run(ctx)
	}
	if err != nil {
		log.Fatalf("wyrnet: %v", err)
	}
}
