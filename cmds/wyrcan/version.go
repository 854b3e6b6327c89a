package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// The Makefile sets these with -ldflags -X: the release, the commit, and its time in seconds since 1970.
var version, commit, seconds string

// ownRelease returns the release of this program, for a record.
func ownRelease() string { return cmp.Or(version, "of unknown release") }

// writeVersion prints the version of this program. If the Makefile did not set it, go build has stored the commit
// itself.
func writeVersion(w io.Writer) error {
	release, commit, date, changed := version, commit, "", false
	if n, err := strconv.ParseInt(seconds, 10, 64); err == nil && n > 0 {
		date = time.Unix(n, 0).UTC().Format(time.DateOnly)
	}
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		if v := info.Main.Version; v != "(devel)" {
			release = v
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.time":
				if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
					date = t.UTC().Format(time.DateOnly)
				}
			case "vcs.modified":
				changed = s.Value == "true"
			}
		}
	}
	if changed {
		commit += ", with changes"
	}
	_, err := fmt.Fprintf(w, "wyrcan %s\ncommit %s\ndate   %s\nGo     %s %s/%s\n",
		cmp.Or(release, "of unknown release, for make did not build it"),
		cmp.Or(commit, "unknown"), cmp.Or(date, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
