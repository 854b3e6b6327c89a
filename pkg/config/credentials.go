package config

import (
	"path"
	"strings"

	"gitlab.com/wyrcan/wyrcan/pkg/syscred"
)

// Credentials are the system credentials wyr.img, wyr.arg, wyr.net and wyr.config. Each place that has some is a source
// of its own, in the order of the set. If a place has two of a name, the first one counts.
func Credentials(set syscred.Set) []Source {
	var order []string
	places := make(map[string]map[string][]byte)
	for _, c := range set {
		switch c.Name {
		case "wyr.img", "wyr.arg", "wyr.net", "wyr.config":
		default:
			continue
		}
		from := c.From
		if strings.HasPrefix(from, "/") { // a file of systemd-stub, in the directory that is the place
			from = path.Dir(from)
		}
		if places[from] == nil {
			places[from] = make(map[string][]byte)
			order = append(order, from)
		}
		if _, ok := places[from][c.Name]; !ok {
			places[from][c.Name] = c.Data
		}
	}
	var sources []Source
	for _, from := range order {
		has := places[from]
		p := place{image: has["wyr.img"], args: [][]byte{has["wyr.arg"]}, net: has["wyr.net"], config: has["wyr.config"]}
		sources = append(sources, Source{Name: "the system credentials in " + from, Load: p.load})
	}
	return sources
}
