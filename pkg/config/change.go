package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// Change is the change of NVRAM that wyr.efi asks for: Config.EFI says whether to write Config into Store or to clear
// Store. Confirm and Apply are separate steps, because the download is between them: only a configuration whose kernel
// could be loaded is written into NVRAM.
type Change struct {
	Config  Config
	Store   Store
	Version string // of this Wyrcan; it is stored with the configuration
}

// ErrDeclined is returned by Confirm unless the answer was yes.
var ErrDeclined = errors.New("NVRAM is left as it is: the answer was not yes")

// Needed reports whether the change would alter what Store holds, its version aside. If not, do not ask and do not
// write: each write wears out the flash. So a configuration that another version of Wyrcan stored stays as it is. The
// error says why the change is impossible: no NVRAM, or a configuration that cannot be stored.
func (c Change) Needed() (bool, error) {
	if c.Config.EFI == "" {
		return false, nil
	}
	if _, err := c.data(c.Version); err != nil {
		return false, err
	}
	have, err := c.Store.Load()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return false, err
	case errors.Is(err, fs.ErrNotExist):
		return c.Config.EFI == EFIWrite, nil
	case err != nil:
		return true, nil // the change can still replace what cannot be read
	}
	want, err := c.data(storedBy(have))
	return c.Config.EFI == EFIClear || err != nil || !bytes.Equal(have, want), nil
}

// Confirm writes a warning and a question to out, and reads the answer, one line, from in. It returns nil for "yes",
// and ErrDeclined for any other answer, an error or the end of in. It reads nothing beyond the line.
func (c Change) Confirm(in io.Reader, out io.Writer) error {
	what := "remove the configuration that is stored in the EFI variable Wyrcan."
	if c.Config.EFI == EFIWrite {
		var b strings.Builder
		b.WriteString("write this configuration into the EFI variable Wyrcan:\n")
		for _, a := range c.Config.kept().Arguments() {
			fmt.Fprintf(&b, "\n    %s", printable.Clip(a.String(), printable.Long))
		}
		what = b.String()
	}
	if _, err := fmt.Fprintf(out, question, what); err != nil {
		return fmt.Errorf("cannot ask before changing NVRAM: %w", err)
	}
	answer, err := readLine(in)
	switch {
	case strings.TrimSpace(answer) == "yes":
		return nil
	case err != nil && err != io.EOF:
		return fmt.Errorf("%w: %w", ErrDeclined, err)
	}
	return ErrDeclined
}

// Apply makes the change.
func (c Change) Apply() error {
	switch c.Config.EFI {
	case EFIWrite:
		data, err := c.data(c.Version)
		if err != nil {
			return err
		}
		return c.Store.Save(data)
	case EFIClear:
		return c.Store.Clear()
	}
	return nil
}

// data returns what Store holds after that version of Wyrcan makes the change, nil for EFIClear.
func (c Change) data(version string) ([]byte, error) {
	switch c.Config.EFI {
	case EFIWrite:
		if !c.Config.Named() {
			return nil, ErrNoImage
		}
		return c.Config.marshal(version)
	case EFIClear:
		return nil, nil
	}
	return nil, fmt.Errorf("wyr.efi=%s changes nothing", c.Config.EFI)
}

// readLine reads up to a newline, and not a byte more, because others read from in after it.
func readLine(in io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < 1024; {
		n, err := in.Read(b)
		if n > 0 && b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return string(line), err
		}
	}
	return "", errors.New("the answer is too long")
}

const question = `
******************************** WARNING ********************************

Some older systems have EFI firmware bugs that can cause the hardware to
be bricked, that is to never start again, if a custom EFI variable is
changed. Such firmware violates the EFI specification. This machine
probably has no such bug, particularly if it is a server. But if it has,
nobody can repair the damage.

******************************** WARNING ********************************

Wyrcan is about to %s

Proceed? Type "yes" to proceed; anything else leaves NVRAM as it is. [yes/no] `
