package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// withMicrocode is a bootable container with microcode for two processors.
func withMicrocode(t *testing.T) string {
	t.Helper()
	return onDisk(t, imagetest.Image(t, imagetest.Files(append(bootable(),
		imagetest.File("usr/lib/firmware/intel-ucode/06-8e-0a", string(imagetest.Microcode(0x806ea, 7))),
		imagetest.File("usr/lib/firmware/intel-ucode/06-3c-03", string(imagetest.Microcode(0x306c3, 8))),
		imagetest.File("usr/lib/firmware/intel-ucode/06-3c-04", "damaged"),
		imagetest.Link("boot/vmlinuz-again", "boot/vmlinuz"))...)))
}

// TestMorphMicrocode has Debian's tool for microcode, and two calls of cpio, read what morph makes.
func TestMorphMicrocode(t *testing.T) {
	img := withMicrocode(t)
	for _, with := range []bool{true, false} {
		dir := t.TempDir()
		initrd := filepath.Join(dir, "initrd")
		args := []string{"morph", img, "-kernel", filepath.Join(dir, "kernel"), "-initrd", initrd, "-m", "4G"}
		if !with {
			args = append(args, "-microcode=false")
		}
		c, _, stderr := tool(t, args...)
		withWyrinit(t, c)
		if err := c.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if said := stderr.String(); with != strings.Contains(said, "/lib/firmware/intel-ucode/06-3c-04 of the image") {
			t.Errorf("morph said %s", said)
		}
		// -L lists, and -tr looks for microcode in the middle of other files.
		for _, want := range []string{"sig 0x000806ea, pf_mask 0xff, 2024-01-02, rev 0x0007", "sig 0x000306c3"} {
			if !with || testing.Short() {
				break
			}
			out, err := exec.Command("iucode_tool", "-tr", "-L", initrd).CombinedOutput()
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("iucode_tool: %v; it finds %q", err, out)
			}
		}
		var files []string
		f, err := os.Open(initrd)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range 2 { // one after the other, as after "cat microcode initrd"
			cpio := exec.Command("cpio", "--quiet", "-t")
			cpio.Stdin = f
			var list bytes.Buffer
			cpio.Stdout = &list
			if err := cpio.Run(); err != nil && with {
				t.Fatal(err)
			}
			files = append(files, strings.Fields(list.String())...)
		}
		if with != slices.Contains(files, "kernel/x86/microcode/GenuineIntel.bin") ||
			!slices.Contains(files, "boot/wyrcan.kernel") {
			t.Errorf("microcode first: %v; cpio finds %q", with, files)
		}
	}
}

// TestCheckHandover tells what of the image is handed over besides kernel and files, and what that costs.
func TestCheckHandover(t *testing.T) {
	img := withMicrocode(t)
	const other = "kernel file   stays by its other names: 4.10 kB of memory"
	const crash = "kernel file   stays for kdump, because of crashkernel=: 4.10 kB of memory"
	for name, c := range map[string]struct {
		args   []string
		want   []string
		never  string
		memory int64
	}{
		"as it is": {[]string{img}, []string{other,
			"microcode     4.10 kB for all processors; a machine takes that of its own",
			"warning       the microcode in /lib/firmware/intel-ucode/06-3c-04 of the image is not used: 7 bytes"},
			"kdump", 4096},
		"crashkernel": {[]string{img, "-arg", "quiet crashkernel=128M"}, []string{crash}, "other names", 4096},
		"asked for": {[]string{img, "-keep-kernel"}, []string{"kernel file   stays as was asked for: 4.10 kB"},
			"kdump", 4096},
		"neither": {[]string{onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...)))}, nil,
			"kernel file|microcode", 0},
	} {
		tell, stdout, _ := tool(t, append([]string{"check"}, c.args...)...)
		withWyrinit(t, tell)
		if err := tell.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s: %q is not in\n%s", name, want, stdout)
			}
		}
		for _, never := range strings.Split(c.never, "|") {
			if strings.Contains(stdout.String(), never) {
				t.Errorf("%s: %q is in\n%s", name, never, stdout)
			}
		}
		tell, stdout, _ = tool(t, append([]string{"check", "-json"}, c.args...)...)
		withWyrinit(t, tell)
		if err := tell.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		var r report
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || r.Kept != c.memory || r.Ucode != c.memory {
			t.Errorf("%s: -json gives %d bytes for the kernel and %d of microcode, %v", name, r.Kept, r.Ucode, err)
		}
	}
}

// TestKexecMicrocode puts first what this machine's processor takes, and nothing in a virtual machine.
func TestKexecMicrocode(t *testing.T) {
	img := withMicrocode(t)
	const kaby = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 142\n" +
		"stepping\t: 10\nflags\t\t: fpu"
	for name, c := range map[string]struct {
		cpuinfo string
		args    []string
		want    bool
	}{
		"this processor":       {kaby + "\n\n", nil, true},
		"a virtual machine":    {kaby + " hypervisor\n\n", nil, false},
		"another processor":    {strings.Replace(kaby, "142", "143", 1) + "\n\n", nil, false},
		"not wanted":           {kaby + "\n\n", []string{"-microcode=false"}, false},
		"an unknown processor": {"", nil, false},
	} {
		tell, _, stderr := tool(t, append([]string{"kexec", "-load", img}, c.args...)...)
		withWyrinit(t, tell)
		withMemory(t, tell, 4096, 2048)
		files := map[string]string{"sys/kernel/kexec_loaded": "0\n"}
		if c.cpuinfo != "" {
			files["proc/cpuinfo"] = c.cpuinfo
		}
		system(t, tell.root, files)
		kernel := &loading{keep: filepath.Join(t.TempDir(), "initrd")}
		tell.kernel = kernel
		if err := tell.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		initrd, err := os.ReadFile(kernel.keep)
		if err != nil {
			t.Fatal(err)
		}
		if found := bytes.Contains(initrd[:min(len(initrd), 512)], []byte("GenuineIntel.bin")); found != c.want {
			t.Errorf("%s: microcode first: %v, want %v", name, found, c.want)
		}
		said := strings.Contains(stderr.String(), "this processor gets no microcode from the image: cannot tell")
		if said != (c.cpuinfo == "") {
			t.Errorf("%s: kexec said %s", name, stderr)
		}
	}
}
