package main

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// TestPolicies puts policies into every place that may have one, and asks about an image that one key has signed. A
// policy that accepts everything, in any of the other places, loosens nothing.
func TestPolicies(t *testing.T) {
	right, wrong := imagetest.NewSigner(t, "P-256"), imagetest.NewSigner(t, "P-256")
	registry := imagetest.Serve(t)
	img := imagetest.Image(t, imagetest.Files(imagetest.File("a", "x")))
	ref := registry.Push(t, "signed", img)
	registry.AttachBundle(t, "signed", imagetest.Digest(t, img),
		right.Bundle(t, imagetest.Digest(t, img), "https://sigstore.dev/cosign/sign/v1", nil))
	asks := func(s *imagetest.Signer) string {
		text, err := policy.Document(s.Public(t))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const everything = `{"default":[{"type":"insecureAcceptAnything"}]}`
	key := func(s *imagetest.Signer) syscred.Credential {
		return syscred.Credential{Name: keyName, Data: s.Public(t), From: "SMBIOS"}
	}
	credential := func(text string) syscred.Credential {
		return syscred.Credential{Name: policyName, Data: []byte(text), From: "fw_cfg"}
	}
	for _, c := range []struct {
		name, builtin, file string
		system              syscred.Set
		refused             bool
		broken              string // a part of the error of policies
	}{
		{name: "none"},
		{name: "built in", builtin: asks(right)},
		{name: "built in, another key", builtin: asks(wrong), refused: true},
		{name: "a file loosens nothing", builtin: asks(wrong), file: everything, refused: true},
		{name: "a credential loosens nothing", builtin: asks(wrong), refused: true,
			system: syscred.Set{credential(everything)}},
		{name: "a file", file: asks(right)},
		{name: "a file, another key", file: asks(wrong), refused: true},
		{name: "a credential", system: syscred.Set{credential(asks(right))}},
		{name: "a credential, another key", system: syscred.Set{credential(asks(wrong))}, refused: true},
		{name: "a key", system: syscred.Set{key(right)}},
		{name: "another key", system: syscred.Set{key(wrong)}, refused: true},
		{name: "two keys, one of which has signed", system: syscred.Set{key(right), key(wrong)}, refused: true},
		{name: "all agree", builtin: asks(right), file: asks(right),
			system: syscred.Set{credential(everything), key(right)}},
		{name: "no JSON in the file", file: "{", broken: "policy.json"},
		{name: "an empty file", file: " ", broken: "policy.json"},
		{name: "no JSON in a credential", system: syscred.Set{credential("")}, broken: "the credential wyr.policy of fw_cfg"},
		{name: "no key in a credential", system: syscred.Set{{Name: keyName, Data: []byte("x"), From: "SMBIOS"}},
			broken: "the credential wyr.key of SMBIOS"},
		{name: "no JSON built in", builtin: "x", broken: "the built-in policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "policy.json")
			if c.file != "" {
				if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			list, err := policies(base64.StdEncoding.EncodeToString([]byte(c.builtin)), file, c.system, nil)
			if c.broken != "" {
				if err == nil || !strings.Contains(err.Error(), c.broken) {
					t.Errorf("policies = %v, want an error with %q", err, c.broken)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := new(image.Source).Resolve(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := list.Check(t.Context(), got); policy.Refused(err) != c.refused || err != nil && !c.refused {
				t.Errorf("Check = %v, want refused %v", err, c.refused)
			}
		})
	}
}

// broken is a file system in which one directory cannot be read.
type broken struct {
	fstest.MapFS
	dir string
}

func (b broken) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == b.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: unix.EIO}
	}
	return b.MapFS.ReadDir(name)
}

// TestUnread: a policy that could not be read ends the boot, and so does what may have been one. Any other credential
// does not, and no firmware that nobody gave a credential.
func TestUnread(t *testing.T) {
	const (
		stub   = ".extra/credentials/"
		fwcfg  = "sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/"
		smbios = "sys/firmware/dmi/entries/"
		plain  = "io.systemd.credential:"
		header = "\x0b\x05\x00\x00\x01"
	)
	one := func(name, content string) fstest.MapFS {
		return fstest.MapFS{name: {Data: []byte(content), Mode: 0o400}}
	}
	raw := func(text string) fstest.MapFS { return one(smbios+"11-0/raw", text) }
	many := func(n int, pattern, content string) fstest.MapFS {
		root := make(fstest.MapFS)
		for i := range n {
			root[fmt.Sprintf(pattern, i)] = &fstest.MapFile{Data: []byte(content), Mode: 0o400}
		}
		return root
	}
	encrypted := base64.StdEncoding.EncodeToString(make([]byte, 90))
	withKey := plain + "wyr.key=" + string(imagetest.NewSigner(t, "P-256").Public(t))
	giant := strings.Repeat("x", 1<<20)
	for name, row := range map[string]struct {
		root    fs.FS
		refused bool
	}{
		"nothing": {fstest.MapFS{}, false},

		"a key, encrypted":           {one(stub+"wyr.key.cred", encrypted), true},
		"a policy, encrypted":        {one(stub+"wyr.policy.cred", encrypted), true},
		"a login, encrypted":         {one(stub+"wyr.auth.cred", encrypted), false},
		"a policy that is no file":   {one(stub+"wyr.policy.cred/x", ""), true},
		"a giant policy":             {one(fwcfg+"wyr.policy/raw", giant+"x"), true},
		"a giant login":              {one(fwcfg+"wyr.auth/raw", giant+"x"), false},
		"a policy without content":   {one(fwcfg+"wyr.policy/size", "1"), true},
		"a login named for a policy": {one(fwcfg+"wyr.auth.wyr.policy/size", "1"), false},
		"a key, twice":               {raw(header + withKey + "\x00" + withKey + "\x00\x00"), true},
		"a key, not base64":          {raw(header + "io.systemd.credential.binary:wyr.key=!\x00\x00"), true},
		"a login, not base64":        {raw(header + "io.systemd.credential.binary:wyr.auth=wyr.key!\x00\x00"), false},
		"a policy without =":         {raw(header + plain + "wyr.policy{}\x00\x00"), true},
		"another's without =":        {raw(header + plain + "login.policy{}\x00\x00"), false},

		"files that cannot be listed":    {broken{one(stub+"x", ""), strings.TrimSuffix(stub, "/")}, true},
		"fw_cfg that cannot be listed":   {broken{one(fwcfg+"x/raw", ""), strings.TrimSuffix(fwcfg, "/")}, true},
		"SMBIOS that cannot be listed":   {broken{raw(""), strings.TrimSuffix(smbios, "/")}, true},
		"too many files":                 {many(65, stub+"wyr.x%03d.cred", ""), true},
		"too many files of others":       {many(65, stub+"x%03d.cred", ""), false},
		"too many tables":                {many(65, smbios+"11-%d/raw", header+"vendor\x00\x00"), true},
		"many tables":                    {many(64, smbios+"11-%d/raw", header+"vendor\x00\x00"), false},
		"a table that is no file":        {one(smbios+"11-0/raw/x", ""), true},
		"a table that is not there":      {one(smbios+"11-0/type", "11"), false},
		"a giant table":                  {raw(header + plain + "wyr.auth=" + giant + "\x00\x00"), true},
		"an empty table":                 {raw(""), false},
		"a vendor's noise":               {raw("\x0b\xff\x00vendor"), false},
		"a vendor's string without end":  {raw(header + "vendor"), false},
		"a header with a wrong length":   {raw("\x0b\xff\x00\x00\x01" + withKey + "\x00\x00"), true},
		"a policy without end":           {raw(header + "vendor\x00" + plain + "wyr.policy={}"), true},
		"a name without end":             {raw(header + "vendor\x00" + plain + "wyr.pol"), true},
		"a login without end":            {raw(header + "vendor\x00" + plain + "wyr.auth={}"), false},
		"a login, and all lost":          {raw("x" + plain + "wyr.auth={}\x00" + plain + "wyr.x=\x00"), true},
		"a credential for somebody else": {raw("x" + plain + "login.key={}"), false},
	} {
		set, errs := syscred.Read(row.root)
		_, err := policies("", filepath.Join(t.TempDir(), "none"), set, errs)
		if (err != nil) != row.refused {
			t.Errorf("%s: %v, after %v, want refused %v", name, err, errs, row.refused)
		}
		if err != nil && (!strings.Contains(err.Error(), "no image is accepted") || strings.Contains(err.Error(), "{}")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
