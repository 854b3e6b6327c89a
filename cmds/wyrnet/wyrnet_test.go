package main

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		args    []string
		want    cmd
		wantErr string
	}{
		{[]string{"wyrnet"}, cmd{root: "/", timeout: 2 * time.Minute, cmdline: "/proc/cmdline"}, ""},
		{[]string{"wyrnet", "-t", "5s", "-C", "/x", "-r", "/y", "-k"},
			cmd{root: "/x", resolv: "/y", timeout: 5 * time.Second, keep: true, cmdline: "/proc/cmdline"}, ""},
		{[]string{"wyrnet", "-n", "-cmdline", "/z", "a", "b"},
			cmd{root: "/", timeout: 2 * time.Minute, plan: true, cmdline: "/z", arguments: []string{"a", "b"}}, ""},
		{[]string{"wyrnet", "eth0"}, cmd{}, `unexpected argument "eth0"`},
		{[]string{"wyrnet", "-t", "soon"}, cmd{}, "invalid value"},
	} {
		c, err := command(nil, io.Discard, tt.args)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%q: %v, want %q", tt.args, err, tt.wantErr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		if !reflect.DeepEqual(*c, tt.want) {
			t.Errorf("%q = %+v, want %+v", tt.args, *c, tt.want)
		}
	}
	var help strings.Builder
	if _, err := command(nil, &help, []string{"wyrnet", "-h"}); !errors.Is(err, flag.ErrHelp) ||
		!strings.Contains(help.String(), "-t DURATION") {
		t.Errorf("-h: %v, and prints %q", err, &help)
	}
}
