package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// A proxy gets the login for its HOST:PORT. Without one it gets none, and not that of docker.io, where a name without a
// host would be.
func TestProxyLogin(t *testing.T) {
	home := noLogins(t)
	file := home + "/auth.json"
	text := fmt.Sprintf(`{"auths": {"docker.io": {"username": "hub", "password": %q},
		"proxy.example:3128": {"username": "proxy", "password": %[1]q}}}`, secret)
	docker := os.Getenv("DOCKER_CONFIG") + "/config.json"
	podman := os.Getenv("XDG_RUNTIME_DIR") + "/containers/auth.json"
	for name, row := range map[string]struct {
		file, host string // with the logins, and of docker.io
		args       []string
	}{
		"-authfile":     {file, "docker.io", []string{"-authfile", file}},
		"docker login":  {docker, "https://index.docker.io/v1/", nil},
		"podman login":  {podman, "docker.io", nil},
		"beside -creds": {file, "docker.io", []string{"-authfile", file, "-creds", "me:" + secret}},
	} {
		if err := os.MkdirAll(filepath.Dir(row.file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(row.file, []byte(strings.Replace(text, "docker.io", row.host, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, stderr := tool(t)
		f := c.flags("x", "", "")
		f.registry()
		if _, err := f.parse(row.args, 0, false); err != nil {
			t.Fatal(err)
		}
		auth := c.auth("debian") // at docker.io
		for host, want := range map[string]string{
			"proxy.example:3128": "proxy", "proxy.example": "", "proxy": "", "proxy:3128": "", "[2001:db8::1]:3128": "",
		} {
			login, err := auth(host).Authorization()
			if err != nil || login.Username != want || stderr.Len() > 0 {
				t.Errorf("%s: the proxy %s gets the login of %q, %v, want %q; it says %q",
					name, host, login.Username, err, want, stderr)
			}
		}
		if err := os.Remove(row.file); err != nil {
			t.Fatal(err)
		}
	}
}

// A registry that only a proxy reaches, as the environment says. The proxy and the registry each get their own login.
func TestProxy(t *testing.T) {
	home := noLogins(t)
	a := nettest.Named(t, "test")
	registry := imagetest.Distribution{TLS: a, Names: []string{"registry.example"}, Login: true}.Start(t)
	ref, err := name.ParseReference(registry.Host + "/team/x:1")
	if err != nil {
		t.Fatal(err)
	}
	basic := &authn.Basic{Username: imagetest.User, Password: imagetest.Password}
	err = remote.Write(ref, imagetest.Image(t, imagetest.Files(bootable()...)), remote.WithAuth(basic),
		remote.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool()}}))
	if err != nil {
		t.Fatal(err)
	}
	proxy := imagetest.NewProxy(t, map[string]string{"registry.example:443": registry.Host}, nil)
	login := fmt.Sprintf(`{"username": %q, "password": %q}`, imagetest.User, imagetest.Password)
	both := home + "/both.json"
	text := fmt.Sprintf(`{"auths": {"registry.example/team": %s, %q: %[1]s}}`, login, proxy.Host)
	if err := os.WriteFile(both, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		err  string
	}{
		{[]string{"-authfile", both}, ""},
		{[]string{"-creds", imagetest.User + ":" + imagetest.Password}, "proxy " + proxy.Host + " wants a login; " +
			"write the login for " + proxy.Host + " to the file of -authfile, see docs/registries.md"},
	} {
		p := process(append(append([]string{"check", "-root", "initramfs", "-cert-dir", a.CertDir(t)}, row.args...),
			"registry.example/team/x:1")...)
		p.Env = append(p.Env, "HTTPS_PROXY=http://"+proxy.Host, "NO_PROXY=", "https_proxy=", "no_proxy=")
		out, err := p.CombinedOutput()
		if (err == nil) != (row.err == "") || !strings.Contains(string(out), row.err) ||
			strings.Contains(string(out), imagetest.Password) {
			t.Errorf("check %q = %v: %s", row.args[0], err, out)
		}
	}
	want := []string{"200 CONNECT registry.example:443", "407 CONNECT registry.example:443"}
	if asked := proxy.Asked(); !slices.Equal(asked, want) {
		t.Errorf("the proxy was asked %q, want %q", asked, want)
	}
}
