package network

import (
	"fmt"
	"slices"
	"strings"
)

// String returns a line about the link for a person.
func (s LinkState) String() string {
	return s.title() + ": " + strings.Join(s.facts(LinkState{}), ", ")
}

// title returns the link with its driver and its hardware address.
func (s LinkState) title() string {
	var what []string
	if s.Driver != "" {
		what = append(what, s.Driver)
	}
	if len(s.MAC) > 0 {
		what = append(what, s.MAC.String())
	}
	if len(what) == 0 {
		return s.Name
	}
	return s.Name + " (" + strings.Join(what, ", ") + ")"
}

// facts returns what the link has got since before, and what is wrong with it.
func (s LinkState) facts(before LinkState) []string {
	var facts []string
	add := func(label string, list []string) {
		if len(list) > 0 {
			facts = append(facts, label+strings.Join(list, " "))
		}
	}
	add("", texts(without(s.Addresses, before.Addresses)))
	add("gateway ", texts(without(s.Gateways, before.Gateways)))
	add("DNS ", texts(without(s.DNS, before.DNS)))
	add("from ", without(s.Servers, before.Servers))
	facts = append(facts, without(s.saidToBoot(), before.saidToBoot())...)
	if s.MTU != before.MTU && s.MTU != 0 && (s.MTU != 1500 || before.MTU != 0) {
		facts = append(facts, fmt.Sprintf("MTU %d", s.MTU))
	}
	if s.Problem != "" && s.Problem != before.Problem {
		facts = append(facts, s.Problem)
	}
	return facts
}

// saidToBoot returns what servers say about what to boot.
func (s LinkState) saidToBoot() []string {
	var out []string
	for _, b := range s.Boot {
		out = append(out, b.texts()...)
	}
	return out
}

// news returns how the link differs from what a person was told last; "" if it does not.
func (s LinkState) news(told LinkState) string {
	if told.Name != s.Name {
		return s.String()
	}
	var news []string
	if has := s.facts(told); len(has) > 0 {
		news = append(news, "now has "+strings.Join(has, ", "))
	}
	told.MTU, told.Problem = 0, ""
	if lost := told.facts(s); len(lost) > 0 {
		news = append(news, "has lost "+strings.Join(lost, ", "))
	}
	if news == nil {
		return ""
	}
	return s.Name + " " + strings.Join(news, " and ")
}

// without returns the elements of list that are not in other.
func without[T comparable](list, other []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(other, v) })
}

// Offline is the error when no link of the machine can reach out.
type Offline struct {
	Links []LinkState
	cause error
}

func (e *Offline) Unwrap() error { return e.cause }

// Error says what the links lack. Links that lack the same are named together.
func (e *Offline) Error() string {
	const offline = "no network link can reach out: "
	if len(e.Links) == 0 {
		return offline + "no network interface was found: is the driver of the network card there?"
	}
	var lacks []string
	links := map[string][]string{}
	for _, s := range e.Links {
		switch {
		case s.Problem == "" && s.Final:
			s.Problem = fmt.Sprintf("%s.network says RequiredForOnline=no", s.Config)
		case s.Problem == "" && len(s.Gateways) == 0:
			s.Problem = "no default route"
		}
		lack := strings.Join(s.facts(LinkState{}), ", ")
		if links[lack] == nil {
			lacks = append(lacks, lack)
		}
		links[lack] = append(links[lack], s.title())
	}
	for i, lack := range lacks {
		lacks[i] = strings.Join(links[lack], ", ") + ": " + lack
	}
	return offline + strings.Join(lacks, "; ")
}

// Hardware returns the links that belong to no virtual device: network cards, and the veth links of containers.
func (e *Offline) Hardware() []LinkState {
	return slices.DeleteFunc(slices.Clone(e.Links), func(s LinkState) bool { return s.Kind != "" && s.Kind != "veth" })
}

// Hopeless reports whether no link that exists can ever bring the machine online, whatever happens to cables and
// servers: all are virtual, or no file uses them.
func (e *Offline) Hopeless() bool {
	return len(e.Hardware()) == 0 || !slices.ContainsFunc(e.Links, func(s LinkState) bool { return !s.Final })
}

// why returns the error for a machine that is not online.
func (m *Manager) why(cause error) error { return &Offline{Links: m.State(), cause: cause} }
