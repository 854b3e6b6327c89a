package netconf

import (
	"errors"
	"net"
)

// LinkConfig is the meaning of a .link file (systemd.link(5)). The first file that matches a device is applied to it,
// once.
type LinkConfig struct {
	Name  string // of the file, without its ending
	Match Match

	Policies    []string // NamePolicy, in order: kernel, keep, onboard, slot, path, mac, database
	NewName     string   // if no policy gives a name
	AltNames    []string
	AltPolicies []string

	MACPolicy string // "", none or random
	MAC       net.HardwareAddr
	MTU       int
	Alias     string
	TxQueue   *uint32 // TransmitQueueLength
	Ethtool   Ethtool
}

func linkDefaults(name string) *LinkConfig { return &LinkConfig{Name: name} }

func linkTable() []section[LinkConfig] {
	type l = LinkConfig
	return []section[l]{
		{name: "Match", keys: matchKeys(func(c *l) *Match { return &c.Match }, "OriginalName")},
		{name: "Link", keys: append([]key[l]{
			{"Description", "", nil},
			{"NamePolicy", "`keep`, `kernel`, `onboard`, `slot`, `path`, `mac`; `database` gives no name here",
				list(func(c *l) *[]string { return &c.Policies },
					allowedWord("kernel", "database", "onboard", "slot", "path", "mac", "keep"))},
			{"Name", "name, if no policy gives one", func(c *l, s string) error {
				err := validName(s)
				if err == nil {
					c.NewName = s
				}
				return err
			}},
			{"AlternativeName", "further names",
				list(func(c *l) *[]string { return &c.AltNames }, func(s string) (string, error) {
					return s, validNameUpTo(s, 127)
				})},
			{"AlternativeNamesPolicy", "policies whose names become further names",
				list(func(c *l) *[]string { return &c.AltPolicies },
					allowedWord("database", "onboard", "slot", "path", "mac"))},
			{"MACAddressPolicy", "`none` or `random`; `persistent` is none here", func(c *l, s string) error {
				switch s {
				case "none", "random":
					c.MACPolicy = s
				case "persistent": // of the machine id, which does not outlast a boot here
					c.MACPolicy = "none"
					return errors.New("persistent needs a machine id, which is not kept between boots; none is used " +
						"instead")
				case "":
					c.MACPolicy = ""
				default:
					return errors.New("not one of none, random, persistent")
				}
				return nil
			}},
			{"MACAddress", "hardware address to set", macAddress(func(c *l) *net.HardwareAddr { return &c.MAC })},
			{"MTUBytes", "MTU; K, M and G are understood", mtu(func(c *l) *int { return &c.MTU }, 68)},
			{"Alias", "ifalias", func(c *l, s string) error {
				if len(s) > 255 {
					return errors.New("longer than 255 bytes")
				}
				c.Alias = s
				return nil
			}},
			{"TransmitQueueLength", "in packets", optNumber(func(c *l) **uint32 { return &c.TxQueue }, 0, 4294967294)},
		}, ethtoolKeys()...)},
	}
}
