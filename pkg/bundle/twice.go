package bundle

import (
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Twice reports whether layers of size bytes are better read twice, for an image of a root. Read once, all files wait
// until the last layer has arrived, packed about as tightly as the layers are stored. Read twice, only those wait that
// the image has (rootfs.Options.Twice).
func (r Room) Twice(size int64) bool { return r.Available < size+2*reserve }

// CanReadTwice refuses an image that this machine could hold and load only if upper layers hid most of it, before
// anything is downloaded. size is the sum of its layers in the manifest.
func (r Room) CanReadTwice(size int64) error {
	const most = 4 // no image is known that hides three quarters of its layers
	least := r.holding(size/most) + reserve
	if least <= r.Available {
		return nil
	}
	return short("too little memory: to hold even a quarter of the image's layers takes %s%s "+
		"and this machine has %s free; %s",
		units.MiB(least), r.copied(), units.MiB(r.Available), r.Remedy)
}

// CanKeep refuses an image whose files this machine could not hold and load, when their sizes are known and before the
// layers are read the second time. The layers have size bytes as they are stored and layers bytes uncompressed. Of
// these, files are those of the image.
func (r Room) CanKeep(files, layers, size int64) error {
	// Files may be packed more tightly than the layers were on average.
	const tighter = 2
	least := r.holding(int64(float64(size)*float64(files)/float64(max(layers, 1)))/tighter) + reserve
	if least <= r.Available {
		return nil
	}
	return short("too little memory: to hold the image's files, of %s, takes %s or more, even packed%s, "+
		"and this machine has %s free; %s",
		units.MiB(files), units.MiB(least), r.copied(), units.MiB(r.Available), r.Remedy)
}

// holding returns what an image of the root takes in memory, in an initrd or beside it, when the running kernel loads
// it. It is held as often as CanLoad will ask for, or the second download would be in vain.
func (r Room) holding(image int64) int64 { return int64(1+r.Copies) * image }

// copied says how often the running kernel will hold an image besides, as a part of a sentence.
func (r Room) copied() string {
	switch r.Copies {
	case 0:
		return ""
	case 1:
		return " (with a copy while the kernel loads it)"
	}
	return fmt.Sprintf(" (with %d copies while the kernel loads it)", r.Copies)
}
