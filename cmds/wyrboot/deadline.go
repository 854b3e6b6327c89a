package main

import (
	"context"
	"errors"
	"fmt"

	"gitlab.com/wyrcan/wyrcan/pkg/units"
)

// errDeadline is the cause of a context that ends with wyr.deadline.
var errDeadline = errors.New("the time was over")

// limited returns a context that ends when wyr.deadline has passed since the kernel started, or from now on if a person
// started this program. Without a deadline it ends only with ctx.
func (c *cmd) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	left := c.config.Deadline
	if left == 0 {
		return context.WithCancel(ctx)
	}
	if c.owner {
		left -= uptime()
	}
	return context.WithTimeoutCause(ctx, left, errDeadline)
}

// late returns the error of a boot that ended with err, the last that happened. It says so if that was because of
// wyr.deadline.
func (c *cmd) late(ctx context.Context, err error) error {
	if err == nil || context.Cause(ctx) != errDeadline {
		return err
	}
	switch last := c.trouble.Last(); {
	case (c.running == "pull" || c.running == "configuration") && last != "":
		err = errors.New(last)
	case errors.Is(err, context.DeadlineExceeded):
		err = errDeadline // it says the same in plain words
	}
	return fmt.Errorf("the boot has not come to its end within %s (wyr.deadline), it is at the stage %s: %w",
		units.Duration(c.config.Deadline), c.running, err)
}
