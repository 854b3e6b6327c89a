package bundle

import (
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// Twice reports whether layers of size bytes are better read twice, for an image of a root. Read once, all files wait
// until the last layer has arrived, packed about as tightly as the layers are stored. Read twice, only those wait that
// the image has (rootfs.Options.Twice).
func (r Room) Twice(size int64) bool { return r.Available < size+2*reserve }

// CanReadTwice refuses an image that this machine could hold only if upper layers hid most of it, before anything is
// downloaded. size is the sum of its layers in the manifest.
func (r Room) CanReadTwice(size int64) error {
	const most = 4 // no image is known that hides three quarters of its layers
	if size/most+reserve <= r.Available {
		return nil
	}
	return short("too little memory: to hold even a quarter of the image's layers takes %s "+
		"and this machine has %s free; %s",
		units.MiB(size/most+reserve), units.MiB(r.Available), r.Remedy)
}

// CanKeep refuses an image whose files this machine could not hold, when their sizes are known and before the layers
// are read the second time. The layers have size bytes as they are stored and layers bytes uncompressed. Of these,
// files are those of the image.
func (r Room) CanKeep(files, layers, size int64) error {
	// Files may be packed more tightly than the layers were on average.
	const tighter = 2
	least := int64(float64(size)*float64(files)/float64(max(layers, 1)))/tighter + reserve
	if least <= r.Available {
		return nil
	}
	return short("too little memory: to hold the image's files, of %s, takes %s or more, even packed, "+
		"and this machine has %s free; %s",
		units.MiB(files), units.MiB(least), units.MiB(r.Available), r.Remedy)
}
