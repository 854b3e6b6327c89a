package network

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// secret returns the secret for stable addresses if the configuration has none. It is made of the hardware address,
// so the next boot gets the same. It hides the hardware address from those who see the addresses, but proves nothing
// to those who know it.
func (v *view) secret(use string) [16]byte {
	h := sha256.Sum256(slices.Concat([]byte(use+"\x00"), v.MAC))
	return [16]byte(h[:16])
}

// stableID returns an interface identifier by RFC 7217 section 5: different in each prefix, and the same at each
// boot.
func (v *view) stableID(t netconf.Token, prefix netip.Prefix) [8]byte {
	secret := t.Secret
	if secret == nil {
		own := v.secret("prefixstable")
		secret = own[:]
	}
	upper := prefix.Masked().Addr().As16()
	for n := byte(0); ; n++ {
		h := sha256.Sum256(slices.Concat(upper[:8], []byte(v.Name+"\x00"), v.MAC, []byte{n}, secret))
		if id := [8]byte(h[:8]); !reservedID(id) || n == 255 {
			return id
		}
	}
}

// reservedID reports whether RFC 5453 reserves the identifier.
func reservedID(id [8]byte) bool {
	return id == [8]byte{} ||
		bytes.HasPrefix(id[:], []byte{2, 0, 0x5e, 0xff, 0xfe}) ||
		bytes.HasPrefix(id[:], []byte{0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) && id[7] >= 0x80
}
