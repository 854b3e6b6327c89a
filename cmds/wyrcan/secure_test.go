package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/netboot"
)

// The chain for Secure Boot is served where make has put it, unless the user has signed or named a program; and from
// the directory that the user names in any case.
func TestAddSecure(t *testing.T) {
	dir := t.TempDir()
	signed := filepath.Join(dir, "signed.efi")
	if err := os.WriteFile(signed, imagetest.SignedEFI(t, "Our machines"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, _ := tool(t)
	touch(t, filepath.Join(dir, "shimx64.efi"), filepath.Join(dir, "grubx64.efi"))
	made, all := filepath.Join(c.home, "secureboot"), []string{"grubx64.efi", "mmx64.efi", "shimx64.efi", "wyrcan.iso"}
	for _, name := range append([]string{"grubcdx64.efi"}, all...) {
		touch(t, filepath.Join(made, name))
	}
	empty := t.TempDir()
	half := filepath.Join(t.TempDir(), "half")
	touch(t, filepath.Join(half, "shimx64.efi"))
	for _, row := range []struct {
		uki, dir string
		named    bool
		want     []string // names
		from     string   // the directory
		err      string
	}{
		{uki: imagetest.EFIProgram, want: all, from: made},
		{uki: "", want: all, from: made},
		{uki: signed},
		{uki: imagetest.EFIProgram, named: true},
		{uki: signed, named: true, dir: dir, want: []string{"grubx64.efi", "shimx64.efi"}, from: dir},
		{uki: imagetest.EFIProgram, dir: empty, err: "make SECUREBOOT=1 gets it"},
		{uki: imagetest.EFIProgram, dir: half, err: "grubx64.efi: no such file or directory; make SECUREBOOT=1"},
	} {
		files := map[string]string{}
		if row.uki != "" {
			files[netboot.UKIName] = row.uki
		}
		err := c.addSecure(files, row.dir, row.named)
		if row.err != "" {
			if err == nil || !strings.Contains(err.Error(), row.err) {
				t.Errorf("%+v: %v", row, err)
			}
			continue
		}
		delete(files, netboot.UKIName)
		got := slices.Sorted(maps.Keys(files))
		if err != nil || !slices.Equal(got, row.want) || row.from != "" && filepath.Dir(files["shimx64.efi"]) != row.from {
			t.Errorf("%+v: %v, %v", row, files, err)
		}
	}
}

// What check says of the kernel's signature.
func TestKernelSignature(t *testing.T) {
	signed := imagetest.SignedEFI(t, "Our machines")
	changed, damaged := slices.Clone(signed), slices.Clone(signed)
	changed[0x1000] ^= 1
	copy(damaged[len(damaged)-1400:], make([]byte, 1400))
	for _, row := range []struct {
		content []byte
		signed  bool
		want    string
	}{
		{signed, true, "by Our machines"},
		{changed, false, "by Our machines, but this kernel was changed after that: a machine with Secure Boot will refuse"},
		{imagetest.BzImage(release), false, "this kernel is not signed: a machine with Secure Boot will refuse it"},
		{damaged, false, "the signature of this kernel is damaged ("},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "kernel"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(row.content); err != nil {
			t.Fatal(err)
		}
		var r report
		if err := r.signature(f); err != nil || r.Signed != row.signed || !strings.HasPrefix(r.signed, row.want) {
			t.Errorf("%+v, %v, want %q", r, err, row.want)
		}
	}
}
