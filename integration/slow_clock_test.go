//go:build slow

package integration

import "testing"

func TestSlowClock(t *testing.T) {
	t.Parallel()
	bootsAtAnyTime(t, "1970, without one", "2040, with a time server")
}
