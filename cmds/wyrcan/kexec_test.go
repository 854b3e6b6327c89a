package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/uio/uio"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
)

// loading is a running kernel that loads anything, and remembers it.
type loading struct {
	kernels, initrds []int64
	cmdline          string
	how              kexec.Result
	err              error
	keep             string // a file that gets the initrd, unless it is ""
}

func (l *loading) Load(kernel, initrd *os.File, cmdline string) (kexec.Result, error) {
	for _, f := range []struct {
		file *os.File
		all  *[]int64
	}{{kernel, &l.kernels}, {initrd, &l.initrds}} {
		n, err := io.Copy(io.Discard, uio.Reader(f.file))
		if err != nil {
			return kexec.Result{}, err
		}
		*f.all = append(*f.all, n)
	}
	l.cmdline = cmdline
	if l.keep != "" {
		b, err := io.ReadAll(uio.Reader(initrd))
		if err == nil {
			err = os.WriteFile(l.keep, b, 0o600)
		}
		if err != nil {
			return kexec.Result{}, err
		}
	}
	return l.how, l.err
}

func (l *loading) LoadImage(kernel, initrd, image *os.File, cmdline string) error {
	_, err := l.Load(kernel, initrd, cmdline)
	return err
}

func (l *loading) CanLeaveImage() error { return errors.New("this machine has no such memory") }

func (l *loading) Wait(context.Context) error { return nil }

// noisy pushes a bootable image of some 12 MiB, which would not compress.
func noisy(t *testing.T, registry *imagetest.Registry) string {
	t.Helper()
	noise := make([]byte, 12<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	files := append(bootable(), imagetest.File("noise", string(noise)))
	l := imagetest.Files(files...)
	l.Compression = imagetest.Plain
	return registry.Push(t, "noisy", imagetest.Image(t, l))
}

// TestKexecLoad loads an image, and says how.
func TestKexecLoad(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as kexec does")
	}
	ref := noisy(t, imagetest.Serve(t))
	for _, row := range []struct {
		how  kexec.Result
		err  error
		want string
	}{
		{kexec.Result{Method: kexec.Segments}, nil, ""},
		{kexec.Result{Method: kexec.Files, Why: errors.New("locked down")}, nil,
			"wyrcan: loaded the kernel with kexec_file_load, which takes longer: locked down\n"},
		{kexec.Result{}, errors.New("no such luck"), ""},
	} {
		c, _, stderr := tool(t, "kexec", "-load", ref, "-arg", "a=1")
		withWyrinit(t, c)
		withMemory(t, c, 4096, 2048)
		system(t, c.root, map[string]string{"sys/kernel/kexec_loaded": "0\n", "proc/cmdline": "console=ttyS3\n"})
		kernel := &loading{how: row.how, err: row.err}
		c.kernel = kernel
		err := c.run(context.Background())
		if row.err != nil {
			if !errors.Is(err, row.err) || !strings.Contains(err.Error(), "cannot load the kernel of "+ref) ||
				strings.Contains(stderr.String(), "is loaded") {
				t.Errorf("kexec of a kernel that is refused = %v, it said\n%s", err, stderr)
			}
			continue
		}
		if err != nil {
			t.Errorf("kexec = %v", err)
			continue
		}
		want := int64(len(imagetest.BzImage(release)))
		if len(kernel.kernels) != 1 || kernel.kernels[0] != want || kernel.initrds[0] < 12<<20 {
			t.Errorf("kexec loaded %+v", kernel)
		}
		if kernel.cmdline != "quiet a=1" {
			t.Errorf("the command line is %q", kernel.cmdline)
		}
		said := stderr.String()
		for _, want := range []string{
			row.want,
			"wyrcan: this system has its console on ttyS3, and the container's kernel is not told so: " +
				"add -arg console=ttyS3\n",
			"wyrcan: kernel " + release + " of " + ref + " is loaded, with an initrd of 1",
			" MB and the command line \"quiet a=1\"\n",
			"wyrcan: systemctl kexec starts it, wyrcan kexec -unload forgets it\n",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("kexec said\n%swant %q in it", said, want)
			}
		}
		if row.want == "" && strings.Contains(said, "takes longer") {
			t.Errorf("kexec said\n%s", said)
		}
	}
}

// TestKexecRunsOut has other programs take the memory of this system while a layer arrives: kexec gives up at once,
// before the rest has arrived, says what helps, and nothing is loaded.
func TestKexecRunsOut(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as kexec does")
	}
	registry := imagetest.Serve(t)
	ref := noisy(t, registry)
	c, _, stderr := tool(t, "kexec", "-load", ref)
	withWyrinit(t, c)
	withMemory(t, c, 4096, 2048)
	system(t, c.root, map[string]string{"sys/kernel/kexec_loaded": "0\n"})
	kernel := &loading{}
	c.kernel = kernel
	meminfo := filepath.Join(c.root, "proc/meminfo")
	takeMemory := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		left := fmt.Appendf(nil, "MemTotal: %d kB\nMemAvailable: %d kB\n", 4096<<10, 63<<10)
		if err := os.WriteFile(meminfo, left, 0o600); err != nil {
			t.Error(err)
		}
		next.ServeHTTP(w, r)
	}
	// The first blob is the configuration.
	registry.Fail(imagetest.Fault{Path: imagetest.Blobs, Skip: 1, Do: takeMemory})
	err := c.run(context.Background())
	const want = "too little memory: of the 4096 MiB of this machine 63 MiB are left, and the image wants more; " +
		"end other programs, use a smaller image or add memory"
	if err == nil || !strings.HasPrefix(err.Error(), "cannot read "+ref) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("kexec = %v, want an error with %q", err, want)
	}
	if len(kernel.kernels) > 0 || strings.Contains(stderr.String(), "is loaded") {
		t.Errorf("kexec loaded %+v, and said\n%s", kernel, stderr)
	}
}
