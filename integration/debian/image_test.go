package debian

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/sys/unix"

	"gitlab.com/wyrcan/wyrcan/integration/vm"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
	"gitlab.com/wyrcan/wyrcan/pkg/imagetest/report"
)

// debian returns the Debian that make builds from the Containerfile here with a layer of these tests on top. That layer
// has the witness in place of /init, a unit that prints a report at the end of the boot, and a program with a file
// capability. A last layer lists the files that umoci unpacks, so that the witness can compare them with those of the
// booted system.
func debian(t testing.TB) v1.Image {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: umoci gives files their owners and makes devices")
	}
	dir := t.TempDir()
	img := onTop(t, made(t), witness(t))
	var list bytes.Buffer
	if err := unpacked(t, img, dir).Write(&list); err != nil {
		t.Fatal(err)
	}
	return onTop(t, img, imagetest.Files(imagetest.File("usr/lib/witness/expected", list.String())))
}

// made returns the Debian that make builds, without a login prompt, which could appear in the middle of a line that the
// tests wait for.
func made(t testing.TB) v1.Image {
	t.Helper()
	img := imagetest.Layout(t, vm.Artefact(t, "debian.oci"))
	return onTop(t, img, imagetest.Files(imagetest.Symlink("etc/systemd/system/serial-getty@.service", "/dev/null")))
}

func onTop(t testing.TB, img v1.Image, layer imagetest.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(img, layer.Blob(t))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// witness returns the layer of these tests.
func witness(t testing.TB) imagetest.Layer {
	t.Helper()
	init := vm.Program(t, "./witness")
	script, err := os.ReadFile("witness/report.sh")
	if err != nil {
		t.Fatal(err)
	}
	const unit = "[Unit]\nDescription=Say how the system is\n[Service]\nExecStart=/usr/lib/witness/report\n" +
		"StandardOutput=tty\nTTYPath=/dev/console\n"
	return imagetest.Files(
		imagetest.Dir("usr/lib/witness"),
		imagetest.File("usr/lib/witness/witness", string(init)).Mode(0o755),
		imagetest.File("usr/lib/witness/report", string(script)).Mode(0o755),
		imagetest.File("usr/lib/witness/clock", "#!/bin/sh\n").Mode(0o750).Owner(12, 34).Xattr("security.capability",
			capability(unix.CAP_SYS_TIME)),
		// Builders such as buildah keep no ACLs, so the layers below have none.
		imagetest.File("usr/lib/witness/acl", "").Mode(0o640).Xattr("system.posix_acl_access", acl(12)),
		imagetest.File("usr/lib/systemd/system/report.service", unit),
		imagetest.Symlink("usr/lib/systemd/system/multi-user.target.wants/report.service", "../report.service"),
		imagetest.Symlink("init", "usr/lib/witness/witness"),
	)
}

// capability returns the extended attribute for a file with one capability: struct vfs_cap_data of linux/capability.h,
// revision 2.
func capability(bit uint) string {
	const revision, effective = 0x02000000, 1
	data := make([]byte, 20)
	binary.LittleEndian.PutUint32(data, revision|effective)
	binary.LittleEndian.PutUint32(data[4:], 1<<bit)
	return string(data)
}

// acl returns the extended attribute for a file of mode 0640 that one more user may read: struct posix_acl_xattr_header
// of linux/posix_acl_xattr.h, and an entry for the owner, this user, the group, the mask, and the others.
func acl(user uint32) string {
	const version, nobody = 2, 0xffffffff
	data := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range []struct {
		tag, bits uint16
		id        uint32
	}{{0x01, 6, nobody}, {0x02, 4, user}, {0x04, 4, nobody}, {0x10, 4, nobody}, {0x20, 0, nobody}} {
		data = binary.LittleEndian.AppendUint16(data, e.tag)
		data = binary.LittleEndian.AppendUint16(data, e.bits)
		data = binary.LittleEndian.AppendUint32(data, e.id)
	}
	return string(data)
}

// unpacked returns the files that umoci, which shares no code with Wyrcan, unpacks from the image, with the metadata
// that an initramfs can hold.
func unpacked(t testing.TB, img v1.Image, dir string) report.Tree {
	t.Helper()
	at := filepath.Join(dir, "layout")
	path, err := layout.Write(at, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(img,
		layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "debian"})); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "bundle")
	if out, err := exec.Command("umoci", "unpack", "--image", at+":debian", bundle).CombinedOutput(); err != nil {
		t.Fatalf("umoci unpack = %v: %s", err, out)
	}
	tree, err := report.FromDir(filepath.Join(bundle, "rootfs"))
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := filepath.EvalSymlinks(filepath.Join(bundle, "rootfs/vmlinuz")) // the initramfs does not have it
	if err != nil {
		t.Fatal(err)
	}
	delete(tree, "boot/"+filepath.Base(kernel))
	if err := os.RemoveAll(bundle); err != nil {
		t.Fatal(err)
	}
	return tree.Map(func(path string, f *report.File) {
		f.ModTime = time.Unix(f.ModTime.Unix(), 0)
		if f.Mode&unix.S_IFMT == unix.S_IFLNK {
			f.Same = path
		}
	})
}
