package integration

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestConfigurationElsewhere boots machines that are told what to boot by their firmware, and by a file on the network.
// The image and the arguments have names of the machine in them.
func TestConfigurationElsewhere(t *testing.T) {
	t.Parallel()
	registry := imagetest.Serve(t)
	const uuid = "4c4c4544-0042-3510-8052-b4c04f4e3132"
	img := imagetest.Image(t, kernelLayer(t), initLayer(t))
	ref := fromGuest(registry.Push(t, "nodes/"+uuid+":amd64", img))
	place, _, _ := strings.Cut(ref, "/")

	// The command line has the console alone.
	t.Run("SMBIOS", func(t *testing.T) {
		t.Parallel()
		text := "wyr.config=wyr.insecure=" + place + " wyr.img=" + place + "/nodes/${uuid}:${arch} " +
			`wyr.arg="console=ttyS0 demo=once" wyr.arg=host=node-${mac}`
		v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, QEMU: []string{
			"-uuid", uuid, "-smbios", "type=11,value=io.systemd.credential:" + text,
		}}.Start(t)
		v.Wait(`^wyrboot: configuration: wyr\.img, wyr\.arg, wyr\.insecure from the system credentials in SMBIOS$`,
			bootTime+stepTime)
		v.Wait(`^wyrboot: image \S+/nodes/`+uuid+`:amd64, `, stepTime)
		const line = "console=ttyS0 demo=once host=node-52-54-00-12-34-56" // QEMU's first address
		if got := spoke(t, v); got != line {
			t.Errorf("the container's command line is %q, want %q", got, line)
		}
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		text := "# for every machine\nwyr.img=" + place + "/nodes/${uuid}:amd64\nwyr.fail=shell\n"
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/52-54-00-12-34-56.conf" {
				http.NotFound(w, r)
				return
			}
			fmt.Fprint(w, text)
		}))
		t.Cleanup(server.Close)
		v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, QEMU: []string{"-uuid", uuid},
			Cmdline: fmt.Sprintf("wyr.insecure=%s wyr.config=http://%s/${mac}.conf#sha256=%x", place,
				fromGuest(server.Listener.Addr().String()), sha256.Sum256([]byte(text)))}.Start(t)
		v.Wait(`^wyrboot: configuration: wyr\.config, wyr\.insecure from the command line$`, bootTime+stepTime)
		v.Wait(`^wyrboot: the file of wyr\.config: wyr\.fail is ignored: this file may only name the image`, stepTime)
		v.Wait(`^wyrboot: configuration: wyr\.img from the file of wyr\.config \(from the command line\); `+
			`wyr\.insecure from the command line$`, stepTime)
		v.Wait(`^wyrboot: image \S+/nodes/`+uuid+`:amd64, `, stepTime)
		v.Stop()
	})
}
