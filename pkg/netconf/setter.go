package netconf

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// Each function in this file returns the set function of a table row. Its argument field says where the value goes.

func boolean[T any](field func(*T) *bool) func(*T, string) error { return parsed(field, parseBool) }

// parsed sets a field to the value that parse returns for the text.
func parsed[T, V any](field func(*T) *V, parse func(string) (V, error)) func(*T, string) error {
	return func(t *T, s string) error {
		v, err := parse(s)
		if err == nil {
			*field(t) = v
		}
		return err
	}
}

// tristate sets a boolean that may stay unset, so that the kernel's default holds. An empty value unsets it.
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

// mtu sets a size of at least lowest bytes: 68 for IPv4, 1280 for IPv6.
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

// oneOf sets a text that must be one of the allowed words.
func oneOf[T any](field func(*T) *string, allowed ...string) func(*T, string) error {
	return func(t *T, s string) error {
		s, err := allowedWord(allowed...)(s)
		if err == nil {
			*field(t) = s
		}
		return err
	}
}

// list appends the words of a line to a list, each converted by parse. An empty value clears the list.
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
			if parseErr != nil { // like systemd, keep the other words of the line
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

// patterns appends globs to a list. An exclamation mark before the first word negates the whole list.
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
			return fmt.Errorf("a negated list and a plain list cannot be combined")
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

// unsupported returns the row of a key that is not supported and without which its section or file would mean
// something else. So the whole section or file is ignored.
func unsupported[T any](name string) key[T] {
	return key[T]{name, "not supported: its section or file is ignored", func(_ *T, s string) error {
		if s == "" { // an empty value only removes earlier ones
			return nil
		}
		return errUnsupported
	}}
}

// unsupportedTrue is like unsupported for a boolean whose default is no: only `yes` is refused.
func unsupportedTrue[T any](name string) key[T] {
	k := unsupported[T](name)
	k.set = func(_ *T, s string) error {
		if b, err := parseBool(s); err != nil || !b {
			return err
		}
		return errUnsupported
	}
	return k
}

var errUnsupported = errors.New("not supported here")

// inverted sets a boolean field that means the opposite of its key.
func inverted[T any](set func(*T, string) error) func(*T, string) error {
	return func(t *T, s string) error {
		b, err := parseBool(s)
		if err != nil {
			return err
		}
		return set(t, map[bool]string{true: "no", false: "yes"}[b])
	}
}
