// Wyrefi stores Wyrcan's configuration in EFI NVRAM. A boot whose command line names no image uses it.
//
// Synopsis:
//
//	wyrefi write [ARGUMENT...]
//	wyrefi clear
//	wyrefi show
//
// Description:
//
//	write stores the image, the arguments and the network of the kernel's
//	command line, or of the ARGUMENTs if there are any. It does not check
//	that they boot; wyr.efi=write on the command line does.
//	clear removes the stored configuration.
//	show prints the stored configuration, as arguments.
//
//	write and clear change firmware, so both show a warning and ask. They
//	proceed only if the answer is yes. If nothing would change they say so,
//	and neither ask nor write.
//
// Example:
//
//	wyrefi write wyr.img=registry.example/debian wyr.arg="quiet loglevel=3"
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/efivar"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

type cmd struct {
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	args    []string
	cmdline string // the name of a file: /proc/cmdline, but in tests
	store   config.Store
}

// version is set by the Makefile with -ldflags -X.
var version string

const usage = "usage: wyrefi write [ARGUMENT...] | clear | show"

func main() {
	log.SetFlags(0)
	if err := command(os.Args).run(); err != nil {
		log.Fatalf("wyrefi: %s", printable.Clip(err.Error(), printable.Long))
	}
}

func command(args []string) *cmd {
	f := flag.NewFlagSet(args[0], flag.ExitOnError)
	f.Usage = func() { fmt.Fprintln(f.Output(), usage) }
	f.Parse(args[1:])
	return &cmd{
		stdin:   os.Stdin,
		stdout:  console.NewScreen(os.Stdout, false),
		stderr:  console.NewScreen(os.Stderr, false),
		args:    f.Args(),
		cmdline: "/proc/cmdline",
		store:   efivar.Var{},
	}
}

func (c *cmd) run() error {
	switch {
	case len(c.args) >= 1 && c.args[0] == "write":
		return c.write(c.args[1:])
	case len(c.args) == 1 && c.args[0] == "clear":
		return c.change(config.Config{EFI: config.EFIClear},
			"there is nothing stored in NVRAM", "the stored configuration is cleared")
	case len(c.args) == 1 && c.args[0] == "show":
		return c.show()
	}
	return errors.New(usage)
}

func (c *cmd) write(words []string) error {
	args, err := arguments(words)
	if len(words) == 0 {
		var line []byte
		line, err = os.ReadFile(c.cmdline)
		args = cmdline.Parse(string(line))
	}
	if err != nil {
		return err
	}
	found, err := config.Load(args)
	for _, w := range found.Warnings {
		fmt.Fprintf(c.stderr, "wyrefi: %s\n", printable.Clip(w, printable.Long))
	}
	if err != nil {
		return err
	}
	cfg := found.Config
	cfg.EFI = config.EFIWrite
	return c.change(cfg,
		"this configuration is already in NVRAM", "stored; a boot whose command line names no image will use it")
}

// change makes the change that cfg.EFI asks for, if the person agrees, and prints done. It prints same if nothing
// changes.
func (c *cmd) change(cfg config.Config, same, done string) error {
	ch := config.Change{Config: cfg, Store: c.store, Version: version}
	needed, err := ch.Needed()
	if err != nil {
		return err
	}
	if !needed {
		fmt.Fprintf(c.stdout, "wyrefi: %s\n", same)
		return nil
	}
	if err := ch.Confirm(c.stdin, c.stdout); err != nil {
		return err
	}
	if err := ch.Apply(); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "wyrefi: %s\n", done)
	return nil
}

func (c *cmd) show() error {
	data, err := c.store.Load()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return err
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintln(c.stdout, "wyrefi: there is nothing stored in NVRAM")
		return nil
	case err != nil:
		return err
	}
	cfg, err := config.Unmarshal(data)
	if err != nil {
		return fmt.Errorf("what NVRAM holds is not a configuration (%w); wyrefi clear removes it", err)
	}
	for _, a := range cfg.Arguments() {
		// The text is not trusted: others can write NVRAM too.
		fmt.Fprintln(c.stdout, printable.Clip(a.String(), printable.Long))
	}
	return nil
}

// arguments makes arguments of the words that the shell passed, which has removed the quotes. A word that is not an
// argument of Wyrcan is an error here, unlike on the kernel's command line.
func arguments(words []string) ([]cmdline.Arg, error) {
	var args []cmdline.Arg
	for _, w := range words {
		if !strings.HasPrefix(w, "wyr.") && !strings.HasPrefix(w, "wyrcan.") {
			return nil, fmt.Errorf("%q is no argument of Wyrcan's; if it is for the container's kernel, write wyr.arg=%q", w, w)
		}
		key, value, ok := strings.Cut(w, "=")
		args = append(args, cmdline.Arg{Key: key, Value: value, HasValue: ok})
	}
	return args, nil
}
