package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
)

func TestBackoff(t *testing.T) {
	for failures, seconds := range map[int]time.Duration{1: 1, 2: 2, 5: 16, 6: 30, 1000: 30} {
		want := seconds * time.Second
		low, high := want, time.Duration(0)
		for range 100 {
			d := backoff(failures)
			low, high = min(low, d), max(high, d)
		}
		if low < want*3/4 || high > want*5/4 {
			t.Errorf("backoff(%d) is between %v and %v, want %v give or take a quarter", failures, low, high, want)
		}
		if low == high {
			t.Errorf("backoff(%d) is always %v: all machines would come back at the same time", failures, low)
		}
	}
}

// TestSentence has texts of strangers that must not look like a line of wyrboot's own.
func TestSentence(t *testing.T) {
	const forged = "no such image\n\x1b[2J\rwyrboot: starts kernel"
	const want = "wyrboot: cannot get registry.example/x: no such image [2J wyrboot: starts kernel"
	if got := sentence("cannot get %s: %v", "registry.example/x", forged); got != want {
		t.Errorf("sentence = %q, want %q", got, want)
	}
	if got := sentence("%s", strings.Repeat("x\n", 1<<20)); len(got) > 4096 || strings.Contains(got, "\n") {
		t.Errorf("sentence about 2 MiB has %d bytes", len(got))
	}
}

// TestKeptNetwork puts the files on top of an image in which /etc/systemd is a link to another directory.
func TestKeptNetwork(t *testing.T) {
	kept, err := keptNetwork([]netconf.File{{Name: "lan", Kind: netconf.Network, Sections: []netconf.Section{
		{Name: "Match", Entries: []netconf.Entry{{Key: "Name", Value: "eth0"}}},
		{Name: "Network", Entries: []netconf.Entry{{Key: "Address", Value: "192.0.2.2/24"}}},
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	image := imagetest.Files(imagetest.Dir("etc"), imagetest.Dir("conf"), imagetest.Symlink("etc/systemd", "/conf"))
	tree, err := rootfs.Read(t.Context(), []rootfs.Layer{image.Blob(t), kept}, rootfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	var n *rootfs.Node
	for _, name := range []string{"lan.network", "0-wyrcan-lan.network"} {
		if n, err = tree.Lookup("/etc/systemd/network/" + name); err != nil {
			t.Fatal(err)
		}
		if n.Path != "conf/network/lan.network" || n.Mode&0o777 != 0o644 {
			t.Errorf("%s is %s with mode %o, want conf/network/lan.network with 644", name, n.Path, n.Mode)
		}
	}
	r, err := tree.Open(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const want = "[Match]\nName=eth0\n\n[Network]\nAddress=192.0.2.2/24\n"
	if b, err := io.ReadAll(r); err != nil || string(b) != want {
		t.Errorf("the file holds %q, %v, want %q", b, err, want)
	}
}

// TestMirrorDown gets an image of five layers past a mirror that nobody runs: that is one line on the console.
func TestMirrorDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	mirror := l.Addr().String()
	registry := imagetest.Serve(t)
	var layers []imagetest.Layer
	for i := range 5 {
		layers = append(layers, imagetest.Files(imagetest.File(fmt.Sprint("file", i), "x")))
	}
	ref := registry.Push(t, "x", imagetest.Image(t, layers...))
	var out bytes.Buffer
	screen := console.NewScreen(&out, false)
	c := new(cmd)
	c.trouble = &console.Trouble{Out: screen, Sayf: func(format string, args ...any) {
		fmt.Fprintln(screen, sentence(format, args...))
	}}
	source := &image.Source{Report: c.report}
	if err := source.Registries.AddMirrors(registry.Host, mirror); err != nil {
		t.Fatal(err)
	}
	img, err := source.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := (&boot.Boot{Budget: budget()}).Read(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	tree.Close()
	want := fmt.Sprintf("wyrboot: cannot reach registry %[1]s: %[1]s refuses the connection; check whether the registry "+
		"runs, and its port in wyr.mirror or registries.conf; asks registry %s\n", mirror, registry.Host)
	if out.String() != want {
		t.Errorf("the console says\n%swant\n%s", out.String(), want)
	}
}

// TestAdvice gets an image from a registry that nobody runs.
func TestAdvice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = (&image.Source{Tries: 1}).Resolve(t.Context(), l.Addr().String()+"/x:1")
	const want = "refuses the connection; check whether the registry runs, and its port in wyr.img"
	if got := new(cmd).advise(err); !strings.HasSuffix(got.Error(), want) || !image.Heals(got) {
		t.Errorf("advise = %v (heals: %v), want %q", got, image.Heals(got), want)
	}
	for c := image.UnknownName; c <= image.WrongCertificate; c++ {
		if c != image.Broken && advice[c] == "" {
			t.Errorf("there is no advice about cause %v", c)
		}
	}
}
