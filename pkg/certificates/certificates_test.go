package certificates

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"gitlab.com/wyrcan/wyrcan/pkg/nettest"
)

// pair returns a certificate and its key, in PEM form.
func pair(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	return nettest.Named(t, name).PEM(t)
}

func TestBundle(t *testing.T) {
	a, key := pair(t, "a")
	b, _ := pair(t, "b")
	block, _ := pem.Decode(a)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	damaged := bytes.Replace(b, b[40:44], []byte("!!!!"), 1)
	for name, row := range map[string]struct {
		text []byte
		n    int
		want string
	}{
		"one":             {a, 1, ""},
		"two and comment": {join([]byte("# ours\n"), a, []byte("\nText = 1\n"), b), 2, ""},
		"Windows":         {append([]byte("\ufeff"), bytes.ReplaceAll(a, []byte("\n"), []byte("\r\n"))...), 1, ""},
		"no newline":      {bytes.TrimSpace(a), 1, ""},
		"empty":           {nil, 0, "no certificate in PEM form"},
		"text":            {[]byte("hunter2"), 0, "no certificate in PEM form"},
		"DER":             {block.Bytes, 0, "openssl x509 -inform der"},
		"damaged":         {join(a, damaged), 1, "1 of its 2 certificates"},
		"damaged first":   {join(damaged, a), 1, "1 of its 2 certificates"},
		"cut off":         {join(a, b[:len(b)/2]), 1, "1 of its 2 certificates"},
		"not X.509":       {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), 0, "1 of its 1 "},
		"a key":           {join(a, key), 1, "private key"},
		"another block":   {pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE"}), 0, "more than certificates"},
		"large":           {bytes.Repeat([]byte("\n"), maxFile+1), 0, "1024 KiB"},
	} {
		got, err := Bundle(row.text)
		if len(got) != row.n || (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %d certificates, %v, want %d, %q", name, len(got), err, row.n, row.want)
		}
	}
}

// tree returns a file system with these files.
func tree(files map[string][]byte) fstest.MapFS {
	root := make(fstest.MapFS)
	for name, content := range files {
		root[name] = &fstest.MapFile{Data: content, Mode: 0o600}
	}
	return root
}

func TestFinder(t *testing.T) {
	ca, _ := pair(t, "ca")
	other, _ := pair(t, "other")
	cert, key := pair(t, "client")
	const containers, docker = "etc/containers/certs.d/", "etc/docker/certs.d/"
	root := tree(map[string][]byte{
		containers + "r.example/ca.crt":             ca,
		containers + "r.example/more.crt":           other,
		containers + "r.example/me.cert":            cert,
		containers + "r.example/me.key":             key,
		containers + "r.example/README":             []byte("not read"),
		containers + "r.example/old.crt/x":          nil, // a directory
		docker + "r.example/ca.crt":                 []byte("does not count: the other directory is there"),
		docker + "r.example:5000/ca.crt":            ca,
		docker + "docker.io/ca.crt":                 ca,
		docker + "[::1]:5000/ca.crt":                ca,
		containers + "443.example:443/ca.crt":       ca,
		containers + "empty.example/README":         nil,
		docker + "empty.example/ca.crt":             ca,
		containers + "file.example":                 nil,
		docker + "file.example/ca.crt":              ca,
		"etc/containers/evil.crt":                   ca,
		"home/u/.config/containers/certs.d/h/c.crt": ca,
		docker + "h/c.crt":                          []byte("does not count"),
	})
	f := System(root, "home/u")
	for host, want := range map[string][2]int{
		"r.example":          {2, 1},
		"r.example:443":      {2, 1},
		"R.Example":          {2, 1},
		"r.example:5000":     {1, 0},
		"r.example:5001":     {0, 0},
		"x.r.example":        {0, 0},
		"443.example":        {1, 0},
		"index.docker.io":    {1, 0},
		"[::1]:5000":         {1, 0},
		"empty.example":      {0, 0}, // the first directory counts, even if it is empty
		"file.example":       {1, 0},
		"h":                  {1, 0},
		"..":                 {0, 0},
		".":                  {0, 0},
		"":                   {0, 0},
		"a/../r.example":     {0, 0},
		"r.example/../h":     {0, 0},
		"r.example\x00":      {0, 0},
		"../docker/certs.d/": {0, 0},
	} {
		got, err := f.For(host)
		if err != nil || len(got.Roots) != want[0] || len(got.Client) != want[1] {
			t.Errorf("For(%q) = %d authorities, %d client certificates, %v, want %v",
				host, len(got.Roots), len(got.Client), err, want)
		}
	}
}

func TestReadDirMalformed(t *testing.T) {
	ca, _ := pair(t, "ca")
	cert, key := pair(t, "client")
	_, stranger := pair(t, "stranger")
	locked := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("hunter2")})
	type dir map[string][]byte
	for name, row := range map[string]struct {
		files dir
		want  string
	}{
		"no key":          {dir{"me.cert": cert}, "/c/me.cert: it is a client certificate without its key me.key; "},
		"no certificate":  {dir{"me.key": key}, "/c/me.key: it is a key without its client certificate me.cert"},
		"another's key":   {dir{"me.cert": cert, "me.key": stranger}, "/c/me.cert: it is no client certificate"},
		"malformed":       {dir{"me.cert": []byte("hunter2"), "me.key": key}, "/c/me.cert: it is no client"},
		"malformed key":   {dir{"me.cert": cert, "me.key": []byte("hunter2")}, "/c/me.cert: it is no client"},
		"locked key":      {dir{"me.cert": cert, "me.key": locked}, "me.key needs a password"},
		"malformed CA":    {dir{"ca.crt": []byte("hunter2")}, "/c/ca.crt: it has no certificate in PEM form"},
		"large CA":        {dir{"ca.crt": make([]byte, maxFile+1)}, "/c/ca.crt: it has more than 1024 KiB"},
		"large key":       {dir{"me.cert": cert, "me.key": make([]byte, maxFile+1)}, "me.key: it has more than"},
		"escape in names": {dir{"\x1b[2J.crt": []byte("hunter2")}, "no certificate in PEM form"},
	} {
		files := make(map[string][]byte)
		for file, content := range row.files {
			files["c/"+file] = content
		}
		_, err := ReadDir(tree(files), "c", "/c")
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter2") ||
			strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
	many := make(map[string][]byte)
	for i := range maxFiles + 1 {
		many[fmt.Sprintf("c/%d.crt", i)] = ca
	}
	if _, err := ReadDir(tree(many), "c", "/c"); err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Errorf("%d files: %v", len(many), err)
	}
	pipe := tree(nil)
	pipe["c/ca.crt"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
	if _, err := ReadDir(pipe, "c", "/c"); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a pipe: %v", err)
	}
	if _, err := ReadDir(pipe, "d", "/d"); err == nil {
		t.Error("a directory that is not there is no error")
	}
}

func FuzzBundle(f *testing.F) {
	cert, key := pair(f, "a")
	f.Add(cert)
	f.Add(append(key, cert[:100]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Bundle(b)
		if err == nil && len(list) == 0 {
			t.Error("no certificate and no error")
		}
	})
}
