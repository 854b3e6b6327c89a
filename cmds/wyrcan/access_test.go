package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/pkg/certificates"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// secret is the password of the registries. It may be shown nowhere.
const secret = "hunter2:x"

// guarded serves next to the user "me" with the secret.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok || user != "me" || password != secret {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// private returns a registry that wants a login, with a bootable image, and the image's name.
func private(t *testing.T) (ref string) {
	t.Helper()
	open := true
	registry := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if open {
				next.ServeHTTP(w, r)
				return
			}
			guarded(next).ServeHTTP(w, r)
		})
	})
	ref = registry.Push(t, "team/private", imagetest.Image(t, imagetest.Files(bootable()...)))
	open = false
	return ref
}

// authFile writes a file with a login for a key, and returns its name.
func authFile(t *testing.T, name, key string) string {
	t.Helper()
	text := fmt.Sprintf(`{"auths": {%q: {"username": "me", "password": %q}}}`, key, secret)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// noLogins has this process find no logins of the user who runs the test.
func noLogins(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	for _, name := range []string{"HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(name, home+"/"+name)
	}
	t.Setenv("REGISTRY_AUTH_FILE", "")
	return home
}

func TestLogins(t *testing.T) {
	home := noLogins(t)
	ref := private(t)
	host, _, _ := strings.Cut(ref, "/")
	good := authFile(t, home+"/good.json", host+"/team")
	other := authFile(t, home+"/other.json", host+"/other")
	malformed := home + "/malformed.json"
	if err := os.WriteFile(malformed, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	helped := home + "/helped.json"
	if err := os.WriteFile(helped, []byte(`{"credHelpers": {"`+host+`": "nothing"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name  string
		args  []string
		stdin string
		env   string // REGISTRY_AUTH_FILE
		err   string
	}{
		{"no login", nil, "", "", "log in with podman login, -authfile FILE or -creds USER, see docs/registries.md"},
		{"file", []string{"-authfile", good}, "", "", ""},
		{"file for another part", []string{"-authfile", other}, "", "", "denies access"},
		{"file that is missing", []string{"-authfile", home + "/none"}, "", "", "cannot read the logins of -authfile"},
		{"malformed file", []string{"-authfile", malformed}, "", "", "not what docker or podman login write"},
		{"helper", []string{"-authfile", helped}, "", "", "credential helper"},
		{"environment", nil, "", good, ""},
		{"environment, nothing there", nil, "", home + "/none", "denies access"},
		{"environment, malformed", nil, "", malformed, "$REGISTRY_AUTH_FILE"},
		{"file before environment", []string{"-authfile", good}, "", malformed, ""},
		{"creds", []string{"-creds", "me:" + secret}, "", "", ""},
		{"creds, asked", []string{"-creds", "me"}, secret + "\n", "", ""},
		{"creds, asked, Windows", []string{"-creds", "me"}, secret + "\r\nmore", "", ""},
		{"creds, asked, no newline", []string{"-creds", "me"}, secret, "", ""},
		{"creds, asked, nothing", []string{"-creds", "me"}, "", "", "cannot read the password for me"},
		{"creds, endless", []string{"-creds", "me"}, strings.Repeat(secret, 20000), "", "line is too long"},
		{"creds before file", []string{"-creds", "me:" + secret, "-authfile", other}, "", "", ""},
		{"wrong creds", []string{"-creds", "you:" + secret}, "", "", "denies access"},
		{"creds without a name", []string{"-creds", ":" + secret}, "", "", "want USER"},
	} {
		t.Setenv("REGISTRY_AUTH_FILE", row.env)
		c, stdout, stderr := tool(t, append(append([]string{"check", "-root", "initramfs"}, row.args...), ref)...)
		c.stdin = strings.NewReader(row.stdin)
		err := c.run(context.Background())
		if (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%s: %v, want %q", row.name, err, row.err)
		}
		if said := fmt.Sprint(err, stdout, stderr); strings.Contains(said, "hunter2") {
			t.Errorf("%s: the password is shown: %s", row.name, said)
		}
	}
	// podman login has written a login for a part of the registry.
	t.Setenv("REGISTRY_AUTH_FILE", "")
	authFile(t, os.Getenv("XDG_RUNTIME_DIR")+"/containers/auth.json", host+"/team")
	c, _, _ := tool(t, "check", "-root", "initramfs", ref)
	if err := c.run(context.Background()); err != nil {
		t.Errorf("with podman's login: %v", err)
	}
}

// A password that is typed is not shown. If a signal ends the program, the terminal shows again what is typed.
func TestTypedPassword(t *testing.T) {
	noLogins(t)
	ref := private(t)
	echo := func(f *os.File) bool {
		modes, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return modes.Lflag&unix.ECHO != 0
	}
	for name, row := range map[string]struct {
		typed  string
		signal syscall.Signal
	}{
		"typed":   {secret + "\n", 0},
		"SIGINT":  {"", syscall.SIGINT},
		"SIGTERM": {"half of it", syscall.SIGTERM},
	} {
		person, program := pty(t)
		p := process("check", "-root", "initramfs", "-creds", "me", ref)
		var said bytes.Buffer
		p.Stdin, p.Stdout, p.Stderr = program, &said, &said
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); echo(program); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				p.Process.Kill()
				t.Fatalf("%s: the terminal still shows what is typed", name)
			}
		}
		if _, err := person.WriteString(row.typed); err != nil {
			t.Fatal(err)
		}
		if row.signal != 0 {
			if err := p.Process.Signal(row.signal); err != nil {
				t.Fatal(err)
			}
		}
		p.Wait() // its status is checked next
		status := p.ProcessState.Sys().(syscall.WaitStatus)
		if row.signal == 0 && status.ExitStatus() != 0 ||
			row.signal != 0 && (!status.Signaled() || status.Signal() != row.signal) {
			t.Errorf("%s: %v, it said %q", name, p.ProcessState, said.String())
		}
		if !echo(program) {
			t.Errorf("%s: the terminal does not show any more what is typed", name)
		}
		if !strings.HasPrefix(said.String(), "password of me: \n") || strings.Contains(said.String(), "hunter2") {
			t.Errorf("%s: it said %q", name, said.String())
		}
	}
}

// -creds is sent to no host but the registry that the command names.
func TestCredsForOneRegistry(t *testing.T) {
	noLogins(t)
	c, _, _ := tool(t)
	f := c.flags("x", "", "")
	f.registry()
	if _, err := f.parse([]string{"-creds", "me:" + secret}, 0, false); err != nil {
		t.Fatal(err)
	}
	auth := c.auth("docker://Registry.example:5000/team/x:1")
	for repository, want := range map[string]string{
		"Registry.example:5000/team/x": "me",
		"registry.example/team/x":      "",
		"mirror.example:5000/team/x":   "",
		"index.docker.io/library/x":    "",
	} {
		login, err := auth(repository).Authorization()
		if err != nil || login.Username != want {
			t.Errorf("%s gets the login of %q, %v, want %q", repository, login.Username, err, want)
		}
	}
}

func TestCertDir(t *testing.T) {
	noLogins(t)
	registry := imagetest.ServeTLS(t)
	ref := registry.Push(t, "x", imagetest.Image(t, imagetest.Files(bootable()...)))
	dir, empty := t.TempDir(), t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: registry.CA().Raw})
	if err := os.WriteFile(dir+"/ca.crt", ca, 0o600); err != nil {
		t.Fatal(err)
	}
	bad := t.TempDir()
	if err := os.WriteFile(bad+"/me.cert", ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		err  string
	}{
		{nil, "-cert-dir DIR or /etc/containers/certs.d/" + registry.Host +
			"/ca.crt, see docs/registries.md; -tls-verify=false"},
		{[]string{"-cert-dir", dir}, ""},
		{[]string{"-cert-dir", empty}, "not trusted"},
		{[]string{"-cert-dir", dir + "/none"}, "cannot read the certificates in " + dir + "/none"},
		{[]string{"-cert-dir", bad}, bad + "/me.cert: it is a client certificate without its key"},
	} {
		c, _, _ := tool(t, append(append([]string{"check", "-root", "initramfs"}, row.args...), ref)...)
		if err := c.run(context.Background()); (err == nil) != (row.err == "") ||
			err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("check %q = %v, want %q", row.args, err, row.err)
		}
	}
	// The same directory as podman finds it.
	certs := os.Getenv("HOME") + "/.config/containers/certs.d/" + registry.Host
	if err := os.MkdirAll(certs, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/ca.crt", certs+"/ca.crt"); err != nil {
		t.Fatal(err)
	}
	c, _, _ := tool(t, "check", "-root", "initramfs", ref)
	if err := c.run(context.Background()); err != nil {
		t.Errorf("with certs.d: %v", err)
	}
}

// run gives the guest the login for its image, and the authority of its registry. Neither is on QEMU's command line.
func TestRunHandsOver(t *testing.T) {
	home := noLogins(t)
	ref := private(t)
	bin := t.TempDir()
	t.Setenv("PATH", bin+":/bin:/usr/bin")
	script := "#!/bin/sh\necho \"$@\" >" + bin + "/args\nfor f in 3 4; do\n" +
		"[ -e /proc/self/fd/$f ] || continue\ncat /proc/self/fd/$f >" + bin + "/fd$f\n" +
		"stat -Lc %a /proc/self/fd/$f >" + bin + "/mode$f\ndone\n" +
		"echo 'wyrboot: starts kernel 1 of x after 1.0 s'; echo hello\n"
	if err := os.WriteFile(bin+"/qemu-system-x86_64", []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	certs := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: imagetest.ServeTLS(t).CA().Raw})
	if err := os.WriteFile(certs+"/ca.crt", ca, 0o600); err != nil {
		t.Fatal(err)
	}
	file := authFile(t, home+"/auth.json", strings.Split(ref, "/")[0])
	c, stdout, stderr := tool(t, "run", "-arch", "amd64", "-authfile", file, "-cert-dir", certs, ref)
	besideTool(t, c)
	if err := c.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := func(name string) string {
		b, err := os.ReadFile(bin + "/" + name)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(b))
	}
	args := got("args")
	for _, want := range []string{
		"-fw_cfg name=opt/io.systemd.credentials/wyr.auth,file=/proc/self/fd/3",
		"-fw_cfg name=opt/io.systemd.credentials/wyr.ca,file=/proc/self/fd/4",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("QEMU had %q, want %q", args, want)
		}
	}
	if said := args + stdout.String() + stderr.String(); strings.Contains(said, "hunter2") {
		t.Errorf("the login is shown: %s", said)
	}
	logins, err := credentials.Parse([]byte(got("fd3")), "")
	if err != nil {
		t.Fatal(err)
	}
	guest, _, _ := strings.Cut(fromGuest(ref), ":")
	there := strings.TrimSuffix(fromGuest(ref), ":latest")
	login, err := logins.For(there).Authorization()
	if err != nil || login.Username != "me" || login.Password != secret || len(logins) != 1 {
		t.Errorf("the guest gets %d logins, for %s that of %q, %v", len(logins), there, login.Username, err)
	}
	for _, not := range []string{guest, there + "2", strings.TrimSuffix(there, "/private") + "/other"} {
		if login, _ := logins.For(not).Authorization(); login.Username != "" {
			t.Errorf("the guest gets a login for %s too", not)
		}
	}
	if roots, err := certificates.Bundle([]byte(got("fd4"))); err != nil || len(roots) != 1 {
		t.Errorf("the guest gets %d authorities, %v", len(roots), err)
	}
	if m3 := got("mode3"); m3 != "600" {
		t.Errorf("the login is in a file of mode %s", m3)
	}
}
