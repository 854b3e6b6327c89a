// Package efivar stores Wyrcan's configuration in an EFI variable (UEFI 2.10, section 8.2), through Linux's efivarfs.
// It accesses only this one variable, and does not interpret its content.
//
// It reads and writes with u-root's package efivarfs. It deletes the variable with its own code, because u-root opens
// the file for writing before it removes the immutable flag, which no kernel allows.
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

// Var is the EFI variable. It is a config.Store.
type Var struct {
	Dir string // the mount point of efivarfs; "" means /sys/firmware/efi/efivars

	fs func(dir string) (files, error) // for tests; nil means u-root's efivarfs, which works on a mounted efivarfs only
}

// files is the part of u-root's efivarfs.EFIVar that this package uses.
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

// MaxSize is the largest configuration that Save writes, in bytes. Firmware may refuse a variable over 32 KiB, and a
// kernel command line has at most 2 KiB.
const MaxSize = 32 << 10

// overhead is what firmware stores in addition to the data: EDK2's header of 60 bytes, the name in UCS-2, and padding.
const overhead = 60 + 2*(len(name)+1) + 8

// ErrNoEFI says that the machine has no EFI variables. errors.Is finds fs.ErrNotExist and errors.ErrUnsupported in it.
var ErrNoEFI error = noEFI{}

type noEFI struct{}

func (noEFI) Error() string {
	return "this machine was not started by EFI firmware, so it has no NVRAM for Wyrcan; " +
		"start it in UEFI mode, or name everything on the command line"
}

func (noEFI) Is(target error) bool {
	return target == fs.ErrNotExist || target == errors.ErrUnsupported
}

// Load returns the content of the variable. The error is fs.ErrNotExist if there is no variable, and ErrNoEFI if the
// machine can have none.
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

// Save writes data to the variable, reads it back and compares. It does not write if the variable holds data already.
func (v Var) Save(data []byte) error {
	switch {
	case len(data) == 0:
		return errors.New("cannot write the EFI variable Wyrcan: to EFI, writing nothing is deleting it")
	case len(data) > MaxSize:
		return fmt.Errorf("cannot write the EFI variable Wyrcan: the configuration is %d bytes long, and at most %d fit; "+
			"shorten it", len(data), MaxSize)
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
		// SetVariable() cannot change the attributes of an existing variable (EFI_INVALID_PARAMETER).
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
			// If the firmware refuses to create a variable, the kernel leaves an empty file.
			os.Remove(v.path())
		}
		return explain(fmt.Sprintf("write %d bytes to", len(data)), err)
	}
	after, have, err := vars.Get(descriptor())
	switch {
	case err != nil:
		return explain("read back", err)
	case after != attributes || !bytes.Equal(have, data):
		return fmt.Errorf("the EFI variable Wyrcan holds %d bytes (attributes %#x) that are not the %d bytes "+
			"(attributes %#x) just written; do not rely on it, and clear it with wyr.efi=clear",
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

// remove deletes a file of efivarfs. The kernel makes variables of vendors that it does not know immutable, so that an
// rm -rf cannot brick the machine. The flag can only be changed through a file descriptor that is open for reading.
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
