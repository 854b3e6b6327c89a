package credentials

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/smallfile"
	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// Name is the name of the system credential with logins.
const Name = "wyr.auth"

// File is the path of the credentials in the boot environment. An additional initrd can bring the file.
const File = "/etc/wyrcan/auth.json"

// files are the files with logins in the boot environment, in the order in which they count. The second is where podman
// keeps the logins of root.
var files = []string{File, "/run/containers/0/auth.json"}

// Gather returns all logins of the boot environment: those of the files below root, then those of the system
// credentials. If two sources have the same entry, that of the first one counts. Otherwise the longest entry that fits
// a repository counts, whatever its source. said is what to tell the person at the console, and wrong is what that
// person has to correct. They name registries and show no secret.
func Gather(root fs.FS, system syscred.Set) (all Credentials, said, wrong []string) {
	all = make(Credentials)
	add := func(c Credentials, from string, err error) {
		var helped *Helped
		if err != nil && !errors.As(err, &helped) {
			wrong = append(wrong, fmt.Sprintf("logins are left out: %v", err))
			return
		}
		if helped != nil {
			wrong = append(wrong, err.Error())
		}
		said = append(said, all.merge(c, from)...)
	}
	for _, name := range files {
		b, err := smallfile.Read(root, strings.TrimPrefix(name, "/"), maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		c, err := parse(b, err, name)
		add(c, name, err)
	}
	for _, cred := range system.Named(Name) {
		from := fmt.Sprintf("credential %s of %s", Name, cred.From)
		c, err := Parse(cred.Data, from)
		if err != nil {
			err = fmt.Errorf("%s: %w", from, err)
		}
		add(c, from, err)
	}
	return all, said, wrong
}

// merge adds the entries of c that all does not have, and says which these are.
func (all Credentials) merge(c Credentials, from string) (said []string) {
	var taken []string
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if first, ok := all[key]; ok {
			said = append(said, fmt.Sprintf("the login for %s of %s does not count: %s has one too",
				names([]string{key}), from, first.From))
			continue
		}
		all[key] = c[key]
		taken = append(taken, key)
	}
	if len(taken) > 0 {
		said = append(said, fmt.Sprintf("logins for %s: from %s", names(taken), from))
	}
	return said
}
