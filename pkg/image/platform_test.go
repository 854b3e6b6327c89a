package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64":      "linux/amd64",
		"Linux/x86_64":     "linux/amd64",
		"linux/x86-64":     "linux/amd64",
		"linux/X86_64/V3":  "linux/amd64/v3",
		"linux/AMD64":      "linux/amd64",
		"linux/aarch64":    "linux/arm64",
		"linux/aarch64/8":  "linux/arm64/v8",
		"linux/arm64/v8.0": "linux/arm64/v8",
		"linux/arm64/9":    "linux/arm64/v9",
		"linux/arm64/v9.0": "linux/arm64/v9",
		"linux/arm/7":      "linux/arm/v7",
		"linux/arm/6":      "linux/arm/v6",
		"linux/arm/5":      "linux/arm/v5",
		"linux/armhf":      "linux/arm/v7",
		"linux/armel":      "linux/arm/v6",
		"linux/i386":       "linux/386",
		"linux/riscv64":    "linux/riscv64",
		"/":                "/",
	} {
		part := strings.SplitN(in+"//", "/", 4)
		if got := platformText(Normalize(v1.Platform{OS: part[0], Architecture: part[1], Variant: part[2]})); got != want {
			t.Errorf("Normalize(%s) = %s, want %s", in, got, want)
		}
	}
}

// setConfig replaces the configuration of a saved image by one for that platform.
func setConfig(t *testing.T, d imagetest.Disk, os, arch, variant string) {
	t.Helper()
	m := d.Manifest(t)
	var old struct{ RootFS json.RawMessage }
	was := imagetest.BlobName(m["config"].(map[string]any)["digest"].(string))
	if err := json.Unmarshal(d[was], &old); err != nil {
		t.Fatal(err)
	}
	config := d.AddJSON(map[string]any{"os": os, "architecture": arch, "variant": variant, "rootfs": old.RootFS})
	name := imagetest.BlobName(config["digest"].(string))
	config["mediaType"] = "application/vnd.oci.image.config.v1+json"
	m["config"] = config
	d.SetManifest(m)
	d["manifest.json"] = bytes.ReplaceAll(d["manifest.json"], []byte(was), []byte(name))
}

// The names of uname and Debian for an architecture work in configurations, in indexes, and in Source.Platform.
func TestPlatformAliases(t *testing.T) {
	t.Parallel()
	layers, archives := twoLayers(t)
	for _, row := range []struct {
		os, arch, variant string // of the image
		want              v1.Platform
		ok                bool
	}{
		{"linux", "x86_64", "", v1.Platform{OS: "linux", Architecture: "amd64"}, true},
		{"linux", "x86-64", "", v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}, true},
		{"Linux", "AMD64", "v1", v1.Platform{OS: "linux", Architecture: "x86_64"}, true},
		{"linux", "aarch64", "8", v1.Platform{OS: "linux", Architecture: "arm64"}, true},
		{"linux", "arm64", "v8.0", v1.Platform{OS: "linux", Architecture: "aarch64"}, true},
		{"linux", "armhf", "", v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, true},
		{"linux", "armel", "", v1.Platform{OS: "linux", Architecture: "arm", Variant: "7"}, true},
		{"linux", "armhf", "", v1.Platform{OS: "linux", Architecture: "armel"}, false},
		{"linux", "i386", "", v1.Platform{OS: "linux", Architecture: "386"}, true},
		{"linux", "x86_64", "", v1.Platform{OS: "linux", Architecture: "arm64"}, false},
		{"linux", "x86_64", "v3", v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v2"}, false},
	} {
		s := here(t)
		s.Platform = row.want
		name := fmt.Sprintf("%s/%s/%s for %s", row.os, row.arch, row.variant, platformText(row.want))

		d := imagetest.Saved(t, layers...)
		setConfig(t, d, row.os, row.arch, row.variant)
		for _, table := range []string{"index.json", "manifest.json"} {
			one := imagetest.Disk{}
			for k, v := range d {
				if k != table {
					one[k] = v
				}
			}
			if err := holds(t, s, one.Tar(t), archives); (err == nil) != row.ok {
				t.Errorf("%s, without %s: Open = %v", name, table, err)
			}
		}

		// In the index, which takes precedence over the configuration.
		d = imagetest.Saved(t, layers...)
		setConfig(t, d, "linux", "s390x", "")
		delete(d, "manifest.json")
		d["index.json"] = bytes.Replace(d["index.json"], []byte(`{"annotations"`),
			fmt.Appendf(nil, `{"platform":{"os":%q,"architecture":%q,"variant":%q},"annotations"`, row.os, row.arch,
				row.variant), 1)
		if err := holds(t, s, d.Dir(t), archives); (err == nil) != row.ok {
			t.Errorf("%s, in the index: Open = %v", name, err)
		}
	}
}

// Image.Platform has the names of Go and docker.
func TestPlatformShown(t *testing.T) {
	layers, _ := twoLayers(t)
	d := imagetest.Saved(t, layers...)
	setConfig(t, d, "linux", "x86_64", "")
	s := here(t)
	s.Platform = amd64
	img, err := s.Open(context.Background(), d.Dir(t))
	if err != nil || img.Platform.Architecture != "amd64" {
		t.Errorf("Open = %+v, %v, want one for amd64", img, err)
	}
}

// An image in an archive is named as by skopeo: by a name with a tag, or by a number.
func TestReferences(t *testing.T) {
	plain, archives := twoLayers(t)
	d := imagetest.Saved(t, plain[0])
	other := imagetest.Saved(t, plain[1])
	var rows, entries []any
	for i, disk := range []imagetest.Disk{d, other} {
		var list []map[string]any
		if err := json.Unmarshal(disk["manifest.json"], &list); err != nil {
			t.Fatal(err)
		}
		list[0]["RepoTags"] = []string{fmt.Sprintf("registry.example:5000/a/b:%d", i)}
		var index struct{ Manifests []map[string]any }
		if err := json.Unmarshal(disk["index.json"], &index); err != nil {
			t.Fatal(err)
		}
		index.Manifests[0]["annotations"] = map[string]string{containerdName: fmt.Sprintf("registry.example:5000/a/b:%d",
			i), refName: fmt.Sprint(i)}
		rows, entries = append(rows, list[0]), append(entries, index.Manifests[0])
		for name, content := range disk {
			if strings.HasPrefix(name, "blobs/") {
				d[name] = content
			}
		}
	}
	d.SetJSON("manifest.json", rows)
	d.SetJSON("index.json", map[string]any{"schemaVersion": 2, "manifests": entries})
	file, dir := d.Tar(t), d.Dir(t)
	for _, row := range []struct {
		name string
		want int // -1: refused
		text string
	}{
		{"docker-archive:" + file + ":@0", 0, ""},
		{"docker-archive:" + file + ":@1", 1, ""},
		{"docker-archive:" + file + ":registry.example:5000/a/b:1", 1, ""},
		{"oci-archive:" + file + ":@1", 1, ""},
		{"oci-archive:" + file + ":1", 1, ""},
		{"oci-archive:" + file + ":registry.example:5000/a/b:1", 1, ""},
		{"oci:" + dir + ":@0", 0, ""},
		{"docker-archive:" + file + ":@2", -1, "no image @2 in it, which has 2"},
		{"docker-archive:" + file + ":@-1", -1, "no image @-1 in it"},
		{"docker-archive:" + file + ":@x", -1, "no image @x in it"},
		{"oci:" + dir + ":@", -1, "no image @ in it"},
		{"docker-archive:" + file, -1, "name one of"},
		{"docker-archive:" + file + ":registry.example:5000/a/b:3", -1, "only"},
	} {
		want := archives[:1]
		if row.want == 1 {
			want = archives[1:]
		}
		err := holds(t, here(t), row.name, want)
		if (err == nil) != (row.want >= 0) || err != nil && !strings.Contains(err.Error(), row.text) {
			t.Errorf("Open(%q) = %v, want %q", strings.ReplaceAll(row.name, filepath.Dir(file), ""), err, row.text)
		}
	}
	// For images without names the error lists the numbers.
	d["manifest.json"] = bytes.ReplaceAll(bytes.ReplaceAll(d["manifest.json"],
		[]byte(`["registry.example:5000/a/b:0"]`), []byte("null")), []byte(`["registry.example:5000/a/b:1"]`), []byte("null"))
	delete(d, "index.json")
	file = d.Tar(t)
	if _, err := here(t).Open(context.Background(), file); err == nil || !strings.Contains(err.Error(), "@0 to @1") {
		t.Errorf("Open = %v, want the numbers to choose from", err)
	}
	if err := holds(t, here(t), "docker-archive:"+file+":@1", archives[1:]); err != nil {
		t.Error(err)
	}
}

// skopeo reads and writes archives with the same numbers.
func TestSkopeoSourceIndex(t *testing.T) {
	layers, archives := twoLayers(t)
	d := imagetest.Saved(t, layers...)
	delete(d, "index.json")
	d["manifest.json"] = bytes.ReplaceAll(d["manifest.json"], []byte(`["registry.example/x:1"]`), []byte("null"))
	file := d.Tar(t)
	out := filepath.Join(t.TempDir(), "out.tar")
	skopeo(t, "copy", "docker-archive:"+file+":@0", "docker-archive:"+out)
	if _, err := os.Stat(out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docker-archive:" + file + ":@0", "docker-archive:" + out + ":@0", out} {
		if err := holds(t, here(t), name, archives); err != nil {
			t.Error(err)
		}
	}
}
