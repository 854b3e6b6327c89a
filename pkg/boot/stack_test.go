package boot

import (
	"math/rand/v2"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// named returns an image that the registry has under a name.
func (w *world) named(name string, layers ...imagetest.Layer) Part {
	w.t.Helper()
	source := &image.Source{Insecure: func(string) bool { return true }}
	ref := w.registry.Push(w.t, name, imagetest.Image(w.t, layers...))
	img, err := source.Resolve(w.t.Context(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return Part{Image: img, Asked: ref}
}

// three returns a stack: an image with no kernel and with its init elsewhere than Wyrcan's have it, one that brings its
// kernel, and two overlays.
func (w *world) three() Stack {
	return Stack{
		Kernel: w.named("kernel", imagetest.Files(
			imagetest.File("boot/vmlinuz-"+version, string(imagetest.BzImage(version))),
			imagetest.File("lib/modules/"+version+"/a.ko", "a driver"))),
		Image: w.named("image", imagetest.Files(imagetest.Dir("usr/lib"), imagetest.Symlink("lib", "usr/lib"),
			imagetest.File("sbin/init", "#!/sbin/init\n").Mode(0o755), imagetest.File("etc/motd", "of the image"),
			imagetest.File("etc/gone", "of no use"))),
		Overlays: []Part{
			w.named("first", imagetest.Files(imagetest.File("etc/motd", "of the first"), imagetest.Whiteout("etc/gone"))),
			w.named("second", imagetest.Files(imagetest.File("etc/motd", "of the second"))),
		},
	}
}

// TestStack boots several images as one.
func TestStack(t *testing.T) {
	w := newWorld(t, bundle.Budget{Copies: 1})
	s := w.three()
	w.Record = func() record.Record {
		var r record.Record
		s.Describe(&r)
		return r
	}
	own := imagetest.Files(imagetest.File("own", "this machine's own layer")).Blob(t)
	tree, err := w.ReadStack(t.Context(), s, own)
	if err != nil {
		t.Fatal(err)
	}
	made, err := w.Convert(t.Context(), tree, bundle.Options{Wyrinit: []byte("wyrinit")})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Boot.Load(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	if w.kernel != string(imagetest.BzImage(version)) {
		t.Errorf("a kernel of %d bytes was loaded", len(w.kernel))
	}
	for want, there := range map[string]bool{
		"usr/lib/modules/" + version + "/a.ko": true, "a driver": true, "of the second": true, "of the first": false,
		"of the image": false, "of no use": false, "this machine's own layer": true, "etc/gone": false,
		s.Kernel.Image.Digest.String(): true, s.Image.Image.Digest.String(): true,
		s.Overlays[0].Image.Digest.String(): true, s.Overlays[1].Asked: true, "vmlinuz": false,
	} {
		if strings.Contains(w.initrd, want) != there {
			t.Errorf("%q is in the initrd: %v, want %v", want, !there, there)
		}
	}
	const want = "chosen: kernel /boot/vmlinuz-" + version + " (the only one with its modules), because there is no " +
		"/boot/wyrcan.kernel; init /sbin/init, because there is no /init"
	if said := strings.Join(w.said, "\n"); said != want {
		t.Errorf("said %q, want %q", said, want)
	}
}

// TestStackMemory compares the memory with the sizes of all images before a layer of any is read.
func TestStackMemory(t *testing.T) {
	for _, part := range []string{"kernel", "overlay"} {
		w := newWorld(t, bundle.Budget{Copies: 1, Remedy: "use a smaller image or add memory"})
		noise := make([]byte, 20<<20)
		rand.NewChaCha8([32]byte{}).Read(noise)
		large := imagetest.Files(imagetest.File("noise", string(noise)))
		large.Compression = imagetest.Plain
		s := w.three()
		if part == "kernel" {
			s.Kernel = w.named("large", large)
		} else {
			s.Overlays[1] = w.named("large", large)
		}
		w.available.Store(60 << 20)
		const want = "too little memory: to hold the image's layers takes 69 MiB and this machine has 60 MiB free"
		if _, err := w.ReadStack(t.Context(), s); !short(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("with a large %s: ReadStack = %v, want %q", part, err, want)
		}
		for _, r := range w.registry.Requests() {
			if isLayer(s, r) {
				t.Errorf("with a large %s: %s was asked for", part, r)
			}
		}
	}
}

// isLayer reports whether a request is for a layer of the stack.
func isLayer(s Stack, request string) bool {
	for _, l := range s.Layers() {
		if strings.Contains(request, l.Digest.String()) {
			return true
		}
	}
	return false
}

// TestStackPolicies asks all policies about each image, and has the keys of all in the record.
func TestStackPolicies(t *testing.T) {
	w := newWorld(t, bundle.Budget{Copies: 1})
	owner := imagetest.NewSigner(t, "P-256")
	p, err := policy.ForKeys("of the test", owner.Public(t))
	if err != nil {
		t.Fatal(err)
	}
	w.Policies = policy.Policies{p}
	s := w.three()
	for _, part := range []struct {
		name, called string
		Part
	}{
		{"kernel", "the kernel image ", s.Kernel}, {"image", "", s.Image},
		{"first", "the overlay ", s.Overlays[0]}, {"second", "the overlay ", s.Overlays[1]},
	} {
		_, err := w.ReadStack(t.Context(), s)
		if !policy.Refused(err) || part.called != "" && !strings.HasPrefix(err.Error(), part.called+part.Image.Name+": ") {
			t.Errorf("before %s was signed: ReadStack = %v", part.name, err)
		}
		digest := part.Image.Digest.String()
		w.registry.AttachBundle(t, part.name, digest, owner.Bundle(t, digest, imagetest.SignPredicate, nil))
	}
	for _, r := range w.registry.Requests() {
		if isLayer(s, r) {
			t.Errorf("%s was asked for before all images were accepted", r)
		}
	}
	tree, err := w.ReadStack(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	tree.Close()
	if len(w.signers) != 1 {
		t.Errorf("the record has the signers %q, want one", w.signers)
	}
}

// TestTooManyOverlays refuses more than anybody needs.
func TestTooManyOverlays(t *testing.T) {
	w := newWorld(t, bundle.Budget{Copies: 1})
	s := w.three()
	for len(s.Overlays) <= MaxOverlays {
		s.Overlays = append(s.Overlays, s.Overlays[0])
	}
	if _, err := w.ReadStack(t.Context(), s); err == nil || !strings.Contains(err.Error(), "there are 33 overlays") {
		t.Errorf("ReadStack = %v", err)
	}
}
