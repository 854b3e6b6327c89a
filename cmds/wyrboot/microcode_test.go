package main

import (
	"bytes"
	"testing"
	"testing/fstest"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// TestConvertHandover converts an image on a machine with one of Intel's processors.
func TestConvertHandover(t *testing.T) {
	const cpu = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 142\n" +
		"stepping\t: 10\nflags\t\t: fpu"
	kernel := string(imagetest.BzImage("6.1")) + "the end of the kernel's file"
	layer := imagetest.Files(
		imagetest.Dir("boot"), imagetest.File("boot/wyrcan.kernel", kernel), imagetest.Dir("bin"),
		imagetest.File("bin/sh", "a shell").Mode(0o755), imagetest.File("init", "#!/bin/sh\n").Mode(0o755),
		imagetest.File("lib/firmware/intel-ucode/06-8e-0a", string(imagetest.Microcode(0x806ea, 1))),
	)
	for name, c := range map[string]struct {
		config       config.Config
		cpu          string
		early, keeps bool
	}{
		"as a rule":            {config.Config{}, cpu, true, false},
		"in a virtual machine": {config.Config{}, cpu + " hypervisor", false, false},
		"wyr.microcode=no":     {config.Config{NoMicrocode: true}, cpu, false, false},
		"wyr.kernel=keep":      {config.Config{Kernel: "keep"}, cpu, true, true},
		"crashkernel=":         {config.Config{Args: []string{"crashkernel=64M"}}, cpu, true, true},
		"no /proc":             {config.Config{}, "", false, false},
	} {
		tree, err := rootfs.Read(t.Context(), []rootfs.Layer{layer.Blob(t)}, rootfs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		root := fstest.MapFS{}
		if c.cpu != "" {
			root["proc/cpuinfo"] = &fstest.MapFile{Data: []byte(c.cpu + "\n\n")}
		}
		tool := &cmd{console: console.Open(t.TempDir()), config: c.config, root: root, boot: &boot.Boot{Budget: budget()}}
		b, err := tool.convert(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		initrd := make([]byte, b.Size)
		if _, err := b.Initrd.ReadAt(initrd, 0); err != nil {
			t.Fatal(err)
		}
		head := initrd[:min(len(initrd), 512)]
		if early := bytes.Contains(head, []byte("GenuineIntel.bin")); early != c.early || early != (b.Early > 0) {
			t.Errorf("%s: microcode first: %v, %d bytes, want %v", name, early, b.Early, c.early)
		}
		// There is memory enough here to leave the initrd uncompressed.
		if keeps := bytes.Contains(initrd, []byte("the end of the kernel's file")); keeps != c.keeps {
			t.Errorf("%s: the kernel's file is in the initrd: %v, want %v", name, keeps, c.keeps)
		}
	}
}
