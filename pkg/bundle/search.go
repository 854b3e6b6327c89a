package bundle

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/rootfs"
	"gitlab.com/wyrcan/wyrcan/pkg/versions"
)

// places is where kernels are in images that have no KernelPath. The first place counts that has one with modules:
//
//   - beside its modules, as bootc and ostree demand, and as Fedora, CentOS Stream, Arch Linux and openSUSE do: there
//     the name of the directory says which modules belong to it. openSUSE calls a kernel for arm64 Image;
//   - a unified kernel image (UAPI.5), where the Boot Loader Specification (UAPI.1) and ukify put it. It has a command
//     line that belongs to it;
//   - in /boot, with its version in the name, as Debian, Ubuntu and installkernel do. Arch Linux and Alpine have
//     the name of a package there (vmlinuz-linux, vmlinuz-lts);
//   - in /boot or /, without a version, for instance a link to the newest one.
//
// Each place is a list of patterns as path.Match has them. What * stands for in versioned is the version.
var places = [][]pattern{
	{
		{"/usr/lib/modules/*/vmlinuz", true}, {"/usr/lib/modules/*/Image", true},
		{"/usr/lib/modules/*/Image.gz", true},
		{"/lib/modules/*/vmlinuz", true}, {"/lib/modules/*/Image", true}, {"/lib/modules/*/Image.gz", true},
	},
	{{"/boot/EFI/Linux/*.efi", false}, {"/usr/lib/modules/*/*.efi", true}, {"/lib/modules/*/*.efi", true}},
	{{"/boot/vmlinuz-*", true}, {"/boot/Image-*", true}, {"/boot/Image.gz-*", true}},
	{
		{"/boot/vmlinuz", false}, {"/boot/vmlinuz.efi", false}, {"/boot/Image", false}, {"/boot/Image.gz", false},
		{"/vmlinuz", false},
	},
}

// pattern is where files may be.
type pattern struct {
	path      string
	versioned bool
}

const (
	// maxOpened is how many files are opened at one place, to see which kernel they are.
	maxOpened = 16
	// maxTold is how many files are named that were passed over.
	maxTold = 3
)

// candidate is a file that may be a kernel.
type candidate struct {
	path    string // how it was found
	node    *rootfs.Node
	version string
	whole   bool // its modules are there
}

// searchKernel finds the kernel of an image that does not say which one it is: of the first place that has some with
// their modules, the newest one. Without modules a kernel has only the drivers that are built in, so such a kernel
// counts only if there is no other.
func (p *Plan) searchKernel(ctx context.Context) error {
	s := search{p: p}
	var bare [][]candidate
	for _, place := range places {
		whole, rest, err := s.at(ctx, place)
		if err != nil {
			return err
		}
		bare = append(bare, rest)
		if done, err := s.try(ctx, place, whole, "with its modules"); done || err != nil {
			return err
		}
	}
	for i, list := range bare {
		if done, err := s.try(ctx, places[i], list, "and none has its modules"); done || err != nil {
			return err
		}
	}
	if s.first != nil {
		return s.first
	}
	return fmt.Errorf(notBootable+"%s is not in it, and no kernel is at %s; install one in it, say where it is "+
		"(wyr.kernel=/PATH), or name an image that brings one (wyr.kernel=IMAGE)", KernelPath, alternatives(searched()))
}

// searched returns the patterns of all places, without those that only old and rare images need.
func searched() (list []string) {
	for _, place := range places {
		for _, f := range place {
			if !strings.HasPrefix(f.path, "/lib/") && !strings.Contains(f.path, ".gz") {
				list = append(list, f.path)
			}
		}
	}
	return list
}

// alternatives returns a list as text: "a, b or c".
func alternatives(list []string) string {
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// search is one search for a kernel.
type search struct {
	p     *Plan
	first error // why the first file that was tried is no kernel for this machine
	over  []string
}

// at returns the files at one place, newest first: those whose modules are there, and the rest.
func (s *search) at(ctx context.Context, place []pattern) (whole, bare []candidate, err error) {
	var named, others []candidate
	seen := map[string]bool{}
	for _, f := range place {
		for _, c := range s.glob(f) {
			if seen[c.node.Path] {
				continue
			}
			seen[c.node.Path] = true
			if c.whole = s.hasModules(c.version); c.whole {
				named = append(named, c)
			} else {
				others = append(others, c)
			}
		}
	}
	newestFirst(others)
	// The name says nothing, or something that is no version: the file does.
	for i, c := range others {
		if i < maxOpened {
			k, file, err := s.p.openKernel(ctx, c.path, c.node)
			if fatal(ctx, err) {
				return nil, nil, err
			}
			if err == nil {
				file.Close()
				c.version = k.Version
				c.whole = s.hasModules(c.version)
			}
		}
		if c.whole {
			named = append(named, c) // behind one of the same version whose name says so
		} else {
			bare = append(bare, c)
		}
	}
	newestFirst(named)
	newestFirst(bare)
	return named, bare, nil
}

// fatal reports whether err ends the search, because it does not say that a file is no kernel.
func fatal(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || errors.As(err, new(*unreadable)))
}

func newestFirst(list []candidate) {
	sort.SliceStable(list, func(i, j int) bool { return versions.Compare(list[i].version, list[j].version) > 0 })
}

// hasModules reports whether the modules of a version are there.
func (s *search) hasModules(version string) bool {
	if version == "" {
		return false
	}
	for _, dir := range []string{"/usr/lib/modules/", "/lib/modules/"} {
		if n, err := s.p.from.Lookup(dir + version); err == nil && n.Dir() {
			return true
		}
	}
	return false
}

// glob returns the files that a pattern stands for. Each * is in a part of the path of its own.
func (s *search) glob(f pattern) []candidate {
	dirs := []candidate{{path: "/"}}
	parts := strings.Split(f.path[1:], "/")
	for i, part := range parts {
		var next []candidate
		for _, d := range dirs {
			names := []string{part}
			if strings.Contains(part, "*") {
				names, _ = s.p.from.Names(d.path) // none in what is not a directory
			}
			for _, name := range names {
				if ok, err := path.Match(part, name); !ok || err != nil {
					continue
				}
				c := candidate{path: path.Join(d.path, name), version: d.version}
				if before, after, ok := strings.Cut(part, "*"); ok && c.version == "" && f.versioned {
					c.version = name[len(before) : len(name)-len(after)]
				}
				if i == len(parts)-1 {
					node, err := s.p.from.Lookup(c.path)
					if err != nil || !node.Regular() {
						continue // a link that leads nowhere, a directory
					}
					c.node = node
				}
				next = append(next, c)
			}
		}
		dirs = next
	}
	return dirs
}

// try takes the first file of a list that is a kernel for this machine, and reports whether there is one. how says why
// the newest of the list was taken.
func (s *search) try(ctx context.Context, place []pattern, list []candidate, how string) (bool, error) {
	p := s.p
	for i, c := range list[:min(len(list), maxOpened)] {
		k, file, err := p.openKernel(ctx, c.path, c.node)
		if fatal(ctx, err) {
			return false, err
		}
		if err != nil {
			if s.first == nil {
				s.first = err
			}
			s.over = append(s.over, c.path)
			continue
		}
		p.take(k, file, c.node)
		what := "the only one"
		if n := len(list) - i; n > 1 {
			what = fmt.Sprintf("the newest of %d", n)
		}
		p.chose("kernel %s (%s %s), because there is no %s", c.path, what, how, KernelPath)
		if n := len(s.over); n > 0 {
			p.passed = fmt.Sprintf("%s cannot be used and %s was taken: %s", strings.Join(s.over[:min(n, maxTold)], ", "),
				c.path, strings.TrimPrefix(s.first.Error(), notBootable))
		}
		return true, nil
	}
	return false, nil
}
