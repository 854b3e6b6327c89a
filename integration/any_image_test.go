package integration

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
)

// The tests here boot images that were never meant for Wyrcan: none has /boot/wyrcan.kernel or /init.

// ourKernel returns the kernel that the containers of the tests boot, and its version.
func ourKernel(t *testing.T) (content []byte, version string) {
	t.Helper()
	content = read(t, vm.Artefact(t, "wyrcan.kernel"))
	k, err := kernel.Parse(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return content, k.Version
}

// TestBootcImage boots an image as bootc has them: the kernel beside its modules, its arguments in files of TOML,
// and /sbin/init a link to systemd, for which the demo container's program stands.
func TestBootcImage(t *testing.T) {
	t.Parallel()
	content, version := ourKernel(t)
	const kargs = "usr/lib/bootc/kargs.d/"
	ref := fromGuest(imagetest.Serve(t).Push(t, "bootc", imagetest.Image(t, imagetest.Files(
		imagetest.Symlink("lib", "usr/lib"), imagetest.Symlink("sbin", "usr/sbin"), imagetest.Dir("usr"),
		imagetest.Dir("usr/lib"), imagetest.Dir("usr/lib/modules/"+version),
		imagetest.File("usr/lib/modules/"+version+"/vmlinuz", string(content)),
		imagetest.File("usr/lib/modules/"+version+"/initramfs.img", "nobody unpacks this"),
		imagetest.File("usr/lib/modules/"+version+"/modules.dep", ""),
		imagetest.File(kargs+"10-console.toml", "kargs = [\"console=ttyS0\"]\nmatch-architectures = [\"x86_64\"]\n"),
		imagetest.File(kargs+"10-other.toml", "kargs = [\"console=ttyAMA0\"]\nmatch-architectures = [\"aarch64\"]\n"),
		imagetest.File(kargs+"20-all.toml", "# of the image\nkargs = ['bootc.test=1', \"quiet\"]\n"),
		imagetest.Dir("usr/sbin"), imagetest.Symlink("usr/sbin/init", "../lib/systemd/systemd"),
		imagetest.File("usr/lib/systemd/systemd", string(read(t, vm.Artefact(t, "wyrcan.demo")))).Mode(0o755),
	))))
	v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, Cmdline: vm.Boot(ref) + " wyr.arg=demo=once"}.Start(t)
	v.Wait(`^wyrboot: chosen: kernel /usr/lib/modules/`+regexp.QuoteMeta(version)+`/vmlinuz \(the only one with its `+
		`modules\), because there is no /boot/wyrcan\.kernel; init /sbin/init, because there is no /init$`, bootTime+stepTime)
	const line = "console=ttyS0 bootc.test=1 quiet demo=once"
	if got := v.Wait(`^`+words+`command line +(.*)\n`, kexecTime)[1]; got != line {
		t.Errorf("the container's command line is %q, want %q", got, line)
	}
	v.Wait(`^`+words+`the container's own words`, stepTime)
	v.Exit(stepTime)
	v.Never(`^wyrinit: |wyrboot: the image has`)
}

// TestTwoKernels boots an image of a distribution with two kernels in /boot. The one that comes last by the alphabet is
// the older one, and damaged: a machine that takes it says nothing more. Without wyrinit the kernel itself starts the
// init.
func TestTwoKernels(t *testing.T) {
	t.Parallel()
	content, version := ourKernel(t)
	damaged := bytes.Clone(content)
	clear(damaged[len(damaged)/4:])
	ref := fromGuest(imagetest.Serve(t).Push(t, "two", imagetest.Image(t, imagetest.Files(
		imagetest.Symlink("lib", "usr/lib"), imagetest.Symlink("sbin", "usr/sbin"),
		imagetest.Dir("usr/lib/modules/6.1.0-9-test"), imagetest.Dir("usr/lib/modules/6.1.0-10-test"),
		imagetest.Dir("usr/lib/modules/"+version),
		imagetest.File("boot/vmlinuz-6.1.0-9-test", string(damaged)),
		imagetest.File("boot/vmlinuz-6.1.0-10-test", string(content)),
		imagetest.Symlink("vmlinuz", "boot/vmlinuz-6.1.0-9-test"),
		imagetest.File("usr/sbin/init", string(read(t, vm.Artefact(t, "wyrcan.demo")))).Mode(0o755),
	))))
	v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1,
		Cmdline: vm.Boot(ref) + " wyr.root=initramfs wyr.arg=console=ttyS0 wyr.arg=demo=once"}.Start(t)
	v.Wait(`^wyrboot: chosen: kernel /boot/vmlinuz-6\.1\.0-10-test \(the newest of 2 with its modules\), because there `+
		`is no /boot/wyrcan\.kernel; init /sbin/init, because there is no /init$`, bootTime+stepTime)
	const line = "console=ttyS0 demo=once rdinit=/sbin/init"
	if got := v.Wait(`^`+words+`command line +(.*)\n`, kexecTime)[1]; got != line {
		t.Errorf("the container's command line is %q, want %q", got, line)
	}
	v.Wait(`^`+words+`the container's own words`, stepTime)
	v.Exit(stepTime)
}

// TestKernelImage boots an image without any kernel, busybox as the hub has it but with a merged /usr. Another image
// brings the kernel and its modules, in /lib/modules, where this one has a link. An overlay on top has the files of
// this one machine. The kernel has no modules for a root that is an image, which is asked for: that is a warning.
func TestKernelImage(t *testing.T) {
	t.Parallel()
	content, version := ourKernel(t)
	registry := imagetest.Serve(t)
	base := fromGuest(registry.Push(t, "busybox", imagetest.Image(t, imagetest.Files(
		imagetest.Dir("bin"), imagetest.File("bin/busybox", string(read(t, "/usr/bin/busybox"))).Mode(0o755),
		imagetest.Link("bin/init", "bin/busybox"), imagetest.Link("bin/sh", "bin/busybox"),
		imagetest.Symlink("lib", "usr/lib"), imagetest.Dir("usr/lib"), imagetest.Dir("etc"), imagetest.Dir("proc"),
		imagetest.File("etc/motd", "of busybox\n"), imagetest.File("etc/gone", "of no use\n"),
	))))
	brings := imagetest.Image(t,
		imagetest.Files(imagetest.Dir("boot"), imagetest.File("boot/vmlinuz-"+version, string(content))),
		imagetest.Files(imagetest.Dir("lib"), imagetest.Dir("lib/modules"), imagetest.Dir("lib/modules/"+version),
			imagetest.File("lib/modules/"+version+"/modules.dep", "a list of modules\n")))
	kernelRef := fromGuest(registry.Push(t, "kernel", brings))
	overlay := imagetest.Image(t, imagetest.Files(
		imagetest.File("etc/motd", "of this machine\n"), imagetest.Whiteout("etc/gone"),
		imagetest.File("etc/inittab", "::sysinit:/bin/sh /etc/report\n"),
		imagetest.File("etc/report", "busybox mount -t proc proc /proc\n"+
			"echo report: motd $(busybox cat /etc/motd)\n"+
			"echo report: modules $(busybox cat /lib/modules/$(busybox uname -r)/modules.dep)\n"+
			"echo report: init $(busybox readlink /proc/1/exe)\n"+
			"echo report: files $(busybox ls / /etc)\n"+
			"busybox grep -e asked -e manifest /run/wyrcan/boot.json\n"+
			"echo report: end\nbusybox poweroff -f\n")))
	overlayRef := fromGuest(registry.Push(t, "overlay", overlay))

	v := vm.Machine{
		Kernel: vm.Unpacked(t), CPUs: 1,
		Cmdline: vm.Boot(base) + " wyr.kernel=" + kernelRef + " wyr.overlay=" + overlayRef +
			" wyr.root=squashfs wyr.arg=console=ttyS0",
	}.Start(t)
	for _, what := range []string{"image", "kernel image", "overlay"} {
		v.Wait(`^wyrboot: `+what+` \S+, sha256:`, bootTime+stepTime)
	}
	v.Wait(`^wyrboot: chosen: kernel /boot/vmlinuz-`+regexp.QuoteMeta(version)+` .*; init /bin/init, because`, stepTime)
	v.Wait(`^wyrboot: the root cannot be a SquashFS image \(wyr\.root=squashfs\), so its files are unpacked into memory: `+
		`the kernel \S+ has no module loop, neither built in nor in /lib/modules/\S+ of the image$`, stepTime)
	v.Wait(`^report: motd of this machine$`, kexecTime)
	v.Wait(`^report: modules a list of modules$`, stepTime)
	v.Wait(`^report: init /bin/init$`, stepTime)
	files := v.Wait(`^report: files (.*)$`, stepTime)[1]
	if regexp.MustCompile(`\binit\b|\bgone\b`).MatchString(files) {
		t.Errorf("the root has %s", files)
	}
	v.Wait(`^report: end$`, stepTime)
	v.Exit(stepTime)
	for name, img := range map[string]v1.Image{"kernel": brings, "overlays": overlay} {
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(v.Said(), `"manifest": "`+digest.String()+`"`) {
			t.Errorf("the record does not have %v as %s:\n%s", digest, name, v.Said())
		}
	}
}
