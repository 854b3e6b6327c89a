package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/coldplug"
	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/network"
)

// A machine without a network says that no image is named, and gets the help.
func TestUnnamed(t *testing.T) {
	missing := fmt.Errorf("%w: cannot use the configuration in NVRAM: it is not UTF-8", config.ErrNoImage)
	err := unnamed(missing, noNetwork(new(network.Offline), nil, coldplug.Result{}))
	if text := err.Error(); !errors.Is(err, config.ErrNoImage) || !strings.Contains(text, "NVRAM") ||
		!strings.HasPrefix(text, "no container image is named") || !strings.Contains(text, "no network card") {
		t.Errorf("unnamed = %v", err)
	}
}

func TestReminder(t *testing.T) {
	eth := func(carrier bool) []network.LinkState { return []network.LinkState{{Name: "eth0", Carrier: carrier}} }
	var r reminder
	start := time.Now()
	var said []int
	for s := 0; s < 3600; s += 2 {
		if r.due(start.Add(time.Duration(s)*time.Second), eth(s >= 2000)) {
			said = append(said, s)
		}
	}
	// After 2000 s there is a carrier, and with it another thing to say.
	want := []int{30, 60, 120, 240, 480, 960, 1560, 2030, 2060, 2120, 2240, 2480, 2960, 3560}
	if !slices.Equal(said, want) {
		t.Errorf("said after %v s, want %v", said, want)
	}
	// A link that comes and goes puts nothing off.
	r, said = reminder{}, nil
	for s := 0; s < 70; s += 2 {
		if r.due(start.Add(time.Duration(s)*time.Second), eth(s%4 == 0)) {
			said = append(said, s)
		}
	}
	if want := []int{30, 60}; !slices.Equal(said, want) {
		t.Errorf("with a link that comes and goes said after %v s, want %v", said, want)
	}
}

func TestNoNetwork(t *testing.T) {
	missing := coldplug.Device{Name: "0000:01:00.0"}
	firmware := coldplug.Device{Name: "0000:02:00.0", Modules: []string{"bnx2x"}, Firmware: []string{"bnx2x/a.fw"}}
	idle := coldplug.Device{Name: "0000:03:00.0", Driver: "vfio-pci"}
	unmatched := []network.LinkState{{Name: "eth0", Problem: "no .network file fits it", Final: true}}
	broken := []network.LinkState{
		{Name: "eth0", Problem: "cannot bring it up: no such file or directory", Broken: true, Final: true},
	}
	wanting := coldplug.Device{
		Name: "0000:04:00.0", Driver: "bnx2", Firmware: []string{"bnx2/a.fw"}, Links: []string{"eth0"},
	}
	works := coldplug.Device{
		Name: "0000:05:00.0", Driver: "r8169", Firmware: []string{"rtl.fw"}, Links: []string{"eth1"},
	}
	const other = "; make the initrd with a kernel that has the driver (make KERNEL=FILE MODULES=DIR) " +
		"or use another card"
	const arguments = "; set the wyr.net arguments right, for which wyrnet -n shows what fits each link"
	for _, tt := range []struct {
		what  string
		links []network.LinkState
		err   error
		found coldplug.Result
		want  string
	}{
		{"nothing", nil, nil, coldplug.Result{},
			"this machine has no network card; plug one in, or give the virtual machine one (QEMU: -nic user)"},
		{"a virtual device", []network.LinkState{{Name: "sit0", Kind: "sit", Final: true}}, nil, coldplug.Result{},
			"this machine has no network card; plug one in, or give the virtual machine one (QEMU: -nic user)"},
		{"no driver", nil, nil, coldplug.Result{Missing: []coldplug.Device{missing}},
			"there is no network interface: this initrd has no driver for the  at 0000:01:00.0" + other},
		{"no driver in a kernel without modules", nil, nil,
			coldplug.Result{Missing: []coldplug.Device{missing}, BuiltIn: true},
			"there is no network interface: this initrd has no driver for the  at 0000:01:00.0; " +
				"build the kernel with the driver or use another card"},
		{"no firmware", nil, nil, coldplug.Result{Idle: []coldplug.Device{firmware}},
			"there is no network interface: driver bnx2x of the  at 0000:02:00.0 lacks its firmware bnx2x/a.fw; " +
				"put the firmware into the initrd (make FIRMWARE=DIR)"},
		{
			"all of it", nil, nil,
			coldplug.Result{Missing: []coldplug.Device{missing}, Idle: []coldplug.Device{firmware, idle}},
			"there is no network interface: this initrd has no driver for the  at 0000:01:00.0; " +
				"driver bnx2x of the  at 0000:02:00.0 lacks its firmware bnx2x/a.fw; " +
				"driver vfio-pci makes no network interface of the  at 0000:03:00.0, " +
				"the kernel's log (dmesg) may say why" + other +
				"; put the firmware into the initrd (make FIRMWARE=DIR)"},
		{"another kernel's initrd", nil, errors.New("cannot load drivers for kernel 6.1: no"), coldplug.Result{},
			"there is no network interface: cannot load drivers for kernel 6.1: no; " +
				"start this kernel with the initrd that was made for it"},
		{"no file fits", unmatched, nil, coldplug.Result{},
			"no network link can reach out: eth0: no .network file fits it" + arguments},
		{"no firmware for what is there", broken, nil, coldplug.Result{Wanting: []coldplug.Device{wanting, works}},
			"no network link can reach out: eth0: cannot bring it up: no such file or directory; " +
				"driver bnx2 of the  at 0000:04:00.0 lacks its firmware bnx2/a.fw; " +
				"put the firmware into the initrd (make FIRMWARE=DIR)"},
		{
			"no file fits, and a card without driver", unmatched, nil,
			coldplug.Result{Missing: []coldplug.Device{missing}},
			"no network link can reach out: eth0: no .network file fits it; " +
				"this initrd has no driver for the  at 0000:01:00.0" + arguments + other},
	} {
		if got := noNetwork(&network.Offline{Links: tt.links}, tt.err, tt.found).Error(); got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.what, got, tt.want)
		}
	}
}
