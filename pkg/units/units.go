// Package units writes numbers of bytes, and times, for people. It is a leaf package: everything that speaks may use
// it.
package units

import (
	"fmt"
	"strings"
	"time"
)

// Bytes formats a size in the decimal units of registries and networks, with three digits: "133 MB".
func Bytes(n int64) string {
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 4 {
		f, unit = f/1000, unit+1
	}
	name := []string{"B", "kB", "MB", "GB", "TB"}[unit]
	switch {
	case unit > 0 && f < 9.995:
		return fmt.Sprintf("%.2f %s", f, name)
	case unit > 0 && f < 99.95:
		return fmt.Sprintf("%.1f %s", f, name)
	}
	return fmt.Sprintf("%.0f %s", f, name)
}

// Exact formats a size in the same units with a fixed number of decimals, as docker does: "133.4 MB". Below 1000 it
// gives all digits: "512 bytes".
func Exact(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}

// MiB formats a size of memory in binary units, rounded up: "480 MiB".
func MiB(n int64) string {
	return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
}

// Duration formats a time in one or two units: "0.2 s", "42 s", "3 min", "2 h 5 min". It rounds, and never to zero.
func Duration(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 9.95:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", max(s, 0.1)), ".0") + " s"
	case s < 119.5:
		return fmt.Sprintf("%.0f s", s)
	case s < 119.5*60:
		return fmt.Sprintf("%.0f min", s/60)
	}
	minutes := int64(d.Round(time.Minute) / time.Minute)
	if minutes%60 == 0 {
		return fmt.Sprintf("%d h", minutes/60)
	}
	return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
}
