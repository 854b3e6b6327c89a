// Keeper is the /init of a test system. It hands the machine to the same kernel again and again, with and without an
// image that is left in memory, and prints what each of these kernels finds.
//
// Description:
//
//	The word keeper=STEP,STEP… of the kernel's command line says how to go on: "leave" starts the next kernel with an
//	image of keeper.size= bytes, "plain" starts it without; "copy" is "leave" by way of copies in the running kernel. The
//	next system gets the rest of the list. After the last one the machine is powered off. The file /kernel is the kernel,
//	the files in /modules are the drivers for the image, to be loaded in the order of their names, and the initramfs is
//	what keeper finds in its own.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
	"gitlab.com/wyrcan/wyrcan/integration/guest/pack"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
	"gitlab.com/wyrcan/wyrcan/pkg/memory"
	"gitlab.com/wyrcan/wyrcan/pkg/pram"
)

func main() { guest.Main("keeper", run) }

func say(format string, args ...any) { fmt.Printf("keeper: "+format+"\n", args...) }

func run() error {
	if err := guest.Silence(); err != nil {
		return err
	}
	if err := tell(); err != nil {
		return err
	}
	words, err := guest.Words()
	if err != nil {
		return err
	}
	size, steps, at := int64(0), "", 0
	for i, word := range words {
		if n, ok := strings.CutPrefix(word, "keeper.size="); ok {
			if size, err = strconv.ParseInt(n, 10, 64); err != nil {
				return err
			}
		}
		if list, ok := strings.CutPrefix(word, "keeper="); ok {
			steps, at = list, i
		}
	}
	if steps == "" {
		say("done")
		return nil
	}
	step, rest, _ := strings.Cut(steps, ",")
	words[at] = "keeper=" + rest
	return pass(step, size, strings.Join(words, " "))
}

// tell prints what this kernel has found: its memory, and the images that were left in it.
func tell() error {
	m, err := memory.Read("/proc/meminfo")
	if err != nil {
		return err
	}
	say("begin with %d kB in all", m.Total>>10)
	flags, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	if bytes.Contains(flags, []byte(" la57")) { // the kernel only says that of a processor whose mode it is
		say("its page tables have five levels")
	}
	for _, name := range []string{"/proc/iomem", "/sys/firmware/memmap/*/type"} {
		n, err := persistent(name)
		if err != nil {
			return err
		}
		say("%d persistent in %s", n, name)
	}
	images, err := pram.Read(os.DirFS("/"))
	if err != nil {
		return err
	}
	if len(images) > 0 {
		if err := modules(); err != nil {
			return err
		}
	}
	for _, image := range images {
		if err := look(image); err != nil {
			return err
		}
		after, err := memory.Read("/proc/meminfo")
		if err != nil {
			return err
		}
		say("%d kB available before the device, %d kB with it", m.Available>>10, after.Available>>10)
	}
	return nil
}

// persistent returns how many times files have a line about persistent memory.
func persistent(files string) (int, error) {
	names, err := filepath.Glob(files)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		n += bytes.Count(b, []byte("Persistent Memory (legacy)"))
	}
	return n, nil
}

// modules loads the drivers.
func modules() error {
	names, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
			return fmt.Errorf("cannot load %s: %w", name, err)
		}
	}
	return nil
}

// open opens the image's device, once it is there.
func open(image pram.Image) (*os.File, error) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		device, err := image.Device(os.DirFS("/"))
		if err == nil {
			var f *os.File
			if f, err = os.Open("/dev/" + device); err == nil {
				return f, nil
			}
		}
		if time.Now().After(deadline) {
			return nil, err
		}
	}
}

// look compares the image in memory with what it was, once its device is there.
func look(image pram.Image) error {
	f, err := open(image)
	if err != nil {
		return err
	}
	defer f.Close()
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return err
	}
	device := filepath.Base(f.Name())
	room, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	say("%s of %d bytes at %#x, %d ms after the kernel's start", device, room, image.From, up.Nano()/1e6)
	if uint64(room) != image.Room {
		return fmt.Errorf("%s has %d bytes, want %d", device, room, image.Room)
	}
	got, want := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < room; at += int64(len(got)) {
		if _, err := f.ReadAt(got, at); err != nil {
			return err
		}
		fill(want, at)
		if rest := int64(image.Size) - at; rest < int64(len(want)) {
			clear(want[max(0, rest):])
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("the image has other bytes than it had, from %#x to %#x", at, at+int64(len(got)))
		}
	}
	say("the image of %d bytes is as it was", image.Size)
	return nil
}

// fill writes what an image has at an offset. No two words of an image are equal.
func fill(b []byte, at int64) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(at+int64(i)+8)*0x9e3779b97f4a7c15)
	}
}

// makeImage makes an image of that many bytes.
func makeImage(size int64) (*os.File, error) {
	f, err := memory.File("image")
	if err != nil {
		return nil, err
	}
	b := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(b)) {
		fill(b, at)
		if _, err := f.Write(b[:min(int64(len(b)), size-at)]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// pass has the machine run the kernel again.
func pass(step string, size int64, line string) error {
	if err := pack.System("/next"); err != nil {
		return err
	}
	kernel, err := os.Open("/kernel")
	if err != nil {
		return err
	}
	initrd, err := os.Open("/next")
	if err != nil {
		return err
	}
	var image *os.File
	if step != "plain" {
		if image, err = makeImage(size); err != nil {
			return err
		}
	}
	before, err := memory.Read("/proc/meminfo")
	if err != nil {
		return err
	}
	least := watch()
	begin := time.Now()
	jump, err := load(step, kernel, initrd, image, line)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	say("loaded in %d ms; of %d kB available, %d kB were left", took.Milliseconds(), before.Available>>10, least()>>10)
	guest.Drain()
	return jump()
}

// load loads the kernel, and returns what starts it.
func load(step string, kernel, initrd, image *os.File, line string) (jump func() error, err error) {
	switch step {
	case "leave", "plain":
		h, err := kexec.Hold(kernel, initrd, image, line)
		if err != nil {
			return nil, err
		}
		return h.Jump, nil
	case "copy":
		return kexec.Jump, kexec.LoadImage(kernel, initrd, image, line)
	}
	return nil, fmt.Errorf("no step is called %s", step)
}

// watch watches how much memory is available, until the function that it returns is called, which returns the least.
func watch() func() int64 {
	stop, least := make(chan struct{}), make(chan int64)
	go func() {
		l := int64(1 << 62)
		for {
			if m, err := memory.Read("/proc/meminfo"); err == nil {
				l = min(l, m.Available)
			}
			select {
			case <-stop:
				least <- l
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-least
	}
}
