package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/foreign"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// home returns the directory of this program.
func home() string {
	exe, err := os.Executable()
	if err != nil {
		return "."
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return filepath.Dir(exe)
}

// places returns the directories with what make has built: that of this program and, if it was installed,
// ../lib/wyrcan.
func (c *cmd) places() []string {
	list := []string{c.home}
	if filepath.Base(c.home) == "bin" {
		list = append(list, filepath.Join(filepath.Dir(c.home), "lib", "wyrcan"))
	}
	return list
}

// artefact returns the path of a file that make built, or given if it is set. For an architecture other than this
// machine's, the file may be in a directory with the architecture's name.
func (c *cmd) artefact(given, file string, a arch) (string, error) {
	if given != "" {
		if _, err := os.Stat(given); err != nil {
			return "", fmt.Errorf("cannot find %s", given)
		}
		return given, nil
	}
	for _, dir := range c.places() {
		names := []string{filepath.Join(dir, a.name(), file), filepath.Join(dir, file)}
		if a == here {
			names = names[1:]
		}
		for _, name := range names {
			if _, err := os.Stat(name); err == nil {
				return name, nil
			}
		}
	}
	option := map[string]string{"wyrcan.demo": "demo-init"}[file]
	return "", fmt.Errorf("cannot find %s: build it with make, or say where it is with -%s",
		filepath.Join(c.home, file), cmp.Or(option, strings.TrimPrefix(file, "wyrcan.")))
}

// An arch is an option for an architecture as GOARCH names it, optionally with a variant: "arm/v7".
type arch string

// here is this machine's architecture.
const here = arch(runtime.GOARCH)

func (a *arch) String() string { return string(*a) }

// Set also accepts docker's names of platforms and uname's names of machines.
func (a *arch) Set(text string) error {
	name, variant, _ := strings.Cut(strings.TrimPrefix(text, "linux/"), "/")
	p := image.Normalize(v1.Platform{Architecture: name, Variant: variant})
	if p.Architecture == "" {
		return errors.New("want an architecture, such as amd64 or arm64")
	}
	*a = arch(path.Join(p.Architecture, p.Variant))
	return nil
}

// name returns the architecture without its variant.
func (a arch) name() string {
	name, _, _ := strings.Cut(string(a), "/")
	return name
}

// platform returns the platform of images for the architecture.
func (a arch) platform() v1.Platform {
	if a == "" || a == here {
		return v1.Platform{} // this machine, with the variants that it supports
	}
	_, variant, _ := strings.Cut(string(a), "/")
	return v1.Platform{OS: "linux", Architecture: a.name(), Variant: variant}
}

// source returns the source of the image ref, with the logins and certificates of the command and of this machine's
// user.
func (c *cmd) source(ref string, p v1.Platform) *image.Source {
	sayf := func(format string, args ...any) {
		fmt.Fprintln(c.stderr, printable.Clip(fmt.Sprintf("wyrcan: "+format, args...), printable.Long))
	}
	screen, ok := c.stderr.(*console.Screen)
	if !ok {
		screen = console.NewScreen(c.stderr, false)
	}
	trouble := &console.Trouble{Out: screen, Sayf: sayf, Prefix: "wyrcan: "}
	return &image.Source{
		Platform:     p,
		Insecure:     c.insecure(ref),
		Certificates: c.certificates(ref),
		Formats:      foreign.Formats(),
		Auth:         c.auth(ref),
		Logf:         sayf,
		Report: func(a image.Attempt) { // there are no mirrors
			if a.Err != nil {
				trouble.Failed(image.Gist(a.Err), advise(a.Err).Error(), a.Wait)
			} else {
				trouble.Works(a.Who)
			}
		},
	}
}

// A meter shows the progress of a download on one line of the terminal. It shows nothing if there is no terminal.
type meter struct {
	mu    sync.Mutex
	out   *console.Screen // nil: no terminal
	what  string
	total int64
	done  int64
	begin time.Time
	shown time.Time
}

// meter returns a meter for what, which has total bytes, or 0 if unknown. Its time starts with the first call of add.
func (c *cmd) meter(what string, total int64) *meter {
	m := &meter{what: what, total: total}
	m.out, _ = c.stderr.(*console.Screen)
	return m
}

func (m *meter) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(n)
	if m.begin.IsZero() {
		m.begin = time.Now()
	}
	if m.out != nil && time.Since(m.shown) > 100*time.Millisecond {
		m.shown = time.Now()
		m.out.Status(m.fit(m.line(time.Since(m.begin)), 80), false) // the width of a Screen's status line
	}
}

// more notes that there are so many bytes more than were known.
func (m *meter) more(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total += n
}

// line returns the text of the meter after some time.
func (m *meter) line(after time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %.1f", m.what, float64(m.done)/1e6)
	if m.total > 0 {
		fmt.Fprintf(&b, " of %.1f", float64(m.total)/1e6)
	}
	b.WriteString(" MB")
	if rate := float64(m.done) / after.Seconds(); after > time.Second && rate > 0 {
		fmt.Fprintf(&b, ", %.1f MB/s", rate/1e6)
		if left := float64(m.total-m.done) / rate; m.total > 0 && left >= 1 {
			fmt.Fprintf(&b, ", %.0f s left", left)
		}
	}
	return b.String()
}

// fit shortens a line of the meter to one row of the terminal, because a longer line could not be overwritten. It
// shortens the name first and keeps the numbers.
func (m *meter) fit(line string, width int) string {
	const dots = "..."
	over := len(line) - (width - 1)
	keep := len(m.what) - over - len(dots)
	switch {
	case over <= 0:
		return line
	case keep > 0:
		return m.what[:keep] + dots + line[len(m.what):]
	}
	return line[:max(0, width-1)]
}

// end removes the line.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out != nil {
		m.out.Status("", false)
	}
	m.out = nil
}

// find finds the image ref, which a message calls what. at is its name as this machine reaches it.
func find(ctx context.Context, src *image.Source, what, ref, at string) (*image.Image, error) {
	img, err := src.Open(ctx, at)
	switch {
	case err != nil && !local(at):
		return nil, fmt.Errorf("cannot get %s: %w%s", what, advise(err), elsewhere(ctx, ref, err))
	case err != nil:
		return nil, fmt.Errorf("cannot get %s: %w", what, advise(err))
	}
	if local(at) {
		img.Name = ref // at may be a copy
	}
	return img, nil
}

// metered returns a source as c.source does, and a function that returns a meter of an image from it: it shows how much
// of the image's layers has been read. The caller must end the meter, and read no layer before there is one.
func (c *cmd) metered(ref string, p v1.Platform) (*image.Source, func(*image.Image) *meter) {
	var m *meter
	src := c.source(ref, p)
	src.Progress = func(_ *image.Layer, n int) { m.add(n) }
	return src, func(img *image.Image) *meter {
		m = c.meter("reading "+ref, img.Size())
		return m
	}
}
