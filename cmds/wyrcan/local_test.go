package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// only makes the named programs the only ones in PATH.
func only(t *testing.T, programs ...string) {
	t.Helper()
	imagetest.NeedsPrograms(t, programs...)
	dir := t.TempDir()
	for _, name := range programs {
		file, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(file, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// peer runs another program.
func peer(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// ownStorage gives podman, buildah and skopeo a storage of the test's own, with the image localhost/mine:1. It returns
// the place in skopeo's form. Copies go to a directory that must be empty at the end.
func ownStorage(t *testing.T) (place string) {
	t.Helper()
	imagetest.NeedsRoot(t, "a storage with files of several owners")
	imagetest.NeedsPrograms(t, "skopeo", "podman", "buildah")
	dir := t.TempDir()
	graph, run, conf := dir+"/graph", dir+"/run", dir+"/storage.conf"
	text := fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", graph, run)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_STORAGE_CONF", conf)
	file := saved(t, imagetest.Plain).Tar(t)
	peer(t, "skopeo", "--insecure-policy", "copy", "-q", "docker-archive:"+file, "containers-storage:localhost/mine:1")
	cleanTemp(t)
	return "[vfs@" + graph + "+" + run + "]"
}

// cleanTemp makes a directory TMPDIR, and fails the test if anything is left there.
func cleanTemp(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left := names(t, dir); len(left) > 0 {
			t.Errorf("this is left in TMPDIR: %q", left)
		}
	})
}

// Each program brings an image out of podman's storage, under the names that it knows.
func TestContainersStorage(t *testing.T) {
	place := ownStorage(t)
	id := strings.TrimSpace(peer(t, "podman", "images", "--no-trunc", "--quiet"))
	_, hex, _ := strings.Cut(id, ":")
	all := []string{"localhost/mine:1", "@" + hex}
	short := append([]string{"mine:1", hex[:12]}, all...)
	for _, row := range []struct {
		program string
		names   []string
	}{
		{"podman", short},
		{"buildah", short},
		{"skopeo", append([]string{place + "localhost/mine:1"}, all...)},
	} {
		t.Run(row.program, func(t *testing.T) {
			only(t, row.program)
			for _, name := range row.names {
				ref := "containers-storage:" + name
				if out := succeeds(t, "check", ref); !strings.Contains(out, "image         "+ref+"\n") ||
					!strings.Contains(out, "layers        2, ") || !strings.Contains(out, "bootable      yes\n") {
					t.Errorf("wyrcan check %s says\n%s", ref, out)
				}
			}
		})
	}
}

// An image that was built for several platforms comes with all of them.
func TestContainersStorageList(t *testing.T) {
	ownStorage(t)
	const containerfile = "FROM scratch\nCOPY f /f\n"
	dir := t.TempDir()
	for _, name := range []string{"Containerfile", "f"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(containerfile), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, arch := range []string{"amd64", "arm64"} {
		peer(t, "buildah", "build", "--quiet", "--arch", arch, "--isolation", "chroot", "--manifest", "localhost/both", dir)
	}
	for _, program := range []string{"podman", "buildah"} {
		t.Run(program, func(t *testing.T) {
			only(t, program)
			for _, arch := range []string{"amd64", "arm64"} {
				c, stdout, stderr := tool(t, "check", "-root", "initramfs", "-arch", arch, "containers-storage:both")
				if err := c.run(context.Background()); code(err) != notBootable ||
					!strings.Contains(stdout.String(), "platform      linux/"+arch) {
					t.Errorf("%s: %v\n%s%s", arch, err, stdout, stderr)
				}
			}
		})
	}
}

// Each command takes an image out of a storage wherever it takes one.
func TestContainersStorageCommands(t *testing.T) {
	ownStorage(t)
	const ref = "containers-storage:mine:1"
	dir := t.TempDir()
	succeeds(t, "unpack", "-no-owner", ref, dir+"/root")
	if b, err := os.ReadFile(dir + "/root/second"); err != nil || !bytes.HasPrefix(b, []byte("twotwo")) {
		t.Errorf("unpack wrote %.20q, %v", b, err)
	}
	succeeds(t, "morph", ref, "-kernel", dir+"/k", "-initrd", dir+"/i", "-cmdline", dir+"/c")
	registry := imagetest.Serve(t)
	bare := registry.Push(t, "bare", imagetest.Image(t, imagetest.Files(imagetest.File("etc/motd", "hello"))))
	out := succeeds(t, "check", bare, "-kernel", ref, "-init", "/bin/init", "-overlay", ref)
	if !strings.Contains(out, "kernel image  "+ref) || !strings.Contains(out, "overlay       "+ref) {
		t.Errorf("check says\n%s", out)
	}

	host, _, _ := strings.Cut(bare, "/")
	pushed := strings.TrimSpace(succeeds(t, "push", ref, host+"/pushed:1"))
	if !strings.HasPrefix(pushed, host+"/pushed@sha256:") {
		t.Errorf("push says %q", pushed)
	}
	if out := succeeds(t, "check", pushed); !strings.Contains(out, "bootable      yes\n") {
		t.Errorf("what was pushed: %s", out)
	}
	reg, err := startRegistry()
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	c, _, stderr := tool(t)
	err = reg.store(context.Background(), c, ref, (&session{arch: here}).platform())
	if err != nil || reg.manifest == nil {
		t.Errorf("run does not serve it: %v", err)
	}
	if !strings.Contains(stderr.String(), "wyrcan: image "+ref+", sha256:") {
		t.Errorf("run says %s", stderr)
	}

	key := filepath.Join(dir, "k") // whatever it is: there is no signature
	for _, args := range [][]string{{"verify", ref, "-key", key}, {"serve", ref, "-no-check"}} {
		c, _, _ := tool(t, args...)
		for _, name := range []string{"wyrcan.kernel", "wyrcan.initrd"} {
			if err := os.WriteFile(filepath.Join(c.home, name), imagetest.BzImage(release), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.run(context.Background()); err == nil {
			t.Errorf("wyrcan %q succeeds", args)
		}
	}
}

// What fails says why, and what to do.
func TestStorageErrors(t *testing.T) {
	ownStorage(t)
	for _, row := range []struct {
		ref, want string
		programs  []string
	}{
		{"containers-storage:mine:2", "each user has images of their own, and these are root's: " +
			"did you mean containers-storage:localhost/mine:1?", []string{"podman"}},
		{"containers-storage:mine", "containers-storage:localhost/mine:1?", []string{"buildah"}},
		{"containers-storage:mnie:1", "did you mean containers-storage:localhost/mine:1?", []string{"podman"}},
		{"containers-storage:mine:1", "skopeo has no image of that name; each user", []string{"skopeo"}},
		{"containers-storage:quite/another", "podman has no image of that name; each user", []string{"podman"}},
		{"containers-storage:x", "it takes podman or buildah or skopeo, which this machine does not have: install one, " +
			"or run podman save --format oci-archive -o FILE x where the image is, and name oci-archive:FILE", nil},
		{"containers-storage:[vfs@/x+/y]z", "it takes skopeo, which", []string{"podman"}},
		{"containers-storage:[vfs", "has no ]", nil},
		{"containers-storage:--root=/x", "neither the name of an image nor an ID", []string{"podman"}},
		{"containers-storage:@-x", "neither the name", []string{"podman"}},
		{"containers-storage:", "neither the name", []string{"podman"}},
		{"containers-storage:a b", "neither the name", []string{"podman"}},
		{"docker-daemon:-o=/etc/passwd", "neither the name", nil},
		{"docker-daemon:x", "it takes docker or skopeo, which", nil},
		{"ostree:x@/y", "run skopeo copy ostree:x@/y oci:DIR, and name oci:DIR", nil},
		{"sif:x", "skopeo copy sif:x", nil},
	} {
		t.Run(row.ref, func(t *testing.T) {
			only(t, row.programs...)
			c, _, _ := tool(t, "check", "-root", "initramfs", row.ref)
			err := c.run(context.Background())
			if err == nil || code(err) != notExamined || !strings.Contains(err.Error(), row.want) ||
				!strings.HasPrefix(err.Error(), "cannot get "+row.ref+": ") {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}

// A registry does not have what podman has built here: the message says where it is.
func TestElsewhere(t *testing.T) {
	ownStorage(t)
	registry := imagetest.Serve(t)
	host := registry.Push(t, "x", imagetest.Image(t))
	host, _, _ = strings.Cut(host, "/")
	peer(t, "podman", "tag", "localhost/mine:1", host+"/there:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // nobody asks docker.io
	for _, row := range []struct{ ref, want string }{
		{host + "/there:1", "; an image of that name is on this machine: containers-storage:" + host + "/there:1"},
		{host + "/nowhere:1", ""},
		{"mine:1", "; an image of that name is on this machine: containers-storage:localhost/mine:1"},
		{"localhost/mine:1", "; an image of that name is on this machine: containers-storage:localhost/mine:1"},
	} {
		c, _, _ := tool(t, "check", "-root", "initramfs", row.ref)
		err := c.run(context.Background())
		if err == nil || !strings.HasSuffix(err.Error(), row.want) ||
			row.want == "" && strings.Contains(err.Error(), "on this machine") {
			t.Errorf("check %s = %v, want %q at the end", row.ref, err, row.want)
		}
	}
}

// A signal ends the program that copies, too, and the copy is removed.
func TestStorageSignal(t *testing.T) {
	cleanTemp(t)
	bin := t.TempDir()
	begun := filepath.Join(bin, "begun")
	script := "#!/bin/sh\nfor to; do test \"$last\" = --output && break; last=$to; done\n" +
		"mkdir \"$to\" && echo x > \"$to/layer\"\ntrap 'echo > " + bin + "/ended; exit 1' TERM\n" +
		"echo > " + begun + "\nwhile :; do sleep 0.1; done\n"
	if err := os.WriteFile(filepath.Join(bin, "podman"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	p := process("check", "-root", "initramfs", "containers-storage:x")
	var said bytes.Buffer
	p.Stdout, p.Stderr = &said, &said
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, begun)
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.Wait() // its status is checked next
	status := p.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGINT ||
		!strings.HasSuffix(said.String(), "wyrcan: interrupted\n") {
		t.Errorf("%v, it said %q", p.ProcessState, said.String())
	}
	awaitFile(t, filepath.Join(bin, "ended"))
}

// awaitFile waits until a file exists.
func awaitFile(t *testing.T, name string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(name); err == nil {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("there is no %s after a minute", name)
		}
	}
}

// dockerd starts docker's daemon, with nothing of this machine's network, and returns its address.
func dockerd(t *testing.T) string {
	t.Helper()
	imagetest.NeedsRoot(t, "dockerd")
	imagetest.NeedsPrograms(t, "dockerd", "docker")
	dir, err := os.MkdirTemp("/tmp", "dockerd") // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	address := "unix://" + dir + "/sock"
	var log bytes.Buffer
	d := exec.Command("dockerd", "--log-level", "error", "--host", address, "--data-root", dir+"/data",
		"--exec-root", dir+"/exec", "--pidfile", dir+"/pid", "--storage-driver", "vfs", "--bridge", "none",
		"--iptables=false", "--ip6tables=false",
		"--ip-forward=false", "--ip-masq=false")
	d.Stdout, d.Stderr = &log, &log
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Process.Signal(syscall.SIGTERM)
		d.Wait()
		if t.Failed() {
			t.Logf("dockerd: %s", log.Bytes())
		}
	})
	began := time.Now()
	for exec.Command("docker", "--host", address, "version").Run() != nil {
		if time.Since(began) > time.Minute {
			t.Fatal("dockerd does not answer")
		}
		time.Sleep(100 * time.Millisecond)
	}
	return address
}

// An image comes from docker's daemon, by docker's own program and by skopeo.
func TestDockerDaemon(t *testing.T) {
	address := dockerd(t)
	t.Setenv("DOCKER_HOST", address)
	file := saved(t, imagetest.Plain).Tar(t)
	loaded := peer(t, "docker", "load", "--input", file)
	id := strings.TrimSpace(peer(t, "docker", "images", "--no-trunc", "--quiet"))
	for _, tag := range []string{"mine:latest", "mine:old", "registry.example/team/mine:2"} {
		peer(t, "docker", "tag", id, tag)
	}
	cleanTemp(t)
	for _, row := range []struct {
		program string
		names   []string
	}{
		{"docker", []string{"mine", "mine:old", "registry.example/team/mine:2", id, strings.TrimPrefix(id, "sha256:")[:12]}},
		{"skopeo", []string{"mine", "mine:old", "registry.example/team/mine:2"}},
	} {
		t.Run(row.program, func(t *testing.T) {
			only(t, row.program)
			for _, name := range row.names {
				ref := "docker-daemon:" + name
				if out := succeeds(t, "check", ref); !strings.Contains(out, "image         "+ref+"\n") ||
					!strings.Contains(out, "layers        2, ") || !strings.Contains(out, "bootable      yes\n") {
					t.Errorf("wyrcan check %s says\n%s\n%s", ref, out, loaded)
				}
			}
		})
	}
	for _, row := range []struct{ host, ref, want string }{
		{address, "docker-daemon:mnie:old", "docker images lists those that it has: did you mean docker-daemon:mine:old?"},
		{"unix:///nowhere/sock", "docker-daemon:mine", "start it (systemctl start docker), or say where it is"},
	} {
		t.Setenv("DOCKER_HOST", row.host)
		c, _, _ := tool(t, "check", "-root", "initramfs", row.ref)
		if err := c.run(context.Background()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%v, want %q", err, row.want)
		}
	}
	other := exec.Command("docker", "--host", address, "version")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := other.CombinedOutput(); err == nil {
		t.Errorf("a stranger may use docker's socket: %s", out)
	}
}
