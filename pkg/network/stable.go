package network

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"slices"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// secret is what stable addresses are made of where the configuration has no secret: of the hardware address, which the
// next boot finds again. So it hides the hardware address from those who read the addresses, and from nobody who knows
// it.
func (v view) secret(use string) [16]byte {
	h := sha256.Sum256(slices.Concat([]byte(use+"\x00"), v.MAC))
	return [16]byte(h[:16])
}

// stableID is an interface identifier of RFC 7217 section 5: another in each prefix, and the same at each boot.
func (v view) stableID(t netconf.Token, prefix netip.Prefix) [8]byte {
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

// reservedID reports whether no host may have the identifier: RFC 5453.
func reservedID(id [8]byte) bool {
	return id == [8]byte{} ||
		bytes.HasPrefix(id[:], []byte{2, 0, 0x5e, 0xff, 0xfe}) ||
		bytes.HasPrefix(id[:], []byte{0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) && id[7] >= 0x80
}
