package netboot

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pin/tftp/v3"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

const testLine = `quiet wyr.img=registry.example/debian wyr.arg="a b"`

// testWait is the time after which the server repeats a TFTP packet in tests.
const testWait = 300 * time.Millisecond

// site returns a Site with large files. Its unified kernel image is a real one.
func site(t *testing.T) Site {
	t.Helper()
	dir := t.TempDir()
	s := Site{Files: make(map[string]string), Cmdline: testLine}
	for name, content := range map[string][]byte{
		KernelName: bytes.Repeat([]byte("kernel\x00\n"), 1<<18), InitrdName: bytes.Repeat([]byte("initrd!"), 99991),
		UKIName: testUKI(t), "undionly.kpxe": []byte("NBP"),
	} {
		s.Files[name] = filepath.Join(dir, name)
		if err := os.WriteFile(s.Files[name], content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// start runs Serve on loopback until the test ends, and returns where it serves.
func start(t *testing.T, s Site) (web, tftpAt string, l *nettest.Log) {
	t.Helper()
	return startWaiting(t, s, testWait)
}

// startWaiting is start with another time after which the server repeats a TFTP packet.
func startWaiting(t *testing.T, s Site, wait time.Duration) (web, tftpAt string, l *nettest.Log) {
	t.Helper()
	l = new(nettest.Log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx,
			Options{Site: s, HTTP: "127.0.0.1:0", TFTP: "127.0.0.1:0", BIOS: "undionly.kpxe",
				Logf: l.Printf, wait: wait})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve = %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve does not end with its context")
		}
	})
	return l.Wait(t, `chain (http://\S+)/boot.ipxe`), l.Wait(t, `tftp: serving at (\S+)`), l
}

// wanted returns what a client must get under each name.
func wanted(t *testing.T, s Site) map[string]string {
	t.Helper()
	files := map[string]string{
		ScriptName: "#!ipxe\nkernel wyrcan.kernel initrd=wyrcan.initrd " + testLine +
			"\ninitrd wyrcan.initrd\nboot\n",
		PXELINUXName: "DEFAULT wyrcan\nLABEL wyrcan\n  KERNEL wyrcan.kernel\n  INITRD wyrcan.initrd\n  APPEND " +
			testLine + "\n",
	}
	for name, from := range s.Files {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if name != UKIName {
			files[name] = string(b)
		}
	}
	return files
}

// checkUKI checks that a unified kernel image is whole and has the site's command line.
func checkUKI(t *testing.T, how string, b []byte) {
	t.Helper()
	k, err := kernel.Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil || k.Cmdline != testLine {
		t.Errorf("%s: the unified kernel image is %+v, %v", how, k, err)
	}
}

func TestHTTP(t *testing.T) {
	s := site(t)
	web, _, l := start(t, s)
	for name, want := range wanted(t, s) {
		response, got := nettest.Ask(t, "GET", web+"/"+name, "")
		if response.StatusCode != 200 || string(got) != want {
			t.Errorf("GET %s: %s, %d bytes, want %d", name, response.Status, len(got), len(want))
		}
		// UEFI asks for the length first.
		if response, _ := nettest.Ask(t, "HEAD", web+"/"+name, ""); response.ContentLength != int64(len(want)) {
			t.Errorf("HEAD %s: Content-Length %d, want %d", name, response.ContentLength, len(want))
		}
	}
	response, b := nettest.Ask(t, "GET", web+"/"+UKIName, "")
	checkUKI(t, "HTTP", b)
	if c := response.Header.Get("Content-Type"); c != "application/efi" {
		t.Errorf("Content-Type of the unified kernel image is %q", c)
	}
	if response, b := nettest.Ask(t, "GET", web+"/"+KernelName, "", "Range", "bytes=8-13"); response.StatusCode != 206 ||
		string(b) != "kernel" {
		t.Errorf("a part: %s, %q", response.Status, b)
	}
	const list = "boot.ipxe\ngrub/grub.cfg\npxelinux.cfg/default\nundionly.kpxe\n" +
		"wyrcan.efi\nwyrcan.initrd\nwyrcan.kernel\n"
	if _, b := nettest.Ask(t, "GET", web+"/", ""); string(b) != list {
		t.Errorf("the list is %q", b)
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/missing", 404}, {"GET", "/../../../etc/passwd", 404}, {"GET", "/%2e%2e/%2e%2e/etc/passwd", 404},
		{"GET", s.Files[KernelName], 404}, {"PUT", "/" + KernelName, 405}, {"POST", "/", 405},
	} {
		if response, _ := nettest.Ask(t, c.method, web+c.path, ""); response.StatusCode != c.want {
			t.Errorf("%s %s: %s, want %d", c.method, c.path, response.Status, c.want)
		}
	}
	l.Wait(t, `asks for "missing", which does not exist`)

	// A new build is served at once, and a file that is gone is reported.
	other := bytes.Replace(b, []byte("initrd"), []byte("INITRD"), 1)
	if err := os.WriteFile(s.Files[UKIName], other, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(s.Files[UKIName], time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, got := nettest.Ask(t, "GET", web+"/"+UKIName, ""); !bytes.Equal(got, other) {
		t.Errorf("after a build the unified kernel image is not the new one")
	}
	if err := os.WriteFile(s.Files[InitrdName], []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, b := nettest.Ask(t, "GET", web+"/"+InitrdName, ""); string(b) != "new" {
		t.Errorf("after a build: %q", b)
	}
	if err := os.Remove(s.Files[InitrdName]); err != nil {
		t.Fatal(err)
	}
	if response, _ := nettest.Ask(t, "GET", web+"/"+InitrdName, ""); response.StatusCode != 404 {
		t.Errorf("a file that is gone: %s", response.Status)
	}
}

func TestTFTP(t *testing.T) {
	s := site(t)
	_, server, l := start(t, s)
	client, err := tftp.NewClient(server)
	if err != nil {
		t.Fatal(err)
	}
	client.SetBlockSize(1468) // as firmware does
	client.RequestTSize(true)
	fetch := func(name string) ([]byte, int64, error) {
		from, err := client.Receive(name, "octet")
		if err != nil {
			return nil, 0, err
		}
		size, ok := from.(tftp.IncomingTransfer).Size()
		if !ok {
			return nil, 0, errors.New("the server did not tell the size")
		}
		var b bytes.Buffer
		_, err = from.WriteTo(&b)
		return b.Bytes(), size, err
	}
	for name, want := range wanted(t, s) {
		for _, asked := range []string{name, "/" + name, strings.ReplaceAll(`\`+name, "/", `\`)} {
			b, size, err := fetch(asked)
			if err != nil || string(b) != want || size != int64(len(want)) {
				t.Errorf("%s: %d of %d bytes, %v, want %d", asked, len(b), size, err, len(want))
			}
		}
	}
	b, _, err := fetch(UKIName)
	if err != nil {
		t.Fatal(err)
	}
	checkUKI(t, "TFTP", b)
	for _, name := range []string{"pxelinux.cfg/01-52-54-00-12-34-56", "../../etc/passwd", s.Files[KernelName]} {
		if _, _, err := fetch(name); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if to, err := client.Send("new", "octet"); err == nil {
		if _, err := to.ReadFrom(strings.NewReader("x")); err == nil {
			t.Error("the server accepted a file")
		}
	}
	l.Wait(t, `has undionly.kpxe, 3 bytes`)
}

func TestServeRefuses(t *testing.T) {
	s := site(t)
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	without := func(name string) Site {
		files := make(map[string]string)
		for n, from := range s.Files {
			if n != name {
				files[n] = from
			}
		}
		return Site{Files: files}
	}
	missing := without("")
	missing.Files["undionly.kpxe"] += ".not"
	notUKI := without("")
	notUKI.Files[UKIName] = s.Files[KernelName]
	long := s
	long.Cmdline = strings.Repeat("x", 2048)
	const at = "127.0.0.1:0"
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no kernel":      {Options{Site: without(KernelName), HTTP: at}, "no wyrcan.kernel to offer"},
		"no initrd":      {Options{Site: without(InitrdName), HTTP: at}, "no wyrcan.initrd to offer"},
		"a missing file": {Options{Site: missing, HTTP: at}, "undionly.kpxe.not: no such file"},
		"no UKI":         {Options{Site: notUKI, HTTP: at}, "not an EFI program"},
		"long line":      {Options{Site: long, HTTP: at}, "2047 at most"},
		"busy": {Options{Site: s, HTTP: busy.Addr().String()},
			"another program on this machine has that port"},
		"bad address": {Options{Site: s, HTTP: at, TFTP: "nowhere"}, "want [ADDRESS]:PORT, such as"},
		"odd TFTP port": {Options{Site: s, HTTP: at, TFTP: "127.0.0.1:0", DHCP: "lo"},
			"TFTP at port 69 and at no other"},
		"TFTP off": {Options{Site: s, HTTP: at, DHCP: "lo"}, "TFTP at port 69 and at no other"},
	} {
		c.o.Logf = t.Logf
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if err := Serve(ctx, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Serve = %v, want an error with %q", name, err, c.want)
		}
		cancel()
	}
}
