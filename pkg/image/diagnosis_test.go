package image

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// TestAdvise adds advice to errors, which may be inside of others: to each what belongs to it, and the page once.
func TestAdvise(t *testing.T) {
	denied := &fault{text: "denied", kind: Denied, host: "r:5000"}
	for _, row := range []struct {
		err  error
		d    Diagnosis
		do   string
		want string
	}{
		{errors.New("x"), Diagnosis{}, "", "x"},
		{&fault{text: "broke", cause: io.EOF, host: "r"}, Diagnosis{Broken, "r", ""}, "",
			"broke: the connection was closed too early"},
		{denied, Diagnosis{Denied, "r:5000", ""}, "log in at HOST", "denied; log in at r:5000, see PAGE"},
		{fmt.Errorf("layer 1: %w", &fault{text: "foreign", cause: denied}), Diagnosis{Denied, "r:5000", ""}, "log in at HOST",
			"layer 1: foreign: denied; log in at r:5000, see PAGE"},
		{&fault{text: "plain", insecure: "r"}, Diagnosis{Other, "", "r"}, "", "plain; allow=r, see PAGE"},
		{&fault{text: "bad", kind: WrongCertificate, host: "r", insecure: "r"}, Diagnosis{WrongCertificate, "r", "r"},
			"check it", "bad; check it, see PAGE; allow=r"},
		{&fault{text: "dead", kind: Refused, host: "r"}, Diagnosis{Refused, "r", ""}, "start it", "dead; start it"},
	} {
		d := Diagnose(row.err)
		got := d.Advise(row.err, row.do, "allow=HOST", "PAGE")
		if d != row.d || got.Error() != row.want || !errors.Is(got, row.err) {
			t.Errorf("%v: %+v, %v; want %+v, %s", row.err, d, got, row.d, row.want)
		}
	}
}
