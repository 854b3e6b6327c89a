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

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
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

// artefact returns the path of a file that make left beside this program, unless given names another. For another
// architecture than this machine's it may be in a directory called like that.
func (c *cmd) artefact(given, file string, a arch) (string, error) {
	chosen := given != ""
	if !chosen {
		given = filepath.Join(c.home, a.name(), file)
		if _, err := os.Stat(given); err != nil || a == here {
			given = filepath.Join(c.home, file)
		}
	}
	if _, err := os.Stat(given); err != nil && chosen {
		return "", fmt.Errorf("cannot find %s", given)
	} else if err != nil {
		option := map[string]string{"wyrcan.demo": "demo-init"}[file]
		return "", fmt.Errorf("cannot find %s: build it with make, or say where it is with -%s",
			given, cmp.Or(option, strings.TrimPrefix(file, "wyrcan.")))
	}
	return given, nil
}

// An arch is an option for an architecture, as GOARCH names it, with a variant perhaps: "arm/v7".
type arch string

// here is this machine's.
const here = arch(runtime.GOARCH)

func (a *arch) String() string { return string(*a) }

// Set takes docker's platforms and uname's machines too.
func (a *arch) Set(text string) error {
	name, variant, _ := strings.Cut(strings.TrimPrefix(text, "linux/"), "/")
	p := image.Normalize(v1.Platform{Architecture: name, Variant: variant})
	if p.Architecture == "" {
		return errors.New("want an architecture, such as amd64 or arm64")
	}
	*a = arch(path.Join(p.Architecture, p.Variant))
	return nil
}

// name is the architecture without its variant.
func (a arch) name() string {
	name, _, _ := strings.Cut(string(a), "/")
	return name
}

// platform returns what images for the architecture are made for.
func (a arch) platform() v1.Platform {
	if a == "" || a == here {
		return v1.Platform{} // and as much of it as this machine has
	}
	_, variant, _ := strings.Cut(string(a), "/")
	return v1.Platform{OS: "linux", Architecture: a.name(), Variant: variant}
}

// source returns where the image ref comes from for the person at this machine.
func (c *cmd) source(ref string, p v1.Platform) *image.Source {
	return &image.Source{
		Platform: p,
		Insecure: c.insecure(ref),
		Formats:  foreign.Formats(),
		Auth: func(registry string) authn.Authenticator {
			reg, err := name.NewRegistry(registry)
			if err != nil {
				return authn.Anonymous
			}
			auth, err := authn.DefaultKeychain.Resolve(reg)
			if err != nil {
				fmt.Fprintf(c.stderr, "wyrcan: credentials for %s cannot be read: %v\n", registry, err)
				return authn.Anonymous
			}
			return auth
		},
		Logf: func(format string, args ...any) {
			fmt.Fprintln(c.stderr, printable.Clip(fmt.Sprintf("wyrcan: "+format, args...), printable.Long))
		},
	}
}

// A meter shows how far a download is, on one line that it rewrites. What is no terminal gets nothing.
type meter struct {
	mu    sync.Mutex
	out   *console.Screen // nil: nobody looks
	what  string
	total int64
	done  int64
	begin time.Time
	shown time.Time
}

// meter starts a line about what, which has total bytes, 0 if unknown. Its time starts when there is something to show.
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
		m.out.Status(m.fit(m.line(time.Since(m.begin)), 80), false) // as wide as a Screen shows one
	}
}

// line is what the meter shows after some time.
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

// fit makes a line of the meter short enough for one row of the terminal: a longer one could not be written over. What
// is being read gives way to how far that is.
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

// end takes the line away.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out != nil {
		m.out.Status("", false)
	}
	m.out = nil
}

// registry adds the options for reaching a registry.
func (f *flagSet) registry() {
	f.c.tlsVerify = f.Bool("tls-verify", true, "ask the registry over TLS and verify its certificate; =false allows plain HTTP too, for this registry alone")
}

// insecure returns what allows plain HTTP and other certificates for the registry of ref, nil for nothing.
func (c *cmd) insecure(ref string) func(string) bool {
	if c.tlsVerify == nil || *c.tlsVerify {
		return nil
	}
	parsed, err := name.ParseReference(strings.TrimPrefix(ref, "docker://"))
	if err != nil {
		return nil // there is no such registry: whoever asks it says so
	}
	return image.Hosts([]string{parsed.Context().RegistryStr()})
}

// advise adds to the failure of a request what helps.
func advise(err error) error {
	if host := image.InsecureHost(err); host != "" {
		return fmt.Errorf("%w; -tls-verify=false allows it", err)
	}
	return err
}

// open finds an image and returns it with a meter that runs while its layers are read. The caller ends the meter.
func (c *cmd) open(ctx context.Context, ref string, p v1.Platform) (*image.Image, *meter, error) {
	src := c.source(ref, p)
	var m *meter
	src.Progress = func(_ *image.Layer, n int) { m.add(n) }
	img, err := src.Open(ctx, ref)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot get %s: %w", ref, advise(err))
	}
	m = c.meter("reading "+ref, img.Size())
	return img, m, nil
}
