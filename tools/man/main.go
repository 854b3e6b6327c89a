// Man writes the manual pages of the host tool and of Wyrcan's arguments.
//
// Synopsis:
//
//	wyrcan __describe | man -arguments FILE -o DIR [-version TEXT] [-date YYYY-MM-DD]
//
// Description:
//
//	The pages wyrcan.1 and wyrcan-COMMAND.1 say what the tool's help says, and wyrcan.cmdline.7 has the table of
//	arguments in FILE, a document in Markdown. So there is one source of each.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// manual is what wyrcan says about itself: cmds/wyrcan/manual.go.
type manual struct {
	Forms    []struct{ Form, About string }
	Commands []command
}

type command struct {
	Name, Summary, Synopsis, About string
	Options                        []option
}

type option struct{ Name, Argument, About, Default string }

func main() {
	log.SetFlags(0)
	log.SetPrefix("man: ")
	arguments := flag.String("arguments", "", "`FILE` in Markdown with the table of Wyrcan's arguments")
	dir := flag.String("o", "", "write into `DIR`")
	version := flag.String("version", "", "the `TEXT` at the foot of the pages")
	date := flag.String("date", "", "their `DATE`; or seconds since 1970")
	flag.Parse()
	if *arguments == "" || *dir == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(os.Stdin, *arguments, *dir, *version, *date); err != nil {
		log.Fatal(err)
	}
}

func run(description io.Reader, arguments, dir, version, date string) error {
	var m manual
	if err := json.NewDecoder(description).Decode(&m); err != nil {
		return fmt.Errorf("cannot read what wyrcan __describe writes: %w", err)
	}
	text, err := os.ReadFile(arguments)
	if err != nil {
		return err
	}
	table, err := readTable(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", arguments, err)
	}
	var seconds int64
	if _, err := fmt.Sscanf(date, "%d", &seconds); err == nil && !strings.Contains(date, "-") {
		date = time.Unix(seconds, 0).UTC().Format(time.DateOnly)
	}
	foot := footer{date: cmp.Or(date, "unknown"), version: strings.TrimSpace("Wyrcan " + version)}
	pages := map[string]string{
		"wyrcan.1":         overview(m, foot),
		"wyrcan.cmdline.7": cmdline(table, foot),
	}
	for _, c := range m.Commands {
		pages["wyrcan-"+c.Name+".1"] = commandPage(c, foot)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644); err != nil {
			return err
		}
	}
	return nil
}
