package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/kexec"
)

func TestLock(t *testing.T) {
	params := func(secureBoot byte) string {
		b := make([]byte, 4096)
		b[0x1ec] = secureBoot
		return string(b)
	}
	const only = "only a container whose kernel is signed by a key that this machine trusts can be started"
	for _, c := range []struct{ lockdown, params, want string }{
		{"none [integrity] confidentiality\n", params(3),
			"Secure Boot is on, and the kernel is locked down (integrity): " + only},
		{"none integrity [confidentiality]\n", "", "the kernel is locked down (confidentiality): " + only},
		{"[none] integrity confidentiality\n", params(3),
			"Secure Boot is on, but this kernel is not locked down, so it starts every kernel"},
		{"[none] integrity confidentiality\n", params(2), ""},
		{"", "", ""},
		{"nonsense", "\x03", ""},
	} {
		root := fstest.MapFS{}
		if c.lockdown != "" {
			root["sys/kernel/security/lockdown"] = &fstest.MapFile{Data: []byte(c.lockdown)}
		}
		if c.params != "" {
			root["sys/kernel/boot_params/data"] = &fstest.MapFile{Data: []byte(c.params)}
		}
		if got := readLock(root).String(); got != c.want {
			t.Errorf("%q: %q, want %q", c.lockdown, got, c.want)
		}
	}
}

// An error about the signature says who has signed, and where to read on. Other errors do not.
func TestRefusedKernel(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "kernel"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(imagetest.BzImage("6.1")); err != nil {
		t.Fatal(err)
	}
	c := &cmd{config: config.Config{Image: "x"}}
	for _, row := range []struct {
		err  error
		want string
	}{
		{&kexec.Error{Method: kexec.Files, Errno: unix.ENODATA},
			"cannot start the kernel without a signature of x: the container's kernel is not signed, "},
		{&kexec.Error{Method: kexec.Files, Errno: unix.ENOMEM}, "cannot start the kernel of x: there is not enough memory "},
		{&kexec.Error{Method: kexec.Segments, Errno: unix.EPERM}, "cannot start the kernel of x: kexec_load: "},
		{errors.New("too little"), "cannot start the kernel of x: too little"},
	} {
		got := c.refused(fmt.Errorf("%w", row.err), signed(f))
		if !strings.HasPrefix(got.Error(), row.want) ||
			strings.HasSuffix(got.Error(), "; see docs/secure-boot.md") != strings.Contains(row.want, "signature") {
			t.Errorf("%v, want %q", got, row.want)
		}
	}
}

// Where a policy came with the initrd, a credential, the VPD or NVRAM opens no shell; the command line does.
func TestGuarded(t *testing.T) {
	files := map[string]string{
		"etc/wyrcan/policy.json": `{"default": [{"type": "reject"}]}`,
		fwcfg + "wyr.config/raw": "wyr.img=x wyr.debug=shell wyr.fail=shell wyr.deadline=90s",
	}
	configured := func(line string) (*cmd, string) {
		c, said := bare(t, line, files)
		if err := c.configure(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c, said()
	}
	const ignored = "=shell is ignored: the initrd has a policy, so only the command line opens a shell"
	c, said := configured("")
	if c.config.Image != "x" || c.found.Debug != "" || c.found.Fail != "" || c.found.Deadline == 0 ||
		!strings.Contains(said, "wyr.debug"+ignored) || !strings.Contains(said, "wyr.fail"+ignored) {
		t.Errorf("%+v, and it said\n%s", c.found, said)
	}
	if c, said := configured("wyr.debug=shell"); c.found.Debug != "shell" || c.found.Fail != "" {
		t.Errorf("with the shell on the command line: %+v, and it said\n%s", c.found, said)
	}
	delete(files, "etc/wyrcan/policy.json")
	if c, said := configured(""); c.found.Debug != "shell" || c.found.Fail != "shell" {
		t.Errorf("without a policy: %+v, and it said\n%s", c.found, said)
	}
}
