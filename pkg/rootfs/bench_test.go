package rootfs_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

// somewhat returns n bytes that compress to about a third, as programs do.
func somewhat(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "etaoin shrdlu\x00\x00\x00"[r.IntN(16)]
	}
	return string(b)
}

func BenchmarkRead(b *testing.B) {
	content := somewhat(1 << 20)
	for _, c := range []imagetest.Compression{imagetest.Gzip, imagetest.Zstd, imagetest.Plain} {
		var layers []rootfs.Layer
		size := int64(0)
		for i := range 4 {
			var l imagetest.Layer
			for j := range 40 {
				part := content[:len(content)/(1+j%5)]
				l.Entries = append(l.Entries, imagetest.File(fmt.Sprintf("d%d/f%d", i, j), part))
				size += int64(len(part))
			}
			l.Compression = c
			layers = append(layers, l.Blob(b))
		}
		for _, form := range forms[:2] {
			b.Run(c.String()+"/"+form.name, func(b *testing.B) {
				b.SetBytes(size)
				for b.Loop() {
					tree, err := rootfs.Read(b.Context(), layers, form.opt)
					if err != nil {
						b.Fatal(err)
					}
					if err := tree.Walk(b.Context(), drain); err != nil {
						b.Fatal(err)
					}
					tree.Close()
				}
			})
		}
	}
}

// BenchmarkEntries measures what an entry costs. -benchmem shows its memory.
func BenchmarkEntries(b *testing.B) {
	var l imagetest.Layer
	for i := range 100 {
		l.Entries = append(l.Entries, imagetest.Dir(fmt.Sprintf("usr/share/some/package-%d", i)))
		for j := range 999 {
			l.Entries = append(l.Entries, imagetest.File(fmt.Sprintf("usr/share/some/package-%d/file-%d.txt", i, j),
				""))
		}
	}
	layers := []rootfs.Layer{l.Blob(b)}
	b.ReportAllocs()
	for b.Loop() {
		tree, err := rootfs.Read(context.Background(), layers, rootfs.Options{})
		if err != nil {
			b.Fatal(err)
		}
		tree.Close()
	}
}

func drain(_ *rootfs.Node, content io.Reader) error {
	if content == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, content)
	return err
}
