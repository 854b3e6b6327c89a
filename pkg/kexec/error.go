package kexec

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Error is what the running kernel says when it refuses to load another, with everything that it was given.
type Error struct {
	Method Method
	Errno  unix.Errno

	// kexec_load.
	Entry    uintptr // where the running kernel was to jump to
	Segments []Segment
	Flags    uint64

	// kexec_file_load. Sizes in bytes.
	Kernel, Initrd int64
	Cmdline        int
}

// Segment is one stretch of memory that was to be filled.
type Segment struct {
	Address uintptr
	Size    uint // of the stretch, in bytes
	Content uint // how many of these were given; the kernel makes the rest zeros
}

// described returns segments without their contents, which may be gone by the time that somebody reads an error.
func described(segments kexec.Segments) []Segment {
	var all []Segment
	for _, s := range segments {
		all = append(all, Segment{s.Phys.Start, s.Phys.Size, uint(len(s.Buf))})
	}
	return all
}

// Error returns a sentence for the person at the console, and behind it what a developer needs.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %v (%s)", e.Method, e.Errno, e.given())
	if says := e.means(); says != "" {
		text = says + ": " + text
	}
	return text
}

// Unwrap returns the error number, for errors.Is.
func (e *Error) Unwrap() error { return e.Errno }

// given lists the arguments of the call.
func (e *Error) given() string {
	if e.Method == Files {
		return fmt.Sprintf("kernel of %s, initrd of %s, command line of %d bytes",
			units.MiB(e.Kernel), units.MiB(e.Initrd), e.Cmdline)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "entry %#x, flags %#x, %d segments:", e.Entry, e.Flags, len(e.Segments))
	for _, s := range e.Segments {
		fmt.Fprintf(&b, " %#x bytes at [%#x, %#x)", s.Content, s.Address, s.Address+uintptr(s.Size))
	}
	return b.String()
}

// noRoom returns the error of a machine in whose memory there is no place.
func noRoom(n next) error {
	what := "kernel and initrd"
	if len(n.image) > 0 {
		what = "kernel, initrd and file system image"
	}
	return fmt.Errorf("there is no stretch of memory large enough for the container's %s; "+
		"use a smaller image or add memory", what)
}

// busy says what EBUSY means. On arm64 the kernel also says it if it could not stop its other processors for the jump
// (arch/arm64/kernel/machine_kexec.c, machine_kexec_prepare): where the firmware starts them by a spin-table and not by
// PSCI, or under protected KVM.
func busy(arch string) string {
	if arch == "arm64" {
		return "another kexec is in progress, or this kernel cannot stop the machine's other processors, " +
			"as kexec needs it (start it with nr_cpus=1)"
	}
	return "another kexec is in progress"
}

// neither returns the error of a kernel that has no kexec_file_load and refuses kexec_load as why says.
func neither(why error) error {
	switch {
	case errors.Is(why, unix.EPERM):
		return fmt.Errorf("this kernel is locked down, as under Secure Boot, or it forbids kexec (sysctl "+
			"kernel.kexec_load_disabled=1), and it was built without kexec_file_load, which checks signatures: %w", why)
	case errors.Is(why, unix.ENOSYS):
		return fmt.Errorf("this kernel was built without kexec: %w", why)
	}
	return why
}

// unsigned says what an error number of kexec_file_load means that is about the kernel's signature, and what to do; it
// returns "" for others: kimage_validate_signature in kernel/kexec_file.c, and crypto/asymmetric_keys (verify_pefile.c,
// pkcs7_trust.c, public_key.c).
func unsigned(number unix.Errno) string {
	switch number {
	case unix.EPERM:
		return "the running kernel is locked down and trusts no signature of the container's kernel, " +
			"or it forbids kexec (sysctl kernel.kexec_load_disabled=1); " + signIt
	case unix.ENODATA:
		return "the container's kernel is not signed, and the running kernel is locked down, as Secure Boot asks for; " +
			signIt
	case unix.ENOKEY:
		return "the container's kernel is signed by a key that this machine does not trust; use a kernel of the " +
			"distribution that the running one is of, or put the certificate of the key into the machine's db"
	case unix.EKEYREJECTED:
		return "the signature of the container's kernel does not fit it: the kernel was changed after it was " +
			"signed, or it was revoked (dbx); " + rebuild
	case unix.EBADMSG:
		return "the signature of the container's kernel is damaged; " + rebuild
	case unix.ELIBBAD:
		return "the container's kernel is damaged, so that its signature cannot be found; " + rebuild
	case unix.ENOPKG:
		return "the container's kernel has a signature of a kind that the running one does not know; " + signIt
	case unix.EKEYREVOKED:
		return "the key that has signed the container's kernel was revoked; " + signIt
	case unix.EKEYEXPIRED:
		return "the key that has signed the container's kernel has expired; " + signIt
	}
	return ""
}

const (
	signIt  = "use a kernel that its distribution has signed, or sign it with a key in the machine's db"
	rebuild = "build the image again, with the kernel as its distribution made it"
)

// Unsigned reports whether the running kernel refused the kernel because it trusts no signature of it.
func (e *Error) Unsigned() bool {
	return e.Method == Files && unsigned(e.Errno) != ""
}

// means says what an error number of the call means, "" if the number says enough by itself: kernel/kexec.c and
// kernel/kexec_core.c, kernel/kexec_file.c, kernel_read_file(9), crypto/asymmetric_keys.
func (e *Error) means() string {
	switch e.Errno {
	case unix.ENOMEM:
		return "there is not enough memory to hold the container's kernel and initrd a second time"
	case unix.EBUSY:
		return busy(runtime.GOARCH)
	}
	if e.Method != Files {
		return ""
	}
	if text := unsigned(e.Errno); text != "" {
		return text
	}
	switch e.Errno {
	case unix.ENOEXEC:
		return "the container's kernel is not in a form that this kernel can start"
	case unix.EINVAL:
		return "the container's kernel, or its command line, was refused by this kernel"
	case unix.EADDRNOTAVAIL:
		return "there is no stretch of free memory large enough for the container's initrd"
	}
	return ""
}
