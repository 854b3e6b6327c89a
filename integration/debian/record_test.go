package debian

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/newc"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// The login of the registry in which the machine finds its image.
const user, password = "machine", "a-word-that-nothing-else-has"

// login requires that login of a registry.
func login(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, word, ok := r.BasicAuth(); !ok || name != user || word != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		registry.ServeHTTP(w, r)
	})
}

func encoded() string { return base64.StdEncoding.EncodeToString([]byte(user + ":" + password)) }

// withLogin returns Wyrcan's initrd with that login for a registry on this host.
func withLogin(t *testing.T, host string) string {
	t.Helper()
	initrd, err := os.ReadFile(vm.Artefact(t, "wyrcan.initrd"))
	if err != nil {
		t.Fatal(err)
	}
	host = strings.Replace(host, "127.0.0.1:", "10.0.2.2:", 1)
	logins := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, encoded())
	initrd = newc.Pad(initrd, int64(len(initrd)))
	path := strings.TrimPrefix(credentials.File, "/")
	for i, c := range path {
		if c == '/' {
			initrd = newc.Header(initrd, cpio.Info{Name: path[:i], Mode: unix.S_IFDIR | 0o755, NLink: 2})
		}
	}
	initrd = newc.Header(initrd,
		cpio.Info{Name: path, Mode: unix.S_IFREG | 0o600, NLink: 1, FileSize: uint64(len(logins))})
	initrd = newc.Pad(append(initrd, logins...), int64(len(logins)))
	file := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(file, newc.Trailer(initrd), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// checkRecord compares the record of a booted system, in which systemd runs, with the image.
func checkRecord(t *testing.T, log string, img v1.Image, ref string) {
	t.Helper()
	lines(t, log, map[string]bool{
		`^report: listed: -rw-r--r-- root root$`:                                                     true,
		`^witness: mount: .* / /run rw,nosuid,nodev .* tmpfs rw,size=\d+k,nr_inodes=819200,mode=755`: true,
		// systemd has left the mount of wyrinit as it is.
		`^report: run: \d+ \d+ \d+:\d+ / /run rw,nosuid,nodev .* tmpfs rw,size=\d+k,nr_inodes=819200,mode=755`: true,
		regexp.QuoteMeta(password) + "|" + regexp.QuoteMeta(encoded()):                                         false,
	})
	if n := len(regexp.MustCompile(`(?m)^report: run: `).FindAllString(log, -1)); n != 1 {
		t.Errorf("there are %d mounts on /run", n)
	}
	var text strings.Builder
	for _, line := range regexp.MustCompile(`(?m)^report: record: (.*)$`).FindAllStringSubmatch(log, -1) {
		text.WriteString(strings.TrimSuffix(line[1], "\r") + "\n")
	}
	r, err := record.Parse([]byte(text.String()))
	if err != nil {
		t.Errorf("%v: %s", err, text.String())
		return
	}
	manifest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	asked := strings.Replace(ref, "127.0.0.1:", "10.0.2.2:", 1)
	repository, _, _ := strings.Cut(asked, "/")
	want := record.Image{
		Asked: asked, Name: asked, From: repository + "/debian", Manifest: manifest.String(), Config: config.String(),
		Platform: "linux/amd64",
	}
	if r.Image != want {
		t.Errorf("the record says %+v, want %+v", r.Image, want)
	}
	var stages []string
	for _, s := range r.Stages {
		stages = append(stages, s.Name)
	}
	if got := strings.Join(stages, " "); got != "kernel drivers network pull convert" {
		t.Errorf("the record has the stages %s", got)
	}
	const mib = 1 << 20
	if r.Wyrcan != vm.Version(t) || r.By != record.Wyrboot || len(r.Signers) != 0 || r.Initrd.Packing == "none" ||
		r.Initrd.Bytes < 40*mib || r.Memory.Total < 300*mib || r.Memory.Total > 480*mib || r.Memory.Needed < 300*mib ||
		r.Memory.Needed > r.Memory.Total {
		t.Errorf("the record is %+v", r)
	}
	if len(r.Network) != 1 || !r.Network[0].Usable || strings.Join(r.Network[0].Addresses, " ") == "" ||
		!strings.Contains(log, "wyrboot: "+r.Network[0].Name) {
		t.Errorf("the record says of the network %+v", r.Network)
	}
}
