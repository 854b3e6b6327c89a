package boot

import (
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/policy"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// TestVerity has the root checked where that is asked for, and where a policy asks who has signed the image.
func TestVerity(t *testing.T) {
	const checks = mounts + "CONFIG_DM_VERITY=y\nCONFIG_CRYPTO_SHA256=y\n"
	owner := imagetest.NewSigner(t, "P-256")
	p, err := policy.ForKeys("of the test", owner.Public(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		root    bundle.Root
		verity  string
		signed  bool
		config  string
		checked bool
		said    string // or the error
	}{
		"asked for":              {bundle.SquashFS, "yes", false, checks, true, ""},
		"asked for, auto":        {bundle.Auto, "yes", false, checks, true, "because wyr.verity=yes has the kernel check"},
		"nobody asks":            {bundle.SquashFS, "", false, checks, false, ""},
		"a policy asks":          {bundle.SquashFS, "", true, checks, true, ""},
		"a policy, and it is no": {bundle.SquashFS, "no", true, checks, false, ""},
		"a policy, and a kernel that cannot": {bundle.SquashFS, "", true, mounts, false,
			"the image is signed, but nothing checks the root while the system runs (wyr.verity): the kernel "},
		"a policy, and it is unpacked": {bundle.Tmpfs, "", true, checks, false, ""},
		"it cannot":                    {bundle.SquashFS, "yes", false, mounts, false, "the kernel cannot check the root's image"},
		"it is unpacked": {bundle.Tmpfs, "yes", false, checks, false,
			"the root is tmpfs: files that are unpacked"},
	} {
		w := newWorld(t, users()["wyrboot"])
		w.Root, w.Verity = c.root, c.verity
		w.Record = func() record.Record { return record.Record{Image: record.Image{Asked: "x"}} }
		img := w.push(bootable(imagetest.File("boot/config-"+version, c.config)))
		if c.signed {
			w.Policies = policy.Policies{p}
			digest := img.Digest.String()
			w.registry.AttachBundle(t, "bootable", digest, owner.Bundle(t, digest, imagetest.SignPredicate, nil))
		}
		step, err := w.run(t.Context(), img)
		said := strings.Join(w.said, "\n")
		if refused := c.verity == "yes" && !c.checked; err != nil || refused {
			if err == nil || !refused || step != "convert" || !strings.Contains(err.Error(), c.said) {
				t.Errorf("%s: %s = %v, want %q", name, step, err, c.said)
			}
			continue
		}
		if !strings.Contains(said, c.said) || c.said == "" && strings.Contains(said, "verity") {
			t.Errorf("%s: it said %q, want %q", name, said, c.said)
		}
		r, ok := inInitrd(t, w.initrd)
		if !ok || (r.Initrd.RootHash != "") != c.checked {
			t.Errorf("%s: the record has the root hash %q", name, r.Initrd.RootHash)
		}
		if hash, ok := strings.CutPrefix(w.cmdline, "wyr.roothash="); ok != c.checked ||
			c.checked && !strings.HasPrefix(hash, r.Initrd.RootHash) {
			t.Errorf("%s: the command line is %q, and the record has %q", name, w.cmdline, r.Initrd.RootHash)
		}
	}
}
