package bundle

import (
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Budget is the memory that a program may use for an image while it reads and converts it, and what a person can do
// if that is too little.
type Budget struct {
	// Read returns how much memory there is now.
	Read func() (memory.Info, error)
	// Copies is how often the running kernel will hold the initrd while it loads it: kexec.Copies; 0 if it will not, as
	// with kexec.Hold.
	Copies int
	// Reserve is how many bytes must stay available while an image grows. With less, the kernel would soon end a
	// process.
	Reserve int64
	// Processors is how many processors the machine may ever have: memory.Processors; 0 if that is not known.
	Processors int
	// Kernel is how much memory the running kernel takes for itself: memory.Kernel; 0 if that is not known.
	Kernel int64
	// Remedy says how more memory becomes available, as the end of a sentence: "use a smaller image or add memory".
	Remedy string
}

// Room returns the memory that there is now.
func (b Budget) Room() (Room, error) {
	m, err := b.Read()
	return Room{Info: m, Copies: b.Copies, Processors: b.Processors, Kernel: b.Kernel, Remedy: b.Remedy}, err
}

// Enough returns a Shortage if less than Reserve is available, or if nobody can tell.
func (b Budget) Enough() error {
	m, err := b.Read()
	if err != nil {
		return &Shortage{err}
	}
	if m.Available < b.Reserve {
		return short("too little memory: of the %s of this machine %s are left, and the image wants more; %s",
			units.MiB(m.Total), units.MiB(m.Available), b.Remedy)
	}
	return nil
}

// Room is the memory of one machine at one moment: Tight, Reading, CanDownload and CanLoad decide by it what that
// machine can do with an image. The zero value is a machine of which nothing is known.
type Room struct {
	memory.Info
	Copies     int
	Processors int
	Kernel     int64 // what is not in Total, because the running kernel has it for itself; 0 if that is not known
	Aside      int64 // what is not in Total, because the arguments of the container's kernel keep it back
	Remedy     string
}

// under returns the room that there is under another kernel, which takes so many bytes for itself, 0 if that is not known.
// Both kernels say how much they need to start, which is somewhat more than they keep: of Debian's 6.1 and 6.12, generic
// and for clouds, MemTotal and that are the same sum within 2 MiB of 521, on one machine.
func (r Room) under(kernel int64) Room {
	if r.Total != 0 && r.Kernel != 0 && kernel != 0 {
		r.Total = max(1, r.Total+r.Kernel-kernel)
		r.Kernel = kernel
	}
	return r
}

// without returns the room that there is under a kernel with those arguments.
func (r Room) without(line string) Room {
	if r.Total != 0 {
		r.Aside = setAside(line, r.Total-1, r.Total+r.Kernel)
		r.Total -= r.Aside
	}
	return r
}

// all says how much memory the machine has.
func (r Room) all() string {
	if r.Aside == 0 {
		return units.MiB(r.Total)
	}
	return units.MiB(r.Total+r.Aside) + ", of which the container's command line keeps " + units.MiB(r.Aside) + " back"
}

// A Shortage is the error of a machine that has too little memory to work on an image. It says nothing about the image
// or about the machine that is to boot it.
type Shortage struct{ Err error }

func (s *Shortage) Error() string { return s.Err.Error() }

// Unwrap returns Err.
func (s *Shortage) Unwrap() error { return s.Err }

func short(format string, args ...any) error { return &Shortage{fmt.Errorf(format, args...)} }
