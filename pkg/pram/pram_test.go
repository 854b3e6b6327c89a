package pram

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var left = Image{From: 0x6600000, Room: 136314880, Size: 134230073}

func TestRead(t *testing.T) {
	other := Image{From: 1 << 40, Room: Unit, Size: 1}
	const dir = "sys/kernel/boot_params/setup_data/"
	file := func(b []byte) *fstest.MapFile { return &fstest.MapFile{Data: b} }
	for name, c := range map[string]struct {
		root fs.FS
		want []Image
	}{
		"no setup data": {fstest.MapFS{"sys/kernel/boot_params/data": file(nil)}, nil},
		"none of ours": {fstest.MapFS{
			dir + "0/data": file(bytes.Repeat([]byte{7}, 32)), dir + "0/type": file([]byte("0x9\n")),
			dir + "1/data": file(bytes.Repeat([]byte("EFI's memory map"), 300)),
			dir + "2/data": file(nil),
		}, nil},
		"one among others": {fstest.MapFS{
			dir + "0/data": file(left.Marshal()), dir + "0/type": file([]byte("0x0\n")),
			dir + "1/data": file(bytes.Repeat([]byte{7}, 32)),
		}, []Image{left}},
		"two": {fstest.MapFS{dir + "0/data": file(left.Marshal()), dir + "1/data": file(other.Marshal())},
			[]Image{left, other}},
		"with something behind it": {fstest.MapFS{dir + "0/data": file(append(left.Marshal(), 0))}, nil},
	} {
		got, err := Read(c.root)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, i := range map[string]Image{
		"an odd address":         {From: left.From + 4096, Room: left.Room, Size: left.Size},
		"an odd room":            {From: left.From, Room: left.Room + 4096, Size: left.Size},
		"more than there is":     {From: left.From, Room: left.Room, Size: left.Room + 1},
		"nothing":                {From: left.From, Room: left.Room},
		"an end beyond 64 bits":  {From: 1<<64 - Unit, Room: 2 * Unit, Size: 1},
		"a room beyond 64 bits":  {From: left.From, Room: 1<<64 - Unit, Size: 1},
		"no memory, and no file": {},
	} {
		if got, ok := Unmarshal(i.Marshal()); ok {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// TestDevice has a machine with two more disks of persistent memory. In /sys, "device" is a link.
func TestDevice(t *testing.T) {
	root := t.TempDir()
	for disk, resource := range map[string]string{"pmem0": "0x240000000\n", "pmem1": "0x6600000\n", "sda": "0x6600000\n"} {
		namespace := filepath.Join(root, "sys/devices/platform", disk)
		if err := os.MkdirAll(filepath.Join(namespace, "block", disk), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(namespace, "resource"), []byte(resource), 0o400); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../..", filepath.Join(namespace, "block", disk, "device")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(root, "sys/block"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../devices/platform/"+disk+"/block/"+disk, filepath.Join(root, "sys/block", disk)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := left.Device(os.DirFS(root)); err != nil || got != "pmem1" {
		t.Errorf("the device is %q, %v, want pmem1", got, err)
	}
	none := Image{From: 0x8000000, Room: Unit, Size: 1}
	if got, err := none.Device(os.DirFS(root)); err == nil || !strings.Contains(err.Error(), "nd_e820") {
		t.Errorf("the device of memory without one is %q, %v", got, err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(left.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		i, ok := Unmarshal(b)
		if !ok {
			return
		}
		if i.From+i.Room < i.From || i.Size > i.Room || i.From%Unit != 0 || i.Room%Unit != 0 {
			t.Errorf("%x is %v", b, i)
		}
		if !bytes.Equal(i.Marshal(), b) {
			t.Errorf("%x becomes %x", b, i.Marshal())
		}
	})
}
