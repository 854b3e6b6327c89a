//go:build slow

package examples

import (
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// offersContainers starts docker's registry at the site, with an image that has nothing but a busybox.
func (s site) offersContainers(t *testing.T) {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(imagetest.Image(t, imagetest.Files(
			imagetest.Dir("bin"), imagetest.Dir("etc"), imagetest.File("bin/busybox", string(busybox)).Mode(0o755),
			imagetest.Symlink("bin/sh", "busybox"), imagetest.Symlink("bin/wget", "busybox"),
		)))
	}
	if err != nil {
		t.Fatal(err)
	}
	registry := imagetest.Distribution{}.Start(t).Host
	if out, err := exec.Command(vm.Artefact(t, "wyrcan"), "push", dir, registry+"/box").CombinedOutput(); err != nil {
		t.Fatalf("wyrcan push = %v: %s", err, out)
	}
	s.forward(t, "5001", registry)
}

// runsContainers has podman on the machine run containers: on the network that all have, and on one of their own, where
// they find each other by name.
func (s site) runsContainers(t *testing.T) {
	s.wants(t, `podman info --format '{{.Store.GraphDriverName}} {{.Host.NetworkBackend}} {{.Host.OCIRuntime.Name}}'
		podman run --rm registry.example:5001/box sh -c 'echo a container speaks'
		podman run --rm registry.example:5001/box wget -q -O - http://registry.example:5001/v2/box/tags/list
		podman network create together
		podman run --detach --network together --name server registry.example:5001/box \
			sh -c 'mkdir /www && echo words of another container > /www/index.html && busybox httpd -f -h /www'
		podman run --rm --network together registry.example:5001/box wget -q -O - http://server/
		podman ps --format '{{.Names}} {{.Status}}'; podman rm --force --time 0 server
		systemctl --failed --no-legend`,
		`^overlay netavark crun$`, `^a container speaks$`, `^\{"name":"box","tags":\["latest"\]\}`,
		`^words of another container$`, `^server Up`)
}
