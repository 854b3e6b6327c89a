package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gitlab.com/wyrcan/wyrcan/pkg/netconf"
)

// maxStored is the longest stored configuration that is read: far more than what a kernel command line can hold (2048
// bytes on x86 and arm64, COMMAND_LINE_SIZE).
const maxStored = 64 << 10

// storedConfig is the JSON that Wyrcan 2.1 reads and writes. Wyrcan 2.1 requires network and cmdline, even if they are
// empty, and ignores unknown members: those after image are ours.
type storedConfig struct {
	Network object   `json:"network"`
	Cmdline []string `json:"cmdline"`
	Image   string   `json:"image"`
	Root    string   `json:"root,omitempty"`
	NetKeep bool     `json:"net.keep,omitempty"`

	Kernel   string   `json:"kernel,omitempty"`
	Init     string   `json:"init,omitempty"`
	Overlays []string `json:"overlay,omitempty"`
	File     string   `json:"config,omitempty"`
	Insecure []string `json:"insecure,omitempty"`
	Mirrors  []string `json:"mirror,omitempty"`
	Proxy    string   `json:"proxy,omitempty"`
	NoProxy  []string `json:"noproxy,omitempty"`
	NTP      []string `json:"ntp,omitempty"`
	Fail     string   `json:"fail,omitempty"`
	Deadline string   `json:"deadline,omitempty"` // as time.Duration writes it
	NoRecord bool     `json:"norecord,omitempty"`
	NoUcode  bool     `json:"nomicrocode,omitempty"`
	Version  string   `json:"version,omitempty"` // of the Wyrcan that wrote it; it decides nothing
}

// Marshal returns c in its stored form, always the same bytes for the same c. A key with one value is a string, as in
// Wyrcan 2.1; a key with several values is an array. The second [Route] of a file is "Route2". EFI, Debug and
// wyr.fail=shell are left out. Marshal fails if Unmarshal could not return the same configuration.
func (c Config) Marshal() ([]byte, error) {
	return c.marshal("")
}

// marshal is Marshal, with the version of the Wyrcan that writes it.
func (c Config) marshal(version string) ([]byte, error) {
	c = c.kept()
	for _, a := range c.Arguments() {
		if !utf8.ValidString(a.Value) {
			return nil, fmt.Errorf("%s=%q cannot be stored: it is not UTF-8", a.Key, a.Value)
		}
	}
	files := object{}
	for _, f := range numbered(c.Network) {
		sections := object{}
		for _, s := range f.sections {
			var keys object
			values := make(map[string][]string)
			for _, e := range s.entries {
				if values[e.Key] = append(values[e.Key], e.Value); len(values[e.Key]) == 1 {
					keys = append(keys, member{key: e.Key})
				}
			}
			for i, k := range keys {
				keys[i].value = values[k.key]
				if len(values[k.key]) == 1 {
					keys[i].value = values[k.key][0]
				}
			}
			sections = append(sections, member{s.written, keys})
		}
		files = append(files, member{f.name + "." + string(f.kind), sections})
	}
	args := append([]string{}, c.Args...)
	data, err := json.Marshal(storedConfig{
		Network: files, Cmdline: args, Image: c.Image, File: c.File, Root: c.Root, NetKeep: c.NetKeep, Insecure: c.Insecure,
		Mirrors: c.Mirrors, Proxy: c.Proxy, NoProxy: c.NoProxy, NTP: c.NTP,
		Kernel: c.Kernel, Init: c.Init, Overlays: c.Overlays, NoUcode: c.NoMicrocode,
		Fail: c.Fail, Deadline: written(c.Deadline), NoRecord: c.NoRecord, Version: version,
	})
	if err != nil {
		return nil, err
	}
	if _, err := Unmarshal(data); err != nil {
		return nil, fmt.Errorf("the configuration cannot be stored: %w", err)
	}
	return data, nil
}

// Unmarshal parses what Marshal or Wyrcan 2.1 wrote. After an error it returns no part of the configuration. It ignores
// unknown members, which a later version may have written.
func Unmarshal(data []byte) (Config, error) {
	switch {
	case len(data) > maxStored:
		return Config{}, fmt.Errorf("it is %d bytes long, and at most %d are read", len(data), maxStored)
	case !utf8.Valid(data):
		return Config{}, errors.New("it is not UTF-8")
	}
	var in struct {
		storedConfig
		Network json.RawMessage `json:"network"`
		Version json.RawMessage `json:"version"` // a later Wyrcan may give it another form
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return Config{}, err
	}
	c := Config{
		Image: in.Image, File: in.File, Root: in.Root, NetKeep: in.NetKeep, Insecure: in.Insecure,
		Mirrors: in.Mirrors, Proxy: in.Proxy, NoProxy: in.NoProxy, NTP: in.NTP, NoRecord: in.NoRecord,
		Kernel: in.Kernel, Init: in.Init, Overlays: in.Overlays, NoMicrocode: in.NoUcode,
	}
	for name, v := range map[string]string{"root": c.Root, "kernel": c.Kernel, "init": c.Init} {
		i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
		if err := options[i].accepts(name, v); err != nil {
			return Config{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, l := range lists {
		for _, v := range *l.of(&c) {
			if err := l.check(v); err != nil {
				return Config{}, fmt.Errorf("%s: %w", l.name, err)
			}
		}
	}
	if err := checkProxy(c.Proxy); err != nil {
		return Config{}, fmt.Errorf("proxy: %w", err)
	}
	if err := checkFile(c.File); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	if c.Image != "" { // it names the image, as on the command line
		c.File = ""
	}
	if in.Fail == "shell" || in.Fail != "" && !slices.Contains(fails, in.Fail) {
		return Config{}, fmt.Errorf("fail: %q is not a value that is stored", in.Fail)
	}
	var err error
	if c.Deadline, err = duration(in.Deadline); err != nil {
		return Config{}, fmt.Errorf("deadline: %w", err)
	}
	c.Fail = in.Fail
	for _, a := range in.Cmdline {
		if a != "" {
			c.Args = append(c.Args, a)
		}
	}
	if c.Network, err = networkFiles(in.Network); err != nil {
		return Config{}, fmt.Errorf("network: %w", err)
	}
	return c, nil
}

// networkFiles parses the network of a stored configuration: files, their sections, and keys with one value or more.
func networkFiles(data []byte) ([]netconf.File, error) {
	var net network
	err := members(data, func(name string, file json.RawMessage) error {
		name, kind, _ := strings.Cut(name, ".")
		return members(file, func(section string, keys json.RawMessage) error {
			return members(keys, func(key string, value json.RawMessage) error {
				values, err := oneOrMore(value)
				for _, v := range values {
					err = errors.Join(err, net.add(netconf.Kind(kind), name, section, key, v))
				}
				if err != nil {
					return fmt.Errorf("%s.%s: [%s] %s: %w", name, kind, section, key, err)
				}
				return nil
			})
		})
	})
	return net.files(), err
}

// storedBy returns the version of the Wyrcan that wrote data, or "" if data does not say it.
func storedBy(data []byte) string {
	var in struct{ Version string }
	if json.Unmarshal(data, &in) != nil {
		return ""
	}
	return in.Version
}

// oneOrMore parses a string or an array of strings.
func oneOrMore(data []byte) ([]string, error) {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		return []string{one}, nil
	}
	var more []string
	err := json.Unmarshal(data, &more)
	return more, err
}

// object is a JSON object whose members keep their order, unlike those of a Go map.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

// members calls each for every member of a JSON object, in order. Empty data and null have no members.
func members(data []byte, each func(key string, value json.RawMessage) error) error {
	if len(data) == 0 || string(data) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if start, err := d.Token(); err != nil {
		return err
	} else if start != json.Delim('{') {
		return fmt.Errorf("%.40q is not an object", data)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := each(key.(string), value); err != nil {
			return err
		}
	}
	return nil
}
