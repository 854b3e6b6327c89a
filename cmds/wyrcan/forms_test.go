package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestCheckForms says what each form of the root needs, and which one auto takes on a machine.
func TestCheckForms(t *testing.T) {
	data := imagetest.Files(imagetest.File("data", strings.Repeat("0123456789abcdef", 96<<16))) // 96 MiB
	builtin := imagetest.File("usr/lib/modules/"+release+"/modules.builtin", "loop.ko\nsquashfs.ko\noverlay.ko\n")
	good := onDisk(t, imagetest.Image(t, imagetest.Files(append(bootable(), builtin)...), data))
	bare := onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...), data))
	engine := onDisk(t, imagetest.Image(t, imagetest.Files(append(bootable(), builtin,
		imagetest.File("usr/bin/podman", "x"))...), data))
	for name, row := range map[string]struct {
		args []string
		want []string // lines
	}{
		"any machine": {[]string{good},
			[]string{`root          tmpfs; squashfs where a machine has less than 3\d\d MiB`,
				`as tmpfs      2\d\d MiB at least, 96 MiB of them for the files`, `as squashfs   \d\d\d MiB at least, \d+ MiB `,
				`as erofs      not possible: the kernel \S+ has no module nd_pmem`}},
		"plenty of memory": {[]string{good, "-m", "1G"},
			[]string{`root          tmpfs, because they leave at least half of the memory free`}},
		"little": {[]string{good, "-m", "288"},
			[]string{`root          squashfs, because unpacked files would leave less than half of the 2\d\d MiB`}},
		"little, for tmpfs": {[]string{good, "-m", "288", "-root", "tmpfs"}, []string{`root          tmpfs`}},
		"little, for a kernel without modules": {[]string{bare, "-m", "288"},
			[]string{`root          tmpfs, because the kernel cannot mount an image of them`,
				`warning       the root cannot be a SquashFS image, so its files are unpacked into memory, of which they leave ` +
					`less than half free: the kernel \S+ has no module \S+, .*`,
				`as squashfs   not possible: .*has no module.*`}},
		"little, for podman": {[]string{engine, "-m", "288"},
			[]string{`root          tmpfs, because the image has podman, which cannot keep its images on an overlay`}},
		"less, for podman": {[]string{engine, "-m", "208"}, []string{`root          squashfs, because .*`}},
		"an image that cannot be": {[]string{good, "-root", "erofs"},
			[]string{`root          tmpfs`, `warning       the root cannot be an EROFS image .*`}},
	} {
		c, stdout, _ := tool(t, append([]string{"check"}, row.args...)...)
		withWyrinit(t, c)
		if err := c.run(context.Background()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range row.want {
			if !regexp.MustCompile("(?m)^" + want).MatchString(stdout.String()) {
				t.Errorf("%s: %q is not in\n%s", name, want, stdout)
			}
		}
	}

	report := func(args ...string) (r report) {
		t.Helper()
		c, stdout, _ := tool(t, append([]string{"check", "-json"}, args...)...)
		withWyrinit(t, c)
		if err := c.run(context.Background()); err != nil {
			t.Errorf("%q: %v: %s", args, err, stdout)
		}
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := report(good)
	unpacked, packed := r.Forms[0], r.Forms[1]
	if r.Root != "tmpfs" || r.RootWhy == "" || unpacked.Root != "tmpfs" || packed.Root != "squashfs" ||
		r.Memory != packed.Memory || packed.Auto != packed.Memory || unpacked.Auto <= unpacked.Memory ||
		unpacked.Resident < 96<<20 || packed.Resident > 40<<20 || len(r.Forms) != 3 || r.Forms[2].Reason == "" {
		t.Errorf("the report says %+v", r)
	}
	mib := func(bytes int64) string { return fmt.Sprintf("%dM", bytes>>20) }
	for memory, root := range map[int64]string{
		unpacked.Auto: "tmpfs", unpacked.Auto - 2<<20: "squashfs", r.Memory: "squashfs",
	} {
		if got := report(good, "-m", mib(memory)); got.Root != root {
			t.Errorf("with %s the root is %s, want %s", mib(memory), got.Root, root)
		}
	}
}
