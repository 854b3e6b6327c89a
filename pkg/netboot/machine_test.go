package netboot

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/pin/tftp/v3"

	"gitlab.com/wyrcan/wyrcan/pkg/kernel"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
	"gitlab.com/wyrcan/wyrcan/pkg/uki"
)

const (
	testUUID = "4c4c4544-0042-3510-8054-b4c04f435032"
	testMAC  = "52-54-00-12-34-56"
)

func TestMachineName(t *testing.T) {
	for text, want := range map[string]string{
		testUUID:                                testUUID,
		strings.ToUpper(testUUID):               testUUID,
		"{" + strings.ToUpper(testUUID) + "}":   testUUID,
		strings.ReplaceAll(testUUID, "-", ""):   testUUID,
		testMAC:                                 testMAC,
		"52:54:00:12:34:56":                     testMAC,
		"52:54:00:AB:CD:EF":                     "52-54-00-ab-cd-ef",
		"525400123456":                          testMAC,
		"":                                      "",
		"{" + testUUID:                          "",
		testUUID + "}":                          "",
		"{{" + testUUID + "}}":                  "",
		testUUID[1:]:                            "",
		testUUID + "0":                          "",
		"g" + testUUID[1:]:                      "",
		"4c4c45440042-3510-8054-b4c0-4f435032":  "", // dashes elsewhere
		"4c4c4544--0042-3510-8054-b4c04f435032": "",
		testUUID[:35] + "\u0662":                "", // an Arabic digit
		"5254-0012-3456":                        "",
		"..":                                    "",
		"${uuid}":                               "",
	} {
		if got := machineName(text); got != want {
			t.Errorf("machineName(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	const common = `quiet wyr.img=registry.example/all wyr.arg="a b" wyr.arg=c wyr.insecure=registry.example`
	for text, want := range map[string]string{
		"":                     common,
		"# nothing\n\n   \r\n": common,
		"wyr.img=registry.example/one\r\n": `quiet wyr.arg="a b" wyr.arg=c wyr.insecure=registry.example ` +
			"wyr.img=registry.example/one",
		"wyrcan.arg=x\nwyr.arg=\"y z\" quiet=2": `quiet wyr.img=registry.example/all wyr.insecure=registry.example ` +
			`wyrcan.arg=x wyr.arg="y z" quiet=2`,
		// A machine whose file names the image by a URL must not boot the image of all.
		"wyr.config=https://server.example/x": `quiet wyr.arg="a b" wyr.arg=c wyr.insecure=registry.example ` +
			"wyr.config=https://server.example/x",
		// A quote that is left open ends with its line.
		"a=\"b\nwyr.fail=halt": common + ` a=b wyr.fail=halt`,
	} {
		// quiet=2 takes the place of quiet.
		if strings.Contains(text, "quiet") {
			want = strings.TrimPrefix(want, "quiet ")
		}
		if got, err := merge(common, []byte(text)); err != nil || got != want {
			t.Errorf("merge of %q = %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"wyr.arg=\x00":                         "zero byte",
		"wyr.arg=x\"y z\nwyr.fail=halt":        "a quote that is not closed",
		"wyr.arg=\x1b[2J":                      "printable ASCII",
		"wyr.arg=ä":                            "printable ASCII",
		"wyr.arg=" + strings.Repeat("x", 2048): "2047 at most",
	} {
		if _, err := merge(common, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("merge of %.20q: %v, want %q", text, err, want)
		}
	}
}

// machines returns a site in which two machines have a file.
func machines(t *testing.T) Site {
	t.Helper()
	s := site(t)
	s.MachineDir = t.TempDir()
	for name, text := range map[string]string{
		testUUID + ".conf": "# the first one\nwyr.img=registry.example/one\n",
		testMAC + ".conf":  "wyr.arg=own",
		"README":           "files of machines",
	} {
		if err := os.WriteFile(filepath.Join(s.MachineDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

const (
	ownLine = `quiet wyr.arg="a b" wyr.img=registry.example/one`
	macLine = `quiet wyr.img=registry.example/debian wyr.arg=own`
)

// lineOf returns the command line of a unified kernel image.
func lineOf(t *testing.T, b []byte) string {
	t.Helper()
	k, err := kernel.Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Error(err)
		return ""
	}
	if k.Image != nil {
		k.Image.Close()
	}
	return k.Cmdline
}

// Each machine has a path of its own, with its command line in every file that has one, over HTTP and TFTP.
func TestMachines(t *testing.T) {
	s := machines(t)
	web, server, l := start(t, s)
	l.Wait(t, `UEFI HTTP boot of a machine with a file of its own: http://\S+/m/UUID/wyrcan\.efi`)
	l.Wait(t, `machines with a file of their own in \S+: 2\n`)
	const other = "00000000-0000-4000-8000-000000000001"
	client, err := tftp.NewClient(server)
	if err != nil {
		t.Fatal(err)
	}
	for machine, want := range map[string]string{
		testUUID: ownLine, strings.ToUpper(testUUID): ownLine, "%7B" + testUUID + "%7D": ownLine,
		testMAC: macLine, "52:54:00:12:34:56": macLine, other: testLine,
	} {
		path := web + "/m/" + machine + "/"
		response, b := nettest.Ask(t, "GET", path+UKIName, "")
		if response.StatusCode != 200 || lineOf(t, b) != want || response.Header.Get("Content-Type") != "application/efi" {
			t.Errorf("%s: %s, %s, the line %q, want %q", machine, response.Status, response.Header, lineOf(t, b), want)
		}
		head, _ := nettest.Ask(t, "HEAD", path+UKIName, "")
		if head.ContentLength != int64(len(b)) || head.StatusCode != 200 {
			t.Errorf("HEAD %s: %s, Content-Length %d, want %d", machine, head.Status, head.ContentLength, len(b))
		}
		// What differs from the image for all is in the middle of the file. Parts of it are right, too.
		whole := bytes.Clone(b)
		for at := 0; at < len(whole); at += 777 {
			end := min(at+777, len(whole)) - 1
			_, part := nettest.Ask(t, "GET", path+UKIName, "", "Range", fmt.Sprintf("bytes=%d-%d", at, end))
			if !bytes.Equal(part, whole[at:end+1]) {
				t.Fatalf("%s: bytes %d to %d differ from those of the whole", machine, at, end)
			}
		}
		for name, text := range map[string]string{
			ScriptName: "initrd=wyrcan.initrd " + want + "\n", PXELINUXName: "APPEND " + want + "\n"} {
			if _, b := nettest.Ask(t, "GET", path+name, ""); !strings.Contains(string(b), text) {
				t.Errorf("%s%s is %q, want %q in it", machine, name, b, text)
			}
		}
		if response, b := nettest.Ask(t, "GET", path+KernelName, ""); response.StatusCode != 200 || len(b) != 8<<18 {
			t.Errorf("%s: the kernel: %s, %d bytes", machine, response.Status, len(b))
		}
		if !strings.Contains(machine, "%") {
			from, err := client.Receive("m/"+machine+"/"+UKIName, "octet")
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := from.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), whole) {
				t.Errorf("%s: over TFTP %d bytes, %v, want the same as over HTTP", machine, b.Len(), err)
			}
		}
	}
	l.Wait(t, "fetches m/"+other+`/wyrcan\.efi, as all machines do: there is no \S+/`+other+`\.conf`)
	if strings.Contains(l.String(), testUUID+", as all") {
		t.Error("the log says that a machine with a file has none")
	}

	for _, path := range []string{
		"/m", "/m/", "/m/" + testUUID, "/m/" + testUUID + "/", "/m/" + testUUID + "/missing", "/m/x/wyrcan.efi",
		"/m/wyrcan.efi", "/m/../m/../etc/passwd", "/m/" + testUUID + "/../../../etc/passwd",
		"/m/%2e%2e%2f" + testUUID + "/wyrcan.efi", "/m/..%2f..%2fetc%2fpasswd/wyrcan.efi",
		"/m/" + testUUID + ".conf", "/m/" + testUUID + "/" + testUUID + ".conf",
		"/m/" + testUUID + "/m/" + testUUID + "/wyrcan.efi", "/m/README/wyrcan.efi", "/m/" + testUUID + "%00/wyrcan.efi",
		"/M/" + testUUID + "/wyrcan.efi",
	} {
		response, b := nettest.Ask(t, "GET", web+path, "")
		if response.StatusCode != 404 || !strings.Contains(string(b), "m/UUID/FILE") {
			t.Errorf("%s: %s, %q, want 404 with a sentence", path, response.Status, b)
		}
	}

	// A file that changes, or is new, counts at once. One that cannot be used gives the machine nothing at all.
	file := filepath.Join(s.MachineDir, other+".conf")
	for text, want := range map[string]string{"wyr.arg=new": `quiet wyr.img=registry.example/debian wyr.arg=new`,
		"bad\x01": "", strings.Repeat("#\n", 40<<10): ""} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{UKIName, ScriptName} {
			response, b := nettest.Ask(t, "GET", web+"/m/"+other+"/"+name, "")
			switch {
			case want == "" && (response.StatusCode != 500 || bytes.Contains(b, []byte("wyr.img"))):
				t.Errorf("with the file %.10q: %s", text, response.Status)
			case want != "" && !bytes.Contains(b, []byte(want)):
				t.Errorf("with the file %.10q: %s without the line %q", text, response.Status, want)
			}
		}
	}
	l.Wait(t, `http: cannot use \S+/`+other+`\.conf: `)
	if err := os.RemoveAll(s.MachineDir); err != nil {
		t.Fatal(err)
	}
	if response, _ := nettest.Ask(t, "GET", web+"/m/"+testUUID+"/"+UKIName, ""); response.StatusCode != 500 {
		t.Errorf("without the directory of the files a machine gets %s", response.Status)
	}
}

// Without a directory the paths of machines have what all have.
func TestMachinesWithoutFiles(t *testing.T) {
	s := site(t)
	web, _, _ := start(t, s)
	_, b := nettest.Ask(t, "GET", web+"/m/"+testUUID+"/"+UKIName, "")
	checkUKI(t, "m/UUID", b)
}

// A client of the proxy whose machine has a file is told to fetch from the machine's own path.
func TestOfferForMachine(t *testing.T) {
	// Option 97 has the bytes 0123456789abcdef.
	const swapped, plain, hardware = "33323130-3534-3736-3839-616263646566", "30313233-3435-3637-3839-616263646566",
		"52-54-00-12-34-56"
	offered := func(p *Proxy, more ...dhcpv4.Modifier) string {
		reply, about := p.answer(message(t, dhcpv4.MessageTypeDiscover, more...), false)
		if reply == nil || !strings.HasSuffix(about, " "+reply.BootFileNameOption()) ||
			reply.BootFileName != reply.BootFileNameOption() {
			t.Fatalf("the proxy answers %v and says %q", reply, about)
		}
		return reply.BootFileName
	}
	for has, path := range map[string]string{swapped: "m/" + swapped + "/", plain: "m/" + plain + "/",
		hardware: "m/" + hardware + "/", "": ""} {
		p := proxy(t)
		p.Has = func(name string) bool { return name == has }
		for want, options := range map[string][]dhcpv4.Modifier{
			path + "undionly.kpxe":                    client(pxe, iana.INTEL_X86PC),
			path + "wyrcan.efi":                       client(pxe, iana.EFI_X86_64),
			"http://192.0.2.1/" + path + "wyrcan.efi": client(web, iana.EFI_X86_64_HTTP),
			"http://192.0.2.1/" + path + "boot.ipxe":  client(pxe, iana.EFI_X86_64, dhcpv4.WithUserClass("iPXE", false)),
		} {
			if got := offered(p, options...); got != want {
				t.Errorf("with a file for %q the client is told %q, want %q", has, got, want)
			}
		}
	}
	// Of two files, the one named after the UUID counts. An identifier of another kind or length is no UUID.
	p := proxy(t)
	p.Has = func(string) bool { return true }
	for id, want := range map[string]string{uuid: swapped, "\x01" + uuid[1:]: hardware, uuid[:16]: hardware,
		uuid + "x": hardware, "": hardware} {
		more := client(web, iana.EFI_X86_64_HTTP, dhcpv4.WithGeneric(dhcpv4.OptionClientMachineIdentifier, []byte(id)))
		if got := offered(p, more...); got != "http://192.0.2.1/m/"+want+"/wyrcan.efi" {
			t.Errorf("with the identifier %q the client is told %q", id, got)
		}
	}
	s := machines(t)
	if none := site(t); !s.hasFile(testUUID) || !s.hasFile(testMAC) || s.hasFile(swapped) || none.hasFile(testUUID) {
		t.Error("hasFile is wrong")
	}
}

func TestMachinesRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *Site)
		want   string
	}{
		"no directory": {func(s *Site) { s.MachineDir += "/missing" }, "missing: no such file"},
		"another spelling": {func(s *Site) { add(t, s, strings.ToUpper(testUUID)+".conf", "") },
			"has to be called " + testUUID + ".conf"},
		"no machine": {func(s *Site) { add(t, s, "rack7.conf", "") }, "rack7.conf is named after no machine"},
		"no text":    {func(s *Site) { add(t, s, testMAC+".conf", "\x00") }, testMAC + ".conf: it has a zero byte"},
		"too long": {func(s *Site) { add(t, s, testMAC+".conf", "a="+strings.Repeat("x", 2048)) },
			testMAC + ".conf: a command line of"},
		"a pipe": {func(s *Site) {
			os.Remove(filepath.Join(s.MachineDir, testMAC+".conf"))
			if err := os.Mkdir(filepath.Join(s.MachineDir, testMAC+".conf"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, testMAC + ".conf: it is not a file"},
		"shim": {func(s *Site) {
			s.Files[ShimName], s.Files[GRUBName] = s.Files[KernelName], s.Files[KernelName]
		}, "cannot have the command lines in"},
		"signed": {func(s *Site) { sign(t, s.Files[UKIName]) }, "is signed, so it cannot have the command lines"},
	} {
		s := machines(t)
		c.change(&s)
		if err := s.check(t.Logf); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// sign makes a unified kernel image look as if it were signed.
func sign(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[0x58+112+4*8+4] = 8 // the size of the certificate table
	if err := uki.SetCmdline(bytes.Clone(b), "x"); !errors.Is(err, uki.ErrSigned) {
		t.Fatalf("the image does not look signed: %v", err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, s *Site, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.MachineDir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
