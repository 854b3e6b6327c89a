//go:build slow

package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSlowDisk boots one machine twice. The image has the examples server, containers and disk on top of each other. At
// first the disk has no labels, so the machine comes up without one. It runs containers, and prepares the disk. After a
// reboot the disk is there from the start.
//
// With 1 GiB Wyrcan would pack the files before each of the two boots, and the kernel unpack them. Here all fit in as
// they are, which saves a sixth of the host's time. Half of the disk is more than the memory, so that the swap gets the
// memory's size.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	imagetest.NeedsRoot(t, "for a network of its own")
	clean(t, "disk-bookworm")
	registry := imagetest.Serve(t)
	registry.Push(t, "disk", withTestFiles(t, imagetest.Layout(t, vm.Artefact(t, "examples/disk-bookworm.oci"))))
	site := newSite(t, registry.Host)
	site.offersContainers(t)
	disk := filepath.Join(t.TempDir(), "disk")
	sparse(t, disk, 4<<30)
	v := vm.Machine{
		Kernel: vm.Unpacked(t), Memory: "1280M", Long: true, Reboots: true, NetNS: site.name, NICs: []string{site.nic},
		QEMU: []string{"-drive", "if=none,id=disk,format=raw,discard=unmap,file=" + disk,
			"-device", "virtio-blk-pci,drive=disk,serial=first"},
		Cmdline: "panic=-1 " + vm.Boot(siteAddress+":5000/disk") + " wyr.arg=console=ttyS0 wyr.arg=panic=-1",
	}.Start(t)

	v.Step(t, "no labels", func(t *testing.T) {
		said := site.says(t, `systemctl is-system-running --wait; systemctl --failed --no-legend; swapon --show`)
		if strings.TrimSpace(said) != "running" {
			t.Errorf("without its disk the machine says %q", said)
		}
	})
	v.Step(t, "containers", site.runsContainers)
	v.Step(t, "prepare", func(t *testing.T) {
		const disk = "/dev/disk/by-id/virtio-first"
		// Something that blkid does not know, and something that it knows.
		site.wants(t, `printf x | dd of=`+disk+` bs=1 seek=4096 status=none; prepare-disk `+disk,
			`^prepare-disk: `+disk+` is left alone, because its head is not empty$`)
		site.wants(t, `dd if=/dev/zero of=`+disk+` bs=4096 count=2 status=none; mkswap -q `+disk+`; prepare-disk `+disk,
			`^prepare-disk: `+disk+` is left alone, because something is on it: .*TYPE=swap`)
		site.wants(t, `dd if=/dev/zero of=`+disk+` bs=4096 count=2 status=none; prepare-disk `+disk+`
			echo prepared: $?; swapon --show=NAME,SIZE --noheadings --bytes; echo kept > /srv/kept; prepare-disk `+disk,
			`^prepared: 0$`, `^/dev/vda1 +12\d{8}$`, `is left alone, because something is on it: .*PTTYPE=gpt`)
	})
	v.Step(t, "reboot", func(t *testing.T) {
		site.reboot(t, v)
		site.wants(t, `systemctl is-system-running --wait; systemctl --failed --no-legend; cat /srv/kept`,
			`^running\nkept$`)
	})
	v.Step(t, "noexec", func(t *testing.T) {
		site.wants(t, `findmnt --noheadings --output OPTIONS /srv; cp /usr/bin/id /srv/program
			printf '#!/bin/sh\necho it runs\n' > /srv/script; chmod +x /srv/script; /srv/program; /srv/script`,
			`^rw,nosuid,nodev,noexec`, `/srv/program: Permission denied$`, `/srv/script: Permission denied$`)
	})
	v.Step(t, "swap", site.swapsItsRoot)
}

// swapsItsRoot has a program on the machine take more memory than is free. The pages of the root go to the disk, and
// come back as they were.
func (s site) swapsItsRoot(t *testing.T) {
	said := s.says(t, `
		sums() { find / -xdev -type f ! -path '/var/log/*' -exec cksum {} + | sort | md5sum; }
		show() { grep -E '^(MemTotal|MemAvailable|Shmem|SwapCached|SwapTotal|SwapFree):' /proc/meminfo | sed "s/^/$1 /"; }
		sums
		show before
		free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
		head -c $((free + 409600))K /dev/zero | tail > /dev/null
		show after
		sums
		show read`)
	t.Log(said)
	sums := regexp.MustCompile(`(?m)^[0-9a-f]{32} `).FindAllString(said, -1)
	if len(sums) != 2 || sums[0] != sums[1] {
		t.Errorf("the files of the root have the sums %q before and after they were swapped out", sums)
	}
	kib := func(when, what string) int {
		t.Helper()
		found := regexp.MustCompile(`(?m)^` + when + ` ` + what + `: *(\d+) kB$`).FindStringSubmatch(said)
		if found == nil {
			t.Fatalf("there is no %s %s", what, when)
		}
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	// The kernel chooses between the root and the program's own memory: of the root were seen 83 to 156 MiB, with 300 to
	// 400 MiB more than was free.
	const least = 50 << 10
	root := kib("before", "Shmem") - kib("after", "Shmem")
	swap := kib("before", "SwapFree") - kib("after", "SwapFree")
	if root < least || swap < least {
		t.Errorf("%d KiB of the root left memory, and swap took %d KiB", root, swap)
	}
}

// withTestFiles returns an image that may pull from the tests' registries, which have no TLS.
func withTestFiles(t *testing.T, img v1.Image) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(img, imagetest.Files(
		imagetest.File("etc/containers/registries.conf.d/site.conf",
			"[[registry]]\nlocation = \"registry.example:5001\"\ninsecure = true\n"),
	).Blob(t))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// sparse makes a file of zeros.
func sparse(t *testing.T, name string, size int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}
