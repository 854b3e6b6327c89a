package verity

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// image makes a file of that many bytes.
func image(t testing.TB, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

// verify has veritysetup check an image.
func verify(f *os.File, s Seal) error {
	out, err := exec.Command("veritysetup", "verify", f.Name(), f.Name(), hex.EncodeToString(s.Hash[:]),
		fmt.Sprintf("--hash-offset=%d", s.Blocks*Block)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// sizes are those of images whose trees have no level, one, two and three, and levels that are full or just not.
var sizes = []int64{
	1, Block, Block + 1, 2 * Block, fan*Block - 1, fan * Block, fan*Block + 1, (fan + 1) * Block, 3*fan*Block + 17,
	fan * fan * Block, fan*fan*Block + 1,
}

// TestAppend has veritysetup read the superblock and check the images, and make the same tree.
func TestAppend(t *testing.T) {
	imagetest.NeedsPrograms(t, "veritysetup")
	for _, size := range sizes {
		f := image(t, size)
		before, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		s, err := Append(t.Context(), f, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(f, s); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		after, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		padded := append(before, make([]byte, s.Blocks*Block-size)...)
		if !bytes.HasPrefix(after, padded) {
			t.Errorf("%d bytes: the image is another one", size)
		}
		theirs := filepath.Join(t.TempDir(), "theirs")
		if err := os.WriteFile(theirs, padded, 0o600); err != nil {
			t.Fatal(err)
		}
		dump, err := exec.Command("veritysetup", "dump", f.Name(), fmt.Sprintf("--hash-offset=%d", s.Blocks*Block)).Output()
		if err != nil {
			t.Fatal(err)
		}
		uuid := ""
		for line := range strings.Lines(string(dump)) {
			if v, ok := strings.CutPrefix(line, "UUID:"); ok {
				uuid = strings.TrimSpace(v)
			}
		}
		out, err := exec.Command("veritysetup", "format", theirs, theirs, fmt.Sprintf("--data-blocks=%d", s.Blocks),
			fmt.Sprintf("--hash-offset=%d", s.Blocks*Block), "--salt="+hex.EncodeToString(s.Salt[:]), "--uuid="+uuid,
		).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if !strings.Contains(string(out), hex.EncodeToString(s.Hash[:])) {
			t.Errorf("%d bytes: the hash is %x, and veritysetup says\n%s", size, s.Hash, out)
		}
		// Their file ends with the tree's last hash, ours with its last block.
		want, err := os.ReadFile(theirs)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, make([]byte, max(0, len(after)-len(want)))...)
		if !bytes.Equal(after, want) {
			t.Errorf("%d bytes: the tree is not that of veritysetup", size)
		}
	}
}

// TestFlipped changes a byte of the image, and of each level of the tree.
func TestFlipped(t *testing.T) {
	imagetest.NeedsPrograms(t, "veritysetup")
	f := image(t, (fan*fan+1)*Block)
	s, err := Append(t.Context(), f, nil)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int64) {
		b := []byte{0}
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, block := range map[string]int64{"image": s.Blocks - 1, "root": s.Blocks + 1, "middle level": s.Blocks + 2,
		"lowest level": s.Blocks + 5} {
		flip(block*Block + 77)
		if err := verify(f, s); err == nil {
			t.Errorf("%s: a flipped bit is not seen", name)
		}
		flip(block*Block + 77)
	}
	if err := verify(f, s); err != nil {
		t.Error(err)
	}
}

// TestSame makes the same seal of the same image, and another salt of another one.
func TestSame(t *testing.T) {
	seals := map[Seal]bool{}
	for _, size := range []int64{9 * Block, 9 * Block, 10 * Block} {
		s, err := Append(t.Context(), image(t, size), nil)
		if err != nil {
			t.Fatal(err)
		}
		seals[s] = true
	}
	if len(seals) != 2 {
		t.Errorf("two images have %d seals", len(seals))
	}
}

// TestRefused ends where it must.
func TestRefused(t *testing.T) {
	full := errors.New("the memory is full")
	grow := func() error { return full }
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	readOnly := func(f *os.File) *os.File {
		r, err := os.Open(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		f    *os.File
		grow func() error
		want error
	}{
		"empty":     {t.Context(), image(t, 0), nil, nil},
		"memory":    {t.Context(), image(t, 2*Block), grow, full},
		"cancelled": {cancelled, image(t, 2*Block), nil, context.Canceled},
		"read-only": {t.Context(), readOnly(image(t, 2*Block)), nil, nil},
	} {
		_, err := Append(c.ctx, c.f, c.grow)
		if err == nil || c.want != nil && !errors.Is(err, c.want) ||
			!strings.HasPrefix(err.Error(), "cannot make the hash tree of the root's image (wyr.verity): ") {
			t.Errorf("%s: Append = %v", name, err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	const size = 256 << 20
	f := image(b, size)
	b.SetBytes(size)
	for b.Loop() {
		if err := f.Truncate(size); err != nil {
			b.Fatal(err)
		}
		if _, err := Append(b.Context(), f, nil); err != nil {
			b.Fatal(err)
		}
	}
}
