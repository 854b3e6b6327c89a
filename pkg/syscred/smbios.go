package syscred

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// What a string in SMBIOS begins with if it is a credential: https://systemd.io/CREDENTIALS/, "SMBIOS Type #11".
const (
	plainText = "io.systemd.credential:"
	binary    = "io.systemd.credential.binary:"
)

// smbios reads the "OEM Strings" of the SMBIOS table (DMTF DSP0134, section 7.12), of which a machine may have several.
// The kernel shows each as a directory 11-N (Documentation/ABI/testing/sysfs-firmware-dmi-entries).
func (r *reader) smbios(dir string) {
	entries, err := fs.ReadDir(r.root, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.lost("cannot read /%s: %v", dir, smallfile.Cause(err))
	}
	var numbers []int
	for _, e := range entries {
		if text, ok := strings.CutPrefix(e.Name(), "11-"); ok {
			if n, err := strconv.Atoi(text); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	if len(numbers) > maxFiles {
		r.lost("SMBIOS has more than %d tables of type 11, the others are left out", maxFiles)
		numbers = numbers[:maxFiles]
	}
	seen := make(map[string]bool)
	for _, n := range numbers {
		name := fmt.Sprintf("11-%d", n)
		raw, err := smallfile.Read(r.root, path.Join(dir, name, "raw"), maxSize)
		if err != nil { // for no reason that is in the table, unless somebody made it very large
			r.failed(&Error{Any: !errors.Is(err, fs.ErrNotExist)}, "cannot read table %s of SMBIOS: %v", name, err)
			continue
		}
		texts, lost, err := oemStrings(raw)
		if err != nil {
			r.failed(traces(lost), "table %s of SMBIOS: %v", name, err)
		}
		for _, text := range texts {
			r.oemString(text, seen)
		}
	}
}

// traces returns the Error for bytes of a table that cannot be used, with what names a credential in them. Tables that
// a vendor has got wrong are common, and without credentials they are harmless.
func traces(lost []byte) *Error {
	var names []string
	for _, kind := range []string{plainText, binary} {
		for _, rest := range strings.Split(string(lost), kind+Prefix)[1:] {
			name, _, found := strings.Cut(Prefix+rest, "=")
			if !found || !ours(name) {
				name = ""
			}
			names = append(names, name)
		}
	}
	if len(names) == 1 && names[0] != "" {
		return &Error{Name: names[0]}
	}
	return &Error{Any: len(names) > 0}
}

// oemString adds the credential in a string, if it is one that is not yet in seen.
func (r *reader) oemString(text string, seen map[string]bool) {
	kind := plainText
	rest, ok := strings.CutPrefix(text, kind)
	if !ok {
		kind = binary
		if rest, ok = strings.CutPrefix(text, kind); !ok {
			return
		}
	}
	name, value, found := strings.Cut(rest, "=")
	switch {
	case !found && strings.HasPrefix(name, Prefix):
		// Do not show it: it may be a secret whose equals sign was forgotten.
		r.lost("a credential in SMBIOS has no value: want %sNAME=VALUE", kind)
		return
	case !found || !ours(name):
		return
	case seen[name]:
		r.fail(name, "SMBIOS has credential %s twice: the second one does not count", name)
		return
	}
	seen[name] = true
	data := []byte(value)
	if kind == binary {
		var err error
		if data, err = decode(value); err != nil {
			r.fail(name, "credential %s in SMBIOS is not base64, which it must be after %q", name, binary)
			return
		}
	}
	if len(data) > maxSize {
		r.fail(name, "credential %s in SMBIOS has more than %d KiB", name, maxSize>>10)
		return
	}
	r.add(Credential{name, data, "SMBIOS"})
}

// oemStrings returns the strings of a table: they follow its formatted part, each ends with a zero byte, and after the
// last one there is another (DSP0134, section 6.1.3). The number of strings in the table is not used: some firmware has
// it wrong. With the error it returns the bytes that cannot be used.
func oemStrings(raw []byte) (list []string, lost []byte, err error) {
	const header = 5 // type, length, handle, number of strings
	if len(raw) < header || raw[0] != 11 || int(raw[1]) < header || int(raw[1]) > len(raw) {
		return nil, raw, errors.New("it is no table of type 11")
	}
	for rest := raw[raw[1]:]; len(rest) > 0 && rest[0] != 0; {
		text, after, found := bytes.Cut(rest, []byte{0})
		if !found {
			return list, rest, errors.New("its last string has no end, and does not count")
		}
		list = append(list, string(text))
		rest = after
	}
	return list, nil, nil
}
