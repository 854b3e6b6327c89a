// modprobe loads kernel modules, by name or by alias, together with the modules that they depend on.
//
// Synopsis:
//
//	modprobe [-q] [-a] [--] NAME [PARAMETER=VALUE...]
//
// Description:
//
//	The kernel itself starts modprobe for modules that no device announces: the driver of an Ethernet PHY, the second
//	part of a network card's driver (mlx4_en), a checksum (crypto-crc32c), a kind of link (rtnl-link-bond), a file system
//	(fs-efivarfs). People can use it in the rescue shell. A module that is loaded or built in already is no error.
//
// Options:
//
//	-q: print nothing if there is no such module; the exit status tells
//	-a: every argument is a module's name
//
// Example:
//
//	modprobe bonding max_bonds=1
package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"log"
	"os"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/coldplug"
)

type cmd struct {
	drivers coldplug.Loader
	names   []string
	quiet   bool
}

func command(args []string) (*cmd, error) {
	c := &cmd{}
	var all bool
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.BoolVar(&c.quiet, "q", false, "print nothing if there is no such module")
	f.BoolVar(&all, "a", false, "every argument is a module's name")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if f.NArg() == 0 {
		return nil, errors.New("usage: modprobe [-q] [-a] [--] NAME [PARAMETER=VALUE...]")
	}
	c.names = f.Args()
	if !all {
		name := strings.ReplaceAll(c.names[0], "-", "_")
		if len(c.names) > 1 {
			c.drivers.Params = map[string]string{name: strings.Join(c.names[1:], " ")}
		}
		c.names = c.names[:1]
	}
	return c, nil
}

func (c *cmd) run(ctx context.Context) error {
	return c.drivers.Add(ctx, c.names...)
}

func main() {
	c, err := command(os.Args)
	if err == nil {
		err = c.run(context.Background())
	}
	if err != nil && c != nil && c.quiet && errors.Is(err, fs.ErrNotExist) {
		os.Exit(1)
	}
	if err != nil {
		log.Fatalf("modprobe: %v", err)
	}
}
