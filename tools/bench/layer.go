package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/cores"
)

// oneLayer measures how long it takes to decompress one large layer, on one processor and on all.
func (c *cmd) oneLayer(ctx context.Context, dir, self, ref string) error {
	tar := filepath.Join(dir, "layer.tar")
	// The files of the image again and again: neither gzip nor zstd looks so far back that it would see that.
	err := run("bash", "-ec", fmt.Sprintf(`cd %s
		test -e layer.tar.pzst && exit
		./crane export --insecure %s one.tar
		rm -f layer.tar
		while test $(stat -c %%s layer.tar 2>/dev/null || echo 0) -lt %d; do cat one.tar >>layer.tar; done
		gzip -kf layer.tar
		pigz -kf --suffix .pgz layer.tar
		zstd -qf layer.tar -o layer.tar.zst
		pzstd -qf -p 2 layer.tar -o layer.tar.pzst
		rm one.tar`, dir, ref, c.layer<<20))
	if err != nil {
		return err
	}
	var list []way
	add := func(name, env, program, file string) {
		list = append(list, way{name, fmt.Sprintf("%s %s %s.%s >/dev/null", env, program, tar, file)})
	}
	for _, f := range []struct{ what, file, program string }{
		{"gzip -6", "gz", "gzip"}, {"pigz", "pgz", "pigz"}, {"zstd -3, one frame", "zst", "zstd"},
		{"pzstd, many frames", "pzst", "pzstd"},
	} {
		add("of "+f.what+": ours, serial", "GOMAXPROCS=1", self+" -open 1", f.file)
		add("of "+f.what+": ours, parallel, one processor", "GOMAXPROCS=1", self+" -open 4", f.file)
		add("of "+f.what+": ours, parallel, all processors", "", self+" -open 4", f.file)
		add("of "+f.what+": klauspost/compress, as it comes", "", self+" -open 0", f.file)
		add("of "+f.what+": "+f.program+" -dc", "", f.program+" -dc", f.file)
	}
	results, err := c.measure(ctx, dir, list)
	if err != nil {
		return err
	}
	return c.table(list, results)
}

// open decompresses a file: with as many processors as count says, or, if that is 0, with the library.
func open(file string, count int) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if count == 0 {
		return library(f)
	}
	var c *cores.Cores
	if count > 1 {
		c = cores.New(count)
	}
	r, _, err := compression.Open(f, c)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

func library(f *os.File) error {
	head := make([]byte, 10)
	if _, err := f.ReadAt(head, 0); err != nil {
		return err
	}
	var r io.Reader
	var err error
	if compression.Identify(head) == compression.Gzip {
		r, err = gzip.NewReader(f)
	} else {
		r, err = zstd.NewReader(f)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return err
}
