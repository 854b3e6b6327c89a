package main

import (
	"context"
	"flag"
	"io"
	"slices"
)

// The names of two commands that programs use. No help lists them.
const (
	describes = "__describe"
	completes = "__complete"
)

// manual is all that the tool's help says, for tools/man, which makes manual pages of it, and for completion.
type manual struct {
	Forms    []formText
	Commands []commandText
}

type formText struct{ Form, About string }

// A commandText is one command.
type commandText struct {
	Name     string
	Summary  string
	Synopsis string
	About    string
	Options  []option
}

// An option is one option of a command.
type option struct {
	Name     string
	Argument string // what it takes; "" for an option that is on or off
	About    string
	Default  string // "" if there is nothing to say
	values   bool   // it takes an argument, be it without a name
}

// manual asks each command for its help, as a person does.
func (c *cmd) manual(ctx context.Context) manual {
	var m manual
	for _, f := range forms() {
		m.Forms = append(m.Forms, formText{f.prefix + ":" + f.rest, f.about})
	}
	var p commandText
	asked := &cmd{stdin: c.stdin, stdout: io.Discard, stderr: io.Discard, home: c.home}
	asked.seen = func(f *flagSet) { p.Synopsis, p.About, p.Options = f.synopsis, f.about, f.options() }
	for _, s := range asked.subcommands() {
		p = commandText{Name: s.name, Summary: s.summary}
		_ = s.run(ctx, []string{"-help"}) // flag.ErrHelp
		m.Commands = append(m.Commands, p)
	}
	return m
}

// options returns the options of a command, sorted by their names.
func (f *flagSet) options() []option {
	var list []option
	f.VisitAll(func(o *flag.Flag) {
		argument, about := flag.UnquoteUsage(o)
		b, _ := o.Value.(interface{ IsBoolFlag() bool })
		got := option{Name: o.Name, Argument: argument, About: about, values: b == nil || !b.IsBoolFlag()}
		// What is zero says nothing, and an architecture is the one of the machine that runs this.
		if _, machine := o.Value.(*arch); machine {
			got.Default = "this machine's"
		} else if !slices.Contains([]string{"", "0", "[]", "false", "0s"}, o.DefValue) {
			got.Default = o.DefValue
		}
		list = append(list, got)
	})
	return list
}
