package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/audit"
	"gitlab.com/wyrcan/wyrcan/pkg/bundle"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// report is what check finds out about an image. docs/host-tool.md describes its members in JSON.
type report struct {
	Image    string          `json:"image"`
	Digest   string          `json:"digest"`
	Platform string          `json:"platform"`
	Layers   int             `json:"layers"`
	Download int64           `json:"downloadBytes"`
	Files    int             `json:"files"`
	Unpacked int64           `json:"unpackedBytes"`
	Bootable bool            `json:"bootable"`
	Reason   string          `json:"reason,omitempty"` // why it is not
	Kernel   string          `json:"kernel,omitempty"`
	Format   string          `json:"kernelFormat,omitempty"`
	Version  string          `json:"kernelVersion,omitempty"`
	Signed   bool            `json:"kernelSigned"`           // with a signature that fits it
	Signer   string          `json:"kernelSigner,omitempty"` // as the signature says
	Modules  int             `json:"modules"`                // drivers for that kernel
	Firmware int             `json:"firmware"`               // files
	Missing  []driver        `json:"firmwareMissing,omitempty"`
	Kept     int64           `json:"kernelKeptBytes,omitempty"` // of memory, if the kernel's file stays in the root
	Init     string          `json:"init,omitempty"`
	Chosen   string          `json:"chosen,omitempty"` // why this kernel and this init
	Cmdline  string          `json:"cmdline"`
	Ucode    int64           `json:"microcodeBytes,omitempty"` // for all processors; a machine takes that of its own
	Initrd   int64           `json:"initrdBytes,omitempty"`
	Beside   int64           `json:"rootImageBytes,omitempty"` // of a root that stays an image, beside the initrd
	Root     string          `json:"root,omitempty"`           // its form: a value of wyr.root
	RootWhy  string          `json:"rootReason,omitempty"`     // why auto has chosen it
	Forms    []rootNeed      `json:"rootForms,omitempty"`
	Packing  string          `json:"initrdPacking,omitempty"`
	Memory   int64           `json:"memoryBytes,omitempty"` // of the smallest machine that boots the whole image
	Warnings []audit.Finding `json:"warnings"`              // for all machines
	Hardware []audit.Finding `json:"hardware"`              // for machines that have it

	KernelImage *another  `json:"kernelImage,omitempty"`
	Overlays    []another `json:"overlays,omitempty"`

	asked   bundle.Root // the form of the root
	known   bool        // the memory of the machine
	drivers *driverSet
	signed  string // about the kernel's signature, for people
	kept    string // why the kernel's file stays
}

// rootNeed is what one form of the root needs, in bytes.
type rootNeed struct {
	Root     string `json:"root"`
	Memory   int64  `json:"memoryBytes,omitempty"`     // of the smallest machine that boots the image so
	Resident int64  `json:"residentBytes,omitempty"`   // what the files take of it in the booted system
	Auto     int64  `json:"autoMemoryBytes,omitempty"` // of the smallest machine where auto chooses it
	Reason   string `json:"reason,omitempty"`          // why it cannot be
}

// style is how a report is written.
type style struct {
	verbose bool // name every driver that lacks firmware, and the files
	explain bool // say how to mend each warning
	colour  bool // with colours and signs
}

// row is a line of a report.
type row struct{ label, text string }

// print writes the report for people.
func (r *report) print(w io.Writer, s style) error {
	var errs []error
	write := func(mark sign, label, text string) {
		line := strings.TrimRight(fmt.Sprintf("%-14s%s", label, printable.Clip(text, printable.Long)), " ")
		_, err := fmt.Fprintln(w, mark.before(s.colour)+line+mark.after(s.colour))
		errs = append(errs, err)
	}
	for _, f := range r.facts(s.verbose) {
		write(plain, f.label, f.text)
	}
	for _, kind := range []struct {
		label    string
		findings []audit.Finding
	}{{"hardware", r.Hardware}, {"warning", r.Warnings}} {
		for _, f := range kind.findings {
			write(caution, kind.label, f.Text)
			if s.explain {
				for line := range strings.Lines(f.Mend) {
					deep := len(line) - len(strings.TrimLeft(line, " ")) + 2
					write(plain, strings.Repeat(" ", 14+deep), line)
				}
			}
		}
	}
	verdict, mark := "yes", good
	if !r.Bootable {
		verdict, mark = "no: "+strings.TrimPrefix(r.Reason, "the image is not bootable: "), bad
	}
	write(mark, "bootable", verdict)
	if n := len(r.Warnings) + len(r.Hardware); n > 0 && !s.explain {
		write(plain, "", "(-explain says how to mend "+map[bool]string{true: "it", false: "them"}[n == 1]+")")
	}
	return errors.Join(errs...)
}

// facts returns the lines about what the image is.
func (r *report) facts(verbose bool) []row {
	rows := []row{
		{"image", r.Image},
		{"digest", r.Digest},
		{"platform", r.Platform},
	}
	if k := r.KernelImage; k != nil {
		rows = append(rows, row{"kernel image", k.Image + ", " + k.Digest})
	}
	for _, o := range r.Overlays {
		rows = append(rows, row{"overlay", o.Image + ", " + o.Digest})
	}
	rows = append(rows, []row{
		{"layers", fmt.Sprintf("%d, %.1f MB as stored", r.Layers, float64(r.Download)/1e6)},
		{"files", fmt.Sprintf("%d, %.1f MB unpacked", r.Files, float64(r.Unpacked)/1e6)},
	}...)
	if r.Kernel != "" {
		rows = append(rows,
			row{"kernel", fmt.Sprintf("%s (%s, %s)", r.Kernel, r.Version, r.Format)},
			row{"init", r.Init})
	}
	if r.signed != "" {
		rows = append(rows, row{"signature", r.signed})
	}
	if r.Chosen != "" {
		rows = append(rows, row{"chosen", r.Chosen})
	}
	if r.Kept > 0 {
		rows = append(rows, row{"kernel file", fmt.Sprintf("stays %s: %s of memory", r.kept, units.Bytes(r.Kept))})
	}
	if r.Ucode > 0 {
		rows = append(rows, row{"microcode", fmt.Sprintf("%s for all processors; a machine takes that of its own",
			units.Bytes(r.Ucode))})
	}
	if r.drivers != nil {
		found := plural(r.Modules, "module") + ", " + plural(r.Firmware, "firmware file")
		rows = append(rows, row{"drivers", found})
		for _, text := range r.drivers.rows(verbose) {
			rows = append(rows, row{"firmware", text})
		}
	}
	if r.Bootable {
		size := fmt.Sprintf("%.1f MB (%s)", float64(r.Initrd)/1e6, r.Packing)
		if bundle.Root(r.Root).IsImage() {
			size = fmt.Sprintf("%.1f MB", float64(r.Initrd)/1e6)
		}
		if r.Beside > 0 {
			size += fmt.Sprintf(", and an image of %.1f MB beside it", float64(r.Beside)/1e6)
		}
		rows = append(rows,
			row{"command line", cmp.Or(r.Cmdline, "(empty)")},
			row{"root", r.root()},
			row{"initrd", size},
			row{"memory", fmt.Sprintf("%d MiB at least", r.Memory>>20)},
		)
	}
	for _, f := range r.Forms {
		rows = append(rows, row{"as " + f.Root, f.text()})
	}
	return rows
}

// root returns the form of the root, and why auto has chosen it: for a machine whose memory is known, else for all.
func (r *report) root() string {
	if r.RootWhy == "" {
		return r.Root
	}
	if !r.known {
		text := r.Root
		for i, f := range r.Forms {
			if i > 0 && f.Auto != 0 {
				text += fmt.Sprintf("; %s where a machine has less than %d MiB", f.Root, r.Forms[i-1].Auto>>20)
			}
		}
		return text
	}
	return r.Root + ", because " + r.RootWhy
}

// text returns what the form needs, for people.
func (n rootNeed) text() string {
	if n.Reason != "" {
		return "not possible: " + n.Reason
	}
	return fmt.Sprintf("%d MiB at least, %d MiB of them for the files", n.Memory>>20, n.Resident>>20)
}
