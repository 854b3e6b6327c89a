package integration

import (
	"bytes"
	"compress/gzip"
	"regexp"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// forARM returns a container for arm64 with this kernel and this /init, and more files.
func forARM(t *testing.T, kernel, init []byte, more ...imagetest.Entry) v1.Image {
	t.Helper()
	return imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}, Layers: []imagetest.Layer{
		{Compression: imagetest.Zstd, Entries: []imagetest.Entry{imagetest.Dir("boot"),
			imagetest.File("boot/wyrcan.kernel", string(kernel))}},
		imagetest.Files(append([]imagetest.Entry{imagetest.File("init", string(init)).Mode(0o755)}, more...)...),
	}}.Image(t)
}

// demoForARM is the demo container for arm64.
func demoForARM(t *testing.T, kernel []byte, more ...imagetest.Entry) v1.Image {
	t.Helper()
	return forARM(t, kernel, read(t, vm.Artefact(t, "arm64/wyrcan.demo")), more...)
}

// kernelForARM returns the kernel of arm64 as Debian ships it: an Image, neither packed nor in another format.
func kernelForARM(t *testing.T) []byte {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("make test builds the files for arm64 on amd64")
	}
	return read(t, vm.Artefact(t, "arm64/wyrcan.kernel"))
}

// mountable returns the modules for a root that is an image, of a kernel that make has downloaded, and more files.
func mountable(t *testing.T, kernel string, more ...imagetest.Entry) []imagetest.Entry {
	t.Helper()
	s := ship(t, kernel)
	return append(s.entries(t, s.needed(t)), more...)
}

// packed returns a kernel as Image.gz, which distributions have for boot loaders that unpack it.
func packed(t *testing.T, kernel []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(kernel); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestARM64 boots a machine for arm64 that describes itself by a device tree. The image comes out of an index that has
// one for amd64 as well. The kernel is an Image, as Debian has it. The root is an image in the initrd, which the
// kernel checks by dm-verity.
func TestARM64(t *testing.T) {
	t.Parallel()
	other := imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: "amd64"},
		Layers: []imagetest.Layer{kernelLayer(t), initLayer(t)}}.Image(t)
	mine := demoForARM(t, kernelForARM(t), mountable(t, "arm64/kernel",
		imagetest.File("boot/wyrcan.cmdline", "console=ttyAMA0\n\tpanic=-1"))...)
	ref := fromGuest(imagetest.Serve(t).Push(t, "demo:1", imagetest.Index(t, other, mine)))

	const arguments = ` wyr.root=squashfs wyr.verity=yes wyr.arg="quiet log-buf-len=1M" wyr.arg=demo=once`
	v := vm.Machine{Arch: "arm64", CPUs: 1, Cmdline: vm.Boot(ref) + arguments}.Start(t)
	v.Wait(`^wyrboot: Wyrcan `+regexp.QuoteMeta(vm.Version(t))+`, the container bootloader$`, bootTime)
	v.Wait(`^wyrboot: eth0 .*10\.0\.2\.15/24.*gateway 10\.0\.2\.2.*$`, stepTime)
	for _, stage := range []string{"network", "pull", "convert", "load"} {
		v.Wait(`^wyrboot: stage `+stage+` [0-9.]+ s$`, stepTime)
	}
	v.Wait(`^`+words+`kernel +\S+ arm64$`, kexecTime)
	// Only when the kernel checks the image by that hash does wyrinit make it the root.
	line := regexp.MustCompile(`^wyr\.roothash=[0-9a-f]{64} console=ttyAMA0 panic=-1 quiet log-buf-len=1M demo=once$`)
	if got := v.Wait(`^`+words+`command line +(.*)\n`, stepTime)[1]; !line.MatchString(got) {
		t.Errorf("the container's command line is %q, want %v", got, line)
	}
	v.Wait(`^`+words+`root +overlay$`, stepTime)
	v.Wait(`^`+words+`the container's own words`, stepTime)
	v.Exit(stepTime)
	v.Never(`wyrinit: |without a driver|cannot load driver`)
}
