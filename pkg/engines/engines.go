// Package engines gets images out of the storage of container engines: of podman, buildah and skopeo
// (containers-storage:), and of docker (docker-daemon:). The form of these storages is the engines' own affair and
// changes with their releases, so their own programs copy the image, with the user's own configuration and rights. What
// they write is read and verified like any image on the disk.
package engines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The forms of names, which are skopeo's.
const (
	Containers = "containers-storage"
	Docker     = "docker-daemon"
)

// Has reports whether name is that of an image in the storage of an engine.
func Has(name string) bool {
	form, _, ok := strings.Cut(name, ":")
	return ok && (form == Containers || form == Docker)
}

// A Copy is a copy of an image, in a directory that is removed by Close.
type Copy struct {
	Name string // by which image.Source.Open finds it
	dir  string
}

// Close removes the copy.
func (c *Copy) Close() error { return os.RemoveAll(c.dir) }

// Fetch copies the image called name, which Has reports true for, into a directory in TMPDIR. say is told, in one
// sentence, what is done.
func Fetch(ctx context.Context, name string, say func(format string, args ...any)) (*Copy, error) {
	w, err := parse(name)
	if err != nil {
		return nil, err
	}
	p, err := w.program()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "wyrcan-image-") // which only its user can read
	if err != nil {
		return nil, fmt.Errorf("there is no directory for a copy: %w; let TMPDIR name one", err)
	}
	c := &Copy{dir: dir}
	say("%s copies %s to %s", p.name, name, dir)
	if c.Name, err = p.copy(ctx, w, filepath.Join(dir, "image")); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// wanted is a parsed name.
type wanted struct {
	form  string
	store string // skopeo's [DRIVER@ROOT+RUNROOT:OPTIONS], "" for the one that is configured
	name  string
}

// plain is what a name may consist of. It does not begin with a dash, so it is no option of a program.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@+-]*$`)

func parse(name string) (wanted, error) {
	form, rest, _ := strings.Cut(name, ":")
	w := wanted{form: form, name: rest}
	if form == Containers && strings.HasPrefix(rest, "[") {
		end := strings.Index(rest, "]")
		if end < 0 {
			return w, fmt.Errorf("%q has no ] after the place of the storage", rest)
		}
		w.store, w.name = rest[:end+1], rest[end+1:]
	}
	bare := w.name
	if form == Containers {
		bare = strings.TrimPrefix(bare, "@") // skopeo's form of an ID
	}
	if len(bare) > 1024 || !plain.MatchString(bare) {
		return w, fmt.Errorf("%q is neither the name of an image nor an ID", w.name)
	}
	return w, nil
}

// bare returns the name without skopeo's mark of an ID.
func (w wanted) bare() string { return strings.TrimPrefix(w.name, "@") }

// id is an ID of docker's, or the beginning of one.
var id = regexp.MustCompile(`^(sha256:)?[0-9a-f]{12,64}$`)

// tagged returns the name with the tag that docker implies. Without a tag docker save would save all of them.
func (w wanted) tagged() string {
	base := w.name[strings.LastIndex(w.name, "/")+1:]
	if strings.ContainsAny(base, ":@") || id.MatchString(w.name) {
		return w.name
	}
	return w.name + ":latest"
}

// An Unknown error says that the storage has no such image.
type Unknown struct{ text string }

func (u *Unknown) Error() string { return u.text }
