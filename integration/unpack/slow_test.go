//go:build slow

package unpack

import "testing"

func TestSlowKernel(t *testing.T) { unpacks(t, packed, true) }
