package integration

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// private runs docker's registry with TLS and a login. It returns its address, and the authority of its certificate.
func private(t *testing.T) (host string, a *nettest.Authority) {
	t.Helper()
	a = nettest.Named(t, "test")
	return imagetest.Distribution{TLS: a, Login: true}.Start(t).Host, a
}

// pushPrivate stores an image in such a registry, and returns its name there.
func pushPrivate(t *testing.T, host string, a *nettest.Authority, repo string, img v1.Image) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(host + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	err = remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: imagetest.User, Password: imagetest.Password}),
		remote.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool()}}))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// loginFor returns the login for a part of such a registry: as a header has it, and as a file for podman.
func loginFor(place string) (login, auth string) {
	login = base64.StdEncoding.EncodeToString([]byte(imagetest.User + ":" + imagetest.Password))
	return login, fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, place, login)
}

// TestCredentials boots an image for which a login is needed, at a registry whose authority nobody knows. Both come as
// system credentials. Then nothing in the booted system has the login: no file, no line of the kernel's log, no word of
// a command line.
func TestCredentials(t *testing.T) {
	t.Parallel()
	host, authority := private(t)
	pem, _ := authority.PEM(t)
	ca := string(pem)
	// The witness shows that seeker finds what is there.
	const witness = "the-text-that-stands-in-a-file"
	img := imagetest.Image(t, kernelLayer(t), imagetest.Files(
		imagetest.File("init", string(vm.Program(t, "./seeker"))).Mode(0o755),
		imagetest.Dir("usr"), imagetest.File("usr/witness", strings.Repeat("x", 3<<20)+witness),
	))
	ref := pushPrivate(t, host, authority, "team/seeker:1", img)
	place := fromGuest(host)
	login, auth := loginFor(place + "/team")
	binary := func(name, content string) string {
		return "type=11,value=io.systemd.credential.binary:" + name + "=" +
			base64.StdEncoding.EncodeToString([]byte(content))
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "auth.json"), auth)
	write(t, filepath.Join(dir, "ca.pem"), ca)
	for _, row := range []struct {
		source string
		qemu   []string
		tables bool // the firmware's tables have the login, in the booted system too
	}{
		{"fw_cfg", []string{
			"-fw_cfg", "name=opt/io.systemd.credentials/wyr.auth,file=" + dir + "/auth.json",
			"-fw_cfg", "name=opt/io.systemd.credentials/wyr.ca,file=" + dir + "/ca.pem",
		}, false},
		{"SMBIOS", []string{
			"-smbios", "type=11,value=a text of the vendor", "-smbios", binary("wyr.auth", auth), "-smbios",
			binary("wyr.ca", ca),
		}, true},
	} {
		t.Run(row.source, func(t *testing.T) {
			t.Parallel()
			encoded := base64.StdEncoding.EncodeToString([]byte(auth))
			texts := []string{witness, imagetest.Password, strings.TrimRight(login, "="),
				encoded[len(encoded)/2 : len(encoded)-4]}
			v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, QEMU: row.qemu, Cmdline: "wyr.img=" + place +
				"/team/seeker:1 wyr.arg=console=ttyS0 wyr.arg=" + witness + " wyr.arg=seek=" +
				strings.Join(backwards(texts), ",")}.Start(t)
			v.Wait(`^wyrboot: logins for `+regexp.QuoteMeta(place)+`/team: from credential wyr\.auth of `+row.source+`$`,
				bootTime+stepTime)
			v.Wait(`^wyrboot: certificate authorities: 1 from credential wyr\.ca of `+row.source+`$`, stepTime)
			v.Wait(`^wyrboot: stage load`, 4*stepTime)
			v.Wait(`^seeker: has read [0-9]{2,} files, [0-9]{7,} bytes`, kexecTime)
			v.Exit(stepTime)

			nothingOf(t, v.Said(), texts, row.tables)
		})
	}
	t.Run("wyrcan run", func(t *testing.T) {
		t.Parallel()
		texts := []string{witness, imagetest.Password, strings.TrimRight(login, "=")}
		run := exec.CommandContext(t.Context(), vm.Artefact(t, "wyrcan"), "run", "-creds", imagetest.User,
			"-cert-dir", authority.CertDir(t),
			"-m", "1G", "-until", "seeker: has read", "-timeout", (bootTime + 5*stepTime + kexecTime).String(),
			"-arg", witness, "-arg", "seek="+strings.Join(backwards(texts), ","), ref.Name())
		run.Stdin = strings.NewReader(imagetest.Password + "\n")
		out, err := run.CombinedOutput()
		said := strings.ReplaceAll(string(out), "\r", "")
		if err != nil {
			t.Fatalf("wyrcan run: %v\n%s", err, said)
		}
		for _, want := range []string{
			"wyrboot: logins for " + place + "/team/seeker: from credential wyr.auth of fw_cfg\n",
			"wyrboot: certificate authorities: 1 from credential wyr.ca of fw_cfg\n",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("the machine does not say %q", want)
			}
		}
		nothingOf(t, said, texts, false)
	})
}

// nothingOf checks what seeker has found of the texts: the witness, which is the first, and nothing of the login.
// tables says whether the firmware's tables have the login, which the booted system then shows too.
func nothingOf(t *testing.T, said string, texts []string, tables bool) {
	t.Helper()
	for _, place := range []string{"/usr/witness", "/proc/cmdline", "/dev/kmsg"} {
		if !strings.Contains(said, "seeker: text 0 is in "+place+"\n") {
			t.Errorf("seeker does not find the witness in %s", place)
		}
	}
	for _, m := range regexp.MustCompile(`seeker: text ([1-9]) is in (.*)`).FindAllStringSubmatch(said, -1) {
		if !tables || !strings.HasPrefix(m[2], "/sys/firmware/dmi/") {
			t.Errorf("the booted system has text %s of the login in %s", m[1], m[2])
		}
	}
	if found := strings.Contains(said, "is in /sys/firmware/dmi/"); found != tables {
		t.Errorf("the firmware's tables have the login: %v, want %v", found, tables)
	}
	for i, text := range texts[1:] {
		if strings.Contains(said, text) {
			t.Errorf("the console shows text %d of the login", i+1)
		}
	}
}

// backwards returns the texts, each written backwards.
func backwards(texts []string) []string {
	var list []string
	for _, t := range texts {
		b := []byte(t)
		slices.Reverse(b)
		list = append(list, string(b))
	}
	return list
}

// TestNoCredentials boots without a login, or with a malformed one. The console says what to bring.
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	host, authority := private(t)
	ca, _ := authority.PEM(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), string(ca))
	write(t, filepath.Join(dir, "auth.json"), `{"auths": {"x": {"auth": "`+imagetest.Password+`"}}}`)
	t.Run("no authority", func(t *testing.T) {
		t.Parallel()
		v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, Cmdline: "quiet wyr.img=" + fromGuest(host) + "/x"}.Start(t)
		v.Wait(`^wyrboot: cannot get .* is not trusted: .*; bring the certificate of its authority: `+
			`/etc/containers/certs\.d/\S+/ca\.crt or the credential wyr\.ca, see docs/registries\.md; wyr\.insecure=`,
			bootTime+2*stepTime)
		rebootsOnEnter(t, v)
	})
	t.Run("malformed login", func(t *testing.T) {
		t.Parallel()
		v := vm.Machine{Kernel: vm.Unpacked(t), CPUs: 1, Cmdline: "quiet wyr.img=" + fromGuest(host) + "/x", QEMU: []string{
			"-fw_cfg", "name=opt/io.systemd.credentials/wyr.auth,file=" + dir + "/auth.json",
			"-fw_cfg", "name=opt/io.systemd.credentials/wyr.ca,file=" + dir + "/ca.pem",
		}}.Start(t)
		v.Wait(`^wyrboot: logins are left out: credential wyr\.auth of fw_cfg: the entry for "x" is not what `+
			`.*; see docs/registries\.md$`,
			bootTime+2*stepTime)
		v.Wait(`^wyrboot: cannot get .* denies access.*; bring a login: /etc/wyrcan/auth\.json or the credential `+
			`wyr\.auth, see docs/registries\.md$`, stepTime)
		rebootsOnEnter(t, v)
		if strings.Contains(v.Said(), imagetest.Password) {
			t.Error("the console shows the password")
		}
	})
}
