// modprobe loads kernel modules, by their names or by an alias, with what they depend on.
//
// Synopsis:
//
//	modprobe [-q] [-a] [--] NAME [PARAMETER=VALUE...]
//
// Description:
//
//	The kernel itself starts modprobe for what no device announces: the driver of an Ethernet PHY, the second half of
//	a network card's (mlx4_en), a checksum (crypto-crc32c), a kind of link (rtnl-link-bond), a file system
//	(fs-efivarfs). It also serves a person in the rescue shell. What is loaded or built in already is no error.
//
// Options:
//
//	-q: no word when there is no such module; the exit status tells
//	-a: every argument is a name
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
	f.BoolVar(&c.quiet, "q", false, "no word when there is no such module")
	f.BoolVar(&all, "a", false, "every argument is a name")
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
