package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// The exit statuses of status, besides 0 for a system whose image is current, and 2.
const (
	statusUnknown = 1
	statusNewer   = 10
)

// tagState says what became of the tag that a system was booted with. Its JSON is for scripts.
type tagState struct {
	// State is same, newer, unknown, or skipped with -offline.
	State string `json:"state"`
	// Name is the reference that was asked for, "" if nothing was asked.
	Name string `json:"name,omitempty"`
	// Manifest is the digest of the newer image.
	Manifest string `json:"manifest,omitempty"`
	// Why says more, in one sentence.
	Why string `json:"why,omitempty"`
}

// status is "wyrcan status".
func (c *cmd) status(ctx context.Context, args []string) error {
	f := c.flags("status", "[OPTION...]",
		`Say what this machine was booted with, a line for each fact, from the record that
Wyrcan has left in /run/wyrcan/boot.json. Then ask the registry whether the tag of
the image has moved since, so that a reboot would boot another image.

The exit status is 0 if the image is the same, 10 if there is a newer one, 1 if that
is unknown, and 2 for a wrong use of this program. A reference without a tag, pinned
by its digest, is always the same.
`)
	asJSON := f.Bool("json", false, "write one JSON object: the record, and what became of the tag")
	offline := f.Bool("offline", false, "do not ask the registry; the exit status is 0 if there is a record")
	f.registry()
	if _, err := f.parse(args, 0, false); err != nil {
		return err
	}
	r, err := c.bootRecord()
	if err != nil {
		return err
	}
	tag := tagState{State: "skipped", Why: "-offline"}
	if !*offline {
		tag = c.askTags(ctx, r.Images())
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(struct {
			Record record.Record `json:"record"`
			Tag    tagState      `json:"tag"`
		}{r, tag})
	} else {
		err = printFacts(c.stdout, append(facts(r), tag.fact()))
	}
	if code := tag.code(); err == nil && code != 0 {
		return &status{code: code} // the last line says why
	}
	return err
}

// bootRecord returns the record of the running system.
func (c *cmd) bootRecord() (record.Record, error) {
	f, err := os.Open(filepath.Join(c.root, record.File))
	if errors.Is(err, fs.ErrNotExist) {
		return record.Record{}, fmt.Errorf("this system has no %s: Wyrcan did not boot it, or was told to leave none "+
			"(wyr.record=no, wyr.root=initramfs)", record.File)
	}
	if err != nil {
		return record.Record{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, record.MaxSize+1))
	if err != nil {
		return record.Record{}, err
	}
	r, err := record.Parse(b)
	if err != nil {
		return r, fmt.Errorf("cannot use %s: %w", record.File, err)
	}
	return r, nil
}

// askTime is how long status asks a registry, with all repetitions.
const askTime = 2 * time.Minute

// askTags asks about the tags of all images that were booted as one. A reboot boots something else if one of them has
// moved.
func (c *cmd) askTags(ctx context.Context, booted []record.Image) (all tagState) {
	for i, img := range booted {
		tag := c.askTag(ctx, img)
		if i > 0 && tag.State != "same" {
			tag.Why = strings.TrimSuffix("this is about "+img.Asked+": "+tag.Why, ": ")
		}
		if tag.State == "newer" || i == 0 || all.State == "same" && tag.State != "same" {
			all = tag
		}
		if tag.State == "newer" {
			break
		}
	}
	return all
}

// askTag asks the registry what the tag of the booted image stands for now.
func (c *cmd) askTag(ctx context.Context, booted record.Image) tagState {
	ref := tagOf(booted.Asked)
	switch {
	case booted.From == "":
		return tagState{State: "unknown", Why: "the image came from no registry"}
	case ref == "":
		return tagState{State: "same", Why: "the reference is pinned by its digest"}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("there was no answer in %v", askTime))
	defer cancel()
	source := c.source(ref, v1.Platform{})
	// This request reads no document, and does not count as a pull.
	if now, err := source.Head(ctx, ref); err == nil && now.String() == booted.Root() {
		return tagState{State: "same", Name: ref}
	} else if image.Heals(err) {
		return unknownTag(ref, err)
	}
	img, err := source.Resolve(ctx, ref)
	switch {
	case err != nil:
		return unknownTag(ref, err)
	case img.Digest.String() == booted.Manifest:
		return tagState{State: "same", Name: ref, Why: "its index is another one, with the same image for this machine"}
	}
	return tagState{State: "newer", Name: ref, Manifest: img.Digest.String()}
}

func unknownTag(ref string, err error) tagState {
	return tagState{State: "unknown", Name: ref, Why: printable.Clip(advise(err).Error(), printable.Long)}
}

// tagOf returns a reference without its digest, or "" if it has a digest and no tag.
func tagOf(asked string) string {
	ref, _, pinned := strings.Cut(strings.TrimPrefix(asked, "docker://"), "@")
	if pinned && !strings.Contains(path.Base(ref), ":") {
		return ""
	}
	return ref
}

// code returns the exit status.
func (t tagState) code() int {
	return map[string]int{"newer": statusNewer, "unknown": statusUnknown}[t.State]
}

// fact returns the line for people.
func (t tagState) fact() fact {
	text := map[string]string{
		"same": "the same", "newer": "newer: " + t.Manifest + "; a reboot boots it", "unknown": "unknown",
		"skipped": "not asked",
	}[t.State]
	if t.Why != "" {
		text += ": " + t.Why
	}
	return fact{"tag", text}
}

// A fact is one line of the report: what it is about, and what is to be said.
type fact struct{ about, text string }

// facts returns the record for people.
func facts(r record.Record) []fact {
	list := []fact{{"image", r.Image.Asked}}
	add := func(about, text string) {
		if text != "" && text != r.Image.Asked {
			list = append(list, fact{about, text})
		}
	}
	add("name", r.Image.Name)
	add("from", r.Image.From)
	add("index", r.Image.Index)
	add("manifest", r.Image.Manifest)
	add("configuration", r.Image.Config)
	add("platform", r.Image.Platform)
	if k := r.Kernel; k != nil {
		add("kernel image", besides(*k))
	}
	for _, o := range r.Overlays {
		add("overlay", besides(o))
	}
	for _, key := range r.Signers {
		add("signed by", key)
	}
	if len(r.Signers) == 0 {
		add("signed by", "(no policy asked)")
	}
	add("booted by", strings.TrimSpace(r.By+" "+r.Wyrcan))
	add("booted at", r.Time.UTC().Format(time.RFC3339))
	add("initrd", fmt.Sprintf("%s (%s)", units.Bytes(r.Initrd.Bytes), r.Initrd.Packing))
	add("root hash", r.Initrd.RootHash)
	add("memory", fmt.Sprintf("%s, %s free at the end of the boot; the container needs %s to boot",
		units.MiB(r.Memory.Total), units.MiB(r.Memory.Available), units.MiB(r.Memory.Needed)))
	for _, s := range r.Stages {
		add("stage", fmt.Sprintf("%s %.2f s", s.Name, s.Seconds))
	}
	for _, l := range r.Network {
		add("link", linkText(l))
	}
	return list
}

// besides describes an image that was booted besides the first one.
func besides(i record.Image) string { return i.Asked + ", " + cmp.Or(i.Manifest, i.Config) }

// linkText describes a link in one line.
func linkText(l record.Link) string {
	words := []string{l.Name}
	for _, w := range []struct {
		label  string
		values []string
	}{
		{"", []string{l.MAC}}, {"driver", []string{l.Driver}}, {"file", []string{l.File}}, {"address", l.Addresses},
		{"gateway", l.Gateways}, {"DNS", l.DNS}, {"NTP", l.NTP}, {"by", l.Servers}, {"problem:", []string{l.Problem}},
	} {
		if text := strings.Join(w.values, ", "); text != "" {
			words = append(words, strings.TrimSpace(w.label+" "+text))
		}
	}
	if !l.Carrier {
		words = append(words, "no carrier")
	}
	return strings.Join(words, "; ")
}

// printFacts prints one line for each fact. The facts come from strangers, too.
func printFacts(w io.Writer, list []fact) error {
	var errs []error
	for _, f := range list {
		_, err := fmt.Fprintln(w, printable.Clip(fmt.Sprintf("%-14s%s", f.about, f.text), printable.Long))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
