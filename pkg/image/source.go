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
)

// A Source is where images come from and for what machine. The zero value asks registries anonymously for images that
// this machine can run. Its fields must not change once it is in use; it may be used by several goroutines.
type Source struct {
	// Platform is what images must be made for; the zero value stands for Linux on this machine. Its Variant is the
	// most that the machine can run ("v3" takes v1 and v2 too); the zero value finds it out.
	Platform v1.Platform
	// Auth returns the credentials for a registry ("registry.example:5000"). They go to that host, and to the token
	// server that it names, never to a host that it redirects to. nil stands for no credentials at all.
	Auth func(registry string) authn.Authenticator
	// Insecure reports whether a host, "HOST[:PORT]", may be asked over plain HTTP, or over TLS with a certificate that
	// nobody vouches for, with the credentials for it too. nil stands for no host. This machine itself, by a loopback
	// address, may always be asked over plain HTTP.
	Insecure func(host string) bool
	// Roots are the certificate authorities to trust. nil stands for the system's; a system without any, as the boot
	// environment is, trusts the roots compiled in.
	Roots *x509.CertPool
	// Transport makes the requests. nil stands for one of its own with timeouts, the proxy that the environment names
	// and Roots.
	Transport http.RoundTripper
	// Stall is how long a connection may give no byte, or next to none, before it counts as broken; 0 stands for 30
	// seconds. To find an image, which takes some small documents, may take twenty times as long in all.
	Stall time.Duration
	// Wait is the longest time that a registry may ask to wait (Retry-After) for it to be waited out; 0 stands for a
	// minute. A registry that asks for more has failed.
	Wait time.Duration
	// Tries is how often one request is made before its failure is told; 0 stands for 5. A download that has begun may
	// fail four times as often, and starts to count anew when it makes progress.
	Tries int
	// Backoff is the wait after the first failure, doubled with each; 0 stands for 200 milliseconds.
	Backoff time.Duration
	// Progress, if not nil, is told of n more bytes of a layer as they arrive, by several goroutines at once. A layer
	// opened twice counts twice.
	Progress func(l *Layer, n int)
	// Formats are what archives on this machine, and layers in them, may be compressed with besides gzip and zstd.
	Formats []compression.Format
	// Logf, if not nil, is told what was tried again and why.
	Logf func(format string, args ...any)

	once sync.Once
	base http.RoundTripper

	mu         sync.Mutex
	damaged    map[v1.Hash]int // downloads of a blob that had the wrong bytes
	unverified map[string]bool // hosts whose certificates were found wrong, which was allowed

	unverifiedOnce sync.Once
	unverifiedBase http.RoundTripper
}

// maxDamaged is how often a blob may arrive with wrong bytes before it counts as wrong where it is stored.
const maxDamaged = 3

// damage counts one more download of blob with wrong bytes. It returns whether another one is worth it.
func (s *Source) damage(blob v1.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged == nil {
		s.damaged = make(map[v1.Hash]int)
	}
	s.damaged[blob]++
	return s.damaged[blob] < maxDamaged
}

func (s *Source) logf(format string, args ...any) {
	if s.Logf != nil {
		s.Logf(format, args...)
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

func (s *Source) auth(reg name.Registry) authn.Authenticator {
	if s.Auth != nil {
		if a := s.Auth(reg.RegistryStr()); a != nil {
			return a
		}
	}
	return authn.Anonymous
}

// transport returns what makes the requests. All registries of s share it and its idle connections.
func (s *Source) transport() http.RoundTripper {
	s.once.Do(func() {
		s.base = s.Transport
		if s.base != nil {
			return
		}
		// HTTP/1.1: layers that download at the same time then have a connection each, and giving up a connection that
		// stalls gives up no other. With HTTP/2 the next try would go out on the dead connection again.
		var protocols http.Protocols
		protocols.SetHTTP1(true)
		s.base = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots()},
			TLSHandshakeTimeout:    30 * time.Second, // old machines without a fast multiplication, emulated ones
			ResponseHeaderTimeout:  2 * s.stall(),    // for package remote: the rest is watched by ask
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

// BootRoots returns the certificate authorities for a boot environment: those compiled in, and those that somebody put
// where the system's are kept (/etc/ssl/certs), such as that of a registry of one's own.
func BootRoots() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	return addRoots(pool)
}

// addRoots adds Mozilla's list of certificate authorities as it was when this program was built, and returns pool.
func addRoots(pool *x509.CertPool) *x509.CertPool {
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			continue // a root that this Go does not accept is one that it cannot verify by
		}
		if root.Constraint == nil {
			pool.AddCert(cert)
		} else {
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	return pool
}
