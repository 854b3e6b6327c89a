package netboot

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

// machinePrefix begins the names that are for one machine: m/UUID/wyrcan.efi. The UUID is that of its SMBIOS, which
// Redfish calls ComputerSystem.UUID; the hardware address of a network card can take its place.
const machinePrefix = "m/"

// maxMachineFile is the length of the longest file for a machine. The kernel takes 2047 bytes of it.
const maxMachineFile = 64 << 10

// errNoMachine means that a name is for a machine, but names none.
var errNoMachine = fmt.Errorf("a UUID or a hardware address has to stand behind %s: %w", machinePrefix, fs.ErrNotExist)

// cutMachine splits a name that a machine asked for. machine is empty if the name is for all machines.
func cutMachine(name string) (machine, rest string, err error) {
	path, ok := strings.CutPrefix(name, machinePrefix)
	if !ok {
		return "", name, nil
	}
	called, rest, _ := strings.Cut(path, "/")
	if machine = machineName(called); machine == "" {
		return "", "", errNoMachine
	}
	return machine, rest, nil
}

// machineName returns a UUID or a hardware address as the names of files have it: in small letters, with dashes. It
// accepts the spellings of firmware, Redfish, dmidecode and iPXE. It returns "" for anything else.
func machineName(text string) string {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		if text, ok = strings.CutSuffix(inner, "}"); !ok {
			return ""
		}
	}
	text = strings.ToLower(strings.ReplaceAll(text, ":", "-"))
	digits := strings.ReplaceAll(text, "-", "")
	groups := []int{8, 4, 4, 4, 12}
	switch {
	case len(digits) == 12:
		groups = []int{2, 2, 2, 2, 2, 2}
	case len(digits) != 32:
		return ""
	}
	if strings.Trim(digits, "0123456789abcdef") != "" {
		return ""
	}
	var parts []string
	for _, n := range groups {
		parts, digits = append(parts, digits[:n]), digits[n:]
	}
	name := strings.Join(parts, "-")
	if text != name && strings.Contains(text, "-") {
		return "" // the dashes stand elsewhere
	}
	return name
}

// Machines returns the command line of each machine that has a file in the directory Machines, by its name.
func (s *Site) Machines() (map[string]string, error) {
	if s.MachineDir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(s.MachineDir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the machines' files: %w", err)
	}
	lines := make(map[string]string)
	for _, e := range entries {
		called, ok := strings.CutSuffix(e.Name(), ".conf")
		if !ok {
			continue
		}
		switch name := machineName(called); name {
		case called:
			if lines[name], _, err = s.cmdline(name); err != nil {
				return nil, err
			}
		case "":
			return nil, fmt.Errorf("%s/%s is named after no machine: want its UUID or hardware address, as in "+
				"4c4c4544-0042-3510-8054-b4c04f435032.conf or 52-54-00-12-34-56.conf", s.MachineDir, e.Name())
		default:
			return nil, fmt.Errorf("%s/%s has to be called %s.conf: no other spelling is found", s.MachineDir, e.Name(), name)
		}
	}
	return lines, nil
}

// cmdline returns the command line of a machine, and whether it has a file of its own. A machine without one has the
// line of all. A file that cannot be used is an error: such a machine must not boot something else.
func (s *Site) cmdline(machine string) (line string, own bool, err error) {
	if machine == "" || s.MachineDir == "" {
		return s.Cmdline, false, nil
	}
	text, err := smallfile.Read(os.DirFS(s.MachineDir), machine+".conf", maxMachineFile)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = os.Stat(s.MachineDir); err == nil {
			return s.Cmdline, false, nil
		}
		err = smallfile.Cause(err)
	}
	if err == nil {
		line, err = merge(s.Cmdline, text)
	}
	if err != nil {
		// %v: that the directory is missing does not mean that the machine asked for something that never was.
		return "", true, fmt.Errorf("cannot use %s/%s.conf: %v", s.MachineDir, machine, err)
	}
	return line, true, nil
}

// merge returns a command line with the arguments of a text, which has lines like a command line, and comments that
// begin with #. They take the place of arguments of the same name.
func merge(common string, text []byte) (string, error) {
	if bytes.IndexByte(text, 0) >= 0 {
		return "", errors.New("it has a zero byte, so it is no text")
	}
	var args []cmdline.Arg
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			args = append(args, cmdline.Parse(line)...)
		}
	}
	kept := slices.DeleteFunc(cmdline.Parse(common), func(a cmdline.Arg) bool {
		return slices.ContainsFunc(args, func(b cmdline.Arg) bool { return argument(a) == argument(b) })
	})
	args = append(kept, args...)
	var words []string
	for _, a := range args {
		words = append(words, a.String())
	}
	line := strings.Join(words, " ")
	if !slices.Equal(cmdline.Parse(line), args) {
		return "", errors.New("it has a quote that is not closed")
	}
	return line, uki.CheckCmdline(line)
}

// argument returns the name of an argument. Wyrcan's own have two prefixes, and an image can be named in two ways, of
// which one at a time counts.
func argument(a cmdline.Arg) string {
	name, ok := strings.CutPrefix(a.Key, "wyrcan.")
	if !ok {
		name, ok = strings.CutPrefix(a.Key, "wyr.")
	}
	switch {
	case !ok:
		return a.Key
	case name == "config":
		return "wyr.img"
	}
	return "wyr." + name
}

// hasFile reports whether a machine has a file of its own.
func (s *Site) hasFile(machine string) bool {
	if s.MachineDir == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(s.MachineDir, machine+".conf"))
	return err == nil
}

// namesOf returns the names that the machine of a DHCP client can have. The client sends its UUID as SMBIOS has it (RFC
// 4578, 2.3), where the first three numbers are little-endian since version 2.6, and were not before.
func namesOf(request *dhcpv4.DHCPv4) []string {
	var names []string
	const kindUUID, size = 0, 16
	if id := request.Options.Get(dhcpv4.OptionClientMachineIdentifier); len(id) == 1+size && id[0] == kindUUID {
		b := id[1:]
		swapped := []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}
		names = append(names, machineName(hex.EncodeToString(append(swapped, b[8:]...))), machineName(hex.EncodeToString(b)))
	}
	if name := machineName(request.ClientHWAddr.String()); name != "" {
		names = append(names, name)
	}
	return names
}

// edited is a file with edits. Many readers can share the file.
type edited struct {
	io.ReaderAt
	edits []uki.Edit
}

// ReadAt implements io.ReaderAt.
func (e edited) ReadAt(b []byte, at int64) (int, error) {
	n, err := e.ReaderAt.ReadAt(b, at)
	for _, x := range e.edits {
		begin, end := max(x.Offset, at), min(x.Offset+int64(len(x.Bytes)), at+int64(n))
		if begin < end {
			copy(b[begin-at:end-at], x.Bytes[begin-x.Offset:])
		}
	}
	return n, err
}
