package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// A signing is a registry with a bootable image, and the files that say who may sign it.
type signing struct {
	reg           *imagetest.Registry
	owner         *imagetest.Signer
	img           v1.Image
	ref, hash     string
	key, otherKey string // files
	dir           string
}

func newSigning(t *testing.T, layers ...imagetest.Layer) *signing {
	t.Helper()
	s := &signing{reg: imagetest.Serve(t), owner: imagetest.NewSigner(t, "P-256"), dir: t.TempDir()}
	s.img = imagetest.Image(t, append([]imagetest.Layer{imagetest.Files(bootable()...)}, layers...)...)
	s.ref, s.hash = s.reg.Push(t, "signed:1", s.img), imagetest.Digest(t, s.img)
	s.key = s.write(t, "owner.pub", string(s.owner.Public(t)))
	s.otherKey = s.write(t, "other.pub", string(imagetest.NewSigner(t, "P-256").Public(t)))
	return s
}

func (s *signing) write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *signing) sign(t *testing.T) {
	t.Helper()
	s.reg.AttachBundle(t, "signed", s.hash, s.owner.Bundle(t, s.hash, imagetest.SignPredicate, nil))
}

func TestVerify(t *testing.T) {
	s := newSigning(t)
	accept := s.write(t, "accept.json", `{"default":[{"type":"insecureAcceptAnything"}]}`)
	reject := s.write(t, "reject.json", `{"default":[{"type":"reject"}]}`)
	byPath := s.write(t, "path.json", `{"default":[{"type":"reject"}],"transports":{"docker":{`+
		`"`+s.reg.Host+`/signed":[{"type":"sigstoreSigned","keyPath":"`+s.key+`"}]}}}`)
	broken := s.write(t, "broken.json", `{"default":[{"type":"insecureAcceptAnything"}],"Transports":{}}`)
	local := imagetest.Saved(t, imagetest.Files(bootable()...)).Dir(t)
	type row struct {
		args   []string
		code   int
		stdout string
		err    string
	}
	try := func(rows ...row) {
		t.Helper()
		for _, row := range rows {
			c, stdout, _ := tool(t, append([]string{"verify"}, row.args...)...)
			err := c.run(context.Background())
			if code(err) != row.code || !strings.Contains(stdout.String(), row.stdout) ||
				row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
				t.Errorf("verify %q: status %d, %v, stdout %q; want status %d, %q, %q",
					row.args, code(err), err, stdout, row.code, row.stdout, row.err)
			}
			if row.code != 0 && stdout.Len() > 0 {
				t.Errorf("verify %q prints %q", row.args, stdout)
			}
		}
	}
	try(
		row{[]string{s.ref}, 2, "", "-key or -policy"},
		row{[]string{"-key", s.key}, 2, "", "an argument is missing"},
		row{[]string{s.ref, "-key", s.key}, 1, "", "is refused: the policy"},
		row{[]string{s.ref, "-policy", byPath}, 1, "", "is refused: the policy " + byPath},
		row{[]string{s.ref, "-policy", accept}, 0, "asks for no signature", ""},
		row{[]string{s.ref, "-policy", reject}, 1, "", "rejects"},
		row{[]string{s.ref, "-policy", broken}, 3, "", `unknown field "Transports"`},
		row{[]string{s.ref, "-policy", "/nowhere"}, 3, "", "/nowhere"},
		row{[]string{s.ref, "-key", "/nowhere"}, 3, "", "/nowhere"},
		row{[]string{s.ref, "-key", accept}, 3, "", "not a public key"},
		row{[]string{strings.Replace(s.ref, "signed", "nope", 1), "-key", s.key}, 3, "", "does not have it"},
		row{[]string{local, "-key", s.key}, 1, "", "signatures are kept at a registry"},
		row{[]string{local, "-policy", accept}, 0, "asks for no signature", ""},
	)
	s.sign(t)
	try(
		row{[]string{s.ref, "-key", s.key}, 0, "accepted      yes\n", ""},
		row{[]string{s.ref, "-key", s.key}, 0, "digest        " + s.hash, ""},
		row{[]string{s.ref, "-policy", byPath}, 0, "signed by     key ", ""},
		row{[]string{s.ref, "-policy", accept, "-key", s.key}, 0, "signed by     key ", ""},
		row{[]string{s.ref, "-key", s.otherKey}, 1, "", "none of the policy's keys"},
		row{[]string{s.ref, "-key", s.key, "-key", s.otherKey}, 1, "", "is refused"},
		row{[]string{s.ref, "-key", s.key, "-policy", reject}, 1, "", "is refused"},
	)
	s.reg.Fail(imagetest.Fault{Path: "/referrers/", Do: imagetest.Status(503, "3600")})
	try(row{[]string{s.ref, "-key", s.key}, 3, "", "cannot verify the signatures of " + s.ref})
}

// Nothing of an image that is refused is fetched or written, whatever is to be done with it.
func TestRefused(t *testing.T) {
	s := newSigning(t)
	layers, err := s.img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	layer := imagetest.Digest(t, layers[0])
	out := filepath.Join(s.dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"check", "-root", "initramfs"},
		{"morph", "-root", "initramfs", "-kernel", out + "/k", "-initrd", out + "/i", "-cmdline", out + "/c"},
		{"unpack", "-no-owner", out + "/root"},
	}
	run := func(args []string, more ...string) error {
		args = append([]string{args[0]}, append(append([]string{s.ref}, args[1:]...), more...)...)
		c, _, _ := tool(t, args...)
		return c.run(context.Background())
	}
	refuses := func(args []string, key string) {
		t.Helper()
		err := run(args, "-key", key)
		if code(err) != 1 || !strings.Contains(err.Error(), s.ref+" is refused") {
			t.Errorf("%q of an image that is not signed: status %d, %v", args, code(err), err)
		}
		if left := names(t, out); len(left) > 0 {
			t.Errorf("%q left %q", args, left)
		}
	}
	kexecRefuses := func(key string) {
		t.Helper()
		if os.Geteuid() != 0 {
			return
		}
		// What would reboot this machine looks at the image first.
		c, _, _ := tool(t, "kexec", "-force", "-root", "initramfs", s.ref, "-key", key)
		c.root = t.TempDir()
		if err := os.MkdirAll(c.root+"/sys/kernel", 0o700); err != nil {
			t.Fatal(err)
		}
		for name, link := range map[string]string{"proc": "/proc", "sys/kernel/kexec_loaded": "/dev/null"} {
			if err := os.Symlink(link, filepath.Join(c.root, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.run(context.Background()); code(err) != 1 || !strings.Contains(err.Error(), "is refused") {
			t.Errorf("kexec: %v", err)
		}
	}
	for _, args := range commands {
		refuses(args, s.key)
	}
	kexecRefuses(s.key)
	s.sign(t)
	for _, args := range commands {
		refuses(args, s.otherKey)
	}
	kexecRefuses(s.otherKey)
	s.reg.Fail(imagetest.Fault{Path: "/referrers/", Do: imagetest.Status(503, "3600")})
	for _, args := range commands {
		err := run(args, "-key", s.key)
		if err == nil || !strings.HasPrefix(err.Error(), "cannot read "+s.ref+": cannot verify its signatures: ") {
			t.Errorf("%q while the signatures cannot be had: %v", args, err)
		}
	}
	s.reg.Heal()
	for _, r := range s.reg.Requests() {
		if strings.Contains(r, layer) {
			t.Fatalf("a layer was fetched: %s", r)
		}
	}
	for _, args := range commands {
		if err := run(args, "-key", s.key); err != nil {
			t.Errorf("%q of a signed image: %v", args, err)
		}
	}
}

// A signature vouches for every byte of a layer, also for those that no reader of the archive looks at.
func TestSignedToTheLastByte(t *testing.T) {
	plain := imagetest.Layer{Compression: imagetest.Plain, Entries: []imagetest.Entry{imagetest.File("last", "x")}}
	archive, err := plain.Archive()
	if err != nil {
		t.Fatal(err)
	}
	plain.Tar = append(archive, bytes.Repeat([]byte{0}, 64<<10)...)
	s := newSigning(t, plain)
	s.sign(t)
	blob, _ := plain.Blob(t).Digests()
	out := filepath.Join(s.dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	morph := func() error {
		c, _, _ := tool(t, "morph", "-root", "initramfs", s.ref, "-kernel", out+"/k", "-initrd", out+"/i",
			"-cmdline", out+"/c", "-key", s.key)
		return c.run(context.Background())
	}
	s.reg.Fail(imagetest.Fault{Path: blob, Do: imagetest.Flip(int64(len(plain.Tar)) - 1)})
	if err := morph(); err == nil || !strings.Contains(err.Error(), "bytes are wrong") {
		t.Errorf("with a bit flipped behind the archive's end: %v", err)
	}
	if left := names(t, out); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
	s.reg.Heal()
	if err := morph(); err != nil || len(names(t, out)) != 3 {
		t.Errorf("with the right bytes: %v, %q", err, names(t, out))
	}
}

// A machine that boots a signed image is told its digest: the tag may move before it asks.
func TestRunPins(t *testing.T) {
	s := newSigning(t)
	s.sign(t)
	img, err := new(image.Source).Resolve(context.Background(), s.ref)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	ran := filepath.Join(dir, "ran")
	qemu := "#!/bin/sh\necho \"$@\" >" + ran + "\necho 'wyrboot: starts kernel 1 of x after 1.0 s'; echo hello\n"
	if err := os.WriteFile(dir+"/qemu-system-x86_64", []byte(qemu), 0o700); err != nil {
		t.Fatal(err)
	}
	guest := strings.Replace(s.reg.Host, "127.0.0.1", host, 1)
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-key", s.key}, 0, "wyr.img=" + guest + "/signed@" + img.Root.String()},
		{nil, 0, "/signed:1"},
		{[]string{"-key", s.otherKey}, 1, ""},
	} {
		os.Remove(ran)
		c, _, _ := tool(t, append([]string{"run", "-arch", "amd64", s.ref}, row.args...)...)
		besideTool(t, c)
		err := c.run(context.Background())
		argv, _ := os.ReadFile(ran)
		if code(err) != row.code || !strings.Contains(string(argv), row.says) || row.code != 0 && argv != nil {
			t.Errorf("run with %q: %v, QEMU had %q, want %q", row.args, err, argv, row.says)
		}
	}
}
