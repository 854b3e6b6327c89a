// Bench measures how fast an image becomes an initramfs, or a SquashFS, and compares that with other ways to make one.
//
// Synopsis:
//
//	bench [-runs N] [-dir DIR] [-wyrcan FILE] [-kernel] [-layer MIB]
//	bench -floor LIBRARY IMAGE
//	bench -form FORM [-o FILE] IMAGE
//	bench -open N FILE
//
// Description:
//
//	A bootable Debian of several layers is made once, in DIR, of the example that make has built, and served by docker's
//	registry on loopback. Then each way has a turn, N times in rotation, so that other work of the machine slows all
//	ways alike. Medians go to standard output as a table, with their ratios to the floor. The floor is the time to
//	download, hash and decompress the layers, all at once, and do nothing with them; -floor does that. It uses the
//	fastest decompressor for Go that we know. A second floor uses our own, which shows how much that saves.
//
//	With -kernel it then measures times in QEMU, under emulation: how long the boot environment that make built takes
//	to load the image's kernel and to start it, with kexec_load and with kexec_file_load, and how long that kernel
//	takes to unpack each form of initramfs.
//
//	With -layer it measures how long it takes to decompress one layer of MIB, and what processor time that takes on one
//	processor and on all.
//
//	Bench needs root, and Debian's packages buildah, docker-registry, skopeo, umoci, cpio, zstd, libarchive-tools,
//	squashfs-tools and pigz.
//
// Options:
//
//	-runs:   how many turns each way has
//	-dir:    the directory for the image, the registry and what the ways write
//	-wyrcan: the host tool
//	-kernel: measure the times in QEMU too
//	-layer:  measure the decompression of one layer too
//	-open:   decompress FILE with N processors, as a layer; 0 is with the library klauspost/compress
//	-floor:  be the floor for IMAGE, with the decompressor klauspost or inflate
//	-form:   make an initramfs of IMAGE in this form, in memory, as the boot environment does
//	-o:      with -form, write it to FILE
//	-only:   give turns only to the floor and to the ways whose names contain TEXT
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/inflate"
)

type cmd struct {
	stdout io.Writer
	runs   int
	dir    string
	wyrcan string
	kernel bool
	floor  string
	form   string
	out    string // for form
	image  string // for floor and form
	only   string
	layer  int // MiB of the one layer that is decompressed; 0 is none
	open   int // how many processors decompress the file image; less than 0 is none
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c, err := command(os.Args)
	if err == nil {
		err = c.run(ctx)
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatalf("bench: %v", err)
	}
}

func command(args []string) (*cmd, error) {
	c := &cmd{stdout: os.Stdout}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.IntVar(&c.runs, "runs", 5, "give each way `N` turns")
	f.StringVar(&c.dir, "dir", "out/bench", "work in `DIR`")
	f.StringVar(&c.wyrcan, "wyrcan", "out/wyrcan", "the host tool is `FILE`")
	f.BoolVar(&c.kernel, "kernel", false, "time the kernels too")
	f.IntVar(&c.layer, "layer", 0, "time one layer of `MIB` too")
	f.IntVar(&c.open, "open", -1, "decompress a file with `N` processors")
	f.StringVar(&c.floor, "floor", "", "be the floor, by the decompressor of `LIBRARY`")
	f.StringVar(&c.form, "form", "", "make an initramfs in `FORM` in memory")
	f.StringVar(&c.out, "o", "", "write it to `FILE`")
	f.StringVar(&c.only, "only", "", "only the ways with `TEXT` in their names")
	if err := f.Parse(args[1:]); err != nil {
		return nil, err
	}
	if (c.form != "" || c.floor != "" || c.open >= 0) && f.NArg() == 1 {
		c.image = f.Arg(0)
		return c, nil
	}
	if f.NArg() > 0 || c.runs < 1 {
		return nil, errors.New("usage: bench [-runs N] [-dir DIR] [-wyrcan FILE] [-kernel] [-layer MIB]")
	}
	return c, nil
}

func (c *cmd) run(ctx context.Context) error {
	if c.floor != "" {
		return floor(ctx, c.floor, c.image)
	}
	if c.open >= 0 {
		return open(c.image, c.open)
	}
	if c.form != "" {
		for _, f := range forms() {
			if f.name == c.form {
				return f.write(ctx, c.image, c.out)
			}
		}
		return fmt.Errorf("there is no form %q", c.form)
	}
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return err
	}
	layout := filepath.Join(dir, "oci")
	if _, err := os.Stat(layout); err != nil {
		if err := run("tools/example", layout, "out/examples/debian-bookworm.oci", "tools/bench"); err != nil {
			return err
		}
	}
	if err := run("go", "build", "-o", dir+"/crane", "github.com/google/go-containerregistry/cmd/crane"); err != nil {
		return err
	}
	host, stop, err := serve(dir)
	if err != nil {
		return err
	}
	defer stop()
	ref := host + "/debian:1"
	err = run("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "oci:"+layout,
		"docker://"+ref)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	wyrcan, err := filepath.Abs(c.wyrcan)
	if err != nil {
		return err
	}
	ways := ways(self, wyrcan, dir+"/crane", ref)
	ways = slices.DeleteFunc(ways, func(w way) bool {
		return w.name != ways[0].name &&
			!strings.Contains(w.name, c.only)
	})
	results, err := c.measure(ctx, dir, ways)
	if err != nil {
		return err
	}
	if err := c.table(ways, results); err != nil {
		return err
	}
	if c.layer > 0 {
		if err := c.oneLayer(ctx, dir, self, ref); err != nil {
			return err
		}
	}
	if !c.kernel {
		return nil
	}
	if err := c.loading(ctx, dir, wyrcan, ref); err != nil {
		return err
	}
	return c.unpacking(ctx, dir, self, wyrcan, ref)
}

// run runs a program. Its output goes to standard error.
func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// serve starts docker's registry and returns its address. The registry keeps its blobs in dir.
func serve(dir string) (host string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	host = l.Addr().String()
	l.Close()
	config := filepath.Join(dir, "registry.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s/registry}}\nhttp: {addr: %q}\n", dir, host)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return "", nil, err
	}
	server := exec.Command("docker-registry", "serve", config)
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { server.Process.Kill(); server.Wait() }
	for range 200 {
		resp, err := http.Get("http://" + host + "/v2/")
		if err == nil {
			resp.Body.Close()
			return host, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return "", nil, errors.New("docker-registry does not answer")
}

// floor downloads, hashes and decompresses the layers of an image, all at once.
func floor(ctx context.Context, library, ref string) error {
	decompressors := map[string]func(io.Reader) (io.Reader, error){
		"klauspost": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"inflate":   func(r io.Reader) (io.Reader, error) { return inflate.NewReader(r), nil },
	}
	decompress := decompressors[library]
	if decompress == nil {
		return fmt.Errorf("there is no decompressor %q", library)
	}
	img, err := new(image.Source).Resolve(ctx, ref)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range img.Layers {
		g.Go(func() error {
			rc, err := l.Open(ctx)
			if err != nil {
				return err
			}
			defer rc.Close()
			zr, err := decompress(rc)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, zr); err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, rc)
			return err
		})
	}
	return g.Wait()
}

// way makes an initramfs or a SquashFS of an image, in a directory of its own, as the file "initrd".
type way struct {
	name   string
	script string
}

func ways(self, wyrcan, crane, ref string) []way {
	tree := "skopeo --insecure-policy copy --quiet --src-tls-verify=false docker://" + ref + " oci:oci:x && " +
		"umoci unpack --image oci:x bundle >log 2>&1 && cd bundle/rootfs && "
	unpack := tree + "find . | cpio -o -H newc --quiet"
	list := []way{
		{"the floor: download, hash, gunzip", self + " -floor klauspost " + ref},
		{"the same with our own inflate", self + " -floor inflate " + ref},
	}
	for _, f := range forms() {
		list = append(list, way{f.about, self + " -form " + f.name + " " + ref})
	}
	return append(list, []way{
		{"wyrcan morph", wyrcan + " morph " + ref + " -kernel kernel -initrd initrd -cmdline cmdline -root initramfs"},
		{"skopeo, umoci, cpio, zstd -1 -T0", unpack + " | zstd -1 -T0 -q >../../initrd"},
		{"skopeo, umoci, cpio, gzip -1", unpack + " | gzip -1 >../../initrd"},
		{"crane export, bsdtar, zstd -1 -T0 (hard links wrong)", crane + " export --insecure " + ref + " - | " +
			"bsdtar -cf - --format newc @- | zstd -1 -T0 -q >initrd"},
		{"wyrcan unpack FILE.squashfs", wyrcan + " unpack " + ref + " x.squashfs && mv x.squashfs initrd"},
		{"skopeo, umoci, mksquashfs, zstd -3", tree + "mksquashfs . ../../initrd -comp zstd -Xcompression-level 3 " +
			"-no-exports -no-progress -quiet"},
	}...)
}

// result is what one turn took.
type result struct {
	wall, cpu time.Duration
	memory    int64 // peak of anonymous and shared memory; 0 if it could not be measured
	size      int64 // of the initramfs
}

// measure runs the turns of all ways.
func (c *cmd) measure(ctx context.Context, dir string, ways []way) (map[string][]result, error) {
	results := make(map[string][]result)
	for turn := range c.runs {
		for _, w := range ways {
			r, err := once(ctx, filepath.Join(dir, "turn"), w.script)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			fmt.Fprintf(os.Stderr, "%d of %d: %s: %.2f s\n", turn+1, c.runs, w.name, r.wall.Seconds())
			results[w.name] = append(results[w.name], r)
		}
	}
	return results, nil
}

// once runs a script in an empty directory.
func once(ctx context.Context, dir, script string) (result, error) {
	if err := os.RemoveAll(dir); err != nil {
		return result{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	g := newGroup()
	defer g.close()
	// The shell joins the group before it starts anything.
	sh := exec.CommandContext(ctx, "bash", "-c", "set -eo pipefail; "+g.join()+script)
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	sh.Cancel = func() error { return syscall.Kill(-sh.Process.Pid, syscall.SIGKILL) } // all programs of the pipe
	sh.Dir = dir
	// skopeo remembers in which registry it has seen which blob. The directory is empty, so that this helps no turn.
	sh.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	var stderr strings.Builder
	sh.Stderr = &stderr
	begin := time.Now()
	if err := sh.Start(); err != nil {
		return result{}, err
	}
	peak := g.watch()
	err := sh.Wait()
	r := result{wall: time.Since(begin), memory: peak()}
	if err != nil {
		return result{}, fmt.Errorf("%w\n%s", err, stderr.String())
	}
	r.cpu = sh.ProcessState.UserTime() + sh.ProcessState.SystemTime()
	if info, err := os.Stat(filepath.Join(dir, "initrd")); err == nil {
		r.size = info.Size()
	}
	return r, nil
}

// median returns the median of what f returns for each result.
func median[R any, T cmp.Ordered](results []R, f func(R) T) T {
	values := make([]T, len(results))
	for i, r := range results {
		values[i] = f(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// table prints the medians, and the ratios of the times to those of the first way, the floor.
func (c *cmd) table(ways []way, results map[string][]result) error {
	fmt.Fprintf(c.stdout, "%d processors, medians of %d turns\n\n", runtime.NumCPU(), c.runs)
	fmt.Fprint(c.stdout, "| way | wall | to the floor | CPU | to the floor | memory | initrd |\n"+
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	floor := results[ways[0].name]
	var errs []error
	for _, w := range ways {
		r := results[w.name]
		seconds := func(of func(result) time.Duration) string {
			m := median(r, of).Seconds()
			return fmt.Sprintf("%.2f s | %.2f", m, m/median(floor, of).Seconds())
		}
		_, err := fmt.Fprintf(c.stdout, "| %s | %s | %s | %s | %s |\n", w.name,
			seconds(func(r result) time.Duration { return r.wall }),
			seconds(func(r result) time.Duration { return r.cpu }),
			megabytes(median(r, func(r result) int64 { return r.memory })),
			megabytes(median(r, func(r result) int64 { return r.size })))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func megabytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}
