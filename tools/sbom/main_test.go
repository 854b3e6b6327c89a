package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	spdx "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"
)

// list is what tools/stanza writes about a kernel that Debian has signed, and about firmware.
const list = `Package: linux-image-6.1.0-56-amd64
Version: 6.1.192-2
Architecture: amd64
Source: linux-signed-amd64 (6.1.192+2)
Built-Using: linux (= 6.1.192-2)
SHA256: 0000000000000000000000000000000000000000000000000000000000000001

Package: firmware-bnx2
Version: 1:20230210-5+deb12u1
Architecture: all
Source: firmware-nonfree (1:20230210-5+deb12u1)
Built-Using:

`

// unpacked returns the list of a directory in which packages were unpacked.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"packages.list": list,
		"usr/share/doc/linux-image-6.1.0-56-amd64/copyright": "License: GPL-2\n",
		"usr/share/doc/firmware-bnx2/copyright":              "Allowed: to pass it on\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "packages.list")
}

// write runs the program, and returns the document as a library of the SPDX project reads it.
func write(t *testing.T, args ...string) (string, *v2_3.Document) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "x.spdx.json")
	c, err := command(append([]string{"sbom", "-version", "v1.2.3", "-commit", "c0ffee", "-time", "1700000000", "-o", out},
		args...))
	if err == nil {
		err = c.run()
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	d, err := spdx.Read(strings.NewReader(string(b)))
	if err == nil {
		err = spdxlib.ValidateDocument(d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b), d
}

// contents returns the names of the packages that each file contains.
func contents(d *v2_3.Document) map[string][]string {
	names := make(map[string]string)
	for _, p := range d.Packages {
		names[string(p.PackageSPDXIdentifier)] = p.PackageName
	}
	for _, f := range d.Files {
		names[string(f.FileSPDXIdentifier)] = f.FileName
	}
	out := make(map[string][]string)
	for _, r := range d.Relationships {
		if r.Relationship == "CONTAINS" {
			file := names[string(r.RefA.ElementRefID)]
			out[file] = append(out[file], names[string(r.RefB.ElementRefID)])
		}
	}
	for _, p := range out {
		slices.Sort(p)
	}
	return out
}

// TestDocument reads the document of a kernel and an initrd with a library of the SPDX project.
func TestDocument(t *testing.T) {
	dir := t.TempDir()
	kernel, initrd := filepath.Join(dir, "wyrcan.kernel"), filepath.Join(dir, "wyrcan.initrd")
	for _, f := range []string{kernel, initrd} {
		if err := os.WriteFile(f, []byte("abc"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The same package is in both files, and in a group twice.
	args := []string{"-debian", "kernel=" + unpacked(t), "-go", "boot=gitlab.com/wyrcan/wyrcan/cmds/modprobe",
		"-go", "boot=gitlab.com/wyrcan/wyrcan/pkg/image", "-arch", "arm64", kernel + "=kernel", initrd + "=boot,kernel"}
	text, d := write(t, args...)
	if again, _ := write(t, args...); again != text {
		t.Error("a second run gives another document")
	}

	got := contents(d)
	want := []string{"firmware-bnx2", "linux-image-6.1.0-56-amd64"}
	if diff := cmp.Diff(want, got["./wyrcan.kernel"]); diff != "" {
		t.Errorf("the kernel contains (-want +got):\n%s", diff)
	}
	for _, name := range append(want, "github.com/google/go-containerregistry", "stdlib", "golang.org/x/sys") {
		if !slices.Contains(got["./wyrcan.initrd"], name) {
			t.Errorf("the initrd contains %q, not %s", got["./wyrcan.initrd"], name)
		}
	}
	if d.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("created %s", d.CreationInfo.Created)
	}
	sums := make(map[string]string)
	for _, c := range d.Files[0].Checksums {
		sums[string(c.Algorithm)] = c.Value
	}
	if diff := cmp.Diff(map[string]string{"SHA1": "a9993e364706816aba3e25717850c26c9cd0d89d",
		"SHA256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}, sums); diff != "" {
		t.Errorf("the checksums of %s (-want +got):\n%s", d.Files[0].FileName, diff)
	}
	checkPackages(t, d)
}

// checkPackages looks for the sources and the licences of packages.
func checkPackages(t *testing.T, d *v2_3.Document) {
	t.Helper()
	licenses := make(map[string]string)
	for _, l := range d.OtherLicenses {
		licenses[l.LicenseIdentifier] = l.ExtractedText
	}
	found := make(map[string]string)
	for _, p := range d.Packages {
		text := licenses[p.PackageLicenseDeclared]
		line := fmt.Sprintf("%s; %s", p.PackageSourceInfo, strings.TrimSpace(text))
		for _, r := range p.PackageExternalReferences {
			line = r.Locator + "; " + line
		}
		found[p.PackageName] = line
		if p.PackageName != "wyrcan" && p.PackageLicenseDeclared == noAssertion {
			t.Errorf("no licence of %s was found", p.PackageName)
		}
	}
	for name, want := range map[string]string{
		"linux-image-6.1.0-56-amd64": "pkg:deb/debian/linux-image-6.1.0-56-amd64@6.1.192-2?arch=amd64; " +
			"source package linux-signed-amd64 6.1.192+2: " +
			"https://snapshot.debian.org/package/linux-signed-amd64/6.1.192+2/; " +
			"source package linux 6.1.192-2: https://snapshot.debian.org/package/linux/6.1.192-2/; License: GPL-2",
		"firmware-bnx2": "pkg:deb/debian/firmware-bnx2@1%3A20230210-5%2Bdeb12u1?arch=all; " +
			"source package firmware-nonfree 1:20230210-5+deb12u1: " +
			"https://snapshot.debian.org/package/firmware-nonfree/1:20230210-5+deb12u1/; Allowed: to pass it on",
	} {
		if found[name] != want {
			t.Errorf("%s: %q, want %q; there are %q", name, found[name], want, slices.Sorted(maps.Keys(found)))
		}
	}
}

// TestRefused checks that nothing is left out in silence.
func TestRefused(t *testing.T) {
	lists := unpacked(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	unlicensed := filepath.Join(t.TempDir(), "packages.list")
	if err := os.WriteFile(unlicensed, []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"-debian a=" + lists + " " + file + "=b", `there is no group "b"`},
		{"-debian a=" + lists + ".gone " + file + "=a", "the list of packages that make has unpacked"},
		{"-debian a=" + unlicensed + " " + file + "=a", "the licence of linux-image-6.1.0-56-amd64"},
		{"-debian a=" + lists + " " + file + ".gone=a", "no such file"},
		{"-debian a " + file + "=a", "is no GROUP=CONTENT"},
		{"-go a=gitlab.com/wyrcan/wyrcan/gone " + file + "=a", "go list"},
		{"-debian a=" + lists, "are needed"},
	} {
		c, err := command(append([]string{"sbom", "-version", "1", "-o", filepath.Join(t.TempDir(), "o")},
			strings.Fields(tt.args)...))
		if err == nil {
			err = c.run()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.args, err, tt.want)
		}
	}
}
