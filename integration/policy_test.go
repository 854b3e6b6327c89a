package integration

import (
	"testing"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
)

// TestPolicy boots an image that is signed and one that is not, with a policy in a second initrd. A credential and an
// argument that would allow everything do not help the second one.
func TestPolicy(t *testing.T) {
	t.Parallel()
	vm.Long(t)
	signer := imagetest.NewSigner(t, "P-256")
	document, err := policy.Document(signer.Public(t))
	if err != nil {
		t.Fatal(err)
	}
	initrd := withFiles(t, map[string]string{"etc/wyrcan/policy.json": string(document)})
	registry := imagetest.Serve(t)
	img := imagetest.Image(t, kernelLayer(t), initLayer(t))
	signed := fromGuest(registry.Push(t, "signed", img))
	digest := imagetest.Digest(t, img)
	registry.AttachBundle(t, "signed", digest, signer.Bundle(t, digest, "https://sigstore.dev/cosign/sign/v1", nil))
	unsigned := fromGuest(registry.Push(t, "unsigned", img))

	t.Run("signed", func(t *testing.T) {
		t.Parallel()
		v := vm.Machine{Initrd: initrd, Kernel: vm.Unpacked(t), CPUs: 1,
			Cmdline: "quiet " + vm.Boot(signed) + " wyr.arg=console=ttyS0 wyr.arg=demo=once"}.Start(t)
		v.Wait(`^wyrboot: the image is signed, as the policy asks: key [0-9a-f]{64}$`, bootTime+stepTime)
		v.Wait(`^`+words+`the container's own words`, kexecTime)
		v.Exit(stepTime)
	})
	t.Run("unsigned", func(t *testing.T) {
		t.Parallel()
		v := vm.Machine{Initrd: initrd, Kernel: vm.Unpacked(t), CPUs: 1,
			QEMU: []string{"-smbios", `type=11,value=io.systemd.credential:wyr.policy=` +
				`{"default":[{"type":"insecureAcceptAnything"}]}`},
			Cmdline: "quiet " + vm.Boot(unsigned) + " wyr.policy= wyr.key="}.Start(t)
		v.Wait(`^wyrboot: wyr\.policy= is ignored`, bootTime)
		v.Wait(`^wyrboot: cannot get \S+/unsigned\S*: .*sign`, bootTime+stepTime)
		rebootsOnEnter(t, v)
		v.Never(`stage pull`)
	})
}
