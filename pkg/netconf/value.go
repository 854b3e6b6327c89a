package netconf

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseBool reads a boolean as systemd.syntax(7) defines it.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true, nil
	case "0", "no", "n", "false", "f", "off":
		return false, nil
	}
	return false, errors.New("not a boolean (yes or no)")
}

// parseDuration reads a time span as systemd.time(7) defines it: "5", "1min 30s", "0.1", "100ms", "infinity".
func parseDuration(s string) (time.Duration, error) {
	if s == "infinity" {
		return Forever, nil
	}
	units := []struct {
		names string
		unit  time.Duration
	}{
		{"usec us µs μs", time.Microsecond}, {"msec ms", time.Millisecond}, {"seconds second sec s", time.Second},
		{"minutes minute min m", time.Minute}, {"hours hour hr h", time.Hour}, {"days day d", 24 * time.Hour},
		{"weeks week w", 7 * 24 * time.Hour},
	}
	var total float64
	rest := strings.TrimSpace(s)
	if rest == "" {
		return 0, errors.New("not a time span")
	}
	for rest != "" {
		n := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if n < 0 {
			n = len(rest)
		}
		v, err := strconv.ParseFloat(rest[:n], 64)
		if err != nil {
			return 0, errors.New("not a time span")
		}
		rest = strings.TrimLeft(rest[n:], " \t")
		n = strings.IndexAny(rest, " \t0123456789.")
		if n < 0 {
			n = len(rest)
		}
		unit := time.Second
		if word := rest[:n]; word != "" {
			unit = 0
			for _, u := range units {
				for _, name := range strings.Fields(u.names) {
					if name == word {
						unit = u.unit
					}
				}
			}
			if unit == 0 {
				return 0, fmt.Errorf("unknown unit of time %q", word)
			}
		}
		total += v * float64(unit)
		rest = strings.TrimLeft(rest[n:], " \t")
	}
	if total >= float64(math.MaxInt64) {
		return Forever, nil
	}
	return time.Duration(total), nil
}

// parseSize reads a number of bytes with the suffixes K, M and G to the base of 1024.
func parseSize(s string) (int, error) {
	number, factor := s, 1
	for i, suffix := range []string{"K", "M", "G"} {
		if n, found := strings.CutSuffix(s, suffix); found {
			number, factor = n, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
	if err != nil || n*uint64(factor) > math.MaxUint32 {
		return 0, errors.New("not a number of bytes")
	}
	return int(n) * factor, nil
}

// parseUint reads a number of at most max, in decimal or after 0x in hexadecimal.
func parseUint(s string, max uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil || n > max {
		return 0, fmt.Errorf("not a number from 0 to %d", max)
	}
	return n, nil
}

// Lengths of hardware addresses: of Ethernet, and of IP over InfiniBand (RFC 4391 section 9.1.1).
const (
	etherLen      = 6
	infiniBandLen = 20
)

// parseMAC reads a hardware address in any form that systemd accepts: pairs of digits with colons or hyphens between
// them, groups of four with dots.
func parseMAC(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || len(mac) != etherLen && len(mac) != infiniBandLen {
		// net.ParseMAC wants two digits in each pair; ether_aton(3) and systemd do not.
		parts := strings.Split(s, ":")
		if len(parts) != etherLen && len(parts) != infiniBandLen {
			return nil, errors.New("not a hardware address")
		}
		mac = nil
		for _, p := range parts {
			if len(p) == 1 {
				p = "0" + p
			}
			b, err := hex.DecodeString(p)
			if err != nil || len(b) != 1 {
				return nil, errors.New("not a hardware address")
			}
			mac = append(mac, b[0])
		}
	}
	return mac, nil
}

// parsePrefix reads an address with an optional prefix length. Without one the prefix is the single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, errors.New("not an IP address")
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("not an IP address with a prefix length")
	}
	return p, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, errors.New("not an IP address")
	}
	return a, nil
}

// words splits a value at white space. Quotes keep a word together and a backslash quotes the next character, as
// systemd.syntax(7) says about lists.
func words(s string) ([]string, error) {
	var out []string
	var b strings.Builder
	var quote rune
	in, escaped := false, false
	for _, r := range s {
		switch {
		case escaped:
			b.WriteRune(r)
			escaped = false
		case r == '\\':
			in, escaped = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				b.WriteRune(r)
			}
		case r == '"' || r == '\'':
			in, quote = true, r
		case r == ' ' || r == '\t':
			if in {
				out = append(out, b.String())
				b.Reset()
				in = false
			}
		default:
			in = true
			b.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, errors.New("quotation mark without its end")
	}
	if escaped {
		b.WriteByte('\\')
	}
	if in {
		out = append(out, b.String())
	}
	return out, nil
}
