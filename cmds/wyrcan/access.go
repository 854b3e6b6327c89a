package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/term"

	"gitlab.com/wyrcan/wyrcan/pkg/certificates"
	"gitlab.com/wyrcan/wyrcan/pkg/credentials"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// page is the document about logins and certificates.
const page = "docs/registries.md"

// access is how a command reaches the registry that it names. The options have the names of skopeo and podman.
type access struct {
	tlsVerify bool
	authfile  string
	creds     string
	certDir   string

	only string // the image for whose registry these options are, where a command names several: see isFor

	logins credentials.Credentials // of authfile; nil without one
	login  *authn.Basic            // of creds
	extra  certificates.Extra      // of certDir
}

// registry adds the options for connections to a registry.
func (f *flagSet) registry() {
	a := &access{}
	f.c.access = a
	f.BoolVar(&a.tlsVerify, "tls-verify", true,
		"use TLS for the registry and verify its certificate; =false also allows plain HTTP, only for this registry")
	f.StringVar(&a.authfile, "authfile", "",
		"read the logins from `FILE`, as podman login writes it "+
			"(default $REGISTRY_AUTH_FILE, else those of docker login and podman login)")
	f.StringVar(&a.creds, "creds", "",
		"log in to the registry as `USER[:PASSWORD]`; every user of this machine can see a password here, "+
			"so without one it is asked for, or read as a line of standard input")
	f.StringVar(&a.certDir, "cert-dir", "",
		"use the certificates in `DIR` for the registry: *.crt are authorities, *.cert and *.key a client certificate")
}

// isFor has the options be for the registry of the image ref alone, also where another one is asked. A login of one
// registry is no other registry's business.
func (a *access) isFor(ref string) {
	if a != nil {
		a.only = ref
	}
}

// registry returns the name of the registry that the options are for while the image ref is asked for, "" if they are
// for none.
func (a *access) registry(ref string) string {
	if a == nil {
		return ""
	}
	repo, ok := repository(cmp.Or(a.only, ref))
	if !ok {
		return "" // an invalid name: the request will report it
	}
	return repo.RegistryStr()
}

// read reads what the options name.
func (a *access) read(c *cmd) error {
	if a.authfile != "" {
		var err error
		if a.logins, err = credentials.Read(a.authfile); err != nil {
			return fmt.Errorf("cannot read the logins of -authfile: %w; see %s", err, page)
		}
	} else if file := os.Getenv("REGISTRY_AUTH_FILE"); file != "" {
		logins, err := credentials.Read(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // before the first podman login there is none
			return fmt.Errorf("cannot read the logins of $REGISTRY_AUTH_FILE: %w; see %s", err, page)
		}
		a.logins = logins
	}
	if a.certDir != "" {
		var err error
		if a.extra, err = certificates.ReadDir(os.DirFS(a.certDir), ".", a.certDir); err != nil {
			return fmt.Errorf("%w; see %s", err, page)
		}
	}
	if a.creds != "" {
		user, password, given := strings.Cut(a.creds, ":")
		if user == "" {
			return usage("-creds: want USER or USER:PASSWORD")
		}
		if !given {
			var err error
			if password, err = c.password(user); err != nil {
				return fmt.Errorf("cannot read the password for %s: %w", user, err)
			}
		}
		a.login = &authn.Basic{Username: user, Password: password}
	}
	return nil
}

// password asks for a password on the terminal, or reads it as a line of standard input, and no byte more.
func (c *cmd) password(user string) (string, error) {
	if f, ok := c.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(c.stderr, "password of %s: ", user)
		defer fmt.Fprintln(c.stderr)
		return typed(int(f.Fd()))
	}
	const most = 64 << 10
	var line []byte
	for b := make([]byte, 1); len(line) < most; {
		n, err := c.stdin.Read(b)
		if n > 0 && b[0] == '\n' || err == io.EOF && len(line) > 0 {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, b[:n]...)
	}
	return "", errors.New("the line is too long")
}

// typed reads a line from a terminal that does not show it. After a signal the terminal shows again what is typed.
func typed(fd int) (string, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	signals := make(chan os.Signal, 1)
	for _, s := range ending() {
		signal.Notify(signals, s)
	}
	defer signal.Stop(signals)
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // it ends with the program after a signal, because a read from a terminal cannot be interrupted
		line, err := term.ReadPassword(fd)
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		return string(a.line), a.err
	case s := <-signals:
		return "", errors.Join(&ended{s.(syscall.Signal)}, term.Restore(fd, state))
	}
}

// insecure returns a function that reports for which registry plain HTTP and unverified certificates are allowed: for
// that of ref. It returns nil if they are not allowed.
func (c *cmd) insecure(ref string) func(string) bool {
	if c.access == nil || c.access.tlsVerify {
		return nil
	}
	own := c.access.registry(ref)
	if own == "" {
		return nil
	}
	return image.Hosts([]string{own})
}

// repository returns the repository of an image at a registry.
func repository(ref string) (name.Repository, bool) {
	parsed, err := name.ParseReference(strings.TrimPrefix(ref, "docker://"))
	if err != nil {
		return name.Repository{}, false
	}
	return parsed.Context(), true
}

// auth returns a function for image.Source.Auth: the login of -creds for the registry of ref, else those of the file
// that was named, else those of docker and podman. It is also asked for that of a proxy, by the HOST:PORT alone, which
// -creds is not for, and which would be a repository of docker.io if it were the name of an image.
func (c *cmd) auth(ref string) func(repository string) authn.Authenticator {
	own := c.access.registry(ref)
	return func(text string) authn.Authenticator {
		var what authn.Resource
		var err error
		proxy := !strings.Contains(text, "/")
		if proxy {
			what, err = name.NewRegistry(text)
		} else {
			what, err = name.NewRepository(text)
		}
		if err != nil {
			return authn.Anonymous
		}
		a := c.access
		switch {
		case a != nil && a.login != nil && !proxy && what.RegistryStr() == own:
			return a.login
		case a != nil && a.logins != nil:
			return a.logins.For(text)
		}
		auth, err := authn.DefaultKeychain.Resolve(what)
		if err != nil {
			fmt.Fprintf(c.stderr, "wyrcan: cannot read the credentials for %s: %v; see %s\n", text, err, page)
			return authn.Anonymous
		}
		if auth != authn.Anonymous {
			return auth
		}
		return podman().For(text)
	}
}

// podman returns the logins of podman login, which may be for a part of a registry. go-containerregistry's keychain
// knows none of these, and reads podman's file only if there is none of docker.
func podman() credentials.Credentials {
	config := os.Getenv("XDG_CONFIG_HOME")
	if home, err := os.UserHomeDir(); config == "" && err == nil {
		config = filepath.Join(home, ".config")
	}
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), config} {
		if dir == "" {
			continue
		}
		// podman reads the second file only if there is no first one.
		logins, err := credentials.Read(filepath.Join(dir, "containers/auth.json"))
		if !errors.Is(err, os.ErrNotExist) {
			return logins
		}
	}
	return nil
}

// certificates returns a function for image.Source.Certificates: those of -cert-dir for the registry of ref, and those
// of certs.d, as podman and skopeo read it, for all others.
func (c *cmd) certificates(ref string) func(host string) ([]*x509.Certificate, []tls.Certificate, error) {
	own := c.access.registry(ref)
	home, _ := os.UserHomeDir()
	finder := certificates.System(os.DirFS("/"), strings.Trim(filepath.ToSlash(home), "/"))
	return func(host string) ([]*x509.Certificate, []tls.Certificate, error) {
		if a := c.access; a != nil && a.certDir != "" && strings.EqualFold(host, own) {
			return a.extra.Roots, a.extra.Client, nil
		}
		x, err := finder.For(host)
		return x.Roots, x.Client, err
	}
}

// handOver gives a machine what it needs to get the image that it calls guest, and this machine calls ref: the login,
// for this image alone, and the authorities of its registry. They are system credentials in files without a name, so
// that no other user of this machine can read them.
func (c *cmd) handOver(m *machine, ref, guest string) error {
	repo, ok := repository(ref)
	there, valid := repository(guest)
	if !ok || !valid {
		return nil
	}
	login, err := c.auth(ref)(repo.Name()).Authorization()
	if err != nil {
		return fmt.Errorf("cannot read the login for %s: %w; see %s", repo, err, page)
	}
	if *login != (authn.AuthConfig{}) {
		if m.logins == nil {
			m.logins = make(map[string]any)
		}
		m.logins[there.Name()] = login
		text, err := json.Marshal(map[string]any{"auths": m.logins})
		if err != nil {
			return err
		}
		m.give(credentials.Name, text)
	}
	roots, client, err := c.certificates(ref)(repo.RegistryStr())
	if err != nil {
		return nil // the request has reported it
	}
	if len(client) > 0 {
		fmt.Fprintf(c.stderr, "wyrcan: the machine gets no client certificate: bring it in an initrd, see %s\n", page)
	}
	if len(roots) > 0 {
		for _, cert := range roots {
			if err := pem.Encode(&m.roots, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
				return err
			}
		}
		m.give(certificates.Name, m.roots.Bytes())
	}
	return nil
}

// give makes content the machine's credential of that name: it can have one of each.
func (m *machine) give(name string, content []byte) {
	for i, c := range m.credentials {
		if c.name == name {
			m.credentials[i].content = content
			return
		}
	}
	m.credentials = append(m.credentials, credential{name, content})
}
