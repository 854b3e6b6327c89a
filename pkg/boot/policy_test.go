package boot

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
)

// TestPolicies reads no layer of an image before all policies have accepted it, and says whether they could decide.
func TestPolicies(t *testing.T) {
	w := newWorld(t, bundle.Budget{})
	owner := imagetest.NewSigner(t, "P-256")
	p, err := policy.ForKeys("of the test", owner.Public(t))
	if err != nil {
		t.Fatal(err)
	}
	w.Policies = policy.Policies{p}
	img := w.push(bootable())
	blobs := func() (n int) {
		for _, r := range w.registry.Requests() {
			if strings.Contains(r, img.Layers[0].Digest.String()) {
				n++
			}
		}
		return n
	}
	if step, err := w.run(t.Context(), img); step != "read" || !policy.Refused(err) || image.Heals(err) {
		t.Errorf("%s = %v, want read to refuse the image", step, err)
	}
	w.registry.Fail(imagetest.Fault{Path: "/referrers/", Do: imagetest.Status(503, "3600")})
	const want = "cannot verify its signatures: "
	if step, err := w.run(t.Context(), img); step != "read" || policy.Refused(err) || !image.Heals(err) ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("%s = %v, want read to fail with %q", step, err, want)
	}
	w.registry.Heal()
	if n := blobs(); n > 0 || w.loads > 0 {
		t.Errorf("%d requests for a layer that nobody has accepted, %d kernels were loaded", n, w.loads)
	}
	digest := img.Digest.String()
	w.registry.AttachBundle(t, "bootable", digest, owner.Bundle(t, digest, imagetest.SignPredicate, nil))
	if step, err := w.run(t.Context(), img); err != nil || w.loads != 1 || blobs() == 0 {
		t.Errorf("%s of a signed image = %v", step, err)
	}
}
