package main

import (
	"testing"
	"time"
)

// TestSometimes asks again only for what is old.
func TestSometimes(t *testing.T) {
	asked := int64(0)
	get := func() int64 { asked++; return asked }
	for old, want := range map[time.Duration]int64{time.Hour: 1, -1: 3} {
		asked = 0
		often := sometimes(old, get)
		often()
		often()
		if got := often(); got != want || asked != want {
			t.Errorf("what is %v old: the third answer is %d, after %d questions; want %d", old, got, asked, want)
		}
	}
}
