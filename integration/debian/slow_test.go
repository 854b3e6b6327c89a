//go:build slow

package debian

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

func TestSlowDebian(t *testing.T) {
	t.Parallel()
	ref := imagetest.Serve(t).Push(t, "debian", debian(t))
	cmdline := arguments(ref)

	// Some of the files fit into memory uncompressed, and stay uncompressed. Without a record wyrinit leaves /run alone.
	t.Run("some memory", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Kernel: vm.Unpacked(t), Memory: "640M", Long: true,
			Cmdline: cmdline + unpacks + " wyr.record=no"}
		log := m.Start(t).Until(over, patience)
		complete(t, log)
		lines(t, log, map[string]bool{
			`^wyrboot: kernel \S+, initrd of \S+ MB \(compression: mixed\), `: true,
			`^witness: mount: .* /run |^report: (listed|record): `:            false,
		})
	})

	// The files stay in an image that is mounted, in the memory where kexec has left it, because that is too little to
	// unpack them. Nobody has to ask for it. The booted system has no more than the image of it, and nothing of the
	// initramfs: with unpacked files it would have 325 MiB that the kernel cannot give back.
	t.Run("little memory", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Kernel: vm.Unpacked(t), Memory: "432M", Long: true, Cmdline: cmdline}
		log := m.Start(t).Until(over, patience)
		mounted(t, log)
		lines(t, log, map[string]bool{
			`^wyrboot: the files stay packed in memory \(SquashFS\), because unpacked files would leave less than half`: true,
			`^wyrboot: kernel \S+, initrd of \S+ MB \(beside SquashFS of \S+ MB\), command`:                             true,
			`^report: record: +"root": "squashfs",$`:                                                                    true,
			`^witness: memory: Shmem: \d{1,3} kB$`:                                                                      true,
		})
		if has := occupies(t, log); has.bound > 0.45*325 || has.inUse > 0.45*334 {
			t.Errorf("in use are %.0f MiB, %.0f of them for good", has.inUse, has.bound)
		}
	})

	// The files stay in an image whose pages the kernel uses where kexec has left them: although the witness has read all
	// of them, less than 100 MB are in the page cache.
	t.Run("wyr.root=erofs", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Kernel: vm.Unpacked(t), Memory: "1G", Long: true, Cmdline: cmdline + " wyr.root=erofs"}
		log := m.Start(t).Until(over, patience)
		mounted(t, log)
		lines(t, log, map[string]bool{
			`^wyrboot: kernel \S+, initrd of \S+ MB \(beside EROFS of \S+ MB\), command`: true,
			`^report: record: +"root": "erofs",$`:                                        true,
			`^report: memory: Cached: +\d{1,5} kB$`:                                      true,
		})
	})

	// Any boot loader can start it with the image in the initrd.
	t.Run("wyrcan morph -root squashfs", func(t *testing.T) {
		t.Parallel()
		mounted(t, morph(t, ref, "squashfs", "512M").Start(t).Until(over, patience))
	})

	// With EFI firmware the kernel finds SMBIOS by a table of the firmware, whose address it is told by whoever loads it:
	// here by the segments of kexec_load.
	t.Run("EFI", func(t *testing.T) {
		t.Parallel()
		m := vm.Machine{Memory: "1G", Long: true, Cmdline: cmdline, QEMU: append(efi(t), handedOver...)}
		log := m.Start(t).Until(over, patience)
		complete(t, log)
		lines(t, log, arrived)
		lines(t, log, map[string]bool{`^report: firmware: EFI$`: true, `kexec_file_load`: false})
	})

	// The control test: without wyrinit its features are missing, and wyrboot says so. The capabilities are lost, and
	// so is the ACL. There is enough memory here.
	t.Run("wyr.root=initramfs", func(t *testing.T) {
		t.Parallel()
		log := vm.Machine{
			Kernel: vm.Unpacked(t), Memory: "1536M", Long: true, Cmdline: cmdline + " wyr.root=initramfs",
		}.Start(t).Until(over, patience)
		lines(t, log, map[string]bool{
			`^wyrboot: .*command line "console=ttyS0 panic=-1"$`:      true,
			`^wyrboot: 3 files lose their extended attributes`:        true,
			`^witness: ".*": xattrs is map\[\], want map.*capability`: true,
			`^witness: \d+ paths, 3 differences$`:                     true,
			`^report: systemd is running$`:                            true,
			`^report: capability: `:                                   false,
			`^report: runc: .*pivot_root.*[Ii]nvalid argument`:        true,
			`^report: runc: a container speaks$`:                      false,
			`^report: (listed|record): `:                              false,
		})
	})
}

// mounted fails the test unless the machine has all files of the container, in a root of an image and a tmpfs.
func mounted(t *testing.T, log string) {
	t.Helper()
	complete(t, log)
	lines(t, log, map[string]bool{
		`^witness: mount: \d+ \d+ \d+:\d+ / / rw.* - overlay overlay `: true,
		`^report: capability: /usr/lib/witness/clock cap_sys_time=ep$`: true,
		`^report: capability: (/usr)?/bin/ping cap_net_raw=ep$`:        true,
		`^report: runc: a container speaks$`:                           true,
		`^report: runc: .*pivot_root`:                                  false,
	})
}

// efi returns the options for a machine with OVMF.
func efi(t *testing.T) []string {
	t.Helper()
	vars, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.fd")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "vars.fd")
	if err := os.WriteFile(file, vars, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-machine", "q35",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
		"-drive", "if=pflash,format=raw,unit=1,file=" + file}
}

// TestSlowKexec does not wait for the services of the server, and has the server start itself with a root that stays an
// image. Out of that the container gets the image's memory back.
func TestSlowKexec(t *testing.T) {
	t.Parallel()
	log := kexecs(t, way{"-force", true, map[string]bool{
		`^wyrcan: starting it at once$`: true,
		`^server: stopped in order$`:    false,
		words:                           true,
	}})
	memory := func(pattern string) int {
		t.Helper()
		found := regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(log)
		if found == nil {
			t.Fatalf("the machine did not say %q", pattern)
		}
		kb, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return kb >> 10
	}
	unpacked := memory(`^server: / is (?:tmpfs|rootfs), memory (\d+) kB`)
	packed := memory(`^server: / is overlay, memory (\d+) kB`)
	after := memory(`^wyrcan-demo: memory +(\d+) kB in all`)
	t.Logf("MemTotal: %d MiB, with the image %d MiB, then %d MiB", unpacked, packed, after)
	const image = 80   // at least
	const kernels = 20 // the container has another kernel, which takes more for itself
	if unpacked-packed < image || after-packed < image-kernels {
		t.Errorf("MemTotal is %d MiB, with the image %d MiB, and then %d MiB", unpacked, packed, after)
	}
}
