package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// A key is a public key that a policy names.
type key struct {
	id     string // SHA-256 of its SubjectPublicKeyInfo, in hexadecimal: two files with the same key have the same id
	public crypto.PublicKey
}

// maxKey bounds a key file. An RSA key of 16384 bits has less than 3 kB.
const maxKey = 16 << 10

// parseKey reads a public key as cosign and openssl write it: one PEM block, PUBLIC KEY (RFC 5280,
// SubjectPublicKeyInfo) or RSA PUBLIC KEY (RFC 8017, appendix A.1.1).
func parseKey(text []byte) (key, error) {
	block, rest := pem.Decode(text)
	switch {
	case len(text) > maxKey:
		return key{}, fmt.Errorf("it is longer than %d bytes", maxKey)
	case block == nil:
		return key{}, errors.New("it is not a public key in PEM form (-----BEGIN PUBLIC KEY-----)")
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return key{}, errors.New("it is a private key: keep that secret, and name the public key here")
	case strings.TrimSpace(string(rest)) != "":
		return key{}, errors.New("something follows the key: name each key as a file of its own")
	}
	var public any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return key{}, fmt.Errorf("it is a %s in PEM form, and not a PUBLIC KEY", clip(block.Type))
	}
	if err != nil {
		return key{}, fmt.Errorf("it is no valid public key: %w", err)
	}
	if err := usable(public); err != nil {
		return key{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return key{}, err
	}
	sum := sha256.Sum256(der)
	return key{id: hex.EncodeToString(sum[:]), public: public}, nil
}

// usable returns an error for a key of an unknown kind, and for one that is too weak or too slow.
func usable(public any) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("its curve %s is none of P-256, P-384 and P-521", k.Curve.Params().Name)
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > 16384 {
			return fmt.Errorf("it is an RSA key of %d bits: want 2048 to 16384", n)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("its kind (%T) is none of ECDSA, RSA and Ed25519", public)
}

// String returns the key for messages.
func (k key) String() string { return "key " + k.id[:16] }

// verifies reports whether sig is the key's signature of message, in any of the ways that cosign uses for a key of that
// kind. cosign 3 chooses the hash by the size of the curve; cosign 2 always uses SHA-256. Both may use Ed25519ph (RFC
// 8032). To accept several ways is safe: each needs the private key.
func (k key) verifies(message, sig []byte) bool {
	sum := sha256.Sum256(message)
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(public, sum[:], sig) {
			return true
		}
		switch public.Curve {
		case elliptic.P384():
			long := sha512.Sum384(message)
			return ecdsa.VerifyASN1(public, long[:], sig)
		case elliptic.P521():
			long := sha512.Sum512(message)
			return ecdsa.VerifyASN1(public, long[:], sig)
		}
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig) == nil ||
			rsa.VerifyPSS(public, crypto.SHA256, sum[:], sig, nil) == nil
	case ed25519.PublicKey:
		if ed25519.Verify(public, message, sig) {
			return true
		}
		long := sha512.Sum512(message)
		return ed25519.VerifyWithOptions(public, long[:], sig, &ed25519.Options{Hash: crypto.SHA512}) == nil
	}
	return false
}
