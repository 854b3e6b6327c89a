package hostile

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"gitlab.com/wyrcan/wyrcan/pkg/image"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// jargon are terms of Go's packages, which say nothing to a person at a console.
var jargon = regexp.MustCompile(`context deadline|context canceled|no such host|dial tcp|read tcp|write tcp|` +
	`i/o timeout|\bEOF\b|x509:|tls:|net/http|lookup |misbehaving|connect:|broken pipe|by peer`)

// patience is the maximum time of an attack on a client whose Stall is a quarter of a second, on a busy host.
const patience = 30 * time.Second

// TestAttacks checks image.Source against every attack. It must end with the right image, or with an error of one line
// that is safe for a console. It must not send its secrets to a wrong server.
func TestAttacks(t *testing.T) {
	slots := make(chan bool, 4*runtime.NumCPU()) // most attacks only wait
	names := make(map[string]bool)
	for _, a := range Attacks() {
		if names[a.Name] {
			t.Errorf("there are two attacks %q", a.Name)
		}
		names[a.Name] = true
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			slots <- true
			defer func() { <-slots }()
			meet(t, a)
		})
	}
}

func meet(t *testing.T, a Attack) {
	w, site, ref, login := a.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mu sync.Mutex
	var said []string
	source := &image.Source{
		Platform:  v1.Platform{OS: "linux", Architecture: "amd64"},
		Auth:      func(string) authn.Authenticator { return authn.FromConfig(login) },
		Roots:     w.Roots,
		Transport: w.Transport(),
		Stall:     250 * time.Millisecond,
		Tries:     2,
		Backoff:   time.Millisecond,
		Logf: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf(format, args...))
		},
	}
	content, err := fetch(ctx, source, ref)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		t.Fatalf("it has not ended after %v", patience)
	case err == nil && a.Fails:
		t.Error("the image was accepted")
	case err == nil && !bytes.Equal(content, site.content[Layer]):
		t.Error("a wrong image was accepted")
	case err != nil && a.Mends:
		t.Errorf("%v", err)
	case err != nil:
		said = append(said, err.Error())
		if after := image.RetryAfter(err); after > 10*time.Minute {
			t.Errorf("the next attempt is to wait %v", after)
		}
	}
	secrets := []string{Password, base64.StdEncoding.EncodeToString([]byte(User + ":" + Password)), Identity, Token,
		Refresh}
	for _, line := range said {
		if printable.Clip(line, printable.Long) != line {
			t.Errorf("it says %q, which is not fit for a console", line)
		}
		if found := jargon.FindString(line); found != "" {
			t.Errorf("it says %q, in which a person cannot know what %q is", line, found)
		}
		if len(line) > 1200 {
			t.Errorf("it says a line of %d bytes: %.300s", len(line), line)
		}
		for _, s := range secrets {
			if strings.Contains(line, s) {
				t.Errorf("it says %q, which holds a secret", line)
			}
		}
	}
	for _, s := range secrets {
		may := a.MayHear()
		if s == Token {
			may = []string{"https://registry.example"}
		}
		for _, origin := range w.Told(s) {
			if !slices.Contains(may, origin) {
				t.Errorf("%s was told %s", origin, s)
			}
		}
	}
}

// fetch reads an image as wyrboot does, and returns its only layer.
func fetch(ctx context.Context, s *image.Source, ref string) ([]byte, error) {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(img.Layers) != 1 {
		return nil, fmt.Errorf("the image has %d layers", len(img.Layers))
	}
	r, err := img.Layers[0].Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Without an attack, the client gets the image.
func TestNoAttack(t *testing.T) {
	meet(t, Attack{Mends: true})
	meet(t, Attack{Mends: true, Identity: true, By: "DIGEST"})
}

// TestMemory runs the attacks that send too much data, one after the other, and measures memory.
func TestMemory(t *testing.T) {
	const limit = 128 << 20
	for _, a := range Attacks() {
		if !strings.Contains(a.Name, "a bomb") && !strings.Contains(a.Name, "exabytes") &&
			!strings.Contains(a.Name, "hundred thousand") {
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			meet(t, a)
			runtime.ReadMemStats(&after)
			if all := after.TotalAlloc - before.TotalAlloc; all > limit {
				t.Errorf("it took %d MiB", all>>20)
			}
		})
	}
}
