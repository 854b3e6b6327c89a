package rootfs_test

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// claims is a layer that claims digests, right or wrong.
type claims struct {
	rootfs.Layer
	stored, archive string
}

func (c claims) Digests() (stored, archive string) { return c.stored, c.archive }

// TestDiffID checks that a layer is refused if its archive has another digest than the configuration says, in every
// form in which layers are stored.
func TestDiffID(t *testing.T) {
	content := imagetest.File("f", strings.Repeat("some content ", 100_000))
	other, _ := imagetest.Files(imagetest.File("f", "other")).Blob(t).Digests()
	for _, c := range []imagetest.Compression{imagetest.Gzip, imagetest.MultiGzip, imagetest.Zstd, imagetest.MultiZstd,
		imagetest.Plain} {
		layer := imagetest.Layer{Entries: []imagetest.Entry{content}, Compression: c}
		blob := layer.Blob(t)
		stored, archive := blob.Digests()
		raw, err := layer.Archive()
		if err != nil {
			t.Fatal(err)
		}
		long := fmt.Sprintf("sha512:%x", sha512.Sum512(raw))
		for _, row := range []struct {
			name            string
			stored, archive string
			skip            bool
			want            string // "" is success
		}{
			{"right", stored, archive, false, ""},
			{"right, in SHA-512", stored, long, false, ""},
			{"not known", stored, "", false, ""},
			{"wrong", stored, other, false, "uncompressed it has the digest " + archive + ", not " + other},
			{"wrong, in SHA-512", stored, long[:len(long)-4] + "0000", false, "uncompressed it has the digest sha512:"},
			{"of no known kind", stored, "blake3:00", false, "of a kind that is not known"},
			{"without a kind", stored, archive[7:], false, "of a kind that is not known"},
			{"wrong, and nobody asked", stored, other, true, ""},
		} {
			tree, err := rootfs.Read(t.Context(), []rootfs.Layer{claims{blob, row.stored, row.archive}},
				rootfs.Options{SkipDiffIDs: row.skip})
			if err == nil {
				tree.Close()
			}
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, %s: Read = %v, want %q", c, row.name, err, row.want)
			}
		}
		// A compressed layer cannot have the digest of the archive in it.
		tree, err := rootfs.Read(t.Context(), []rootfs.Layer{claims{blob, stored, stored}}, rootfs.Options{})
		if err == nil {
			tree.Close()
		}
		if (err == nil) != (c == imagetest.Plain) {
			t.Errorf("%v with one digest for both: Read = %v", c, err)
		}
	}
}

// TestDiffIDOfDamaged checks the error of a layer that arrived damaged: it must not be the one of a wrong archive,
// for a retry may help.
func TestDiffIDOfDamaged(t *testing.T) {
	cause := errors.New("digest is wrong")
	whole := imagetest.Layer{Entries: []imagetest.Entry{imagetest.File("f", "x")}, Compression: imagetest.Plain}.Blob(t)
	damaged := claims{broken{whole.Data, cause}, "sha256:0", "sha256:1"}
	if _, err := rootfs.Read(t.Context(), []rootfs.Layer{damaged}, rootfs.Options{}); !errors.Is(err, cause) {
		t.Errorf("Read = %v, want %v", err, cause)
	}
}
