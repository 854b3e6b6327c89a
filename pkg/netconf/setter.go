package netconf

import (
	"fmt"
	"net"
	"strings"
)

// The functions of this file make the set of a table's row: each takes where the value goes and returns how a line puts it there.

func boolean[T any](field func(*T) *bool) func(*T, string) error {
	return func(t *T, s string) error {
		b, err := parseBool(s)
		if err == nil {
			*field(t) = b
		}
		return err
	}
}

// tristate is a boolean that the kernel decides if it is not set. An empty value unsets it.
func tristate[T any](field func(*T) **bool) func(*T, string) error {
	return func(t *T, s string) error {
		if s == "" {
			*field(t) = nil
			return nil
		}
		b, err := parseBool(s)
		if err == nil {
			*field(t) = &b
		}
		return err
	}
}

func number[T any, N ~int | ~uint32 | ~uint16 | ~uint8](field func(*T) *N, lo, hi uint64) func(*T, string) error {
	return func(t *T, s string) error {
		n, err := parseUint(s, hi)
		if err == nil && n < lo {
			err = fmt.Errorf("not a number from %d to %d", lo, hi)
		}
		if err == nil {
			*field(t) = N(n)
		}
		return err
	}
}

func optNumber[T any, N ~int | ~uint32 | ~uint16 | ~uint8](field func(*T) **N, lo, hi uint64) func(*T, string) error {
	return func(t *T, s string) error {
		if s == "" {
			*field(t) = nil
			return nil
		}
		var n N
		if err := number(func(*T) *N { return &n }, lo, hi)(t, s); err != nil {
			return err
		}
		*field(t) = &n
		return nil
	}
}

// mtu is a size with a lowest value: 68 is IPv4's, 1280 IPv6's.
func mtu[T any](field func(*T) *int, lowest int) func(*T, string) error {
	return func(t *T, s string) error {
		if s == "" {
			*field(t) = 0
			return nil
		}
		n, err := parseSize(s)
		if err == nil && n < lowest {
			err = fmt.Errorf("an MTU is at least %d", lowest)
		}
		if err == nil {
			*field(t) = n
		}
		return err
	}
}

func text[T any](field func(*T) *string) func(*T, string) error {
	return func(t *T, s string) error {
		*field(t) = s
		return nil
	}
}

// oneOf is a text out of a list.
func oneOf[T any](field func(*T) *string, allowed ...string) func(*T, string) error {
	return func(t *T, s string) error {
		for _, a := range allowed {
			if s == a {
				*field(t) = s
				return nil
			}
		}
		return fmt.Errorf("not one of %s", strings.Join(allowed, ", "))
	}
}

// list is a list that further lines add to and an empty one empties; each word goes through parse.
func list[T, E any](field func(*T) *[]E, parse func(string) (E, error)) func(*T, string) error {
	return func(t *T, s string) error {
		if s == "" {
			*field(t) = nil
			return nil
		}
		ws, err := words(s)
		if err != nil {
			return err
		}
		for _, w := range ws {
			e, parseErr := parse(w)
			if parseErr != nil { // systemd takes the good words of a line with a bad one
				err = fmt.Errorf("%q is %w", w, parseErr)
				continue
			}
			*field(t) = append(*field(t), e)
		}
		return err
	}
}

func anyWord(s string) (string, error) { return s, nil }

func macAddress[T any](field func(*T) *net.HardwareAddr) func(*T, string) error {
	return func(t *T, s string) error {
		if s == "" {
			*field(t) = nil
			return nil
		}
		mac, err := parseMAC(s)
		if err == nil {
			*field(t) = mac
		}
		return err
	}
}

// patterns is a list of globs; an exclamation mark before the first word of all negates the list.
func patterns[T any](field func(*T) *Patterns) func(*T, string) error {
	return func(t *T, s string) error {
		p := field(t)
		if s == "" {
			*p = Patterns{}
			return nil
		}
		negate := strings.HasPrefix(s, "!")
		ws, err := words(strings.TrimPrefix(s, "!"))
		if err != nil {
			return err
		}
		if len(p.List) == 0 {
			p.Negate = negate
		} else if negate != p.Negate {
			return fmt.Errorf("a negated and a plain list cannot be one")
		}
		p.List = append(p.List, ws...)
		return nil
	}
}

func condition[T any](field func(*T) *Condition) func(*T, string) error {
	return func(t *T, s string) error {
		word, negate := strings.CutPrefix(s, "!")
		*field(t) = Condition{Negate: negate, Word: strings.TrimSpace(word)}
		return nil
	}
}
