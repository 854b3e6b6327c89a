package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// booted returns the record of a system that was booted with the image that asked names now.
func booted(t *testing.T, asked string) record.Record {
	t.Helper()
	img, err := (&image.Source{}).Open(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	return record.Record{
		Wyrcan: "3.0", By: record.Wyrboot, Time: time.Unix(1e9, 0), Image: boot.Describe(img, asked),
		Initrd: record.Initrd{RootHash: strings.Repeat("e", 64), Packing: "zstd", Bytes: 88e6},
		Memory: record.Memory{Total: 4 << 30, Available: 2 << 30},
		Stages: []record.Stage{{Name: "pull", Seconds: 1.5}},
		Network: []record.Link{{
			Name: "eth0", MAC: "52:54:00:12:34:56", Driver: "virtio_net", File: "lan", Carrier: true,
			Addresses: []string{"192.0.2.2/24"}, Servers: []string{"DHCP server 192.0.2.1"},
		}},
	}
}

// on returns a run of status on a system that has this record, which is given as its bytes.
func on(t *testing.T, content string, args ...string) (status int, stdout string, err error) {
	t.Helper()
	c, out, _ := tool(t, append([]string{"status"}, args...)...)
	c.root = t.TempDir()
	if content != "" {
		system(t, c.root, map[string]string{strings.TrimPrefix(record.File, "/"): content})
	}
	err = c.run(t.Context())
	return code(err), out.String(), err
}

func text(t *testing.T, r record.Record) string {
	t.Helper()
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// numbered returns an image that differs from those with other numbers.
func numbered(t *testing.T, n string) v1.Image {
	t.Helper()
	return imagetest.Image(t, imagetest.Files(imagetest.File("number", n)))
}

// TestStatusTag has tags that moved, and tags that did not.
func TestStatusTag(t *testing.T) {
	index := func(images ...v1.Image) v1.ImageIndex {
		list := v1.ImageIndex(empty.Index)
		for i, img := range images {
			p := &v1.Platform{OS: "linux", Architecture: []string{string(here), "s390x"}[i]}
			list = mutate.AppendManifests(list, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
		}
		return list
	}
	one, two := numbered(t, "one"), numbered(t, "two")
	digest := func(img v1.Image) string {
		h, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return h.String()
	}
	noHead := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	}
	for _, row := range []struct {
		name   string
		asked  string // what follows the host
		before func(r *imagetest.Registry)
		after  func(r *imagetest.Registry)
		option string
		code   int
		says   string
		asks   bool // of the registry
	}{
		{"nothing happened", "x:1", nil, func(*imagetest.Registry) {}, "", 0, "tag           the same\n", true},
		{"the tag moved", "x:1", nil, func(r *imagetest.Registry) { r.Push(t, "x:1", two) }, "", 10,
			"tag           newer: " + digest(two) + "; a reboot boots it\n", true},
		{"another tag moved", "x:1", nil, func(r *imagetest.Registry) { r.Push(t, "x:2", two) }, "", 0,
			"the same\n", true},
		{"no tag", "x", func(r *imagetest.Registry) { r.Push(t, "x", one) },
			func(r *imagetest.Registry) { r.Push(t, "x:latest", two) }, "", 10, "newer: " + digest(two), true},
		{"a tag that moved and a digest", "x:1@" + digest(one), nil,
			func(r *imagetest.Registry) { r.Push(t, "x:1", two) }, "", 10, "newer: " + digest(two), true},
		{"a tag that did not move and a digest", "x:1@" + digest(one), nil, func(*imagetest.Registry) {}, "", 0,
			"the same\n", true},
		{"a digest alone", "x@" + digest(one), nil, func(r *imagetest.Registry) { r.Push(t, "x:1", two) }, "", 0,
			"the same: the reference is pinned by its digest\n", false},
		{"an index that did not move", "x:1", func(r *imagetest.Registry) { r.Push(t, "x:1", index(one, two)) },
			func(*imagetest.Registry) {}, "", 0, "the same\n", true},
		{"an index that moved for others", "x:1", func(r *imagetest.Registry) { r.Push(t, "x:1", index(one)) },
			func(r *imagetest.Registry) { r.Push(t, "x:1", index(one, two)) }, "", 0,
			"the same: its index is another one, with the same image for this machine\n", true},
		{"an index that moved", "x:1", func(r *imagetest.Registry) { r.Push(t, "x:1", index(one)) },
			func(r *imagetest.Registry) { r.Push(t, "x:1", index(two)) }, "", 10, "newer: " + digest(two), true},
		{"an image became an index with it", "x:1", nil,
			func(r *imagetest.Registry) { r.Push(t, "x:1", index(one)) }, "", 0,
			"the same: its index", true},
		{"the registry does not know HEAD", "x:1", nil, func(r *imagetest.Registry) {
			r.Push(t, "x:1", two)
			r.Fail(imagetest.Fault{Path: imagetest.Manifests, Do: noHead})
		}, "", 10, "newer: " + digest(two), true},
		{"the registry forbids it", "x:1", nil, func(r *imagetest.Registry) {
			r.Fail(imagetest.Fault{Path: imagetest.Manifests, Do: imagetest.Status(403, "")})
		}, "", 1, "unknown: ", true},
		{"the tag is gone", "x:1", nil, func(r *imagetest.Registry) {
			r.Fail(imagetest.Fault{Path: imagetest.Manifests, Do: imagetest.Status(404, "")})
		}, "", 1, "unknown: ", true},
		{"offline", "x:1", nil, func(r *imagetest.Registry) { r.Push(t, "x:1", two) }, "-offline", 0,
			"tag           not asked: -offline\n", false},
	} {
		registry := imagetest.Serve(t)
		registry.Push(t, "x:1", one)
		if row.before != nil {
			row.before(registry)
		}
		asked := registry.Host + "/" + row.asked
		r := booted(t, asked)
		row.after(registry)
		before := len(registry.Requests())
		args := []string{}
		if row.option != "" {
			args = append(args, row.option)
		}
		code, out, err := on(t, text(t, r), args...)
		if code != row.code || !strings.Contains(out, row.says) {
			t.Errorf("%s: status %d, %v, it says\n%s\nwant %d and %q", row.name, code, err, out, row.code, row.says)
		}
		requests := registry.Requests()[before:]
		if asks := len(requests) > 0; asks != row.asks {
			t.Errorf("%s: it asked %q", row.name, requests)
		}
		for _, request := range requests {
			if row.says == "the same\n" && strings.Contains(request, "GET") && strings.Contains(request, "/x/") {
				t.Errorf("%s: it read more than it needs: %q", row.name, requests)
			}
		}
	}
}

// TestStatusUnknown has registries that cannot be asked.
func TestStatusUnknown(t *testing.T) {
	registry := imagetest.Serve(t)
	registry.Push(t, "x:1", numbered(t, "one"))
	r := booted(t, registry.Host+"/x:1")
	dead := r
	dead.Image.Asked = "127.0.0.1:1/x:1"
	local := r
	local.Image.From, local.Image.Asked = "", "oci:/srv/image"
	for name, row := range map[string]struct {
		record record.Record
		says   string
	}{
		"a dead registry": {dead, "tag           unknown: "},
		"a local image":   {local, "tag           unknown: the image came from no registry\n"},
	} {
		code, out, err := on(t, text(t, row.record))
		if code != 1 || !strings.Contains(out, row.says) || err.Error() != "exit status 1" {
			t.Errorf("%s: status %d, %v, it says\n%s\nwant 1 and %q", name, code, err, out, row.says)
		}
	}
}

// TestStatusText compares the whole text.
func TestStatusText(t *testing.T) {
	registry := imagetest.Serve(t)
	asked := registry.Push(t, "x:1", numbered(t, "one"))
	r := booted(t, asked)
	r.Network[0].Problem = "\x1b[2J\nforged: line"
	_, out, _ := on(t, text(t, r), "-offline")
	want := "image         " + asked + "\n" +
		"from          " + registry.Host + "/x\n" +
		"manifest      " + r.Image.Manifest + "\n" +
		"configuration " + r.Image.Config + "\n" +
		"platform      linux/amd64\n" +
		"signed by     (no policy asked)\n" +
		"booted by     wyrboot 3.0\n" +
		"booted at     2001-09-09T01:46:40Z\n" +
		"initrd        88.0 MB (zstd)\n" +
		"root hash     " + strings.Repeat("e", 64) + "\n" +
		"memory        4096 MiB, 2048 MiB free at the end of the boot; the container needs 0 MiB to boot\n" +
		"stage         pull 1.50 s\n" +
		"link          eth0; 52:54:00:12:34:56; driver virtio_net; file lan; address 192.0.2.2/24; " +
		"by DHCP server 192.0.2.1; problem: [2J forged: line\n" +
		"tag           not asked: -offline\n"
	if out != want {
		t.Errorf("status says\n%s\nwant\n%s", out, want)
	}
}

// TestStatusJSON reads the object, as a script does.
func TestStatusJSON(t *testing.T) {
	registry := imagetest.Serve(t)
	asked := registry.Push(t, "x:1", numbered(t, "one"))
	r := booted(t, asked)
	registry.Push(t, "x:1", numbered(t, "two"))
	code, out, _ := on(t, text(t, r), "-json")
	var got struct {
		Record struct {
			Image struct{ Asked, Manifest string }
		}
		Tag struct{ State, Name, Manifest string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if code != 10 || got.Record.Image.Asked != asked || got.Record.Image.Manifest != r.Image.Manifest ||
		got.Tag.State != "newer" || got.Tag.Name != asked || !strings.HasPrefix(got.Tag.Manifest, "sha256:") {
		t.Errorf("status -json = %d, %s", code, out)
	}
}

// TestStatusRecord has systems without a record, and with one that cannot be used.
func TestStatusRecord(t *testing.T) {
	for name, row := range map[string]struct{ content, want string }{
		"none":         {"", "this system has no /run/wyrcan/boot.json: Wyrcan did not boot it"},
		"no record":    {"{}", "cannot use /run/wyrcan/boot.json: it is in form 0"},
		"later":        {`{"form":2}`, "use a wyrcan as new as"},
		"giant":        {strings.Repeat(" ", record.MaxSize+1), "at most 1048576"},
		"something":    {"\x1b[2J", "not the JSON of a record"},
		"a bad digest": {`{"form":1,"image":{"asked":"x","config":"sha256:\u001b[2J"}}`, "is not a digest"},
	} {
		code, out, err := on(t, row.content)
		if code != 1 || out != "" || err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: status %d, %v, it says %q, want 1 and %q", name, code, err, out, row.want)
		}
	}
	if code, _, err := on(t, "{}", "more"); code != 2 {
		t.Errorf("status with an argument = %d, %v", code, err)
	}
}

// TestStatusCancel interrupts status while it waits for the registry.
func TestStatusCancel(t *testing.T) {
	registry := imagetest.Serve(t)
	r := booted(t, registry.Push(t, "x:1", numbered(t, "one")))
	ctx, cancel := context.WithCancel(t.Context())
	registry.Fail(imagetest.Fault{Do: func(_ http.ResponseWriter, req *http.Request, _ http.Handler) {
		cancel()
		<-req.Context().Done()
	}})
	c, out, _ := tool(t, "status")
	c.root = t.TempDir()
	system(t, c.root, map[string]string{strings.TrimPrefix(record.File, "/"): text(t, r)})
	if err := c.run(ctx); err == nil || out.Len() > 0 {
		t.Errorf("status, interrupted = %v, it says %s", err, out)
	}
}

// TestKexecRecord compares the record that kexec leaves with that of wyrboot. It names the signers that were asked for.
func TestKexecRecord(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, as kexec does")
	}
	registry, owner := imagetest.Serve(t), imagetest.NewSigner(t, "P-256")
	ref := noisy(t, registry)
	manifest := booted(t, ref).Image.Manifest
	registry.AttachBundle(t, "noisy", manifest, owner.Bundle(t, manifest, imagetest.SignPredicate, nil))
	key := filepath.Join(t.TempDir(), "owner.pub")
	if err := os.WriteFile(key, owner.Public(t), 0o600); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(owner.Public(t))
	signer := fmt.Sprintf("sha256:%x", sha256.Sum256(block.Bytes))
	for _, row := range []struct {
		args    []string
		want    bool
		signers []string
	}{
		{[]string{"kexec", "-load", ref}, true, nil},
		{[]string{"kexec", "-load", ref, "-key", key}, true, []string{signer}},
		{[]string{"kexec", "-load", ref, "-record=false"}, false, nil},
		{[]string{"kexec", "-load", ref, "-root", "initramfs"}, false, nil},
	} {
		c, _, stderr := tool(t, row.args...)
		withWyrinit(t, c)
		withMemory(t, c, 4096, 2048)
		system(t, c.root, map[string]string{"sys/kernel/kexec_loaded": "0\n", "proc/cmdline": ""})
		kernel := &loading{keep: filepath.Join(t.TempDir(), "initrd")}
		c.kernel = kernel
		if err := c.run(t.Context()); err != nil {
			t.Fatalf("%q = %v, it said %s", row.args, err, stderr)
		}
		b, err := os.ReadFile(kernel.keep)
		if err != nil {
			t.Fatal(err)
		}
		_, behind, found := strings.Cut(string(b), ".wyrcan/record")
		if found != row.want {
			t.Errorf("%q: there is a record: %v, want %v", row.args, found, row.want)
		}
		if !found {
			continue
		}
		r, err := record.Parse([]byte(behind[strings.IndexByte(behind, '{') : strings.LastIndexByte(behind, '}')+1]))
		if want := booted(t, ref).Image; err != nil || r.Image != want || r.By != record.Kexec || len(r.Stages) != 2 ||
			r.Memory.Total != 4096<<20 || r.Initrd.Bytes < 12<<20 || r.Wyrcan == "" {
			t.Errorf("%q: the record is %+v, %v, want image %+v", row.args, r, err, want)
		}
		if !slices.Equal(r.Signers, row.signers) {
			t.Errorf("%q: the record has the signers %q, want %q", row.args, r.Signers, row.signers)
		}
	}
}
