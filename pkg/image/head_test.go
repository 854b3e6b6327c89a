package image

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// TestHead asks for the digest of a tag, which then moves.
func TestHead(t *testing.T) {
	registry := imagetest.Serve(t)
	first := randomImage(t, 100, 1, v1.Platform{OS: "linux", Architecture: "amd64"})
	ref := registry.Push(t, "x:stable", first)
	s := fast(t)
	check := func(img v1.Image) {
		t.Helper()
		want, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Head(t.Context(), ref); err != nil || got != want {
			t.Errorf("Head = %v, %v, want %v", got, err, want)
		}
	}
	check(first)
	for _, r := range registry.Requests() {
		if strings.Contains(r, "GET") && !strings.HasSuffix(r, "/v2/") {
			t.Errorf("Head asked for more than it needs: %s", r)
		}
	}
	second := randomImage(t, 100, 1, v1.Platform{OS: "linux", Architecture: "amd64"})
	registry.Push(t, "x:stable", second)
	check(second)
	if got, err := s.Head(t.Context(), registry.Host+"/x:gone"); err == nil || Heals(err) {
		t.Errorf("Head of a tag that is gone = %v, %v", got, err)
	}
	if got, err := s.Head(t.Context(), "UPPER"); err == nil {
		t.Errorf("Head of no name = %v", got)
	}
}

// TestHeadAnswers has registries that answer HEAD in other ways.
func TestHeadAnswers(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		digest string
		want   error // nil: any
	}{
		"no digest":       {200, "", ErrNoDigest},
		"no real digest":  {200, "sha256:../../etc", ErrNoDigest},
		"giant digest":    {200, "sha256:" + strings.Repeat("a", 100000), ErrNoDigest},
		"HEAD is refused": {405, "", nil},
		"forbidden":       {403, "", nil},
	} {
		registry := newRegistry(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead {
					next.ServeHTTP(w, r)
					return
				}
				if row.digest != "" {
					w.Header().Set("Docker-Content-Digest", row.digest)
				}
				w.WriteHeader(row.status)
			})
		})
		got, err := fast(t).Head(t.Context(), registry+"/x")
		if err == nil || row.want != nil && !errors.Is(err, row.want) || Heals(err) || len(err.Error()) > 1000 {
			t.Errorf("%s: Head = %v, %v, want %v", name, got, err, row.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := fast(t).Head(ctx, "127.0.0.1:1/x"); err == nil {
		t.Errorf("Head with a context that is over = %v", got)
	}
}

// TestConfigDigest compares the digest of the configuration with what docker calls the image's ID.
func TestConfigDigest(t *testing.T) {
	img := randomImage(t, 100, 2, v1.Platform{OS: "linux", Architecture: "amd64"})
	want, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "saved.tar")
	tag, err := name.NewTag("registry.example/x:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(saved, tag, img); err != nil {
		t.Fatal(err)
	}
	layout := t.TempDir()
	writeLayout(t, layout, map[string]v1.Image{"x": img})
	for _, ref := range []string{
		imagetest.Serve(t).Push(t, "x", img), "oci:" + layout, "docker-archive:" + saved,
	} {
		s := fast(t)
		s.Platform = v1.Platform{OS: "linux", Architecture: "amd64"}
		if got, err := s.Open(t.Context(), ref); err != nil || got.ConfigDigest != want {
			t.Errorf("Open(%s) = %+v, %v, want configuration %v", ref, got, err, want)
		}
	}
}
