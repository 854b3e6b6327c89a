package image

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// A listed image is an entry in the table of contents of a layout or an archive.
type listed interface {
	names() []string
	called(ref string) bool
}

// pick returns the entries of list that ref names: the entry with that number for "@3", all of them for "".
func pick[E listed](list []E, ref string) ([]E, error) {
	number, numbered, err := sourceIndex(ref, len(list))
	switch {
	case err != nil:
		return nil, err
	case numbered:
		return list[number : number+1], nil
	case ref == "":
		return list, nil
	}
	found := slices.DeleteFunc(slices.Clone(list), func(e E) bool { return !e.called(ref) })
	if len(found) == 0 {
		return nil, permanent("no image of that name is in it, only %s", quoted(allNames(list), 0))
	}
	return found, nil
}

// allNames returns the names of all entries of list.
func allNames[E listed](list []E) []string {
	var names []string
	for _, e := range list {
		names = append(names, e.names()...)
	}
	return names
}

// sourceIndex parses a reference of skopeo's form "@3": the fourth of n images. ok reports whether ref has that form.
func sourceIndex(ref string, n int) (number int, ok bool, err error) {
	digits, ok := strings.CutPrefix(ref, "@")
	if !ok {
		return 0, false, nil
	}
	number, err = strconv.Atoi(digits)
	if err != nil || number < 0 || number >= n {
		return 0, true, permanent("there is no image %s in it, which has %d, counted from @0", printable.Line(ref), n)
	}
	return number, true, nil
}

// quoted lists the names of n images for a message.
func quoted(names []string, n int) string {
	switch {
	case len(names) == 0 && n > 1:
		return fmt.Sprintf("@0 to @%d, for they have no names", n-1)
	case len(names) == 0:
		return "images without a name"
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for i, n := range names {
		names[i] = fmt.Sprintf("%q", printable.Line(n))
	}
	return strings.Join(names, ", ")
}

// sameImage reports whether two names mean the same image, once docker's implied registry and tag are filled in.
func sameImage(a, b string) bool {
	x, err := name.ParseReference(a)
	if err != nil {
		return false
	}
	y, err := name.ParseReference(b)
	return err == nil && x.Name() == y.Name()
}
