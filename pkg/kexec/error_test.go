package kexec

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"golang.org/x/sys/unix"
)

// TestError reads the sentence for a person, and behind it all that was given to the running kernel.
func TestError(t *testing.T) {
	segments := described(kexec.Segments{
		kexec.NewSegment(make([]byte, 0x1234), kexec.Range{Start: 0x100000, Size: 0x2000}),
		kexec.NewSegment(make([]byte, 0x1000), kexec.Range{Start: 0x40000000, Size: 0x1000}),
	})
	const given = " (entry 0x101000, flags 0x2, 2 segments: " +
		"0x1234 bytes at [0x100000, 0x102000) 0x1000 bytes at [0x40000000, 0x40001000))"
	const files = " (kernel of 8 MiB, initrd of 371 MiB, command line of 5 bytes)"
	for _, c := range []struct {
		method Method
		errno  unix.Errno
		want   string
	}{
		{Segments, unix.EPERM, "kexec_load: operation not permitted" + given},
		{Segments, unix.EINVAL, "kexec_load: invalid argument" + given},
		{Segments, unix.ENOMEM, "there is not enough memory to hold the container's kernel and initrd a second time: " +
			"kexec_load: cannot allocate memory" + given},
		{Segments, unix.EBUSY, "another kexec is in progress: kexec_load: device or resource busy" + given},
		{Files, unix.EPERM, "this kernel is locked down and trusts no signature of the container's kernel, " +
			"or it forbids kexec (sysctl kernel.kexec_load_disabled=1): " +
			"kexec_file_load: operation not permitted" + files},
		{Files, unix.ENODATA, "Secure Boot asks for a signed kernel and the container's kernel has no signature: " +
			"kexec_file_load: no data available" + files},
		{Files, unix.ENOMEM, "there is not enough memory to hold the container's kernel and initrd a second time: " +
			"kexec_file_load: cannot allocate memory" + files},
		{Files, unix.EIO, "kexec_file_load: input/output error" + files},
	} {
		var err error = &Error{Method: c.method, Errno: c.errno, Entry: 0x101000, Segments: segments, Flags: 2,
			Kernel: 8 << 20, Initrd: 371 << 20, Cmdline: 5}
		if err.Error() != c.want {
			t.Errorf("%s, %v:\n%v, want\n%s", c.method, c.errno, err, c.want)
		}
		if !errors.Is(err, c.errno) {
			t.Errorf("%v is not %v", err, c.errno)
		}
	}
}

// TestBusy has the two meanings of EBUSY.
func TestBusy(t *testing.T) {
	for arch, want := range map[string]bool{"amd64": false, "arm64": true} {
		if got := busy(arch); strings.Contains(got, "other processors") != want {
			t.Errorf("%s: %s", arch, got)
		}
	}
}

// TestNeither reads the sentences for a kernel that has no kexec_file_load.
func TestNeither(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.EPERM: "this kernel is locked down, as under Secure Boot, or it forbids kexec " +
			"(sysctl kernel.kexec_load_disabled=1), and it was built without kexec_file_load, which checks signatures: " +
			"kexec_load: operation not permitted",
		unix.ENOSYS: "this kernel was built without kexec: kexec_load: function not implemented",
		unix.EINVAL: "kexec_load: invalid argument",
	} {
		err := neither(&Error{Method: Segments, Errno: errno})
		if got, _, _ := strings.Cut(err.Error(), " (entry"); got != want || !errors.Is(err, errno) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestLoadRefused has the running kernel refuse what is no kernel, or refuse to load anything at all, as in a
// container.
func TestLoadRefused(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("no kernel"); err != nil {
		t.Fatal(err)
	}
	err = loadFiles(f, f, "quiet")
	var e *Error
	if !errors.As(err, &e) || e.Method != Files || e.Kernel != 9 || e.Initrd != 9 || e.Cmdline != 5 || e.Errno == 0 {
		t.Errorf("loadFiles = %#v, want an Error with what was given", err)
	}
	if how, err := Load(f, f, ""); err == nil || strings.Contains(err.Error(), "SYS_") {
		t.Errorf("Load = %v, %v, want an error without the names of file descriptors", how, err)
	}
}
