package kernel

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"sort"
)

// A Signature is that in a PE file, by which Secure Boot and kexec_file_load decide: Microsoft's "Windows Authenticode
// Portable Executable Signature Format". Whoever made the file wrote it, so it proves nothing here: only a kernel or a
// firmware knows which certificates to trust.
type Signature struct {
	Signer string // the name of the certificate that belongs to the key, or of the one that issued it

	hash   crypto.Hash
	digest []byte // of the file that was signed
	pe     peFile
}

// maxSignature is the size in bytes of the largest certificate table that is read. Those of shim have 10 KiB.
const maxSignature = 64 << 10

// FindSignature returns the signature of a file, nil if it has none: it is no PE file, or has no certificate table. If
// there are several, it is the first one: kexec_file_load looks at no other (crypto/asymmetric_keys/verify_pefile.c).
// The error says what is wrong with a signature.
func FindSignature(r io.ReaderAt, size int64) (*Signature, error) {
	pe, err := openPE(r, size)
	if err != nil || pe.tableSize == 0 {
		return nil, nil
	}
	if pe.tableSize < 8 || pe.tableSize > maxSignature || pe.table+pe.tableSize > size {
		return nil, fmt.Errorf("a certificate table of %d bytes, from %d on, does not fit into a file of %d",
			pe.tableSize, pe.table, size)
	}
	table := make([]byte, pe.tableSize)
	if _, err := r.ReadAt(table, pe.table); err != nil {
		return nil, err
	}
	// struct win_certificate: its length, its revision, and its type.
	const signedData = 2
	length, kind := int64(binary.LittleEndian.Uint32(table)), binary.LittleEndian.Uint16(table[6:])
	if length < 8 || length > pe.tableSize || kind != signedData {
		return nil, fmt.Errorf("a certificate of %d bytes and of type %d is none for an EFI program", length, kind)
	}
	s, err := parseSigned(table[8:length])
	if err != nil {
		return nil, fmt.Errorf("the certificate table cannot be read: %w", err)
	}
	s.pe = pe
	return s, nil
}

// The parts of PKCS #7 (RFC 2315) that are read.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      asn1.RawValue `asn1:"set"`
		Content      contentInfo
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		Revoked      asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	}
	signerInfo struct {
		Version int
		ID      struct {
			Issuer asn1.RawValue
			Serial *big.Int
		}
		Digest        pkix.AlgorithmIdentifier
		Authenticated asn1.RawValue `asn1:"optional,tag:0"`
		Algorithm     pkix.AlgorithmIdentifier
		Signature     []byte
		Unauthentic   asn1.RawValue `asn1:"optional,tag:1"`
	}
	// SpcIndirectDataContent.
	indirectData struct {
		Data   asn1.RawValue
		Digest struct {
			Algorithm pkix.AlgorithmIdentifier
			Value     []byte
		}
	}
)

var (
	oidSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidIndirectData = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	hashes          = map[string]crypto.Hash{
		"1.3.14.3.2.26": crypto.SHA1, "2.16.840.1.101.3.4.2.1": crypto.SHA256,
		"2.16.840.1.101.3.4.2.2": crypto.SHA384, "2.16.840.1.101.3.4.2.3": crypto.SHA512,
	}
)

// parseSigned parses the SignedData of a PE file.
func parseSigned(der []byte) (*Signature, error) {
	var outer contentInfo
	if _, err := asn1.Unmarshal(der, &outer); err != nil { // zeros to a multiple of eight bytes may follow
		return nil, err
	}
	if !outer.Type.Equal(oidSignedData) {
		return nil, fmt.Errorf("its content is of type %v", outer.Type)
	}
	var signed signedData
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &signed); err != nil {
		return nil, err
	}
	if !signed.Content.Type.Equal(oidIndirectData) || len(signed.Signers) == 0 {
		return nil, fmt.Errorf("it has %d signatures of a content of type %v", len(signed.Signers), signed.Content.Type)
	}
	var data indirectData
	if _, err := asn1.Unmarshal(signed.Content.Content.Bytes, &data); err != nil {
		return nil, err
	}
	return &Signature{
		Signer: signed.signer(),
		hash:   hashes[data.Digest.Algorithm.Algorithm.String()],
		digest: data.Digest.Value,
	}, nil
}

// signer returns the name of whoever has made the first signature.
func (s *signedData) signer() string {
	id := s.Signers[0].ID
	if list, err := x509.ParseCertificates(s.Certificates.Bytes); err == nil {
		for _, c := range list {
			if bytes.Equal(c.RawIssuer, id.Issuer.FullBytes) && c.SerialNumber.Cmp(id.Serial) == 0 {
				return called(c.Subject)
			}
		}
	}
	var names pkix.RDNSequence
	if _, err := asn1.Unmarshal(id.Issuer.FullBytes, &names); err != nil {
		return "nobody by name"
	}
	var issuer pkix.Name
	issuer.FillFromRDNSequence(&names)
	return fmt.Sprintf("number %x of %s", id.Serial, called(issuer))
}

func called(n pkix.Name) string {
	if n.CommonName != "" {
		return n.CommonName
	}
	return n.String()
}

// Fits reports whether the file is still the one that was signed. It does not verify the signature itself.
func (s *Signature) Fits(r io.ReaderAt, size int64) (bool, error) {
	if !s.hash.Available() {
		return false, errors.New("its digest is of an unknown kind")
	}
	hash := s.hash.New()
	err := s.pe.signedBytes(size, func(from, to int64) error {
		_, err := io.Copy(hash, io.NewSectionReader(r, from, to-from))
		return err
	})
	return err == nil && bytes.Equal(hash.Sum(nil), s.digest), err
}

// A peFile is what of a PE file's headers counts for its signature.
type peFile struct {
	checksum, entry  int64 // where the headers have CheckSum, and the data directory's entry of the table
	headers          int64 // SizeOfHeaders
	table, tableSize int64 // the certificate table in the file
	sections         []section
}

// openPE reads the headers of a PE file (Microsoft's "PE Format", Optional Header).
func openPE(r io.ReaderAt, size int64) (p peFile, err error) {
	if p.sections, err = sections(r); err != nil {
		return p, err
	}
	le := binary.LittleEndian
	var at [4]byte
	if _, err := r.ReadAt(at[:], 0x3c); err != nil {
		return p, err
	}
	optional := int64(le.Uint32(at[:])) + 24
	head := make([]byte, 112+16*8)
	if n, err := r.ReadAt(head, optional); n < len(head) {
		return p, err
	}
	const pe32, pe32plus, security = 0x10b, 0x20b, 4
	directories := int64(96)
	switch le.Uint16(head) {
	case pe32:
	case pe32plus:
		directories = 112
	default:
		return p, errors.New("it has no optional header")
	}
	p.checksum, p.headers = optional+64, int64(le.Uint32(head[60:]))
	if le.Uint32(head[directories-4:]) <= security {
		return p, nil
	}
	entry := directories + security*8
	p.entry, p.table, p.tableSize = optional+entry, int64(le.Uint32(head[entry:])), int64(le.Uint32(head[entry+4:]))
	return p, nil
}

// signedBytes calls f for each part of a file that a signature covers, in their order: "Calculating the PE Image Hash".
func (p *peFile) signedBytes(size int64, f func(from, to int64) error) error {
	parts := [][2]int64{{0, p.checksum}, {p.checksum + 4, p.entry}, {p.entry + 8, p.headers}}
	list := slices.DeleteFunc(slices.Clone(p.sections), func(s section) bool { return s.size == 0 })
	sort.Slice(list, func(i, j int) bool { return list[i].off < list[j].off })
	hashed := p.headers
	for _, s := range list {
		parts = append(parts, [2]int64{s.off, s.off + s.size})
		hashed += s.size
	}
	if end := size - p.tableSize; hashed < end {
		parts = append(parts, [2]int64{hashed, end})
	}
	if hashed > size { // sections that overlap, of which a file could have many
		return errors.New("its sections are larger than the file")
	}
	for _, part := range parts {
		if part[0] > part[1] || part[1] > size {
			return errors.New("its headers are damaged")
		}
		if err := f(part[0], part[1]); err != nil {
			return err
		}
	}
	return nil
}
