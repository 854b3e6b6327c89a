package efivar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/efivarfs"
	"golang.org/x/sys/unix"
)

// directory replaces efivarfs in tests, because u-root's package does not work on any other file system. The other
// parts of Var work on real files here.
type directory struct {
	dir    string
	sets   int
	refuse error                        // the error of each write
	harm   func(data []byte) []byte     // changes the data of each write
	get    func([]byte) ([]byte, error) // changes the result of each read
}

func (d *directory) path(v efivarfs.VariableDescriptor) string {
	return filepath.Join(d.dir, v.Name+"-"+v.GUID.String())
}

func (d *directory) Get(v efivarfs.VariableDescriptor) (efivarfs.VariableAttributes, []byte, error) {
	data, err := os.ReadFile(d.path(v))
	if d.get != nil {
		data, err = d.get(data)
	}
	if err != nil {
		return 0, nil, err
	}
	if len(data) == 0 {
		return 0, nil, fs.ErrNotExist // as u-root's package does for an empty file
	}
	return efivarfs.VariableAttributes(binary.LittleEndian.Uint32(data)), data[4:], nil
}

func (d *directory) Set(v efivarfs.VariableDescriptor, a efivarfs.VariableAttributes, data []byte) error {
	d.sets++
	if d.harm != nil {
		data = d.harm(data)
	}
	data = append(binary.LittleEndian.AppendUint32(nil, uint32(a)), data...)
	if d.refuse != nil {
		data = nil
	}
	return errors.Join(os.WriteFile(d.path(v), data, 0o644), d.refuse)
}

// newVar returns a variable in a directory of its own.
func newVar(t *testing.T) (Var, *directory) {
	d := &directory{dir: t.TempDir()}
	return Var{Dir: d.dir, fs: func(string) (files, error) { return d, nil }}, d
}

// put writes the variable with those attributes and data.
func put(t *testing.T, v Var, attributes uint32, data string) {
	t.Helper()
	if err := os.WriteFile(v.path(), append(binary.LittleEndian.AppendUint32(nil, attributes), data...),
		0o644); err != nil {
		t.Fatal(err)
	}
}

func TestVar(t *testing.T) {
	v, d := newVar(t)
	if _, err := v.Load(); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Load of nothing: %v, want fs.ErrNotExist alone", err)
	}
	if err := v.Clear(); err != nil {
		t.Errorf("Clear of nothing: %v", err)
	}
	for _, data := range []string{"long one", "short"} {
		if err := v.Save([]byte(data)); err != nil {
			t.Fatalf("Save(%q): %v", data, err)
		}
		if got, err := v.Load(); string(got) != data || err != nil {
			t.Errorf("Load() = %q, %v, want %q", got, err, data)
		}
	}
	raw, err := os.ReadFile(filepath.Join(d.dir, "Wyrcan-6987e713-a5ff-4ec2-ad55-c1fca471ed2d"))
	if want := "\x07\x00\x00\x00short"; string(raw) != want || err != nil {
		t.Errorf("the file holds %q, %v, want %q", raw, err, want)
	}
	if err := v.Clear(); err != nil {
		t.Errorf("Clear: %v", err)
	}
	if _, err := v.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load after Clear: %v, want fs.ErrNotExist", err)
	}
}

func TestSaveWritesOnce(t *testing.T) {
	v, d := newVar(t)
	for range 3 {
		if err := v.Save([]byte("same")); err != nil {
			t.Fatal(err)
		}
	}
	if d.sets != 1 {
		t.Errorf("the same data was written %d times, want once", d.sets)
	}
}

func TestSaveReplacesAttributes(t *testing.T) {
	v, d := newVar(t)
	put(t, v, 0x27, "same")
	d.harm = func(data []byte) []byte {
		if _, err := os.Stat(v.path()); err == nil {
			t.Error("written while the variable has other attributes, which EFI refuses")
		}
		return data
	}
	if err := v.Save([]byte("same")); err != nil {
		t.Fatal(err)
	}
	if a, _, _ := d.Get(descriptor()); a != attributes {
		t.Errorf("attributes %#x, want %#x", a, attributes)
	}
}

func TestSaveRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		want []string
	}{
		{"nothing", 0, []string{"writing nothing is deleting"}},
		{"too much", MaxSize + 1, []string{"32769", "32768"}},
	} {
		v, d := newVar(t)
		put(t, v, 7, "before")
		err := v.Save(make([]byte, tt.size))
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Save of %s: %v, want an error with %q", tt.name, err, want)
			}
		}
		if got, err := v.Load(); string(got) != "before" || err != nil || d.sets != 0 {
			t.Errorf("Save of %s left %q, %v", tt.name, got, err)
		}
	}
}

func TestSaveFailures(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{unix.ENOSPC, "cannot write 4 bytes to the EFI variable Wyrcan: NVRAM has no room"},
		{unix.EROFS, "read-only"},
		{unix.EPERM, "forbids"},
		{unix.EACCES, "forbids"},
		{efivarfs.ErrVarPermission, "forbids"},
		{unix.EIO, "device error"},
		{unix.EINVAL, "refuses"},
		{unix.ENOSYS, "once the kernel runs"},
		{unix.ENOMEM, "cannot allocate memory"},
	} {
		v, d := newVar(t)
		d.refuse = &fs.PathError{Op: "write", Path: "x", Err: tt.err}
		err := v.Save([]byte("data"))
		if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Save with %v: %v, want %q", tt.err, err, tt.want)
		}
		if _, err := os.Stat(v.path()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Save with %v left a file that is no variable", tt.err)
		}
	}
}

func TestSaveReadsBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func([]byte) []byte
		want string
	}{
		{"cut", func(b []byte) []byte { return b[:2] }, "holds 2 bytes"},
		{"bit flipped", func(b []byte) []byte { return append([]byte{b[0] ^ 1}, b[1:]...) }, "not the 4 bytes"},
		{"end of the old data left", func(b []byte) []byte { return append(bytes.Clone(b), "er"...) }, "holds 6 bytes"},
	} {
		v, d := newVar(t)
		d.harm = tt.harm
		if err := v.Save([]byte("data")); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Save: %v, want an error with %q", tt.name, err, tt.want)
		}
	}

	v, d := newVar(t)
	d.get = func([]byte) ([]byte, error) { return nil, unix.EIO }
	if err := v.Save([]byte("data")); !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "read back") {
		t.Errorf("Save that cannot be read back: %v", err)
	}
	if _, err := v.Load(); !errors.Is(err, unix.EIO) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load with a device error: %v, want an error that is not fs.ErrNotExist", err)
	}
}

func TestClearChecks(t *testing.T) {
	v, d := newVar(t)
	put(t, v, 7, "data")
	d.get = func([]byte) ([]byte, error) { return []byte("\x07\x00\x00\x00data"), nil }
	if err := v.Clear(); err == nil || !strings.Contains(err.Error(), "still there") {
		t.Errorf("Clear that does not clear: %v", err)
	}
}

// Clear deletes a variable that the kernel has made immutable, which even root cannot delete otherwise.
func TestClearImmutable(t *testing.T) {
	v, _ := newVar(t)
	put(t, v, 7, "data")
	f, err := os.Open(v.path())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, efivarfs.FS_IMMUTABLE_FL); err != nil {
		t.Skipf("needs root, and a file system with immutable files below %s: %v", os.TempDir(), err)
	}
	if err := os.Remove(v.path()); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("Remove of an immutable file: %v, want fs.ErrPermission", err)
	}
	if err := v.Clear(); err != nil {
		t.Errorf("Clear: %v", err)
	}
	if _, err := os.Stat(v.path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Clear: %v, want fs.ErrNotExist", err)
		unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
	}
}

func TestNoEFI(t *testing.T) {
	v := Var{Dir: filepath.Join(t.TempDir(), "efi", "efivars")}
	_, err := v.Load()
	for what, err := range map[string]error{"Load": err, "Save": v.Save([]byte("x")), "Clear": v.Clear()} {
		if err != ErrNoEFI || !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s without EFI: %v, want ErrNoEFI", what, err)
		}
	}
}

func TestCannotMount(t *testing.T) {
	v := Var{Dir: filepath.Join(t.TempDir(), "file")}
	if err := os.WriteFile(v.Dir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// The error depends on the user and the kernel, but it must never mean "nothing stored".
	if _, err := v.Load(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load from efivarfs on a file: %v, want an error that is not fs.ErrNotExist", err)
	}
}

// A tiny tmpfs stands for an NVRAM with little free space.
func TestSpace(t *testing.T) {
	v, d := newVar(t)
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, "size=8k"); err != nil {
		t.Skipf("needs root to mount a small file system: %v", err)
	}
	defer unix.Unmount(d.dir, unix.MNT_DETACH)
	if err := v.Save(make([]byte, 8192-overhead)); err != nil {
		t.Errorf("Save of all that fits: %v", err)
	}
	if err := v.Clear(); err != nil {
		t.Fatal(err)
	}
	err := v.Save(make([]byte, 8192-overhead+1))
	if err == nil || !strings.Contains(err.Error(), "needs 8193 bytes of NVRAM and 8192 are available") || d.sets != 1 {
		t.Errorf("Save of a byte too much: %v, %d writes", err, d.sets-1)
	}
	if err := unix.Mount("", d.dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := v.Save([]byte("x")); !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Save on a read-only mount: %v", err)
	}
}
