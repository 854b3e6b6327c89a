package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// demoFiles writes the files from which the demo container is made.
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

// decompressed returns img with uncompressed layers of the given media type.
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

// The embedded registry serves the same content that was stored, for the demo container and for images on disk.
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

	reg, err := startRegistry()
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
		t.Errorf("without a terminal it printed %q", stderr)
	}
	// Close removes the registry's files.
	reg.Close()
	if _, err := os.Stat(reg.dir); !os.IsNotExist(err) {
		t.Errorf("the registry's directory: %v", err)
	}
	// push sends the image to another registry.
	to := imagetest.Serve(t)
	c, stdout, _ := tool(t, "push", dir, to.Host+"/some/where:1")
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Resolve(context.Background(), strings.TrimSpace(stdout.String())); err != nil {
		t.Errorf("what push printed: %v", err)
	}
}

// The registry for a guest serves its one image to every client on this machine, and accepts no uploads.
func TestServeOnly(t *testing.T) {
	kernel, init := demoFiles(t)
	demo, err := demoImage(kernel, init, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	reg, err := startRegistry()
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
		response, b := nettest.Ask(t, method, "http://127.0.0.1:"+reg.port+path, content, header...)
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
	// An interrupted download can be resumed.
	raw, err := demo.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if code, b := ask("GET", "/v2/image/blobs/"+config.String(), "", "Range", "bytes=5-"); code != 206 ||
		b != string(raw[5:]) {
		t.Errorf("the rest of a blob: %d, %q", code, b)
	}
}
