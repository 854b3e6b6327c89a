package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/cmdline"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

func TestMachine(t *testing.T) {
	m := &machine{arch: "amd64", kernel: "K", initrd: "I", memory: "1G", cpus: 3, extra: []string{"-s"},
		args: []cmdline.Arg{{Key: "wyr.img", Value: "x:1", HasValue: true}, {Key: "wyr.arg", Value: "a b", HasValue: true}}}
	for _, row := range []struct {
		name     string
		arch     string
		hardware bool
		until    string
		want     []string
	}{
		{"emulated", "amd64", false, "", []string{"qemu-system-x86_64 -machine q35 -accel tcg -cpu max,-cx16 -m 1G -smp 3 -kernel K -initrd I -append console=ttyS0 ", " -nographic -s"}},
		{"virtualized", "amd64", true, "", []string{"-accel kvm -cpu host"}},
		{"unattended", "amd64", false, "words", []string{"-display none -monitor none -serial stdio -s"}},
		{"arm64", "arm64", false, "", []string{"qemu-system-aarch64 -machine virt -accel tcg -cpu max -m", "console=ttyAMA0"}},
	} {
		m.arch, m.until = row.arch, row.until
		argv, err := m.command(row.hardware)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range row.want {
			if !strings.Contains(strings.Join(argv, " "), want) {
				t.Errorf("%s: %q has no %q", row.name, argv, want)
			}
		}
		for i, a := range argv {
			if a != "-append" {
				continue
			}
			if got, want := cmdline.Parse(argv[i+1])[1:], m.args; !cmp.Equal(got, want) {
				t.Errorf("%s: the guest reads %v, want %v", row.name, got, want)
			}
		}
	}
	m.arch = "vax"
	if _, err := m.command(false); err == nil {
		t.Error("a VAX was built")
	}
}

func TestHasKVM(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	device := write("kvm", "")
	for _, row := range []struct {
		arch, cpuinfo, device string
		want                  bool
	}{
		{"amd64", "processor : 0\nflags\t\t: fpu vmx sse\n", device, true},
		{"amd64", "flags\t\t: fpu svm\n", device, true},
		{"amd64", "flags\t\t: fpu sse\nbugs\t\t: vmx\n", device, false},
		{"amd64", "flags\t\t: fpu vmxnet\n", device, false},
		{"amd64", "flags\t\t: vmx\n", filepath.Join(dir, "absent"), false},
		{"vax", "flags\t\t: vmx\n", device, false},
	} {
		if got := hasKVM(row.arch, write("cpuinfo", row.cpuinfo), row.device); got != row.want {
			t.Errorf("hasKVM(%q, %q, %q) = %v, want %v", row.arch, row.cpuinfo, row.device, got, row.want)
		}
	}
}

func TestFromGuest(t *testing.T) {
	for ref, want := range map[string]string{
		"debian":                       "debian",
		"library/debian:1":             "library/debian:1",
		"localhost:5000/x":             "10.0.2.2:5000/x",
		"localhost/x":                  "10.0.2.2/x",
		"127.0.0.1:5000/a/b@sha256:ab": "10.0.2.2:5000/a/b@sha256:ab",
		"[::1]:5000/x":                 "10.0.2.2:5000/x",
		"docker://127.0.0.1:5000/x":    "10.0.2.2:5000/x",
		"docker://x":                   "x",
		"registry.example:5000/x":      "registry.example:5000/x",
		"10.1.1.1/x":                   "10.1.1.1/x",
	} {
		if got := fromGuest(ref); got != want {
			t.Errorf("fromGuest(%q) = %q, want %q", ref, got, want)
		}
	}
}

func TestWatch(t *testing.T) {
	const console = "SeaBIOS\r\n" +
		"[    0.0] Kernel command line: console=ttyS0 wyr.arg=THE-WORDS\r\n" +
		"wyrboot: Wyrcan v1\r\n" +
		"wyrboot: stage drivers 0.25 s\r\nwyrboot: stage network 1.5 s\r\nwyrboot: stage broken s\r\n" +
		"wyrboot: stage load 2 s\r\n"
	for _, row := range []struct {
		console string
		found   bool
		stages  []stage
	}{
		{console + "[    0.0] Command line: THE-WORDS\r\nhello THE-WORDS here\r\nand more", true, []stage{{"drivers", 250 * time.Millisecond}, {"network", 1500 * time.Millisecond}, {"load", 2 * time.Second}}},
		{console, false, []stage{{"drivers", 250 * time.Millisecond}, {"network", 1500 * time.Millisecond}, {"load", 2 * time.Second}}},
		{"THE-WORDS", true, nil}, // and no end of the line
		{strings.Repeat("x", 10_000) + "\nTHE-WORDS", true, nil},
		{"", false, nil},
	} {
		w := &watcher{until: "THE-WORDS", begin: time.Now()}
		var out bytes.Buffer
		found := w.watch(strings.NewReader(row.console), &out)
		if found != row.found || !cmp.Equal(w.stages, row.stages, cmp.AllowUnexported(stage{})) {
			t.Errorf("watch(%q) = %v with %v, want %v with %v", row.console, found, w.stages, row.found, row.stages)
		}
		if out.String() != row.console {
			t.Errorf("watch(%q) showed %q", row.console, out.String())
		}
		if table := w.table(); (table != "") != (row.stages != nil) || row.stages != nil && !strings.Contains(table, "network  1.500 s") {
			t.Errorf("after %q the table is %q", row.console, table)
		}
	}
}

// demoFiles writes what the demo container is made of.
func demoFiles(t *testing.T) (kernel, init string) {
	t.Helper()
	dir := t.TempDir()
	for _, n := range []string{"kernel", "init"} {
		if err := os.WriteFile(filepath.Join(dir, n), []byte("this is "+n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir + "/kernel", dir + "/init"
}

// decompressed is img with its layers as plain archives, of the given media type.
func decompressed(t *testing.T, img v1.Image, as types.MediaType) v1.Image {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	out, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: config.OS, Architecture: config.Architecture})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		rc, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(rc)
		if err := errors.Join(err, rc.Close()); err != nil {
			t.Fatal(err)
		}
		if out, err = mutate.AppendLayers(out, static.NewLayer(b, as)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// What the embedded registry serves is what went in, for the demo container and for one that lies on this machine.
func TestServe(t *testing.T) {
	kernel, init := demoFiles(t)
	demo, err := demoImage(kernel, init, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	again, err := demoImage(kernel, init, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := demo.Digest()
	if d, _ := again.Digest(); d != digest {
		t.Errorf("the demo container is %v and then %v", digest, d)
	}
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(demo); err != nil {
		t.Fatal(err)
	}
	saved, plain := filepath.Join(t.TempDir(), "saved.tar"), filepath.Join(t.TempDir(), "plain.tar")
	tag := name.MustParseReference("demo")
	if err := tarball.WriteToFile(saved, tag, demo); err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(plain, tag, decompressed(t, demo, types.DockerUncompressedLayer)); err != nil {
		t.Fatal(err)
	}
	foreign := onDisk(t, decompressed(t, demo, types.DockerForeignLayer))

	reg, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	src := &image.Source{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}}
	want, err := demo.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c, _, stderr := tool(t)
	for name, put := range map[string]func() error{
		"the demo":                   func() error { return reg.put(context.Background(), demo) },
		"a layout":                   func() error { return reg.store(context.Background(), c, dir, src.Platform) },
		"an archive of docker's":     func() error { return reg.store(context.Background(), c, saved, src.Platform) },
		"one of plain layers":        func() error { return reg.store(context.Background(), c, plain, src.Platform) },
		"a layout of foreign layers": func() error { return reg.store(context.Background(), c, foreign, src.Platform) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		img, err := src.Resolve(context.Background(), strings.Replace(reg.ref(), host, "127.0.0.1", 1))
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range img.Layers {
			if l.DiffID != want.RootFS.DiffIDs[i] {
				t.Errorf("%s: %v has the content %v, want %v", name, l, l.DiffID, want.RootFS.DiffIDs[i])
			}
			rc, err := l.Open(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, rc); err != nil {
				t.Errorf("%s: %v: %v", name, l, err)
			}
			rc.Close()
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("without a terminal it said %q", stderr)
	}
	// Nothing stays behind.
	reg.Close()
	if _, err := os.Stat(reg.dir); !os.IsNotExist(err) {
		t.Errorf("the registry's directory: %v", err)
	}
	// And push sends it on.
	to, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	c, stdout, _ := tool(t, "push", dir, "127.0.0.1:"+to.port+"/some/where:1")
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Resolve(context.Background(), strings.TrimSpace(stdout.String())); err != nil {
		t.Errorf("what push printed: %v", err)
	}
}

// Unattended, the machine's console decides; a machine that is not there is explained.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	c, stdout, stderr := tool(t)
	m := &machine{arch: "amd64", until: "THE-WORDS", memory: "1G", cpus: 1}
	if err := c.start(context.Background(), m); err == nil || !strings.Contains(err.Error(), "install QEMU") {
		t.Errorf("start without QEMU = %v", err)
	}
	for _, row := range []struct{ script, err string }{
		{"echo 'wyrboot: stage network 1.0 s'; echo THE-WORDS; exec /bin/sleep 100", ""},
		{"printf 'wyrboot: stage network 1.0 s\nTHE-WORDS? '; exec /bin/sleep 100", ""},
		{"echo nothing", "ended without having shown"},
		{"exit 3", "exit status 3"},
		{"exec /bin/sleep 100", "time was up"},
	} {
		if err := os.WriteFile(dir+"/qemu-system-x86_64", []byte("#!/bin/sh\n"+row.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		stdout.Reset()
		err := c.start(ctx, m)
		cancel()
		if row.err == "" && (err != nil || !strings.Contains(stdout.String(), "THE-WORDS") || !strings.Contains(stderr.String(), "network  1.000 s")) {
			t.Errorf("%q: %v, %q, %q", row.script, err, stdout, stderr)
		}
		if row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
			t.Errorf("%q: %v, want an error with %q", row.script, err, row.err)
		}
	}
}
