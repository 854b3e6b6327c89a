// Relay is the /init of a test system. It hands the machine to the same kernel again and again, each time by another
// program, and prints what each of these kernels finds.
//
// Description:
//
//	The word relay=LOADER,LOADER… of the kernel's command line names the programs that load a kernel, one after the
//	other: "tools" is kexec of kexec-tools by kexec_load, "ours" is pkg/kexec. The next system gets the rest of the
//	list. The file /kernel is the kernel; the initramfs is what relay finds in its own, and the file /loader in it names
//	the program. After the last one the machine is powered off.
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
	"gitlab.com/wyrcan/wyrcan/integration/guest/pack"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
)

func main() { guest.Main("relay", run) }

func run() error {
	if err := guest.Silence(); err != nil {
		return err
	}
	by, err := os.ReadFile("/loader")
	if err != nil {
		return err
	}
	words, err := guest.Words()
	if err != nil {
		return err
	}
	if err := tell(strings.TrimSpace(string(by))); err != nil {
		return err
	}
	for i, word := range words {
		if list, ok := strings.CutPrefix(word, "relay="); ok && list != "" {
			loader, rest, _ := strings.Cut(list, ",")
			words[i] = "relay=" + rest
			return pass(loader, strings.Join(words, " "))
		}
	}
	fmt.Println("relay: done")
	return nil
}

// tell prints what this kernel has found, and which program has loaded it.
func tell(by string) error {
	fmt.Printf("relay: begin %s\n", by)
	defer fmt.Printf("relay: end %s\n", by)
	if by != "firmware" { // which leaves a device tree of a MiB
		tree, err := os.ReadFile("/sys/firmware/fdt")
		if err != nil {
			return err
		}
		fmt.Printf("relay: tree %s\n", base64.StdEncoding.EncodeToString(tree))
	}
	for _, line := range kernelLog() {
		fmt.Printf("relay: log %s\n", line)
	}
	memory, err := os.ReadFile("/proc/iomem")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(memory)) {
		fmt.Printf("relay: memory %s", line)
	}
	return nil
}

// kernelLog returns the messages of the kernel so far, without their times.
func kernelLog() []string {
	buf := make([]byte, 1<<20)
	const readAll = 3 // SYSLOG_ACTION_READ_ALL
	n, err := unix.Klogctl(readAll, buf)
	if err != nil {
		return []string{err.Error()}
	}
	stamp := regexp.MustCompile(`^<\d+>\[ *\d+\.\d+\] `)
	var lines []string
	for line := range strings.Lines(string(buf[:n])) {
		lines = append(lines, stamp.ReplaceAllString(strings.TrimSuffix(line, "\n"), ""))
	}
	return lines
}

// pass has the machine run the kernel again.
func pass(loader, line string) error {
	// All names have the same length, so that all archives have.
	if err := os.WriteFile("/loader", fmt.Appendf(nil, "%-8s", loader), 0o644); err != nil {
		return err
	}
	if err := pack.System("/next"); err != nil {
		return err
	}
	begin := time.Now()
	switch loader {
	case "tools":
		// Its check sums over 70 MB take an emulated machine 80 s, in which the caches are off.
		tool := exec.Command("/sbin/kexec", "-c", "-l", "--no-checks", "--initrd=/next", "--command-line="+line, "/kernel")
		if out, err := tool.CombinedOutput(); err != nil {
			return fmt.Errorf("kexec-tools: %w: %s", err, out)
		}
	case "ours":
		kernel, err := os.Open("/kernel")
		if err != nil {
			return err
		}
		initrd, err := os.Open("/next")
		if err != nil {
			return err
		}
		how, err := kexec.Load(kernel, initrd, line)
		if err != nil {
			return err
		}
		if how.Method != kexec.Segments {
			return fmt.Errorf("loaded with %s: %w", how.Method, how.Why)
		}
	default:
		return fmt.Errorf("no loader is called %s", loader)
	}
	fmt.Printf("relay: loaded by %s in %v\n", loader, time.Since(begin))
	// The kernel lists them for both, if its dynamic debugging is on: kexec_image_info.
	segment := regexp.MustCompile(`segment\[\d+\]: ([0-9a-f]+) - ([0-9a-f]+)|start: +([0-9a-f]+)$`)
	for _, l := range kernelLog() {
		if found := segment.FindString(l); found != "" {
			fmt.Printf("relay: %s %s\n", loader, found)
		}
	}
	return kexec.Jump()
}
