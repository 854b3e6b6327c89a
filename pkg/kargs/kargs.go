// Package kargs reads the kernel arguments that a bootc image has in /usr/lib/bootc/kargs.d, a file in TOML:
//
//	kargs = ["console=ttyS0,115200n8"]
//	match-architectures = ["x86_64"]
//
// https://bootc-dev.github.io/bootc/building/kernel-arguments.html
package kargs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// Dir is where an image has these files. Those whose names end in Suffix count, in the order of their names.
const (
	Dir    = "/usr/lib/bootc/kargs.d"
	Suffix = ".toml"
)

// MaxSize is how many bytes a file may have.
const MaxSize = 64 << 10

// Parse returns the arguments in a file for a machine of the architecture, as GOARCH names it. A file for other
// architectures has none. As bootc does, it refuses a file with any other key, because it cannot know what that would
// change.
func Parse(text []byte, arch string) ([]string, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("it has more than %d KiB", MaxSize>>10)
	}
	values := map[string][]string{"kargs": nil, "match-architectures": nil}
	seen := map[string]bool{}
	var p unstable.Parser
	p.Reset(text)
	for p.NextExpression() {
		e := p.Expression()
		name := key(e)
		_, known := values[name]
		switch {
		case e.Kind == unstable.Comment:
			continue
		case e.Kind != unstable.KeyValue || !known:
			return nil, fmt.Errorf("%q in it is unknown: want kargs and match-architectures", printable.Clip(name, 80))
		case seen[name]:
			return nil, fmt.Errorf("%s is there twice", name)
		}
		seen[name] = true
		var err error
		if values[name], err = texts(e.Value()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	var wrong *unstable.ParserError
	if err := p.Error(); errors.As(err, &wrong) {
		return nil, fmt.Errorf("line %d is not TOML: %w", p.Shape(p.Range(wrong.Highlight)).Start.Line, err)
	} else if err != nil {
		return nil, err
	}
	if list := values["match-architectures"]; seen["match-architectures"] && !slices.Contains(list, machine(arch)) {
		return nil, nil
	}
	return values["kargs"], nil
}

// key returns the key of an expression as it is written: "a.b" for a key of two parts.
func key(e *unstable.Node) string {
	if e.Kind == unstable.Comment {
		return ""
	}
	var parts []string
	for k := e.Key(); k.Next(); {
		parts = append(parts, string(k.Node().Data))
	}
	return strings.Join(parts, ".")
}

// texts returns the texts in an array of texts.
func texts(n *unstable.Node) ([]string, error) {
	if n.Kind != unstable.Array {
		return nil, errors.New("want an array of texts")
	}
	var list []string
	for c := n.Children(); c.Next(); {
		switch n := c.Node(); {
		case n.Kind == unstable.Comment:
		case n.Kind != unstable.String:
			return nil, errors.New("want an array of texts")
		case strings.ContainsFunc(string(n.Data), func(r rune) bool { return r < ' ' || r == 0x7f }):
			return nil, fmt.Errorf("%q has a character that is no text", printable.Clip(string(n.Data), 80))
		default:
			list = append(list, string(n.Data))
		}
	}
	return list, nil
}

// machine returns the name of an architecture in Rust, which bootc uses: std::env::consts::ARCH.
func machine(arch string) string {
	switch arch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return arch
}
