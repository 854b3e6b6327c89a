package nettest

import (
	"encoding/binary"
	"net"
	"testing"
	"time"
)

// UDP answers datagrams on loopback until the test ends, and returns its address. A nil answer is none.
func UDP(t testing.TB, answer func(question []byte) []byte) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if a := answer(b[:n]); a != nil {
				conn.WriteTo(a, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// NTP returns an answer for UDP, as RFC 5905 section 7.3 lays it out: a valid one, which gives the time now plus off.
func NTP(off time.Duration) func(question []byte) []byte {
	return func(question []byte) []byte {
		if len(question) < 48 {
			return nil
		}
		b := make([]byte, 48)
		b[0] = 0<<6 | 4<<3 | 4 // no leap second, version 4, a server
		b[1] = 2               // stratum
		b[3] = 0xEC            // precision
		copy(b[24:32], question[40:48])
		now := time.Now().Add(off)
		binary.BigEndian.PutUint64(b[16:], ntpTime(now.Add(-time.Minute)))
		binary.BigEndian.PutUint64(b[32:], ntpTime(now))
		binary.BigEndian.PutUint64(b[40:], ntpTime(now))
		return b
	}
}

// ntpTime is seconds since 1900 and their fraction, modulo 2^32 seconds: an era.
func ntpTime(t time.Time) uint64 {
	const unixEpoch = 2208988800
	return uint64(uint32(t.Unix()+unixEpoch))<<32 | uint64(t.Nanosecond())<<32/1e9
}
