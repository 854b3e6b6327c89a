package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A size is an option for an amount of memory, in bytes. It is written like the value of QEMU's -m: in MiB if it has no
// unit.
type size int64

func (s *size) String() string {
	n := int64(*s)
	for i, unit := range []string{"G", "M", "K"} {
		if shift := 10 * (3 - i); n>>shift<<shift == n && n > 0 {
			return fmt.Sprintf("%d%s", n>>shift, unit)
		}
	}
	return fmt.Sprint(n)
}

// Set accepts 512, 512M, 512MiB, 1.5g. Units are powers of 1024, as usual for memory.
func (s *size) Set(text string) error {
	f := regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(I?B)?$`).FindStringSubmatch(strings.ToUpper(text))
	if f == nil || f[2] == "" && f[3] != "" {
		return errors.New("want a size such as 512M or 4G; a number alone is MiB")
	}
	shift := map[string]int{"K": 10, "M": 20, "": 20, "G": 30, "T": 40}[f[2]]
	n, err := strconv.ParseFloat(f[1], 64)
	n *= float64(int64(1) << shift)
	const least, most = 1 << 20, 1 << 50
	switch {
	case err != nil || n > most:
		return errors.New("no machine has that much memory")
	case n < least:
		return errors.New("no machine has so little memory: want at least 1M")
	}
	*s = size(n)
	return nil
}
