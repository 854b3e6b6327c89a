// Report is the /init of a system that consists only of an initramfs. It compares every path of / with the file
// /expected, which is in the format of package report, prints the differences and powers the machine off. If there is
// an image /image of a file system, it mounts that and compares what is in it instead.
package main

import (
	"fmt"
	"os"
	"strings"

	"gitlab.com/wyrcan/wyrcan/integration/guest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "report: this is the first process of a test system, and of nothing else")
		os.Exit(1)
	}
	if err := run(); err != nil {
		fmt.Printf("report: %v\n", err)
	}
	err := guest.PowerOff()
	fmt.Printf("report: cannot power off: %v\n", err)
}

func run() error {
	f, err := os.Open("/expected")
	if err != nil {
		return err
	}
	defer f.Close()
	want, err := report.Parse(f)
	if err != nil {
		return fmt.Errorf("cannot read /expected: %w", err)
	}
	root := "/"
	if _, err := os.Stat("/image"); err == nil {
		if root, err = mount(); err != nil {
			return err
		}
	}
	// A path of 4095 bytes leaves no space for a slash before it.
	if err := os.Chdir(root); err != nil {
		return err
	}
	got, err := report.FromDir(".")
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", root, err)
	}
	// The files of the test itself, and those of the archive inside the kernel.
	for p := range got {
		if _, ok := want[p]; !ok && root == "/" &&
			(p == "init" || p == "expected" || p == "root" || p == "dev" || strings.HasPrefix(p, "dev/")) {
			delete(got, p)
		}
	}
	diffs := report.Diff(want, got, 100)
	for _, d := range diffs {
		fmt.Printf("report: %s\n", d)
	}
	fmt.Printf("report: %d paths, %d differences\n", len(got), len(diffs))
	return nil
}
