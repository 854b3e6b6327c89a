package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"gitlab.com/wyrcan/wyrcan/pkg/engines"
	"gitlab.com/wyrcan/wyrcan/pkg/image"
)

// A form is how an IMAGE on this machine is named: "oci:DIR[:NAME]".
type form struct{ prefix, rest, about string }

// forms returns these forms, which are skopeo's.
func forms() []form {
	return []form{
		{"oci", "DIR[:NAME]", "an OCI image layout"},
		{"oci-archive", "FILE[:NAME]", "the same in a tar archive"},
		{"docker-archive", "FILE[:NAME]", "what docker save writes"},
		{"dir", "DIR", "what skopeo and podman save --format docker-dir write"},
		{engines.Containers, "NAME", "an image that podman or buildah has here"},
		{engines.Docker, "NAME", "an image that docker has here"},
	}
}

// unread are skopeo's other forms. They are the name of no image of docker.io, which would be asked for them.
func unread() []string { return []string{"ostree", "sif", "tarball", "atomic"} }

// local reports whether an IMAGE is on this machine.
func local(ref string) bool {
	prefix, _, ok := strings.Cut(ref, ":")
	if ok && slices.ContainsFunc(forms(), func(f form) bool { return f.prefix == prefix }) || image.IsPath(ref) {
		return true
	}
	info, err := os.Stat(ref)
	if err != nil {
		return false
	}
	if info.IsDir() {
		_, err = os.Stat(filepath.Join(ref, "oci-layout"))
		return err == nil || image.IsFlat(ref)
	}
	return true
}

// bring makes an IMAGE one that find finds. One in the storage of an engine is copied onto the disk; done removes the
// copy, after the last layer was read. at is the name by which this machine reaches it.
func (c *cmd) bring(ctx context.Context, ref string) (at string, done func(), err error) {
	prefix, _, _ := strings.Cut(ref, ":")
	switch {
	case slices.Contains(unread(), prefix):
		return "", nil, fmt.Errorf("cannot get %s: Wyrcan does not read the form %s: run skopeo copy %[1]s oci:DIR, "+
			"and name oci:DIR", ref, prefix)
	case !engines.Has(ref):
		return ref, func() {}, nil
	}
	copied, err := engines.Fetch(ctx, ref, c.say)
	if errors.As(err, new(*engines.Unknown)) {
		err = fmt.Errorf("%w%s", err, similar(ctx, prefix, ref))
	}
	if err != nil {
		return "", nil, fmt.Errorf("cannot get %s: %w", ref, err)
	}
	return copied.Name, func() {
		if err := copied.Close(); err != nil {
			c.say("cannot remove the copy of %s: %v", ref, err)
		}
	}, nil
}

// similar returns an end for a message that names an image of the engine that was probably meant, "" if there is none.
func similar(ctx context.Context, prefix, ref string) string {
	names := engines.Names(ctx, prefix)
	typed := strings.TrimPrefix(ref, prefix+":")
	for _, there := range names {
		if there == typed+":latest" { // skopeo adds no tag
			return fmt.Sprintf(": did you mean %s:%s?", prefix, there)
		}
	}
	// Names are typed without what is implied.
	short := make(map[string]string)
	for _, there := range names {
		s := strings.TrimSuffix(there, ":latest")
		for _, host := range []string{"", "localhost/", "docker.io/library/", "docker.io/"} {
			if rest, ok := strings.CutPrefix(s, host); ok {
				short[rest] = there
			}
		}
	}
	var all []string
	for s := range short {
		all = append(all, s)
	}
	slices.Sort(all)
	if close := guess(strings.TrimSuffix(typed, ":latest"), all); close != "" {
		return fmt.Sprintf(": did you mean %s:%s?", prefix, short[close])
	}
	return ""
}

// elsewhere returns an end for the message that a registry does not give the image ref, if an engine of this machine
// has an image that it calls so; else "".
func elsewhere(ctx context.Context, ref string, err error) string {
	host, port, named := registryOf(ref)
	// A name that was not meant for a registry has none, or the one that podman gives to what was built here.
	bare := !named || strings.EqualFold(host, "localhost") && port == ""
	if !bare && !image.IsNotFound(err) && !image.Diagnose(err).Cause.Access() || ctx.Err() != nil {
		return ""
	}
	want := []string{ref, "localhost/" + ref}
	if parsed, err := name.ParseReference(ref); err == nil {
		full := strings.Replace(parsed.Name(), "index.docker.io/", "docker.io/", 1)
		want = append(want, full, strings.TrimPrefix(strings.TrimPrefix(full, "docker.io/"), "library/"))
	}
	for _, prefix := range []string{engines.Containers, engines.Docker} {
		for _, there := range engines.Names(ctx, prefix) {
			if slices.Contains(want, there) || slices.Contains(want, strings.TrimSuffix(there, ":latest")) {
				return fmt.Sprintf("; an image of that name is on this machine: %s:%s", prefix, there)
			}
		}
	}
	return ""
}
