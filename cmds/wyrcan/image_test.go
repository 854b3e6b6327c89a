package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// saved returns a bootable image with two layers as docker saves it.
func saved(t *testing.T, c imagetest.Compression) imagetest.Disk {
	t.Helper()
	return imagetest.Saved(t,
		imagetest.Layer{Entries: bootable(), Compression: c},
		imagetest.Layer{Entries: []imagetest.Entry{imagetest.File("second", strings.Repeat("two", 1000))},
			Compression: c})
}

// succeeds runs the tool and returns what it printed.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	c, stdout, stderr := tool(t, args...)
	withWyrinit(t, c)
	if err := c.run(context.Background()); err != nil {
		t.Errorf("wyrcan %q = %v\n%s%s", args, err, stdout, stderr)
	}
	return stdout.String()
}

// Archives in all usual forms are unpacked.
func TestUnpackArchives(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) string{
		"as docker saves it": func(t *testing.T) string { return saved(t, imagetest.Plain).Tar(t) },
		"without layers in its index": func(t *testing.T) string {
			d := saved(t, imagetest.Plain)
			m := d.Manifest(t)
			m["layers"] = nil
			d.SetManifest(m)
			return d.Tar(t)
		},
		"without an index": func(t *testing.T) string {
			d := saved(t, imagetest.Plain)
			d["index.json"] = []byte(`{"schemaVersion":2,"manifests":null}`)
			return d.Tar(t)
		},
		"compressed": func(t *testing.T) string {
			file := saved(t, imagetest.Plain).Tar(t)
			if out, err := exec.Command("xz", file).CombinedOutput(); err != nil {
				t.Fatalf("xz: %v\n%s", err, out)
			}
			return file + ".xz"
		},
		"by its number": func(t *testing.T) string {
			return "docker-archive:" + saved(t, imagetest.Plain).Tar(t) +
				":@0"
		},
	} {
		dir := filepath.Join(t.TempDir(), "root")
		succeeds(t, "unpack", "-no-owner", make(t), dir)
		if b, err := os.ReadFile(dir + "/second"); err != nil || len(b) != 3000 {
			t.Errorf("%s: second has %d bytes, %v", name, len(b), err)
		}
	}
}

// swapped returns an image whose layers do not match its configuration: they are in the wrong order.
func swapped(t *testing.T, c imagetest.Compression) imagetest.Disk {
	t.Helper()
	d := saved(t, c)
	m := d.Manifest(t)
	l := m["layers"].([]any)
	l[0], l[1] = l[1], l[0]
	d.SetManifest(m)
	delete(d, "manifest.json")
	return d
}

// Layers that do not match the image's configuration are refused by every command, and leave no files.
func TestOtherLayers(t *testing.T) {
	const want = "as the image's configuration says"
	reg := imagetest.Serve(t)
	for _, c := range []imagetest.Compression{imagetest.Gzip, imagetest.Zstd, imagetest.Plain} {
		d := swapped(t, c)
		dir, out := d.Dir(t), t.TempDir()
		for _, args := range [][]string{
			{"unpack", "-no-owner", dir, out + "/root"},
			{"unpack", "-no-owner", reg.PushDisk(t, "other:1", d), out + "/root"},
			{"morph", "-root", "initramfs", d.Tar(t), "-kernel", out + "/kernel", "-initrd", out + "/initrd"},
			{"check", "-root", "initramfs", dir},
			{"push", dir, reg.Host + "/pushed:1"},
		} {
			run, _, _ := tool(t, args...)
			if err := run.run(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: wyrcan %s = %v, want an error with %q", c, args[0], err, want)
			}
			if left := names(t, out); len(left) > 0 {
				t.Errorf("%v: wyrcan %s left %q", c, args[0], left)
			}
		}
		// The registry that run starts for its guest refuses them too.
		to, err := startRegistry()
		if err != nil {
			t.Fatal(err)
		}
		run, _, _ := tool(t)
		if err := to.store(context.Background(), run, dir, v1.Platform{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v: wyrcan run = %v, want an error with %q", c, err, want)
		}
		to.Close()
	}
	for _, line := range reg.Requests() {
		if strings.Contains(line, "/pushed/") && !strings.HasPrefix(line, "GET /v2/pushed/") &&
			!strings.HasPrefix(line, "HEAD ") {
			t.Errorf("push sent something: %s", line)
		}
	}
}

// uname's name of an architecture means the same as Go's and docker's name, in an image and for -arch.
func TestAliasOfArchitecture(t *testing.T) {
	alias := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	if alias == "" {
		t.Skipf("%s has no other name", runtime.GOARCH)
	}
	d := saved(t, imagetest.Gzip)
	for name, content := range d {
		d[name] = bytes.ReplaceAll(content, []byte(`"architecture":"`+runtime.GOARCH+`"`),
			[]byte(`"architecture":"`+alias+`"`))
	}
	m := d.Manifest(t)
	old := imagetest.BlobName(m["config"].(map[string]any)["digest"].(string))
	config := d.Add(d[old])
	config["mediaType"] = "application/vnd.oci.image.config.v1+json"
	m["config"] = config
	d.SetManifest(m)
	var report struct{ Platform string }
	if err := json.Unmarshal([]byte(succeeds(t, "check", "-json", "-root", "initramfs", d.Dir(t))),
		&report); err != nil || report.Platform != "linux/"+runtime.GOARCH {
		t.Errorf("check says %q, %v, want linux/%s", report.Platform, err, runtime.GOARCH)
	}
	for text, want := range map[string]string{
		"x86_64": "amd64", "linux/x86-64": "amd64", "aarch64": "arm64", "armhf": "arm/v7", "armel": "arm/v6",
		"arm/7": "arm/v7", "i386": "386", "amd64/v3": "amd64/v3", "arm64/8": "arm64/v8", "AMD64": "amd64",
		"riscv64": "riscv64",
	} {
		var a arch
		if err := a.Set(text); err != nil || string(a) != want {
			t.Errorf("-arch %s is %s, %v, want %s", text, a, err, want)
		}
	}
	if new(arch).Set("linux/") == nil {
		t.Error("-arch linux/ is accepted")
	}
}

// The host tool reads layer compressions that the boot environment cannot read, and check reports that.
func TestForeignCompression(t *testing.T) {
	d := saved(t, imagetest.Plain)
	delete(d, "manifest.json")
	m := d.Manifest(t)
	l := m["layers"].([]any)[1].(map[string]any)
	xz := exec.Command("xz", "-c")
	xz.Stdin = bytes.NewReader(d[imagetest.BlobName(l["digest"].(string))])
	packed, err := xz.Output()
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range d.Add(packed) {
		l[k] = v
	}
	d.SetManifest(m)
	root := filepath.Join(t.TempDir(), "root")
	succeeds(t, "unpack", "-no-owner", d.Dir(t), root)
	if b, err := os.ReadFile(root + "/second"); err != nil || len(b) != 3000 {
		t.Errorf("second has %d bytes, %v", len(b), err)
	}
	c, stdout, _ := tool(t, "check", "-root", "initramfs", d.Dir(t))
	if err := c.run(context.Background()); err == nil ||
		!strings.Contains(stdout.String(), "is compressed with xz, which Wyrcan does not read when it boots") {
		t.Errorf("check = %v, %s, want it to say that xz is not read", err, stdout)
	}
}

// umoci, the OCI project's unpacker, accepts and refuses the same images. The exception: it accepts digests of layers
// that do not exist, which docker and containerd refuse.
func TestUmociAgrees(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files their owners")
	}
	setIDs := func(d imagetest.Disk, ids func([]any) []any) {
		m := d.Manifest(t)
		var config map[string]any
		if err := json.Unmarshal(d[imagetest.BlobName(m["config"].(map[string]any)["digest"].(string))],
			&config); err != nil {
			t.Fatal(err)
		}
		rootfs := config["rootfs"].(map[string]any)
		rootfs["diff_ids"] = ids(rootfs["diff_ids"].([]any))
		desc := d.AddJSON(config)
		desc["mediaType"] = "application/vnd.oci.image.config.v1+json"
		m["config"] = desc
		d.SetManifest(m)
	}
	for name, spoil := range map[string]func(imagetest.Disk){
		"right":            func(imagetest.Disk) {},
		"too few digests":  func(d imagetest.Disk) { setIDs(d, func(ids []any) []any { return ids[:1] }) },
		"too many digests": func(d imagetest.Disk) { setIDs(d, func(ids []any) []any { return append(ids, ids[0]) }) },
		"no digests":       func(d imagetest.Disk) { setIDs(d, func([]any) []any { return nil }) },
		"swapped digests": func(d imagetest.Disk) {
			setIDs(d,
				func(ids []any) []any { return []any{ids[1], ids[0]} })
		},
		"a repeated digest": func(d imagetest.Disk) {
			setIDs(d,
				func(ids []any) []any { return []any{ids[1], ids[1]} })
		},
		"no layers": func(d imagetest.Disk) {
			m := d.Manifest(t)
			m["layers"] = []any{}
			d.SetManifest(m)
		},
	} {
		d := saved(t, imagetest.Gzip)
		delete(d, "manifest.json")
		spoil(d)
		dir, out := d.Dir(t), t.TempDir()
		said, umoci := exec.Command("umoci", "unpack", "--image", dir+":1", out+"/bundle").CombinedOutput()
		c, _, _ := tool(t, "unpack", dir, out+"/root")
		if err := c.run(context.Background()); (err == nil) != (name == "right") || (err == nil) != (umoci == nil) &&
			name != "no layers" && name != "too many digests" {
			t.Errorf("%s: wyrcan unpack = %v, umoci %v\n%s", name, err, umoci, said)
		}
	}
}
