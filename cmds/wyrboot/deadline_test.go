package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/config"
	"gitlab.com/wyrcan/wyrcan/pkg/console"
)

func TestDeadline(t *testing.T) {
	refused := errors.New("it refuses the connection")
	for _, row := range []struct {
		what     string
		deadline time.Duration
		at       string
		failed   string // the last failed attempt
		err      error  // what the boot ends with after 90 s
		want     string
	}{
		{"none", 0, "pull", "", refused, "it refuses the connection"},
		{"not over yet", 2 * time.Minute, "pull", "", refused, "it refuses the connection"},
		{"a dead registry", time.Minute, "pull", "cannot get x: it refuses the connection", context.DeadlineExceeded,
			"the boot has not come to its end within 60 s (wyr.deadline), it is at the stage pull: " +
				"cannot get x: it refuses the connection"},
		{"a dead server", time.Minute, "configuration", "cannot get the file: it refuses the connection",
			context.DeadlineExceeded, "the boot has not come to its end within 60 s (wyr.deadline), " +
				"it is at the stage configuration: cannot get the file: it refuses the connection"},
		{"a slow registry", time.Minute, "pull", "", errors.New("cannot get x: 3 MB of 9 MB have arrived"),
			"the boot has not come to its end within 60 s (wyr.deadline), it is at the stage pull: " +
				"cannot get x: 3 MB of 9 MB have arrived"},
		{"a slow machine", time.Minute, "convert", "old", fmt.Errorf("cannot boot x: %w", context.DeadlineExceeded),
			"the boot has not come to its end within 60 s (wyr.deadline), it is at the stage convert: the time was over"},
		{"no network", time.Minute, "network", "", errors.New("no cable"),
			"the boot has not come to its end within 60 s (wyr.deadline), it is at the stage network: no cable"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &cmd{config: config.Config{Deadline: row.deadline}, running: row.at}
			c.trouble = &console.Trouble{Out: console.NewScreen(io.Discard, false), Sayf: func(string, ...any) {}}
			ctx, cancel := c.limited(t.Context())
			defer cancel()
			time.Sleep(90 * time.Second)
			if row.failed != "" {
				c.trouble.Failed(row.failed, row.failed, time.Second)
			}
			if over := ctx.Err() != nil; over != (row.deadline == time.Minute) {
				t.Errorf("%s: it is over: %v", row.what, over)
			}
			if got := c.late(ctx, row.err); got == nil || got.Error() != row.want {
				t.Errorf("%s: late = %v, want %s", row.what, got, row.want)
			}
		})
	}
}

func TestEnding(t *testing.T) {
	for fail, want := range map[string]string{
		"": "reboots", "reboot": "reboots", "shell": "reboots", "poweroff": "powers off", "halt": "halts",
	} {
		if got := (&cmd{config: config.Config{Fail: fail}}).ending().says; got != want {
			t.Errorf("with wyr.fail=%s the machine %s, want it %s", fail, got, want)
		}
	}
}
