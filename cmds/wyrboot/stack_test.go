package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestResolve finds the images of a stack, and says of which one an error is.
func TestResolve(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	down := l.Addr().String() + "/x:1"
	registry := imagetest.Serve(t)
	push := func(name string) string {
		return registry.Push(t, name, imagetest.Image(t, imagetest.Files(imagetest.File(name, "x"))))
	}
	img, kernel, first, second := push("image"), push("kernel"), push("first"), push("second")
	other := imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: "s390x"}}
	foreign := registry.Push(t, "foreign", other.Image(t))
	many := make([]string, boot.MaxOverlays+1)
	for i := range many {
		many[i] = fmt.Sprint(first, i)
	}
	for name, c := range map[string]struct {
		config config.Config
		want   []string // parts of the error
		heals  bool
	}{
		"all":    {config.Config{Image: img, Kernel: kernel, Overlays: []string{first, second, first}}, nil, false},
		"a path": {config.Config{Image: img, Kernel: "/boot/k"}, nil, false},
		"no image": {
			config.Config{Image: registry.Host + "/gone:1", Overlays: []string{first}}, []string{"does not have it"}, false,
		},
		"an overlay for another architecture": {
			config.Config{Image: img, Overlays: []string{first, foreign}},
			[]string{"the overlay " + foreign + ": ", "there is none for linux/", "only for linux/s390x"}, false,
		},
		"a kernel image for another architecture": {
			config.Config{Image: img, Kernel: foreign},
			[]string{"the kernel image " + foreign + ": ", "only for linux/s390x"}, false,
		},
		"an overlay at a registry that is down": {
			config.Config{Image: img, Overlays: []string{down}},
			[]string{"the overlay " + down + ": ", "refuses the connection", "its port in wyr.overlay"}, true,
		},
		"a kernel image at a registry that is down": {
			config.Config{Image: img, Kernel: down}, []string{"the kernel image ", "its port in wyr.kernel"}, true,
		},
		"an image at a registry that is down": {config.Config{Image: down}, []string{"its port in wyr.img"}, true},
		"a name that is none": {
			config.Config{Image: img, Overlays: []string{"No"}}, []string{"the overlay No: "}, false,
		},
		"too many": {config.Config{Image: img, Overlays: many}, []string{"names 33 images, and it may name 32"}, false},
	} {
		m := &cmd{console: console.Open(t.TempDir()), config: c.config}
		s, err := m.resolve(t.Context(), &image.Source{Tries: 1})
		if c.want == nil {
			names := []string{c.config.Image}
			for _, o := range s.Overlays {
				names = append(names, o.Image.Name)
			}
			if want := append([]string{img}, c.config.Overlays...); err != nil || !slices.Equal(names, want) ||
				(s.Kernel.Image != nil) != (c.config.KernelImage() != "") {
				t.Errorf("%s: resolve = %+v, %v, want %q", name, s, err, want)
			}
			continue
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(m.advise(err).Error(), want) || image.Heals(err) != c.heals {
				t.Errorf("%s: resolve = %v (heals: %v), want an error with %q", name, m.advise(err), image.Heals(err), want)
			}
		}
	}
}
