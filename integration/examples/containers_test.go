//go:build slow

package examples

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// offersContainers starts docker's registry at the site, with an image that has nothing but a busybox.
func (s site) offersContainers(t *testing.T) {
	t.Helper()
	registry := imagetest.Distribution{}.Start(t).Host
	push(t, imagetest.Image(t, imagetest.Files(
		imagetest.Dir("bin"), imagetest.Dir("etc"), imagetest.File("bin/busybox", read(t, "/bin/busybox")).Mode(0o755),
		imagetest.Symlink("bin/sh", "busybox"), imagetest.Symlink("bin/wget", "busybox"),
	)), registry+"/box:latest")
	s.forward(t, "5001", registry)
}

// runsContainers has podman on the machine run containers: on the network that all have, and on one of their own, where
// they find each other by name.
func (s site) runsContainers(t *testing.T) {
	s.wants(t, `podman info --format '{{.Store.GraphDriverName}} {{.Host.NetworkBackend}} {{.Host.OCIRuntime.Name}}'
		podman run --rm registry.example:5001/box \
			sh -c 'echo a container speaks; wget -q -O - http://registry.example:5001/v2/box/tags/list'
		podman network create together
		podman run --detach --network together --name server registry.example:5001/box \
			sh -c 'mkdir /www && echo words of another container > /www/index.html && busybox httpd -f -h /www'
		podman run --rm --network together registry.example:5001/box wget -q -O - http://server/
		podman ps --format '{{.Names}} {{.Status}}'; podman rm --force --time 0 server
		systemctl --failed --no-legend`,
		`^overlay netavark crun$`, `^a container speaks$`, `^\{"name":"box","tags":\["latest"\]\}`,
		`^words of another container$`, `^server Up`)
}
