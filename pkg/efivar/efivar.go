// Package efivar keeps Wyrcan's configuration in an EFI variable, as UEFI 2.10 section 8.2 describes them and Linux
// shows them in efivarfs: four bytes of attributes, then the data. It knows that one variable and not what it means.
//
// Reading and writing are u-root's efivarfs package. Clearing is our own, since u-root's opens the file for writing
// before it takes the immutable flag off, which no kernel allows.
package efivar

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/u-root/u-root/pkg/efivarfs"
	"golang.org/x/sys/unix"
)

// Var is the variable, and a config.Store.
type Var struct {
	Dir string // where efivarfs is, or is to be, mounted; "" for /sys/firmware/efi/efivars

	fs func(dir string) (files, error) // nil for u-root's, which refuses to be anywhere but on efivarfs
}

// files is the part of u-root's efivarfs.EFIVar that is used.
type files interface {
	Get(efivarfs.VariableDescriptor) (efivarfs.VariableAttributes, []byte, error)
	Set(efivarfs.VariableDescriptor, efivarfs.VariableAttributes, []byte) error
}

// The variable of Wyrcan 2.1.
const (
	name       = "Wyrcan"
	guid       = "6987e713-a5ff-4ec2-ad55-c1fca471ed2d"
	attributes = efivarfs.AttributeNonVolatile | efivarfs.AttributeBootserviceAccess | efivarfs.AttributeRuntimeAccess
)

// MaxSize is the most that Save writes, in bytes. Firmware need not take more than 32 KiB in one variable, and a
// kernel's command line brings at most 2.
const MaxSize = 32 << 10

// overhead is what firmware stores besides the data: EDK2's header of 60 bytes, the name as UCS-2, and padding.
const overhead = 60 + 2*(len(name)+1) + 8

// ErrNoEFI says that the machine has no EFI variables, and so has none stored: it is fs.ErrNotExist and
// errors.ErrUnsupported.
var ErrNoEFI error = noEFI{}

type noEFI struct{}

func (noEFI) Error() string {
	return "this machine was not started by EFI firmware, so it has no NVRAM for Wyrcan; start it in UEFI mode, or name everything on the command line"
}

func (noEFI) Is(target error) bool {
	return target == fs.ErrNotExist || target == errors.ErrUnsupported
}

// Load returns what the variable holds. Where there is no variable the error is fs.ErrNotExist, and where there can
// be none it is ErrNoEFI.
func (v Var) Load() ([]byte, error) {
	vars, err := v.open()
	if err != nil {
		return nil, err
	}
	_, data, err := vars.Get(descriptor())
	if err != nil {
		return nil, explain("read", err)
	}
	return data, nil
}

// Save makes the variable hold data, reads it back and compares. It writes nothing where that is there already.
func (v Var) Save(data []byte) error {
	switch {
	case len(data) == 0:
		return errors.New("cannot write the EFI variable Wyrcan: to EFI, writing nothing is deleting it")
	case len(data) > MaxSize:
		return fmt.Errorf("cannot write the EFI variable Wyrcan: the configuration is %d bytes long, and at most %d fit; shorten it", len(data), MaxSize)
	}
	vars, err := v.open()
	if err != nil {
		return err
	}
	before, have, err := vars.Get(descriptor())
	isNew := errors.Is(err, fs.ErrNotExist)
	switch {
	case err == nil && before == attributes && bytes.Equal(have, data):
		return nil
	case err == nil && before != attributes:
		// SetVariable() takes other attributes for an existing variable as an invalid parameter.
		if err := v.Clear(); err != nil {
			return err
		}
		isNew = true
	}
	if err := v.checkSpace(len(data)); err != nil {
		return err
	}
	if err := vars.Set(descriptor(), attributes, data); err != nil {
		if isNew {
			// The kernel leaves an empty file where the firmware refused to make a variable.
			os.Remove(v.path())
		}
		return explain(fmt.Sprintf("write %d bytes to", len(data)), err)
	}
	after, have, err := vars.Get(descriptor())
	switch {
	case err != nil:
		return explain("read back", err)
	case after != attributes || !bytes.Equal(have, data):
		return fmt.Errorf("the EFI variable Wyrcan holds %d bytes (attributes %#x) that are not the %d bytes (attributes %#x) just written; do not rely on it, and clear it with wyr.efi=clear",
			len(have), uint32(after), len(data), uint32(attributes))
	}
	return nil
}

// Clear deletes the variable, if there is one.
func (v Var) Clear() error {
	vars, err := v.open()
	if err != nil {
		return err
	}
	err = remove(v.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explain("delete", err)
	}
	if _, _, err := vars.Get(descriptor()); !errors.Is(err, fs.ErrNotExist) {
		return errors.New("the EFI variable Wyrcan is still there after it was deleted; delete it in the firmware's setup")
	}
	return nil
}

// open returns access to the variables, with efivarfs mounted.
func (v Var) open() (files, error) {
	if v.fs != nil {
		return v.fs(v.dir())
	}
	if err := mountAt(v.dir()); err != nil {
		return nil, err
	}
	vars, err := efivarfs.NewPath(v.dir())
	if err != nil {
		return nil, explain("reach", err)
	}
	return vars, nil
}

func (v Var) dir() string {
	if v.Dir == "" {
		return efivarfs.DefaultVarFS
	}
	return v.Dir
}

func (v Var) path() string {
	return filepath.Join(v.dir(), name+"-"+guid)
}

func descriptor() efivarfs.VariableDescriptor {
	return efivarfs.VariableDescriptor{Name: name, GUID: uuid.MustParse(guid)}
}

// remove deletes a file of efivarfs. A variable of a vendor that the kernel does not know is immutable, so that no
// rm -rf bricks a machine, and its flag can only be changed through a descriptor that is open for reading.
func remove(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return &os.PathError{Op: "get the flags of", Path: path, Err: err}
	}
	if flags&efivarfs.FS_IMMUTABLE_FL != 0 {
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^efivarfs.FS_IMMUTABLE_FL); err != nil {
			return &os.PathError{Op: "make mutable", Path: path, Err: err}
		}
	}
	return os.Remove(path)
}
