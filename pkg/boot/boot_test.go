package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/u-root/uio/uio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

const version = "6.1.0-40-amd64"

// bootable is a layer of some 12 MiB with a bootable container, and whatever is added.
func bootable(more ...imagetest.Entry) imagetest.Layer {
	noise := make([]byte, 12<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	l := imagetest.Files(append([]imagetest.Entry{
		imagetest.Dir("boot"),
		imagetest.File("boot/vmlinuz", string(imagetest.BzImage(version))),
		imagetest.Symlink("boot/wyrcan.kernel", "vmlinuz"),
		imagetest.File("boot/wyrcan.cmdline", "console=ttyS0\n"),
		imagetest.Dir("bin"),
		imagetest.File("bin/sh", "a shell").Mode(0o755),
		imagetest.File("init", "#!/bin/sh\n").Mode(0o755),
		imagetest.Dir("lib/modules/" + version),
		imagetest.File("noise", string(noise)),
	}, more...)...)
	l.Compression = imagetest.Plain // noise does not compress
	return l
}

// world is a machine with so much memory, a running kernel that loads anything, and a registry.
type world struct {
	*Boot
	t         *testing.T
	registry  *imagetest.Registry
	available atomic.Int64 // bytes
	said      []string

	beforeLoad func()

	// What the running kernel was given, and what it answers.
	loads                   int
	kernel, initrd, cmdline string
	image                   string
	how                     kexec.Result
	refuses, notReady       error
	refusesImage            error // beside the initrd
	leaves                  bool  // it can leave an image in memory
	ready                   int
}

// users are the programs that boot images, by how they use the memory.
func users() map[string]bundle.Budget {
	return map[string]bundle.Budget{
		"wyrboot":      {Copies: 1, Reserve: 24 << 20, Remedy: "use a smaller image or add memory"},
		"wyrcan kexec": {Copies: 2, Reserve: 64 << 20, Remedy: "end other programs, use a smaller image or add memory"},
	}
}

func newWorld(t *testing.T, b bundle.Budget) *world {
	w := &world{t: t, registry: imagetest.Serve(t)}
	w.available.Store(1 << 30)
	b.Read = func() (memory.Info, error) { return memory.Info{Total: 2 << 30, Available: w.available.Load()}, nil }
	w.Boot = &Boot{
		Budget: b,
		Logf:   func(format string, args ...any) { w.said = append(w.said, fmt.Sprintf(format, args...)) },
		Kernel: w,
	}
	return w
}

// Load implements Kernel.
func (w *world) Load(kernel, initrd *os.File, cmdline string) (kexec.Result, error) {
	if w.refuses != nil {
		return kexec.Result{}, w.refuses
	}
	w.loads++
	w.kernel, w.initrd, w.cmdline = content(w.t, kernel), content(w.t, initrd), cmdline
	return w.how, nil
}

// LoadImage implements Kernel.
func (w *world) LoadImage(kernel, initrd, image *os.File, cmdline string) error {
	if w.refusesImage != nil {
		return w.refusesImage
	}
	w.image = content(w.t, image)
	_, err := w.Load(kernel, initrd, cmdline)
	return err
}

// CanLeaveImage implements Kernel.
func (w *world) CanLeaveImage() error {
	if !w.leaves {
		return errors.New("this machine has no such memory")
	}
	return nil
}

// Wait implements Kernel.
func (w *world) Wait(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		w.t.Error("Wait may take forever")
	}
	w.ready++
	return w.notReady
}

func content(t *testing.T, f *os.File) string {
	t.Helper()
	b, err := io.ReadAll(uio.Reader(f))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// push returns an image that the registry has.
func (w *world) push(layers ...imagetest.Layer) *image.Image {
	w.t.Helper()
	source := &image.Source{Insecure: func(string) bool { return true }}
	img, err := source.Resolve(w.t.Context(), w.registry.Push(w.t, "bootable", imagetest.Image(w.t, layers...)))
	if err != nil {
		w.t.Fatal(err)
	}
	return img
}

// onBlobs answers requests for layers.
func (w *world) onBlobs(do imagetest.Effect) {
	w.registry.Fail(imagetest.Fault{Path: imagetest.Blobs, Do: do})
}

// short reports whether err is about this machine's memory.
func short(err error) bool { return errors.As(err, new(*bundle.Shortage)) }

// run takes all three steps.
func (w *world) run(ctx context.Context, img *image.Image, own ...rootfs.Layer) (step string, err error) {
	w.t.Helper()
	tree, err := w.Read(ctx, img, own...)
	if err != nil {
		return "read", err
	}
	made, err := w.Convert(ctx, tree, bundle.Options{Args: []string{"quiet"}, Wyrinit: []byte("wyrinit")})
	if err != nil {
		return "convert", err
	}
	if w.beforeLoad != nil {
		w.beforeLoad()
	}
	if err := w.Boot.Load(ctx, made); err != nil {
		return "load", err
	}
	return "", nil
}

// pack leaves so little memory that the initrd is packed, and calls grown while that grows.
func (w *world) pack(grown func()) {
	w.available.Store(80 << 20)
	w.Grown = grown
}

// TestBoot goes all the way from a registry to the running kernel.
func TestBoot(t *testing.T) {
	for name, budget := range users() {
		w := newWorld(t, budget)
		w.how = kexec.Result{Method: kexec.Files, Why: errors.New("a damaged header")}
		img := w.push(
			bootable(imagetest.File("etc/initrd-release", "x")),
			imagetest.Files(imagetest.File("upper", "a layer above")),
		)
		own := imagetest.Files(imagetest.File("own", "this machine's own layer")).Blob(t)
		if step, err := w.run(t.Context(), img, own); err != nil {
			t.Errorf("%s: %s = %v", name, step, err)
			continue
		}
		if w.loads != 1 || w.ready != 1 || w.kernel != string(imagetest.BzImage(version)) {
			t.Errorf("%s: %d kernels of %d bytes were loaded", name, w.loads, len(w.kernel))
		}
		if w.cmdline != "console=ttyS0 quiet" {
			t.Errorf("%s: the command line is %q", name, w.cmdline)
		}
		for _, want := range []string{"wyrinit", "a layer above", "this machine's own layer"} {
			if !strings.Contains(w.initrd, want) {
				t.Errorf("%s: %q is not in the initrd", name, want)
			}
		}
		if len(w.said) != 2 || !strings.Contains(w.said[0], "emergency mode") ||
			w.said[1] != "loaded the kernel with kexec_file_load, which takes longer: a damaged header" {
			t.Errorf("%s: it said %q", name, w.said)
		}
	}
}

// TestRunsOut takes the memory away at each step: the step gives up with the numbers and the program's remedy, and no
// kernel is loaded.
func TestRunsOut(t *testing.T) {
	const left = 20 << 20
	for name, budget := range users() {
		grows := "too little memory: of the 2048 MiB of this machine 20 MiB are left, and the image wants more; " +
			budget.Remedy
		for _, row := range []struct {
			step, want string
			arrange    func(w *world)
		}{
			{"read", grows, func(w *world) {
				w.onBlobs(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
					w.available.Store(left)
					next.ServeHTTP(rw, r)
				})
			}},
			{"convert", grows, func(w *world) { w.pack(func() { w.available.Store(left) }) }},
			{"load", "this machine has 20 MiB free; " + budget.Remedy, func(w *world) {
				w.beforeLoad = func() { w.available.Store(left) }
			}},
		} {
			w := newWorld(t, budget)
			img := w.push(bootable())
			row.arrange(w)
			step, err := w.run(t.Context(), img)
			if step != row.step || !short(err) || !strings.HasSuffix(err.Error(), row.want) {
				t.Errorf("%s: %s = %v, want %s to fail with %q", name, step, err, row.step, row.want)
			}
			if w.loads != 0 {
				t.Errorf("%s: a kernel was loaded without memory to %s", name, row.step)
			}
		}
	}
}

// TestTooLarge refuses images for this machine's memory or disk.
func TestTooLarge(t *testing.T) {
	bomb := imagetest.Files(imagetest.File("bomb", strings.Repeat("bomb", 50<<18)))
	bomb.Compression = imagetest.Zstd
	for name, budget := range users() {
		for _, row := range []struct {
			layer     imagetest.Layer
			available int64 // MiB
			disk      int64 // MiB
			want      []string
		}{
			{bootable(), 50, 0, []string{
				"too little memory: to hold the image's layers takes 61 MiB and this machine has 50 MiB free; " +
					budget.Remedy,
			}},
			{bomb, 49, 0, []string{
				"hold more than 49 MiB uncompressed",
				"this machine has 49 MiB of memory free",
				"use a machine with more memory",
			}},
			{bomb, 49, 1, []string{
				"49 MiB of memory and 1 MiB of the disk free; make room there, or use a smaller image",
			}},
			{bomb, 49, 100, nil},
		} {
			w := newWorld(t, budget)
			w.Budget.Reserve = 0
			w.available.Store(row.available << 20)
			img := w.push(row.layer)
			if row.disk > 0 {
				w.Free = func() int64 { return row.disk << 20 }
				w.Overflow = func() (*os.File, error) { return memory.File("disk") }
			}
			tree, err := w.Read(t.Context(), img)
			if err == nil {
				tree.Close()
			}
			what := fmt.Sprintf("%s with %d MiB, and %d of a disk", name, row.available, row.disk)
			if short(err) != (row.want != nil) {
				t.Errorf("%s: Read = %v, want %q", what, err, row.want)
				continue
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: Read = %v, want %q", what, err, want)
				}
			}
		}
	}
}

// TestSpare gives memory up where that may help, and only there; what that frees counts.
func TestSpare(t *testing.T) {
	for _, row := range []struct {
		available int64 // MiB
		spared    int
	}{{1024, 0}, {50, 1}} {
		w := newWorld(t, bundle.Budget{Copies: 1})
		w.available.Store(row.available << 20)
		spared := 0
		w.Spare = func() { spared++; w.available.Store(1 << 30) }
		if step, err := w.run(t.Context(), w.push(bootable())); err != nil || spared != row.spared {
			t.Errorf("with %d MiB: %s = %v, %d calls of Spare, want %d", row.available, step, err, spared, row.spared)
		}
	}
}

// TestTarget judges by the machine that will boot, where that is another one.
func TestTarget(t *testing.T) {
	w := newWorld(t, bundle.Budget{})
	w.Target = &bundle.Room{Info: memory.Info{Total: 64 << 20, Available: 64 << 20}}
	img := w.push(bootable())
	const want = "too little memory: the container needs "
	if step, err := w.run(t.Context(), img); step != "convert" || !strings.Contains(err.Error(), want) || short(err) {
		t.Errorf("%s = %v, want convert to fail with %q, which is no shortage here", step, err, want)
	}
	w.Target = new(bundle.Room) // unknown
	if step, err := w.run(t.Context(), img); err != nil {
		t.Errorf("for a machine of which nothing is known: %s = %v", step, err)
	}
}

// TestCancel ends the context at each step: the work ends there, and no kernel is loaded.
func TestCancel(t *testing.T) {
	for step, arrange := range map[string]func(w *world, cancel func()){
		"read": func(w *world, cancel func()) {
			w.onBlobs(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
				cancel()
				<-r.Context().Done()
			})
		},
		"convert": func(w *world, cancel func()) { w.pack(cancel) },
		"load":    func(w *world, cancel func()) { w.beforeLoad = cancel },
	} {
		w := newWorld(t, bundle.Budget{})
		img := w.push(bootable())
		ctx, cancel := context.WithCancel(t.Context())
		arrange(w, cancel)
		if got, err := w.run(ctx, img); got != step || !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want %s to end with the context's error", got, err, step)
		}
		if w.loads != 0 {
			t.Errorf("a kernel was loaded although the context ended at %s", step)
		}
		cancel()
	}
}

// TestRefused has a running kernel that does not load, or is not ready in time.
func TestRefused(t *testing.T) {
	refused := &kexec.Error{Method: kexec.Files, Errno: unix.ENOKEY}
	w := newWorld(t, bundle.Budget{})
	w.refuses = refused
	img := w.push(bootable())
	if step, err := w.run(t.Context(), img); step != "load" || !errors.Is(err, unix.ENOKEY) || w.ready != 0 {
		t.Errorf("%s = %v, want load to fail with %v", step, err, refused)
	}
	w.refuses, w.notReady = nil, errors.New("not ready")
	if step, err := w.run(t.Context(), img); step != "load" || err != w.notReady {
		t.Errorf("%s = %v, want load to fail with %v", step, err, w.notReady)
	}
}

// TestUnknown has a machine that does not tell its memory: nothing goes on.
func TestUnknown(t *testing.T) {
	unknown := errors.New("cannot tell how much memory there is")
	w := newWorld(t, bundle.Budget{})
	img := w.push(bootable())
	read := w.Budget.Read
	for reads := range 3 {
		n := 0
		w.Budget.Read = func() (memory.Info, error) {
			if n++; n > reads {
				return memory.Info{}, unknown
			}
			return read()
		}
		if step, err := w.run(t.Context(), img); !errors.Is(err, unknown) || w.loads != 0 {
			t.Errorf("with memory that can be read %d times: %s = %v, want %v", reads, step, err, unknown)
		}
	}
}
