package image

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"gitlab.com/wyrcan/wyrcan/pkg/compression"
	"gitlab.com/wyrcan/wyrcan/pkg/registries"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// A Source finds images for one kind of machine. The zero value asks registries, without credentials, for images that
// this machine can run. Its fields must not change once it is in use; several goroutines may use it at once.
type Source struct {
	// Platform is the platform that images must be made for; the zero value means Linux on this machine. Its Variant is
	// the highest that the machine can run (a "v3" machine runs images for v1 and v2 too); "" means to detect it.
	Platform v1.Platform
	// Auth returns the credentials for a repository ("registry.example:5000/team/name"). They are sent to its host and to
	// the token server that this names, never to a host that it redirects to. nil means no credentials.
	Auth func(repository string) authn.Authenticator
	// Registries says which mirrors are asked first, which names stand for another place, and which are not to be pulled.
	// The zero value has every registry asked itself.
	Registries registries.Config
	// Insecure reports whether a host, "HOST[:PORT]", may be asked over plain HTTP, or over TLS with a certificate that
	// is not trusted. The host's credentials are sent over such connections too. nil means no host. A loopback address
	// may always be asked over plain HTTP.
	Insecure func(host string) bool
	// Roots are the certificate authorities to trust. nil means the system's, or the roots compiled in if the system has
	// none, like the boot environment.
	Roots *x509.CertPool
	// Certificates returns the certificates for connections to one host, "HOST[:PORT]": authorities that are trusted
	// besides Roots, and what this machine shows to the host if it asks for a client certificate. They are used for no
	// other host. nil means none.
	Certificates func(host string) (roots []*x509.Certificate, client []tls.Certificate, err error)
	// Transport makes the requests. nil means a new one, with timeouts, Roots, and the proxy that the environment names.
	// The proxy gets the login that Auth has for its HOST:PORT.
	Transport http.RoundTripper
	// Stall is how long a connection may bring no bytes, or almost none, before it counts as broken; 0 means 30 seconds.
	// Resolve, which reads several small documents, may take twenty times as long in all.
	Stall time.Duration
	// Wait is the longest wait that a registry may ask for (Retry-After); 0 means a minute. If a registry asks for more,
	// the request fails.
	Wait time.Duration
	// Tries is how often one request is made before its error is returned; 0 means 5. A download that has begun may fail
	// four times as often, and its count restarts when it makes progress.
	Tries int
	// Backoff is the wait after the first failure; it doubles with each further one. 0 means 200 milliseconds.
	Backoff time.Duration
	// Clock is told the date that a registry states, if the registry's certificate is not valid by this machine's clock.
	// It reports whether it has set the clock. nil means that the clock stays as it is.
	Clock func(who string, date time.Time) bool
	// Ahead returns how many bytes of large blobs may wait in memory to be read at that time, in all. More connections
	// bring them than one for each blob, up to 16 in all. nil means 64 MiB, which is also the most. With less than 2 MiB
	// there is one for each. It is asked often.
	Ahead func() int64
	// Progress, if not nil, is called when n more bytes of a layer have been read, by several goroutines at once. The
	// bytes of a layer that is opened twice count twice.
	Progress func(l *Layer, n int)
	// Formats are the compression formats, besides gzip and zstd, of archives on this machine and of their layers.
	Formats []compression.Format
	// Logf, if not nil, logs what a person should know, and what is retried and why unless Report is told that.
	Logf func(format string, args ...any)
	// Report, if not nil, is told how attempts end, by several goroutines at once.
	Report func(Attempt)

	once sync.Once
	base http.RoundTripper

	mu         sync.Mutex
	damaged    map[v1.Hash]int  // how often each blob arrived with wrong bytes
	whole      map[v1.Hash]bool // blobs that come by one connection
	windows    int              // connections for parts of blobs
	ahead      int64            // bytes of memory for these parts
	allowed    map[string]bool  // hosts that Registries allows to be insecure
	unverified map[string]bool  // hosts with an invalid certificate, which the user has allowed

	extra       map[string]extra               // answers of Certificates
	connections map[connection]*http.Transport // for hosts that need one of their own
}

// An Attempt is how one ended to get something.
type Attempt struct {
	Err  error         // why it failed, nil if it did not
	Wait time.Duration // after which it is repeated, unless there is a Next
	Next string        // who is asked next, if a mirror fails: this is told once for each cause and image
	Who  string        // such as "registry HOST": who has sent what it was asked for, also if no attempt failed before
}

// maxDamaged is how often a blob may arrive with wrong bytes before it counts as damaged at the registry.
const maxDamaged = 3

// damage counts one more download of blob that had wrong bytes, and reports whether to download it again.
func (s *Source) damage(blob v1.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged == nil {
		s.damaged = make(map[v1.Hash]int)
	}
	s.damaged[blob]++
	return s.damaged[blob] < maxDamaged
}

// oneStream has a blob come by one connection from now on: its parts had wrong bytes.
func (s *Source) oneStream(blob v1.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.whole == nil {
		s.whole = make(map[v1.Hash]bool)
	}
	s.whole[blob] = true
}

func (s *Source) isOneStream(blob v1.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole[blob]
}

func (s *Source) logf(format string, args ...any) {
	if s.Logf != nil {
		s.Logf(format, args...)
	}
}

// failed tells that err ended an attempt that is repeated after wait.
func (s *Source) failed(err error, wait time.Duration) {
	if s.Report != nil {
		s.Report(Attempt{Err: err, Wait: wait})
		return
	}
	s.logf("%v; tries again in %s", err, units.Duration(wait))
}

// moves tells that next is asked in the place of a mirror, because of err.
func (s *Source) moves(err error, next string) {
	if s.Report != nil {
		s.Report(Attempt{Err: err, Next: next})
		return
	}
	s.logf("%v; asks %s", err, next)
}

// works tells that who has sent what it was asked for.
func (s *Source) works(who string) {
	if s.Report != nil {
		s.Report(Attempt{Who: who})
	}
}

func (s *Source) stall() time.Duration {
	if s.Stall > 0 {
		return s.Stall
	}
	return 30 * time.Second
}

func (s *Source) longestWait() time.Duration {
	if s.Wait > 0 {
		return s.Wait
	}
	return time.Minute
}

func (s *Source) tries() int {
	if s.Tries > 0 {
		return s.Tries
	}
	return 5
}

// backoff returns how long to wait after n failures in a row.
func (s *Source) backoff(n int) time.Duration {
	d := s.Backoff
	if d <= 0 {
		d = 200 * time.Millisecond
	}
	return min(d<<min(n-1, 10), 5*time.Second)
}

func (s *Source) platform() v1.Platform {
	p := s.Platform
	if p.OS == "" {
		p.OS = "linux"
	}
	if p.Architecture == "" {
		p.Architecture = runtime.GOARCH
		if p.Variant == "" {
			p.Variant = hostVariant()
		}
	}
	return Normalize(p)
}

func (s *Source) auth(repo name.Repository) authn.Authenticator {
	if s.Auth != nil {
		if a := s.Auth(repo.Name()); a != nil {
			return a
		}
	}
	return authn.Anonymous
}

// transport returns the transport that makes the requests. All registries of s share it and its idle connections.
func (s *Source) transport() http.RoundTripper {
	s.once.Do(func() {
		s.base = s.Transport
		if s.base != nil {
			return
		}
		// HTTP/1.1, so that each of several downloads has its own connection, and closing one that stalls does not end the
		// others. With HTTP/2 the next attempt would use the dead connection again.
		var protocols http.Protocols
		protocols.SetHTTP1(true)
		s.base = &http.Transport{
			Proxy:                  s.through(http.ProxyFromEnvironment),
			OnProxyConnectResponse: proxyAnswer,
			DialContext:            (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:        tlsConfig(s.roots()),
			TLSHandshakeTimeout:    30 * time.Second, // long enough for old and emulated processors
			ResponseHeaderTimeout:  2 * s.stall(),    // for package remote; ask has its own timer
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConnsPerHost:    16,
			MaxResponseHeaderBytes: 256 << 10,
			DisableCompression:     true, // a layer must come as it is stored
			Protocols:              &protocols,
		}
	})
	return s.base
}

func (s *Source) roots() *x509.CertPool {
	if s.Roots != nil {
		return s.Roots
	}
	if pool, err := x509.SystemCertPool(); err == nil && !pool.Equal(x509.NewCertPool()) {
		return pool
	}
	return addRoots(x509.NewCertPool())
}

// BootRoots returns the certificate authorities for a boot environment: the roots compiled in, and any certificates in
// /etc/ssl/certs, such as the one of a private registry.
func BootRoots() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	return addRoots(pool)
}

// addRoots adds to pool Mozilla's list of certificate authorities, as of the build of this program, and returns pool.
func addRoots(pool *x509.CertPool) *x509.CertPool {
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			continue // this version of Go does not accept the root, so it could not verify with it either
		}
		if root.Constraint == nil {
			pool.AddCert(cert)
		} else {
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	return pool
}
