package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestSame compares the initrd of an image that was made for Wyrcan with what the first versions made of it: what is
// done for other images changes nothing of these.
func TestSame(t *testing.T) {
	for name, c := range map[string]struct {
		opt  Options
		want string
	}{
		"with wyrinit": {
			Options{Wyrinit: []byte("wyrinit"), Room: room(4<<30, 4<<30)},
			"c12ebfa364a457d29fb269cd345bdb1a003e1ebcc80dc5ddfa0a7dcf70ab5bff",
		},
		"without": {
			Options{Room: room(4<<30, 4<<30)},
			"817e682e832bdb6bc507d48ad64a951add94494d6a18ddd2880db12599e4a601",
		},
	} {
		entries := bootable(imagetest.File("bin/ping", "ping").Xattr("security.capability", "cap"),
			imagetest.File("sbin/init", "another").Mode(0o755), imagetest.File("vmlinuz", "another"),
			imagetest.File("usr/lib/bootc/kargs.d/a.toml", "no TOML, but nobody reads it"))
		for i := range entries {
			entries[i] = entries[i].At(time.Unix(1e9, 0))
		}
		p := inspect(t, c.opt, entries...)
		b, err := p.Make(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(b.Initrd, 0, 1<<30)); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != c.want || p.Chosen != "" || b.Cmdline != "" {
			t.Errorf("%s: the initrd has the digest %s, want %s; command line %q", name, got, c.want, b.Cmdline)
		}
	}
}
