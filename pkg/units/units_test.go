package units

import (
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.00 kB", 9994: "9.99 kB", 9995: "10.0 kB", 99_949: "99.9 kB", 99_950: "100 kB",
		999_499: "999 kB", 999_500: "1.00 MB", 133_600_000: "134 MB", 5_000_000_000: "5.00 GB", 1 << 62: "4611686 TB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestExact(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 133_449_999: "133.4 MB", 5_000_000_000: "5.00 GB",
	} {
		if got := Exact(n); got != want {
			t.Errorf("Exact(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestMiB(t *testing.T) {
	for n, want := range map[int64]string{0: "0 MiB", 1: "1 MiB", 1 << 20: "1 MiB", 1<<20 + 1: "2 MiB"} {
		if got := MiB(n); got != want {
			t.Errorf("MiB(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.1 s", 206 * time.Millisecond: "0.2 s", time.Second: "1 s", 1500 * time.Millisecond: "1.5 s",
		9960 * time.Millisecond: "10 s", 61 * time.Second: "61 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min",
		3*time.Minute + 20*time.Second: "3 min", 119 * time.Minute: "119 min", 2 * time.Hour: "2 h",
		125 * time.Minute: "2 h 5 min", 30 * time.Hour: "30 h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}
