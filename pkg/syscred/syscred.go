// Package syscred reads system credentials: small named secrets and settings that the owner of a machine gives to its
// operating system, in the ways that systemd knows (https://systemd.io/CREDENTIALS/). It reads those whose names begin
// with "wyr.", from files of systemd-stub, from fw_cfg of QEMU, and from strings in the SMBIOS table.
//
// It decrypts nothing, and it does not know what a credential means.
package syscred

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
)

// Prefix is what the names of Wyrcan's credentials begin with.
const Prefix = "wyr."

const (
	maxSize  = 1 << 20 // bytes of one credential, which is systemd's limit too
	maxTotal = 4 << 20 // bytes of all credentials
	maxFiles = 64      // in one directory
)

// A Credential is a system credential. Its data may be secret.
type Credential struct {
	Name string // such as "wyr.auth"
	Data []byte
	From string // where it was found, for messages
}

// A Set holds credentials. Those of a source that counts before another come first. nil is empty.
type Set []Credential

// Named returns the credentials with a name: the one that counts first is the first.
func (s Set) Named(name string) Set {
	var found Set
	for _, c := range s {
		if c.Name == name {
			found = append(found, c)
		}
	}
	return found
}

// An Error is about one credential that cannot be used, or about a source of them. It shows no content.
type Error struct {
	Name string // of the credential; "" if the error is not about one, or its name is not known
	Any  bool   // credentials of any name may be lost
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// MayBe reports whether a credential of that name may be lost.
func (e *Error) MayBe(name string) bool { return e.Any || e.Name == name }

// Read reads the credentials of the machine whose file system is root. The order of the sources is systemd's: the files
// of systemd-stub, fw_cfg, SMBIOS. Each error is an *Error. The credentials that could be read are returned besides.
func Read(root fs.FS) (Set, []error) {
	r := &reader{root: root}
	r.stub(".extra/credentials")        // beside the program: \EFI\Linux\NAME.efi.extra.d\*.cred
	r.stub(".extra/global_credentials") // for all programs: \loader\credentials\*.cred
	r.fwcfg("sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials")
	r.smbios("sys/firmware/dmi/entries")
	return r.set, r.errs
}

type reader struct {
	root  fs.FS
	set   Set
	errs  []error
	total int
}

// fail adds an error about the credential with that name.
func (r *reader) fail(name, format string, args ...any) {
	r.failed(&Error{Name: name}, format, args...)
}

// lost adds an error about a source that may have had credentials of any name.
func (r *reader) lost(format string, args ...any) { r.failed(&Error{Any: true}, format, args...) }

func (r *reader) failed(e *Error, format string, args ...any) {
	e.Err = errors.New(printable.Line(fmt.Sprintf(format, args...)))
	r.errs = append(r.errs, e)
}

// add adds a credential. If its source has two with the same name, the first one counts, as for systemd.
func (r *reader) add(c Credential) {
	if r.total += len(c.Data); r.total > maxTotal {
		r.fail(c.Name, "credential %s of %s is left out: all credentials have more than %d MiB",
			c.Name, c.From, maxTotal>>20)
		r.total -= len(c.Data)
		return
	}
	r.set = append(r.set, c)
}

// ours reports whether a name is one of Wyrcan's, and one that systemd would accept (credential_name_valid in its
// creds-util.c: a file name of printable ASCII).
func ours(name string) bool {
	return strings.HasPrefix(name, Prefix) && len(name) > len(Prefix) && len(name) <= 255 &&
		printable.Visible(name) && !strings.ContainsAny(name, "/:")
}

// files calls f with the names of the entries of a directory. A directory that does not exist is empty.
func (r *reader) files(dir string, f func(name string)) {
	entries, err := fs.ReadDir(r.root, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.lost("cannot read /%s: %v", dir, smallfile.Cause(err))
	}
	n := 0
	for _, e := range entries {
		if !ours(e.Name()) {
			continue
		}
		if n++; n > maxFiles {
			r.lost("/%s has more than %d credentials, the others are left out", dir, maxFiles)
			return
		}
		f(e.Name())
	}
}

// stub reads the files that systemd-stub took from the EFI system partition (systemd-stub(7)). systemd wants them
// encrypted; Wyrcan has no key for that, and takes plain ones.
func (r *reader) stub(dir string) {
	const ext = ".cred"
	r.files(dir, func(file string) {
		name, ok := strings.CutSuffix(file, ext)
		if !ok || !ours(name) {
			return
		}
		from := "/" + path.Join(dir, file)
		data, err := smallfile.Read(r.root, path.Join(dir, file), maxSize)
		switch {
		case err != nil:
			r.fail(name, "cannot read credential %s: %v", from, err)
		case encrypted(data):
			r.fail(name, "credential %s is encrypted for systemd, which Wyrcan cannot decrypt: bring it as plain text",
				from)
		default:
			r.add(Credential{name, data, from})
		}
	})
}

// encrypted reports whether a credential is what systemd-creds encrypt writes: base64 in lines, and nothing else.
// Neither JSON nor PEM is that.
func encrypted(data []byte) bool {
	const least = 64                                     // the header of an encrypted credential alone is longer
	b, err := base64.StdEncoding.AppendDecode(nil, data) // ignores newlines
	return err == nil && len(b) >= least
}

// fwcfg reads the files that a hypervisor passes with -fw_cfg name=opt/io.systemd.credentials/NAME
// (Documentation/ABI/testing/sysfs-firmware-qemu_fw_cfg).
func (r *reader) fwcfg(dir string) {
	r.files(dir, func(name string) {
		data, err := smallfile.Read(r.root, path.Join(dir, name, "raw"), maxSize)
		if err != nil {
			r.fail(name, "cannot read credential %s of fw_cfg: %v", name, err)
			return
		}
		r.add(Credential{name, data, "fw_cfg"})
	})
}

// decode decodes base64 as systemd does: white space does not count.
func decode(text string) ([]byte, error) {
	text = strings.Join(strings.Fields(text), "")
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b, err = base64.RawStdEncoding.DecodeString(text)
	}
	return bytes.Clone(b), err
}
