package image

import (
	"context"
	"errors"
	"testing"
)

// TestMoveCancelled moves a blob on whose context has ended: that is an error, also if no place was asked before.
func TestMoveCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := fast(t)
	b := &blob{ctx: ctx, next: places{{source: s, ref: mustReference(t, "registry.example/x:1")}}, size: 1, end: 1}
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v, want %v", err, context.Canceled)
	}
}
