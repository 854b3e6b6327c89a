package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/compression/foreign"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// shell runs a command in a directory.
func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// Open reads compressed archives, and archives of docker with compressed layers, in every supported format.
func TestCompressedArchive(t *testing.T) {
	t.Parallel()
	layers, archives := twoLayers(t)
	for _, program := range []string{"gzip", "zstd", "xz", "bzip2"} {
		// The archive is compressed.
		d := imagetest.Saved(t, layers...)
		file := d.Tar(t)
		shell(t, filepath.Dir(file), program+" -c image.tar > packed")
		packed := filepath.Join(filepath.Dir(file), "packed")
		s := here(t)
		s.Formats = foreign.Formats()
		for _, name := range []string{packed, "oci-archive:" + packed, "docker-archive:" + packed + ":registry.example/x:1"} {
			if err := holds(t, s, name, archives); err != nil {
				t.Errorf("%s: %v", program, err)
			}
		}
		whole, err := os.ReadFile(packed)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(packed, whole[:len(whole)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := holds(t, s, packed, archives); err == nil || !strings.Contains(err.Error(), "cannot decompress it: as ") {
			t.Errorf("%s, cut off: Open = %v, want an error of the decompressor", program, err)
		}

		// The layers in it are compressed.
		d = imagetest.Saved(t, layers...)
		delete(d, "index.json")
		for i, l := range layers {
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/layer", archives[i], 0o600); err != nil {
				t.Fatal(err)
			}
			shell(t, dir, program+" -c layer > packed")
			if whole, err = os.ReadFile(dir + "/packed"); err != nil {
				t.Fatal(err)
			}
			stored, _ := l.Blob(t).Digests()
			d[imagetest.BlobName(stored)] = whole
		}
		if err := holds(t, s, d.Tar(t), archives); err != nil {
			t.Errorf("layers by %s: %v", program, err)
		}
		// The wrong layer, compressed correctly.
		stored, _ := layers[0].Blob(t).Digests()
		other, _ := layers[1].Blob(t).Digests()
		d[imagetest.BlobName(stored)] = d[imagetest.BlobName(other)]
		if err := holds(t, s, d.Tar(t), archives); err == nil || !strings.Contains(err.Error(), "its bytes are wrong") {
			t.Errorf("another layer by %s: %v, want an error about its digest", program, err)
		}
	}
}

// The error for an unsupported compression format names the format.
func TestUnknownCompression(t *testing.T) {
	layers, archives := twoLayers(t)
	d := imagetest.Saved(t, layers...)
	delete(d, "index.json")
	stored, _ := layers[0].Blob(t).Digests()
	d[imagetest.BlobName(stored)] = []byte("\x04\x22\x4d\x18 and so on")
	if err := holds(t, here(t), d.Tar(t), archives); err == nil ||
		!strings.Contains(err.Error(), "is compressed with lz4") || !strings.Contains(err.Error(), "layer 1") {
		t.Errorf("Open of a layer in lz4 = %v, want it refused by name", err)
	}
	file := filepath.Join(t.TempDir(), "x.tar.lz")
	if err := os.WriteFile(file, []byte("LZIP\x01 and so on"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := holds(t, here(t), file, archives); err == nil || !strings.Contains(err.Error(), "is compressed with lzip") {
		t.Errorf("Open of an archive in lzip = %v, want it refused by name", err)
	}
}

// Open refuses a compressed file that is no archive, without writing its content to the disk.
func TestCompressedFileIsNoArchive(t *testing.T) {
	for name, content := range map[string][]byte{"zeros": make([]byte, 1<<20),
		"a text": bytes.Repeat([]byte("no archive "), 100_000), "nothing": nil} {
		dir := t.TempDir()
		t.Setenv("TMPDIR", filepath.Join(dir, "absent")) // a write there would fail
		if err := os.WriteFile(dir+"/x", content, 0o600); err != nil {
			t.Fatal(err)
		}
		shell(t, dir, "gzip x")
		if _, err := here(t).Open(context.Background(), dir+"/x.gz"); err == nil ||
			!strings.Contains(err.Error(), "compressed with gzip, is no archive") {
			t.Errorf("Open of %s = %v, want an error that it is no archive", name, err)
		}
	}
}

// Open does not fill the disk with a decompressed archive, and leaves no file behind.
func TestDecompressedArchiveIsRemoved(t *testing.T) {
	layers, archives := twoLayers(t)
	file := imagetest.Saved(t, layers...).Tar(t)
	shell(t, filepath.Dir(file), "gzip image.tar")
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	if err := holds(t, here(t), file+".gz", archives); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	d := imagetest.Saved(t, layers...)
	d["zeros"] = make([]byte, 1<<20)
	file = filepath.Join(filepath.Dir(d.Tar(t)), "image.tar")
	shell(t, filepath.Dir(file), "gzip image.tar")
	if err := holds(t, here(t), file+".gz", archives); err == nil || !strings.Contains(err.Error(), "TMPDIR") ||
		Heals(err) {
		t.Errorf("Open without room = %v, want a permanent error that says what to do", err)
	}
}

// holed returns a layer with a file that is mostly zeros, which archivers store as sparse.
func holed(t *testing.T) (imagetest.Layer, []byte) {
	t.Helper()
	content := make([]byte, 3<<20)
	copy(content, "begin")
	copy(content[1<<20:], "middle")
	copy(content[len(content)-3:], "end")
	l := imagetest.Layer{Entries: []imagetest.Entry{imagetest.File("holed", string(content))},
		Compression: imagetest.Plain}
	archive, err := l.Archive()
	if err != nil {
		t.Fatal(err)
	}
	return l, archive
}

// Open reads sparse members in each format that archivers write.
func TestSparseMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	layer, archive := holed(t)
	plain, plains := twoLayers(t)
	layers := []imagetest.Layer{plain[0], layer, plain[1]}
	archives := [][]byte{plains[0], archive, plains[1]}
	for _, script := range []string{
		"tar -S --format=gnu -cf ../x.tar *",
		"tar -S --format=posix --sparse-version=0.0 -cf ../x.tar *",
		"tar -S --format=posix --sparse-version=0.1 -cf ../x.tar *",
		"tar -S --format=posix --sparse-version=1.0 -cf ../x.tar *",
		"tar -S --format=posix -cf ../x.tar .",
		"tar -S --format=gnu -czf ../x.tar *",
		"bsdtar -cf ../x.tar *",
		"bsdtar --format=pax -cf ../x.tar .",
	} {
		for _, table := range []string{"index.json", "manifest.json"} { // the table that stays
			d := imagetest.Saved(t, layers...)
			for _, other := range []string{"index.json", "manifest.json"} {
				if other != table {
					delete(d, other)
				}
			}
			dir := d.Dir(t)
			shell(t, dir, `find . -type f -exec sh -c 'cp --sparse=always "$1" "$1.holed"; mv "$1.holed" "$1"' - {} \;`)
			shell(t, dir, script)
			file := filepath.Join(filepath.Dir(dir), "x.tar")
			if info, err := os.Stat(file); err != nil || info.Size() > 1<<20 {
				t.Fatalf("%s leaves no holes out: %v, %v", script, info, err)
			}
			if err := holds(t, here(t), file, archives); err != nil {
				t.Errorf("%s, by its %s: %v", script, table, err)
			}
		}
	}
}

// Open refuses a sparse document and a sparse layer with a hole of a terabyte.
func TestSparseBomb(t *testing.T) {
	hole := func(name string) []byte {
		t.Helper()
		l := imagetest.Layer{Entries: []imagetest.Entry{imagetest.PAXSparse(name, "x", 0, 1<<40)}, NoTrailer: true}
		b, err := l.Archive()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	for _, row := range []struct{ name, want string }{
		{"index.json", "more than the"},
		{"manifest.json", "more than the"},
	} {
		if err := os.WriteFile(file, append(hole(row.name), make([]byte, 1024)...), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := here(t).Open(context.Background(), file); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("a hole in %s: Open = %v, want an error with %q", row.name, err, row.want)
		}
	}
	layers, _ := twoLayers(t)
	stored, _ := layers[1].Blob(t).Digests()
	d := imagetest.Saved(t, layers...)
	delete(d, imagetest.BlobName(stored))
	delete(d, "manifest.json")
	rest, err := os.ReadFile(d.Tar(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(hole(imagetest.BlobName(stored)), rest...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := here(t).Open(context.Background(), file); err == nil ||
		!strings.Contains(err.Error(), "1099511627776 bytes where the manifest says") {
		t.Errorf("a hole in a layer: Open = %v, want an error about its size", err)
	}
}

// Open limits how many members it skips on its way to sparse ones, and how many images of docker's table it looks at.
func TestLocalBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	layers, _ := twoLayers(t)
	d := imagetest.Saved(t, layers...)
	delete(d, "index.json")
	var table []map[string]any
	if err := json.Unmarshal(d["manifest.json"], &table); err != nil {
		t.Fatal(err)
	}
	list := make([]any, 5000)
	for i := range list {
		list[i] = "sparse"
	}
	table[0]["Layers"] = list
	d.SetJSON("manifest.json", table)
	setConfigLayers(t, d, len(list))
	for i := range 1000 {
		d[fmt.Sprint("a", i)] = nil // before the sparse member
	}
	file := d.Tar(t)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	hole, err := imagetest.Layer{Entries: []imagetest.Entry{imagetest.PAXSparse("sparse", "x", 0, 1<<20)}}.Archive()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(b[:len(b)-1024], hole...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := here(t).Open(context.Background(), file); err == nil ||
		!strings.Contains(err.Error(), "holes were left out") {
		t.Errorf("Open = %v, want an error about the holes", err)
	}

	d = imagetest.Saved(t, layers...)
	setConfig(t, d, "linux", "s390x", "")
	delete(d, "index.json")
	d["manifest.json"] = []byte("[" + strings.Repeat(strings.Trim(string(d["manifest.json"]), "[]")+",", 100) +
		strings.Trim(string(d["manifest.json"]), "[]") + "]")
	_ = json.Unmarshal(d["manifest.json"], &table)
	if _, err := here(t).Open(context.Background(), d.Tar(t)); len(table) != 101 || err == nil ||
		!strings.Contains(err.Error(), "more than 64 images of one name") {
		t.Errorf("Open of %d images = %v, want an error about their number", len(table), err)
	}
}

// setConfigLayers replaces the configuration of a saved image by one with n layers.
func setConfigLayers(t *testing.T, d imagetest.Disk, n int) {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = "sha256:" + strings.Repeat("0", 64)
	}
	config := d.AddJSON(map[string]any{"os": "linux", "architecture": runtime.GOARCH,
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
	var table []map[string]any
	if err := json.Unmarshal(d["manifest.json"], &table); err != nil {
		t.Fatal(err)
	}
	table[0]["Config"] = imagetest.BlobName(config["digest"].(string))
	d.SetJSON("manifest.json", table)
}

// If a member is needed and is not a regular file, Open refuses it and says what it is. Other such members do no harm.
func TestMemberTypes(t *testing.T) {
	t.Parallel()
	layers, archives := twoLayers(t)
	stored, _ := layers[1].Blob(t).Digests()
	for kind, want := range map[byte]string{
		tar.TypeDir: "a directory", tar.TypeFifo: "a pipe", tar.TypeChar: "a device", tar.TypeBlock: "a device",
		'M': "the unknown tar type 'M'",
	} {
		d := imagetest.Saved(t, layers...)
		if err := holds(t, here(t), d.Tar(t, tar.Header{Name: "elsewhere", Typeflag: kind}), archives); err != nil {
			t.Errorf("type %q elsewhere: %v", kind, err)
		}
		for _, name := range []string{imagetest.BlobName(stored), "index.json"} {
			d := imagetest.Saved(t, layers...)
			delete(d, "manifest.json")
			if err := holds(t, here(t), d.Tar(t, tar.Header{Name: name, Typeflag: kind}), archives); err == nil ||
				!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s of type %q: Open = %v, want it refused as %s", name, kind, err, want)
			}
		}
	}
	// Links may point to files in the archive only.
	for target, ok := range map[string]bool{"../../real": true, "/etc/passwd": false, "../../../../../../real": true,
		imagetest.BlobName(stored): false} {
		for _, kind := range []byte{tar.TypeSymlink, tar.TypeLink} {
			link := target
			if kind == tar.TypeLink {
				link = strings.TrimLeft(target, "./")
			}
			d := imagetest.Saved(t, layers...)
			delete(d, "manifest.json")
			d["real"] = archives[1]
			if err := holds(t, here(t), d.Tar(t, tar.Header{Name: imagetest.BlobName(stored), Typeflag: kind,
				Linkname: link}), archives); (err == nil) != ok {
				t.Errorf("link of type %q to %q: Open = %v", kind, link, err)
			}
		}
	}
}

// Open does not read a file that is not regular: that could block, never end, or change the file.
func TestRegularFilesOnly(t *testing.T) {
	t.Parallel()
	layers, archives := twoLayers(t)
	stored, _ := layers[1].Blob(t).Digests()
	whole := imagetest.Saved(t, layers...)
	config := imagetest.BlobName(whole.Manifest(t)["config"].(map[string]any)["digest"].(string))
	replace := map[string]func(file string) error{
		"a pipe":      func(file string) error { return syscall.Mkfifo(file, 0o600) },
		"a device":    func(file string) error { return os.Symlink("/dev/zero", file) },
		"a directory": func(file string) error { return os.Mkdir(file, 0o700) },
	}
	within := func(name, open, want string) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- holds(t, here(t), open, archives) }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), want) || Heals(err) {
				t.Errorf("%s: Open(%q) = %v, want it refused as %s", name, open, err, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: Open(%q) hangs", name, open)
		}
	}
	for want, make := range replace {
		for _, name := range []string{"index.json", imagetest.BlobName(stored), config} {
			d := imagetest.Saved(t, layers...)
			delete(d, "manifest.json")
			dir := d.Dir(t)
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := make(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			within(name, "oci:"+dir, want)
			within(name, dir, want)
		}
		// The same for docker's table, which is tried after OCI's.
		d := imagetest.Saved(t, layers...)
		d["index.json"] = []byte("{}")
		dir := d.Dir(t)
		if err := os.Remove(filepath.Join(dir, "manifest.json")); err != nil {
			t.Fatal(err)
		}
		if err := make(filepath.Join(dir, "manifest.json")); err != nil {
			t.Fatal(err)
		}
		within("manifest.json", "oci:"+dir, want)

		file := filepath.Join(t.TempDir(), "archive")
		if err := make(file); err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{"oci-archive:", "docker-archive:"} {
			within("archive", form+file, want)
		}
		within("archive", file, "neither an archive nor a layout")
	}
	// Documents that are too large.
	for _, name := range []string{"index.json", config} {
		d := imagetest.Saved(t, layers...)
		delete(d, "manifest.json")
		dir := d.Dir(t)
		if err := os.Truncate(filepath.Join(dir, name), 1<<40); err != nil {
			t.Fatal(err)
		}
		_, err := here(t).Open(context.Background(), dir)
		if err == nil || Heals(err) {
			t.Errorf("%s of a terabyte: Open = %v, want an error", name, err)
		}
	}
}

// Open refuses an archive with too many bytes of names.
func TestArchiveLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	long := strings.Repeat("n", 900<<10)
	for i := range 80 {
		if err := tw.WriteHeader(&tar.Header{Name: fmt.Sprint(i, long), Format: tar.FormatPAX}); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := here(t).Open(context.Background(), file); err == nil ||
		!strings.Contains(err.Error(), "names of more than") {
		t.Errorf("Open = %v, want an error about the names", err)
	}
}
