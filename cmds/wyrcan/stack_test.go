package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/boot"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/record"
)

// stacked are an image without a kernel, one that brings a kernel, and an overlay.
func stacked(t *testing.T) (img, kernel, overlay v1.Image) {
	t.Helper()
	return imagetest.Image(t, imagetest.Files(imagetest.Symlink("lib", "usr/lib"), imagetest.Dir("usr/lib"),
			imagetest.File("sbin/init", "#!/sbin/init\n").Mode(0o755),
			imagetest.File("sbin/other", "#!/sbin/other\n").Mode(0o755))),
		imagetest.Image(t, imagetest.Files(imagetest.File("boot/vmlinuz-"+release, string(imagetest.BzImage(release))),
			imagetest.File("lib/modules/"+release+"/kernel/x.ko", string(imagetest.Module("license=GPL"))))),
		imagetest.Image(t, imagetest.Files(imagetest.File("boot/wyrcan.cmdline", "overlaid")))
}

// TestCheckStack checks several images as one.
func TestCheckStack(t *testing.T) {
	img, kernel, overlay := stacked(t)
	registry := imagetest.Serve(t)
	base, local := registry.Push(t, "base", img), "oci:"+onDisk(t, kernel)
	top := registry.Push(t, "top", overlay)
	other := registry.Push(t, "other", imagetest.Spec{Platform: v1.Platform{OS: "linux", Architecture: "s390x"}}.Image(t))
	digest, err := overlay.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		code int
		want []string // on standard output, or in the error
	}{
		{[]string{base}, notBootable, []string{"bootable      no: /boot/wyrcan.kernel is not in it, and no kernel is at"}},
		{
			[]string{base, "-kernel", local, "-overlay", top}, 0, []string{
				"kernel image  " + local + ", sha256:", "overlay       " + top + ", " + digest.String(),
				"layers        3, ", "kernel        /boot/vmlinuz-" + release, "init          /sbin/init",
				"chosen        kernel /boot/vmlinuz-" + release + " (the only one with its modules), because there is no " +
					"/boot/wyrcan.kernel; init /sbin/init, because there is no /init",
				"drivers       1 module", "command line  overlaid\n", "bootable      yes",
			},
		},
		{
			[]string{base, "-image-kernel", local, "-init", "/sbin/other", "-root", "initramfs"}, 0,
			[]string{
				"init          /sbin/other", "init /sbin/other, because wyr.init names it", "command line  rdinit=/sbin/other",
			},
		},
		{
			[]string{base, "-kernel", "/boot/mine"}, notBootable,
			[]string{"no: /boot/mine is not in it; wyr.kernel is to be the path of a kernel in it"},
		},
		{
			[]string{base, "-kernel", local, "-overlay", other}, notExamined,
			[]string{"cannot get the overlay " + other + ": ", "only for linux/s390x"},
		},
		{[]string{base, "-init", "sh"}, 2, []string{`-init is to be a path in IMAGE, without blanks, and not "sh"`}},
		{[]string{base, "-kernel", "/a b"}, 2, []string{"-image-kernel is to be a path in IMAGE"}},
	} {
		c, stdout, _ := tool(t, append([]string{"check"}, row.args...)...)
		withWyrinit(t, c)
		err := c.run(t.Context())
		said := stdout.String()
		if err != nil {
			said += err.Error()
		}
		for _, want := range row.want {
			if code(err) != row.code || !strings.Contains(said, want) {
				t.Errorf("check %q: status %d, want %d, and %q in\n%s", row.args, code(err), row.code, want, said)
			}
		}
	}
	c, stdout, _ := tool(t, "check", "-json", base, "-kernel", local, "-overlay", top)
	withWyrinit(t, c)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || r.KernelImage == nil || len(r.Overlays) != 1 ||
		r.Overlays[0].Digest != digest.String() || r.Chosen == "" {
		t.Errorf("-json gives %s, %v", stdout, err)
	}
}

// TestCheckStackPolicy refuses an overlay that nobody has signed.
func TestCheckStackPolicy(t *testing.T) {
	img, kernel, overlay := stacked(t)
	registry := imagetest.Serve(t)
	owner := imagetest.NewSigner(t, "P-256")
	key := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(key, owner.Public(t), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"check", "-key", key}
	var refs []string
	for i, one := range []v1.Image{img, kernel, overlay} {
		name := []string{"base", "kernel", "top"}[i]
		refs = append(refs, registry.Push(t, name, one))
		if name == "top" {
			continue
		}
		digest, err := one.Digest()
		if err != nil {
			t.Fatal(err)
		}
		registry.AttachBundle(t, name, digest.String(), owner.Bundle(t, digest.String(), imagetest.SignPredicate, nil))
	}
	args = append(args, refs[0], "-kernel", refs[1])
	for _, row := range []struct {
		more []string
		code int
	}{{nil, 0}, {[]string{"-overlay", refs[2]}, refused}} {
		c, _, _ := tool(t, append(args, row.more...)...)
		withWyrinit(t, c)
		if err := c.run(t.Context()); code(err) != row.code ||
			row.code != 0 && !strings.Contains(err.Error(), "the overlay "+refs[2]) {
			t.Errorf("check with %q = %v, want status %d", row.more, err, row.code)
		}
	}
}

// TestMorphStack writes what several images are as one. -kernel says where.
func TestMorphStack(t *testing.T) {
	img, kernel, overlay := stacked(t)
	dir := t.TempDir()
	c, stdout, _ := tool(t, "morph", "oci:"+onDisk(t, img), "-image-kernel", "oci:"+onDisk(t, kernel),
		"-overlay", "oci:"+onDisk(t, overlay), "-kernel", dir+"/k", "-initrd", dir+"/i")
	withWyrinit(t, c)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(dir + "/k"); string(b) != string(imagetest.BzImage(release)) || err != nil {
		t.Errorf("the kernel has %d bytes, %v", len(b), err)
	}
	if stdout.String() != "overlaid\n" {
		t.Errorf("the command line is %q", stdout)
	}
}

// TestRunStack tells the machine about all images. Those on this machine's disk come from registries of their own.
func TestRunStack(t *testing.T) {
	img, kernel, overlay := stacked(t)
	registry := imagetest.Serve(t)
	base := registry.Push(t, "base", img)
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	script := "#!/bin/sh\necho \"$@\" >" + dir + "/ran\necho 'wyrboot: starts kernel 1 of x after 1.0 s'; echo hello\n"
	if err := os.WriteFile(dir+"/qemu-system-x86_64", []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c, _, stderr := tool(t, "run", "-arch", "amd64", base, "-image-kernel", "oci:"+onDisk(t, kernel),
		"-overlay", "oci:"+onDisk(t, overlay), "-overlay", base, "-init", "/sbin/other")
	besideTool(t, c)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	ran, err := os.ReadFile(dir + "/ran")
	if err != nil {
		t.Fatal(err)
	}
	guest := strings.Replace(base, "127.0.0.1", host, 1)
	for _, want := range []string{
		"wyr.img=" + guest + " ", "wyr.kernel=" + host + ":", "wyr.overlay=" + host + ":", "wyr.overlay=" + guest + " ",
		"wyr.init=/sbin/other",
	} {
		if !strings.Contains(string(ran), want) {
			t.Errorf("QEMU had %q, want %q", ran, want)
		}
	}
	if n := strings.Count(string(ran), ":latest wyr.insecure="+host+":"); n < 3 {
		t.Errorf("QEMU had %q, with %d registries on this machine", ran, n)
	}
	for _, one := range []v1.Image{img, overlay} {
		if d, err := one.Digest(); err != nil || !strings.Contains(stderr.String(), d.String()) {
			t.Errorf("it said %q, want %s, %v", stderr, d, err)
		}
	}
}

// The option has the values of wyr.kernel, keep among them, and this machine's name for an image that is called so has a
// tag there, too.
func TestKeep(t *testing.T) {
	img := "oci:" + onDisk(t, imagetest.Image(t, imagetest.Files(bootable()...)))
	if out := succeeds(t, "check", img, "-kernel", "keep"); !strings.Contains(out, "kernel file   stays ") {
		t.Errorf("check says\n%s", out)
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	script := "#!/bin/sh\necho \"$@\" >" + dir + "/ran\necho 'wyrboot: starts kernel 1 of x after 1.0 s'; echo hello\n"
	if err := os.WriteFile(dir+"/qemu-system-x86_64", []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c, _, _ := tool(t, "run", "-arch", "amd64", img, "-image-kernel", "keep")
	besideTool(t, c)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ran, err := os.ReadFile(dir + "/ran"); err != nil || !strings.Contains(string(ran), "wyr.kernel=keep") {
		t.Errorf("QEMU had %q, %v", ran, err)
	}
}

// TestStatusStack says which images were booted as one, and whether the tag of one has moved.
func TestStatusStack(t *testing.T) {
	img, kernel, overlay := stacked(t)
	registry := imagetest.Serve(t)
	part := func(name string, one v1.Image) boot.Part {
		ref := registry.Push(t, name, one)
		found, err := (&image.Source{}).Open(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return boot.Part{Image: found, Asked: ref}
	}
	s := boot.Stack{Image: part("base:1", img), Kernel: part("kernel:1", kernel),
		Overlays: []boot.Part{part("top:1", overlay)}}
	r := record.Record{By: record.Wyrboot}
	s.Describe(&r)
	code, out, err := on(t, text(t, r))
	for _, want := range []string{
		"kernel image  " + s.Kernel.Asked + ", " + s.Kernel.Image.Digest.String() + "\n",
		"overlay       " + s.Overlays[0].Asked + ", " + s.Overlays[0].Image.Digest.String() + "\n",
		"tag           the same\n",
	} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d, %v, want %q in\n%s", code, err, want, out)
		}
	}
	moved := registry.Push(t, "top:1", kernel)
	code, out, _ = on(t, text(t, r))
	if want := "a reboot boots it: this is about " + moved + "\n"; code != statusNewer || !strings.Contains(out, want) {
		t.Errorf("after the overlay's tag moved: status %d, want %q in\n%s", code, want, out)
	}
}

// TestStackLogins sends the login of -creds to the registry of IMAGE and to no other one. A login of a file is for the
// registry that the file names, and the guest gets all that it needs.
func TestStackLogins(t *testing.T) {
	home := noLogins(t)
	_, _, overlay := stacked(t)
	base := private(t) // bootable, at a registry that wants a login
	var got []string   // logins
	open := true
	stranger := imagetest.Serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			login := r.Header.Get("Authorization")
			if login == "" && !open {
				w.Header().Set("WWW-Authenticate", `Basic realm="stranger"`)
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			if login != "" {
				got = append(got, login)
			}
			next.ServeHTTP(w, r)
		})
	})
	top := stranger.Push(t, "top", overlay)
	open = false
	check := func(args ...string) error {
		c, _, _ := tool(t, append([]string{"check", "-root", "initramfs"}, args...)...)
		return c.run(t.Context())
	}
	if err := check(base, "-overlay", top, "-creds", "me:"+secret); err == nil || len(got) > 0 {
		t.Errorf("check = %v, and the other registry got %q", err, got)
	}
	if err := check("oci:"+onDisk(t, overlay), "-overlay", base, "-creds", "me:"+secret); err != nil {
		t.Errorf("check of an image on the disk = %v", err)
	}

	bin := t.TempDir()
	t.Setenv("PATH", bin+":/bin:/usr/bin")
	script := "#!/bin/sh\ncat /proc/self/fd/3 >" + bin + "/fd3\necho \"$@\" >" + bin + "/args\n" +
		"echo 'wyrboot: starts kernel 1 of x after 1.0 s'; echo hello\n"
	if err := os.WriteFile(bin+"/qemu-system-x86_64", []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	one, two := strings.Split(base, "/")[0], stranger.Host
	file := filepath.Join(home, "both.json")
	logins := fmt.Sprintf(`{"auths": {%q: {"username": "me", "password": %q}, %q: {"username": "you", "password": "p"}}}`,
		one, secret, two)
	if err := os.WriteFile(file, []byte(logins), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, _ := tool(t, "run", "-arch", "amd64", base, "-overlay", top, "-authfile", file)
	besideTool(t, c)
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(bin + "/fd3")
	if err != nil {
		t.Fatal(err)
	}
	handed, err := credentials.Parse(content, "")
	if err != nil || len(handed) != 2 {
		t.Fatalf("the guest gets %d logins, %v", len(handed), err)
	}
	for ref, user := range map[string]string{base: "me", top: "you"} {
		login, err := handed.For(strings.TrimSuffix(fromGuest(ref), ":latest")).Authorization()
		if err != nil || login.Username != user {
			t.Errorf("for %s the guest gets the login of %q, %v", ref, login.Username, err)
		}
	}
	args, err := os.ReadFile(bin + "/args")
	if n := strings.Count(string(args), "name=opt/io.systemd.credentials/wyr.auth"); n != 1 || err != nil {
		t.Errorf("QEMU gets %d credentials wyr.auth: %s, %v", n, args, err)
	}
}

// TestStackAbout checks for which registry the options are: a machine finds this one at 10.0.2.2, where this program
// asks at 127.0.0.1; and inside such a machine 10.0.2.2 is meant as it is.
func TestStackAbout(t *testing.T) {
	list := []wanted{{ref: "oci:dir:x"}, {ref: "10.0.2.2:5000/x"}, {ref: "registry.lab/x"}}
	here := &cmd{access: new(access)}
	here.about(list, func(ref string) string { return ref })
	lent := &cmd{access: new(access)}
	if guests, err := lent.lend(list); err != nil {
		t.Fatal(err)
	} else {
		guests.Close()
	}
	for _, row := range []struct {
		c    *cmd
		want string
	}{{here, "10.0.2.2:5000"}, {lent, "127.0.0.1:5000"}} {
		for _, host := range []string{"10.0.2.2:5000", "127.0.0.1:5000", "registry.lab"} {
			if got := row.c.insecure("registry.lab/x")(host); got != (host == row.want) {
				t.Errorf("-tls-verify=false counts for %s: %v; want %s alone", host, got, row.want)
			}
		}
	}
}
