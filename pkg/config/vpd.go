package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// VPD are the Vital Product Data of coreboot, which read returns by their keys: first those that can be written, then
// the read-only ones. In each of the two the keys wyr_img, wyr_arg, wyr_net and wyr_config are a source, and then each
// entry BootNNNN of the type "wyrcan", in the order of the numbers: u-root's form for what LinuxBoot is to start.
//
// Linux shows no key with a dot in its name (vpd_section_check_key_name in its drivers/firmware/google/vpd.c). Where a
// file system has one all the same, wyr.img is as good as wyr_img.
func VPD(read func(readOnly bool) (map[string][]byte, error)) []Source {
	var sources []Source
	for _, part := range []struct {
		name     string
		readOnly bool
	}{{"RW_VPD", false}, {"RO_VPD", true}} {
		values, err := read(part.readOnly)
		if err != nil {
			sources = append(sources, Source{Name: part.name,
				Load: func() (Config, []string, error) { return Config{}, nil, err }})
		}
		sources = append(sources, vpdSources(part.name, values)...)
	}
	return sources
}

// maxEntries is how many entries BootNNNN are read.
const maxEntries = 100

// vpdSources returns the sources in one part of the VPD.
func vpdSources(part string, values map[string][]byte) []Source {
	get := func(name string) []byte {
		if v, ok := values["wyr_"+name]; ok {
			return v
		}
		return values["wyr."+name]
	}
	keys := place{image: get("img"), args: [][]byte{get("arg")}, net: get("net"), config: get("config")}
	sources := []Source{{Name: part, Load: keys.load}}
	var entries []string
	for key := range values {
		if number, ok := strings.CutPrefix(key, "Boot"); ok && len(number) == 4 && strings.Trim(number, "0123456789") == "" {
			entries = append(entries, key)
		}
	}
	slices.Sort(entries)
	for _, key := range entries[:min(len(entries), maxEntries)] {
		sources = append(sources, Source{Name: part + ", entry " + key,
			Load: func() (Config, []string, error) { return bootEntry(values[key]) }})
	}
	return sources
}

// bootEntry parses an entry BootNNNN: {"type": "wyrcan", "image": NAME, "args": …, "network": …, "kernel": …, "init":
// …, "overlay": …}. args is one argument for the container's kernel, or an array of them, and overlay one image or
// several. network is an object as in NVRAM, or one text or an array of arguments as in wyr_net. Entries of other
// types are for others.
func bootEntry(data []byte) (Config, []string, error) {
	var in struct {
		Type    string          `json:"type"`
		Image   string          `json:"image"`
		Args    json.RawMessage `json:"args"`
		Network json.RawMessage `json:"network"`
		Kernel  string          `json:"kernel"`
		Init    string          `json:"init"`
		Overlay json.RawMessage `json:"overlay"`
	}
	if len(data) > maxStored {
		return Config{}, nil, fmt.Errorf("it has more than %d KiB", maxStored>>10)
	}
	var kind struct {
		Type any `json:"type"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return Config{}, nil, err
	}
	if kind.Type != "wyrcan" {
		return Config{}, nil, nil
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return Config{}, nil, err
	}
	args, err := textOrTexts(in.Args)
	if err != nil {
		return Config{}, nil, fmt.Errorf("args: %w", err)
	}
	p := place{image: []byte(in.Image)}
	for _, a := range args {
		p.args = append(p.args, []byte(a))
	}
	overlays, err := textOrTexts(in.Overlay)
	if err != nil {
		return Config{}, nil, fmt.Errorf("overlay: %w", err)
	}
	for _, o := range overlays {
		p.more = append(p.more, belongs("overlay", o))
	}
	for name, value := range map[string]string{"kernel": in.Kernel, "init": in.Init} {
		if value != "" {
			p.more = append(p.more, belongs(name, value))
		}
	}
	nets, err := textOrTexts(in.Network)
	if err != nil { // an object
		files, err := networkFiles(in.Network)
		if err != nil {
			return Config{}, nil, fmt.Errorf("network: %w", err)
		}
		c, ignored, err := p.load()
		c.Network = files
		return c, ignored, err
	}
	p.net = []byte(strings.Join(nets, "\n"))
	return p.load()
}

// textOrTexts parses a string, an array of strings, or nothing.
func textOrTexts(data []byte) ([]string, error) {
	if len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	return oneOrMore(data)
}
