package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
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
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
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
		{"emulated", "amd64", false, "", []string{"qemu-system-x86_64 -machine q35 -accel tcg -cpu max,-cx16 -m 1G -smp 3 -kernel K -initrd I -append console=ttyS0 ", " -display none -serial mon:stdio -s"}},
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
		if slices.Contains(argv, "-nographic") {
			t.Errorf("%s: with -nographic SeaBIOS changes the terminal", row.name)
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
		"LOCALHOST:1/x":                "10.0.2.2:1/x",
		"localhost.:1/x":               "10.0.2.2:1/x",
		"a.localhost/x":                "10.0.2.2/x",
		"localhost":                    "localhost",
		"localhoster/x":                "localhoster/x",
		"127/x":                        "127/x",
	} {
		if got := fromGuest(ref); got != want {
			t.Errorf("fromGuest(%q) = %q, want %q", ref, got, want)
		}
	}
	for ref, want := range map[string]string{
		"10.0.2.2:5000/x@sha256:ab": "127.0.0.1:5000/x@sha256:ab",
		"docker://10.0.2.2/x":       "127.0.0.1/x",
		"10.0.2.20/x":               "10.0.2.20/x",
		"x/10.0.2.2/x":              "x/10.0.2.2/x",
		"localhost:5000/x":          "localhost:5000/x",
		"debian":                    "debian",
	} {
		if got := toHost(ref); got != want {
			t.Errorf("toHost(%q) = %q, want %q", ref, got, want)
		}
	}
}

// What the console shows tells whether the container's kernel was started.
func TestFollow(t *testing.T) {
	const booted = "\x1bcSeaBIOS\r\nwyrboot: Wyrcan v1, the container bootloader\r\nwyrboot: pull  83%\r\x1b[Kwyrboot: stage pull 1.32 s\r\nwyrboot: stage load 1.14 s\r\n"
	const starts = booted + "wyrboot: starts kernel 6.1.0-56-amd64 of 10.0.2.2:40987/image:latest after 30.4 s\r\n"
	const failed = "wyrboot: cannot start the kernel of x: device or resource busy\r\nwyrboot: the machine reboots in 60 s; press Enter to reboot now\r\n\r\nwyrboot: reboots\r\n[   99.9] reboot: Restarting system\r\n"
	for name, row := range map[string]struct {
		console       string
		jumped, alive bool
	}{
		"nothing":                     {"", false, false},
		"firmware alone":              {"SeaBIOS\r\nBooting from ROM...\r\n", false, false},
		"a failure":                   {booted + failed, false, false},
		"the words elsewhere":         {"[    0.0] Command line: wyr.arg=\"wyrboot: starts kernel x of x after 1.0 s\"\r\nmore\r\n", false, false},
		"the words in an error":       {booted + "wyrboot: cannot get x: it says wyrboot: starts kernel 1 of x after 3.0 s\r\nmore\r\n", false, false},
		"the jump and no more":        {starts, true, false},
		"ended by Ctrl-A, X":          {starts + "QEMU: Terminated\n\r", true, false},
		"blank lines":                 {starts + "\r\n \r\n\x1b[0m\r\n", true, false},
		"Wyrcan's kernel shuts down":  {starts + "[   30.61] sd 0:0:0:0: [sda] Synchronizing SCSI cache\r\n[   30.7] kexec_core: Starting new kernel\r\n", true, false},
		"the jump fails":              {starts + failed, false, false},
		"cut amid the failure":        {starts + "wyrbo", false, false},
		"the container's kernel":      {starts + "[    0.000000] Linux version 6.1\r\n", true, true},
		"its decompressor":            {starts + "\r\nDecompressing Linux... ", true, true},
		"its init":                    {starts + "wyrcan-demo: kernel\r\n", true, true},
		"a prompt":                    {starts + "\x1b[2J\x1b[Hdebian login: ", true, true},
		"a quiet power-off":           {starts + "[   33.0] reboot: Power down\r\n", true, true},
		"a quiet one long after":      {starts + "[   93.0] random: crng init done\r\n", true, true},
		"a link changes":              {starts + "wyrboot: eth0 (virtio_net, 52:54:00:12:34:56): 10.0.2.15/24 fec0::1/64\r\nhello\r\n", true, true},
		"a link changes, and fails":   {starts + "wyrboot: eth0 (virtio_net, 52:54:00:12:34:56): lost\r\n" + failed, false, false},
		"Wyrcan by Wyrcan":            {starts + "wyrboot: Wyrcan v2, the container bootloader\r\n" + failed, true, true},
		"Wyrcan's log beside":         {starts + "[   30.44] wyrboot: starts kernel 6.1.0-56-amd64 of 10.0.2.2:40987/image:latest after 30.4 s\r\nhello\r\n", true, true},
		"at last, after a first fail": {starts + failed + starts + "hello\r\n", true, true},
	} {
		w := &watcher{begin: time.Now()}
		var out bytes.Buffer
		// However the console's bytes come.
		for _, console := range []io.Reader{strings.NewReader(row.console), iotest.OneByteReader(strings.NewReader(row.console))} {
			*w = watcher{begin: time.Now()}
			out.Reset()
			if w.watch(console, &out); w.alive != row.alive || row.alive == false && w.jumped != row.jumped {
				t.Errorf("%s: jumped %v, alive %v, want %v, %v", name, w.jumped, w.alive, row.jumped, row.alive)
			}
			if out.String() != row.console {
				t.Errorf("%s: the console came out changed: %q", name, out.String())
			}
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
	if strings.Contains(stderr.String(), "\r") {
		t.Errorf("without a terminal it said %q", stderr)
	}
	// Nothing stays behind.
	reg.Close()
	if _, err := os.Stat(reg.dir); !os.IsNotExist(err) {
		t.Errorf("the registry's directory: %v", err)
	}
	// And push sends it on.
	to := imagetest.Serve(t)
	c, stdout, _ := tool(t, "push", dir, to.Host+"/some/where:1")
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Resolve(context.Background(), strings.TrimSpace(stdout.String())); err != nil {
		t.Errorf("what push printed: %v", err)
	}
}

// The registry for a guest gives the one image to whoever asks on this machine, and takes nothing.
func TestServeOnly(t *testing.T) {
	kernel, init := demoFiles(t)
	demo, err := demoImage(kernel, init, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	reg, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	digest, err := demo.Digest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := demo.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, content string, header ...string) (int, string) {
		t.Helper()
		request, err := http.NewRequest(method, "http://127.0.0.1:"+reg.port+path, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(b)
	}
	if code, _ := ask("GET", "/v2/image/manifests/latest", ""); code != 404 {
		t.Errorf("before there is an image: %d", code)
	}
	if err := reg.put(context.Background(), demo); err != nil {
		t.Fatal(err)
	}
	want, err := demo.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(reg.dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		method, path, content string
		want                  int
	}{
		{"GET", "/v2/", "", 200},
		{"HEAD", "/v2/image/manifests/latest", "", 200},
		{"GET", "/v2/image/manifests/" + digest.String(), "", 200},
		{"GET", "/v2/image/blobs/" + config.String(), "", 200},
		{"GET", "/v2/image/manifests/other", "", 404},
		{"GET", "/v2/other/manifests/latest", "", 404},
		{"GET", "/v2/other/blobs/" + config.String(), "", 404},
		{"GET", "/v2/image/blobs/secret", "", 404},
		{"GET", "/v2/image/blobs/sha256:../secret", "", 404},
		{"GET", "/v2/image/blobs/..%2fsecret", "", 404},
		{"GET", "/v2/_catalog", "", 404},
		{"PUT", "/v2/image/manifests/latest", "{}", 405},
		{"PUT", "/v2/other/manifests/latest", "{}", 405},
		{"POST", "/v2/image/blobs/uploads/", "", 405},
		{"POST", "/v2/image/blobs/uploads/?digest=" + config.String(), "x", 405},
		{"PATCH", "/v2/image/blobs/uploads/1", "x", 405},
		{"DELETE", "/v2/image/manifests/" + digest.String(), "", 405},
		{"DELETE", "/v2/image/blobs/" + config.String(), "", 405},
	} {
		if code, b := ask(row.method, row.path, row.content); code != row.want {
			t.Errorf("%s %s: %d, %q, want %d", row.method, row.path, code, b, row.want)
		}
	}
	if code, b := ask("GET", "/v2/image/manifests/latest", ""); code != 200 || b != string(want) {
		t.Errorf("after that the manifest is %d, %q", code, b)
	}
	// A download that broke off goes on.
	raw, err := demo.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if code, b := ask("GET", "/v2/image/blobs/"+config.String(), "", "Range", "bytes=5-"); code != 206 || b != string(raw[5:]) {
		t.Errorf("the rest of a blob: %d, %q", code, b)
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

// A session succeeds if the container's kernel was started, and what is typed comes to the machine as it was.
func TestSession(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	const starts = "echo 'wyrboot: starts kernel 6.1 of x after 3.0 s'; "
	for _, row := range []struct{ script, err string }{
		{starts + "echo hello", ""},
		{starts + "printf 'login: '", ""},
		{starts + "echo '[ 4.0] reboot: Power down'", ""},
		{starts, "had shown anything"},
		{starts + "echo 'wyrboot: cannot start it'; echo '[ 64.0] reboot: Restarting system'", "before the container's kernel was started"},
		{"echo 'wyrboot: cannot get nope'", "before the container's kernel was started"},
		{"exit 0", "before the container's kernel was started"},
		{starts + "echo hello; exit 3", "exit status 3"},
		{starts + "echo hello; kill -9 $$", "signal: killed"},
	} {
		if err := os.WriteFile(dir+"/qemu-system-x86_64", []byte("#!/bin/sh\nread line; echo \"$line\"\n"+row.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		c, stdout, stderr := tool(t)
		c.stdin = strings.NewReader("typed\x03\n")
		err := c.start(context.Background(), &machine{arch: "amd64", memory: "1G", cpus: 1})
		if row.err == "" && err != nil || row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
			t.Errorf("%q: %v, want an error with %q", row.script, err, row.err)
		}
		if code(err) > 1 || !strings.HasPrefix(stdout.String(), "typed\x03\n") || !strings.Contains(stderr.String(), "Ctrl-A, then X") {
			t.Errorf("%q: status %d, %q, %q", row.script, code(err), stdout, stderr)
		}
	}
}

// An image that is not there is said before there is a machine, and one that is, by its digest.
func TestRunResolves(t *testing.T) {
	registry := imagetest.Serve(t)
	img := imagetest.Image(t, imagetest.Files(bootable()...))
	there := registry.Push(t, "there", img)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	ran := filepath.Join(dir, "ran")
	if err := os.WriteFile(dir+"/qemu-system-x86_64", []byte("#!/bin/sh\necho \"$@\" >"+ran+"\necho 'wyrboot: starts kernel 1 of x after 1.0 s'; echo hello\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	guest := strings.Replace(there, "127.0.0.1", host, 1)
	other := imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: "s390x"}}.Image(t)
	for _, row := range []struct{ ref, err string }{
		{there, ""},
		{"docker://" + strings.Replace(there, "127.0.0.1", "localhost", 1), ""},
		{guest, ""}, // as only the guest can call it
		{strings.Replace(there, "there", "nope", 1), "does not have it"},
		{strings.Replace(guest, "there", "nope", 1), "does not have it"},
		{registry.Push(t, "other", other), "none for linux/amd64"},
		{"No Such Name", "is not the name of an image"},
		{"oci:/nowhere", "nowhere"},
	} {
		os.Remove(ran)
		c, _, stderr := tool(t, "run", "-arch", "amd64", row.ref)
		for name, content := range map[string]string{"wyrcan.kernel": string(imagetest.BzImage(release)), "wyrcan.initrd": "x"} {
			if err := os.WriteFile(filepath.Join(c.home, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := c.run(context.Background())
		argv, _ := os.ReadFile(ran)
		if row.err == "" && (err != nil || !strings.Contains(string(argv), "wyr.img="+guest) || !strings.Contains(stderr.String(), digest.String())) {
			t.Errorf("run %s: %v, QEMU had %q, and it said %q", row.ref, err, argv, stderr)
		}
		if row.err != "" && (code(err) != 1 || !strings.Contains(err.Error(), row.err) || argv != nil) {
			t.Errorf("run %s: %v, QEMU had %q, want an error with %q and no QEMU", row.ref, err, argv, row.err)
		}
	}
}
