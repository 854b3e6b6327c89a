// Package record describes one boot for the system that was booted: which image it is, where that came from, and how
// the boot went. The record is one JSON object in the file File. wyrboot and wyrcan kexec write it into the initrd,
// wyrinit leaves it in the booted system, and wyrcan status reads it.
//
// A record holds no secrets: no login, no token, no certificate, no key but public ones, no URL, and no command line.
// Every user of the system may read it.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"gitlab.com/wyrcan/wyrcan/pkg/handover"
)

// File is where the booted system has its record.
const File = handover.BootRecord

// Form is the number of this form of the JSON object. A later Wyrcan may add members without a new number. It takes a
// new number if a member gets another meaning.
const Form = 1

// MaxSize is how many bytes a record may have.
const MaxSize = 1 << 20

// The programs that write records, for Record.By.
const (
	Wyrboot = "wyrboot"
	Kexec   = "wyrcan kexec"
)

// Record describes one boot. Its lists are never null.
type Record struct {
	// Form is the constant Form. Marshal sets it.
	Form int `json:"form"`
	// Wyrcan is the version of the program that wrote the record.
	Wyrcan string `json:"wyrcan"`
	// By is that program: Wyrboot or Kexec.
	By string `json:"by"`
	// Time is when the record was written, in whole seconds, in UTC. It is by the clock of the machine at that time,
	// which is wrong on a machine that no time server has told the time.
	Time time.Time `json:"time"`
	// Image is the image that was booted.
	Image Image `json:"image"`
	// Kernel is the image that brought the kernel (wyr.kernel). It is missing if Image has its own.
	Kernel *Image `json:"kernel,omitempty"`
	// Overlays are the images that were laid on Image (wyr.overlay), the last one on top. The list is missing if there
	// are none.
	Overlays []Image `json:"overlays,omitempty"`
	// Signers are the public keys whose signatures of these images a policy asked for and found, as "sha256:" and the
	// digest of the key in its DER form. The list is empty if no policy asked for a signature.
	Signers []string `json:"signers"`
	// Initrd is the initrd that was made of the image.
	Initrd Initrd `json:"initrd"`
	// Memory is the memory of the machine.
	Memory Memory `json:"memory"`
	// Stages are the stages of the boot up to the record, in their order. What comes after it is missing: loading the
	// kernel, and the jump to it.
	Stages []Stage `json:"stages"`
	// Network are the network links as they were in the boot environment, in the order of their names. The list is empty
	// in a record by Kexec: there the network is that of the system that ran it.
	Network []Link `json:"network"`
}

// Images returns all images: Image, then Kernel if there is one, then the overlays.
func (r Record) Images() []Image {
	list := []Image{r.Image}
	if r.Kernel != nil {
		list = append(list, *r.Kernel)
	}
	return append(list, r.Overlays...)
}

// Image says which image was booted. Digests have the form "sha256:HEX".
type Image struct {
	// Asked is the reference as it was given: wyr.img=, what NVRAM has, or the argument of wyrcan kexec.
	Asked string `json:"asked"`
	// Name is the full name of the image, with the registry and the tag that Asked implies. For an image that comes from
	// no registry it is like Asked.
	Name string `json:"name"`
	// From is the repository at the registry or mirror that gave the manifest, "mirror.example/name". It is empty for an
	// image that comes from no registry.
	From string `json:"from,omitempty"`
	// Index is the digest of the index that Name refers to. It is empty if Name refers to a manifest.
	Index string `json:"index,omitempty"`
	// Manifest is the digest of the image's manifest. It is empty for an archive that docker saved, which has none.
	Manifest string `json:"manifest,omitempty"`
	// Config is the digest of the image's configuration. docker calls it the image's ID.
	Config string `json:"config"`
	// Platform is what the image was made for, "linux/amd64".
	Platform string `json:"platform"`
}

// Root returns the digest of what the name of the image refers to, "" if the image has no manifest.
func (i Image) Root() string {
	if i.Index != "" {
		return i.Index
	}
	return i.Manifest
}

// Initrd says what the image was turned into.
type Initrd struct {
	// Root is what the root of the booted system is: "tmpfs", files that were unpacked into memory, or "squashfs" or "erofs",
	// an image of them with a tmpfs over it. It is empty in a record of a Wyrcan that knew only the first.
	Root string `json:"root,omitempty"`
	// RootHash is what the kernel checks that image by, in hexadecimal: the root hash of dm-verity. It is missing if nothing
	// checks the root.
	RootHash string `json:"rootHash,omitempty"`
	// Packing is how it is compressed: "none", "gzip", "zstd", or "mixed" for zstd of a part.
	Packing string `json:"packing"`
	// Bytes is its size in bytes, without the record.
	Bytes int64 `json:"bytes"`
}

// Memory is an amount of memory in bytes, for each use.
type Memory struct {
	// Total is what the kernel had to give: MemTotal of /proc/meminfo.
	Total int64 `json:"total"`
	// Available is what was still free when the initrd was complete: MemAvailable of /proc/meminfo, or less if a control
	// group has less.
	Available int64 `json:"available"`
	// Needed is the least with which the container boots completely, as Wyrcan has computed it.
	Needed int64 `json:"needed"`
}

// Stage is one stage of the boot.
type Stage struct {
	// Name is the name that wyrboot prints: kernel, drivers, network, pull, convert. wyrcan kexec has only the last two.
	Name string `json:"name"`
	// Seconds is how long it took. For the stage kernel that is the time from the start of the kernel to wyrboot.
	Seconds float64 `json:"seconds"`
}

// Link is the state of one network link. Addresses are in their usual text form.
type Link struct {
	// Name is the name of the link when the record was written; the booted system may choose another. MAC tells them
	// apart.
	Name string `json:"name"`
	// MAC is the hardware address, "" for a link that has none.
	MAC string `json:"mac,omitempty"`
	// Driver is the kernel's driver for it.
	Driver string `json:"driver,omitempty"`
	// File is the .network file that configured it, without that ending. It is empty if no file fits the link.
	File string `json:"file,omitempty"`
	// MTU is the largest packet that it takes, in bytes.
	MTU int `json:"mtu"`
	// Carrier says whether the cable had a signal.
	Carrier bool `json:"carrier"`
	// Usable says whether the boot could use it: it had a carrier, an address and a route.
	Usable bool `json:"usable"`
	// Addresses are its addresses with the length of the prefix, Gateways the gateways of its default routes.
	Addresses []string `json:"addresses"`
	Gateways  []string `json:"gateways"`
	// DNS and NTP are the servers that its file and its leases name, Domains the search domains.
	DNS     []string `json:"dns"`
	NTP     []string `json:"ntp"`
	Domains []string `json:"domains"`
	// Servers are those that configured it: "DHCP server 10.0.2.2", "router fe80::1".
	Servers []string `json:"servers"`
	// Problem is what was missing or had failed, one sentence.
	Problem string `json:"problem,omitempty"`
}

// Marshal returns the JSON of r, always the same bytes for the same r. It fails if Parse would refuse them.
func (r Record) Marshal() ([]byte, error) {
	r.Form = Form
	r.Time = r.Time.UTC().Truncate(time.Second)
	r.fill()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	if _, err := Parse(b.Bytes()); err != nil {
		return nil, fmt.Errorf("the record of this boot cannot be written: %w", err)
	}
	return b.Bytes(), nil
}

// fill makes empty lists of the lists that are nil. It changes no list that r shares with another record.
func (r *Record) fill() {
	list := func(l *[]string) {
		if *l == nil {
			*l = []string{}
		}
	}
	list(&r.Signers)
	if r.Stages == nil {
		r.Stages = []Stage{}
	}
	r.Network = append([]Link{}, r.Network...)
	for i := range r.Network {
		l := &r.Network[i]
		for _, of := range []*[]string{&l.Addresses, &l.Gateways, &l.DNS, &l.NTP, &l.Domains, &l.Servers} {
			list(of)
		}
	}
}

// Parse reads a record. It ignores members that it does not know, which a later Wyrcan may have written. It refuses
// what is no record of this form. Texts may hold any characters: clean them before they are printed.
func Parse(b []byte) (Record, error) {
	var r Record
	switch {
	case len(b) > MaxSize:
		return r, fmt.Errorf("it has %d bytes and a record has at most %d", len(b), MaxSize)
	case !utf8.Valid(b):
		return r, errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("it is not the JSON of a record: %w", err)
	}
	if r.Form != Form {
		return Record{}, fmt.Errorf("it is in form %d and this wyrcan reads form %d: use a wyrcan as new as the one "+
			"that booted this system", r.Form, Form)
	}
	digests := r.Signers
	for _, i := range r.Images() {
		if i.Asked == "" {
			return Record{}, errors.New("it names no image")
		}
		digests = append([]string{i.Index, i.Manifest, i.Config}, digests...)
	}
	for _, d := range digests {
		if d != "" && !isDigest(d) {
			return Record{}, fmt.Errorf("%.80q in it is not a digest", d)
		}
	}
	if h := r.Initrd.RootHash; h != "" && !isDigest("sha256:"+h) {
		return Record{}, fmt.Errorf("%.80q in it is not a root hash", h)
	}
	r.fill()
	return r, nil
}

// isDigest reports whether s is ALGORITHM:HEX, as the OCI image specification has it, with a length that is in use.
func isDigest(s string) bool {
	algorithm, hex, _ := strings.Cut(s, ":")
	return map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}[algorithm] == len(hex) && len(hex) > 0 &&
		strings.Trim(hex, "0123456789abcdef") == ""
}
