package imagetest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"gitlab.com/wyrcan/wyrcan/pkg/imagetest"
)

// get fetches a blob, or the range rng of it, and returns the response and the bytes that arrived.
func get(t *testing.T, url, rng string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rng != "" {
		req.Header.Set("Range", rng)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp, got, err
}

func TestFaults(t *testing.T) {
	layer := imagetest.Layer{Entries: []imagetest.Entry{imagetest.File("f", "0123456789")},
		Compression: imagetest.Plain}
	blob := layer.Blob(t)
	digest, _ := blob.Digest()
	flipped := bytes.Clone(blob.Data)
	flipped[700] ^= 1

	for _, tc := range []struct {
		name   string
		do     imagetest.Effect
		rng    string
		status int
		want   []byte
		broken bool
	}{
		{"drop", imagetest.Drop(600), "", 200, blob.Data[:600], true},
		{"truncate", imagetest.Truncate(600), "", 200, blob.Data[:600], false},
		{"flip", imagetest.Flip(700), "", 200, flipped, false},
		{"flip within a range", imagetest.Flip(700), "bytes=600-", 206, flipped[600:], false},
		{"flip before a range", imagetest.Flip(7), "bytes=600-", 206, blob.Data[600:], false},
		{"slow", imagetest.Slow(1 << 20), "", 200, blob.Data, false},
		{"delay", imagetest.Delay(time.Millisecond), "", 200, blob.Data, false},
		{"status", imagetest.Status(503, "7"), "", 503, []byte("Service Unavailable\n"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := imagetest.Serve(t)
			r.Push(t, "x:1", imagetest.Image(t, layer))
			r.Fail(imagetest.Fault{Path: imagetest.Blobs, Skip: 1, Times: 1, Do: tc.do})
			url := fmt.Sprintf("http://%s/v2/x/blobs/%s", r.Host, digest)
			for i, faulty := range []bool{false, true, false} {
				resp, got, err := get(t, url, tc.rng)
				if !faulty {
					if err != nil || !bytes.HasSuffix(blob.Data, got) {
						t.Errorf("request %d = %d bytes, %v, want an unchanged answer", i, len(got), err)
					}
					continue
				}
				if (err != nil) != tc.broken || resp.StatusCode != tc.status || !bytes.Equal(got, tc.want) {
					t.Errorf("got status %d, %d bytes, %v; want status %d, %d bytes, broken %v", resp.StatusCode,
						len(got), err, tc.status, len(tc.want), tc.broken)
				}
				if tc.status == 503 && resp.Header.Get("Retry-After") != "7" {
					t.Errorf("Retry-After = %q, want 7", resp.Header.Get("Retry-After"))
				}
			}
		})
	}
}
