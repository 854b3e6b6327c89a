package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gitlab.com/wyrcan/wyrcan/pkg/audit"
	"gitlab.com/wyrcan/wyrcan/pkg/printable"
)

// The text of a registry's error stays on one line, without control characters for the terminal.
func TestStrangersText(t *testing.T) {
	const hostile = `\u001b[2J\u001b]0;owned\u0007\u009b1m\rwyrcan: all is well\n\u202egpj`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/v2/" {
			return
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"%s"}]}`, hostile+strings.Repeat(" much", 10000))
	}))
	t.Cleanup(server.Close)
	p := process("check", "-root", "initramfs", strings.TrimPrefix(server.URL, "http://")+"/x/y:1")
	var said bytes.Buffer
	p.Stdout, p.Stderr = io.Discard, &said
	if err := p.Run(); err == nil {
		t.Error("an image that does not exist was examined")
	}
	got := strings.TrimSuffix(said.String(), "\n")
	if !strings.HasPrefix(got, "wyrcan: ") || !strings.Contains(got, "all is well") ||
		printable.Clip(got, 1000) != got {
		t.Errorf("the tool says %q", got)
	}
}

// A name in an image cannot add a line to the report.
func TestReportOfStrangers(t *testing.T) {
	r := report{Image: "x", Bootable: true, Kernel: "/boot/\x1b[2Jk", Version: "6.1\nbootable      no",
		Warnings: []audit.Finding{{ID: "x", Text: "file a\u202eb\nwarning c", Mend: "RUN a\x1b[2Jb"}}}
	var out bytes.Buffer
	if err := r.print(&out, style{verbose: true, explain: true}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		// Lines of a mend are indented.
		if line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), " "); printable.Clip(line, printable.Long) != line ||
			strings.HasPrefix(line, "bootable      no") {
			t.Errorf("the report has the line %q", line)
		}
	}
}

// The meter writes nothing if the output is not a terminal.
func TestMeterOnALog(t *testing.T) {
	c, _, stderr := tool(t)
	m := c.meter("reading x", 100)
	m.add(10)
	m.end()
	if stderr.Len() > 0 {
		t.Errorf("the meter wrote %q to a log", stderr)
	}
}
