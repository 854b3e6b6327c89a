package integration

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
)

// TestLeft leaves a file system image in memory for the next kernel, which finds it as a block device and has less
// memory; the kernel after that one has all of it again.
func TestLeft(t *testing.T) {
	t.Parallel()
	leave(t, vm.Machine{Memory: "512M", CPUs: 1, Kernel: vm.Unpacked(t)}, 128<<20+12345, "leave", "plain")
}

// leave boots a machine that goes through these steps of the program keeper, with an image of that size, and checks
// what each kernel finds. It returns the machine's text.
func leave(t *testing.T, m vm.Machine, size int64, steps ...string) string {
	t.Helper()
	m.Initrd = keeper(t)
	m.NICs = []string{"none"}
	m.First = "keeper: begin"
	m.Cmdline += fmt.Sprintf(" quiet keeper.size=%d keeper=%s", size, strings.Join(steps, ","))
	v := m.Start(t)
	number := func(pattern string) int {
		t.Helper()
		n, err := strconv.Atoi(v.Wait(pattern, kexecTime)[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	all, left := 0, false
	const unit = 2 << 20
	room := (size + unit - 1) &^ (unit - 1)
	// What a kernel takes for itself differs a bit, as it depends on the place that KASLR chooses for it. And it has
	// no page structures, 64 bytes for 4 KiB, for most of what is no RAM.
	bit := 1<<10 + int(room>>10)/64
	for i := range len(steps) + 1 {
		begin := number(`keeper: begin with ([0-9]+) kB in all\n`)
		if all == 0 {
			all = begin
		}
		want := all
		persistent := 0
		if left {
			want, persistent = all-int(room>>10), 1
		}
		if begin < want-bit || begin > want+bit {
			t.Errorf("kernel %d has %d kB of memory, want %d", i, begin, want)
		}
		for _, file := range []string{"iomem", "memmap"} {
			if n := number(`^keeper: ([0-9]+) persistent in \S*` + file + `\S*\n`); n != persistent {
				t.Errorf("kernel %d has %d stretches of persistent memory in %s, want %d", i, n, file, persistent)
			}
		}
		if left {
			if n := number(`^keeper: pmem\d+ of ([0-9]+) bytes at .*\n`); int64(n) != room {
				t.Errorf("the device has %d bytes, want %d", n, room)
			}
			if n := number(`^keeper: the image of ([0-9]+) bytes is as it was\n`); int64(n) != size {
				t.Errorf("the image has %d bytes, want %d", n, size)
			}
			v.Wait(`^keeper: [0-9]+ kB available before the device, [0-9]+ kB with it\n`, stepTime)
		}
		if i < len(steps) {
			said := v.Wait(`^keeper: loaded in [0-9]+ ms; of ([0-9]+) kB available, ([0-9]+) kB were left\n`, kexecTime)
			had, err1 := strconv.Atoi(said[1])
			kept, err2 := strconv.Atoi(said[2])
			if err1 != nil || err2 != nil {
				t.Fatal(said)
			}
			lost := had - kept
			const most = 8 << 10 // the moves, page tables, and what the kernel takes at the same time
			if copies := steps[i] == "copy"; copies != (lost > most) {
				t.Errorf("%s: the load takes %d kB", steps[i], lost)
			}
			left = steps[i] != "plain"
		}
	}
	v.Wait(`^keeper: done$`, stepTime)
	v.Exit(stepTime)
	return v.Said()
}

// keeper returns a file with an initramfs that has the program keeper, Wyrcan's kernel and the drivers of images.
func keeper(t *testing.T) string {
	t.Helper()
	files := map[string]string{
		"init":   string(vm.Program(t, "./keeper")),
		"kernel": string(read(t, vm.Artefact(t, "wyrcan.kernel"))),
	}
	for i, name := range []string{"libnvdimm", "nd_btt", "nd_pmem", "nd_e820"} {
		found, err := filepath.Glob(vm.Artefact(t, "kernel/lib/modules") + "/*/kernel/drivers/nvdimm/" + name + ".ko")
		if err != nil || len(found) != 1 {
			t.Fatalf("%s is %q, %v", name, found, err)
		}
		files[fmt.Sprintf("modules/%d", i)] = string(read(t, found[0]))
	}
	file := filepath.Join(t.TempDir(), "initrd")
	write(t, file, string(archive(t, files, console()...)))
	return file
}
