package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// programs are packages whose tests pass, fail, panic and do not compile.
var programs = map[string]string{
	"good": `
		func TestQuiet(t *testing.T) { t.Log("a word that nobody needs") }
		func TestLong(t *testing.T)  { time.Sleep(300 * time.Millisecond) }
		func TestWaits(t *testing.T) { t.Log("waited 0.5 s for other machines to end"); time.Sleep(600 * time.Millisecond) }
		func TestSteps(t *testing.T) {
			for _, name := range strings.Fields("one two three") {
				t.Run(name, func(t *testing.T) {
					t.Log("waited 0.1 s for other machines to end")
					t.Log("seconds since power-on: the end 9.0; 1.5 seconds of this host's processors")
					t.Log("seconds since power-on: the end 9.0; 2.0 seconds of this host's processors")
					time.Sleep(600 * time.Millisecond)
				})
			}
		}
		func TestParent(t *testing.T) {
			for _, name := range strings.Fields("a b c d e f g h") {
				t.Run(name, func(t *testing.T) { t.Parallel() })
			}
			t.Run("child", func(t *testing.T) { t.Parallel(); time.Sleep(900 * time.Millisecond) })
		}`,
	"bad": `
		func TestParent(t *testing.T) {
			t.Log("a word of the parent")
			t.Log("seconds since power-on: the end 9.0; 20.5 seconds of this host's processors")
			t.Run("good", func(t *testing.T) { t.Log("a word that nobody needs") })
			t.Run("bad", func(t *testing.T) { t.Log("first word"); t.Error("second word") })
		}
		func TestPanic(t *testing.T) { t.Log("before"); panic(strings.Repeat("o", 3) + time.Second.String()) }`,
	"broken": `func TestNone(t *testing.T) { return strings.ToUpper("broken") + time.Second }`,
}

// TestRun reads what go test says, and what make says around it.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/m\n\ngo 1.24\n")
	for name, body := range programs {
		write(name+"/x_test.go", "package x\n\nimport (\"strings\"; \"testing\"; \"time\")\n"+
			"var _, _ = strings.ToUpper, time.Sleep\n"+body+"\n")
	}
	test := exec.Command("go", "test", "-json", "-count=1", "./...")
	test.Dir = dir
	test.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	said, _ := test.CombinedOutput() // it fails, as it must

	var out bytes.Buffer
	in := "go vet ./...\n" + string(said) + "make: *** [Makefile:9: test] Error 1\n{\"not\": \"an event\"}\nno newline"
	if err := run(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	live, rest, ok := strings.Cut(out.String(), "\n== summary\n")
	summary, longest, ok2 := strings.Cut(rest, "\n== the tests that took longest\n")
	if !ok || !ok2 {
		t.Fatalf("there is no summary:\n%s", &out)
	}
	for _, want := range []string{
		"go vet ./...\n", "ok  \texample.com/m/good\t", ": first word\n", ": second word\n", "--- FAIL: TestParent/bad (",
		"a word of the parent\n", "before\n", "panic: ooo1s", "goroutine ", "x_test.go:5:",
		"FAIL\texample.com/m/broken [build failed]\n",
		"make: *** [Makefile:9: test] Error 1\n", "{\"not\": \"an event\"}\nno newline",
	} {
		if !strings.Contains(live, want) {
			t.Errorf("no %q in\n%s", want, live)
		}
	}
	for _, needless := range []string{"nobody needs", "=== RUN", `"Action"`, "PASS"} {
		if strings.Contains(live, needless) {
			t.Errorf("needless %q in\n%s", needless, live)
		}
	}
	for _, want := range []string{
		"ok  \texample.com/m/good\t", "FAIL\texample.com/m/bad\t", "FAIL\texample.com/m/broken [build failed]",
		"--- FAIL: TestParent/bad (", "--- FAIL: TestParent (", "--- FAIL: TestPanic (", "panic: ooo1s",
		"make: *** [Makefile:9: test] Error 1",
	} {
		if !strings.Contains("\n"+summary, "\n"+want) {
			t.Errorf("no line %q in the summary\n%s", want, summary)
		}
	}
	longest, machines, _ := strings.Cut(longest, "\n== ")
	const costs = "the machines of 4 tests took 31 s of processors, most those of these\n" +
		"  20.5 s  example.com/m/bad TestParent\n" +
		"   3.5 s  example.com/m/good TestSteps/one\n" +
		"   3.5 s  example.com/m/good TestSteps/three\n" +
		"   3.5 s  example.com/m/good TestSteps/two\n"
	if machines != costs {
		t.Errorf("the machines are\n%s", machines)
	}
	var names []string
	for line := range strings.Lines(longest) {
		names = append(names, strings.Join(strings.Fields(line)[2:], " "))
	}
	want := []string{"example.com/m/good TestSteps", "example.com/m/good TestParent/child",
		"example.com/m/good TestLong", "example.com/m/good TestWaits"}
	if len(names) != 10 || !cmp.Equal(names[:4], want) {
		t.Errorf("the longest tests are\n%s", longest)
	}
}

// TestRunNothing reads what make says that has come to no test.
func TestRunNothing(t *testing.T) {
	var out bytes.Buffer
	if err := run(strings.NewReader("make: Nothing to be done.\n"), &out); err != nil {
		t.Fatal(err)
	}
	if want := "make: Nothing to be done.\n\n== summary\nno test has run\n"; out.String() != want {
		t.Errorf("run says %q, want %q", &out, want)
	}
}

// TestRunHalf reads an event that comes behind half a line of another program: make -j lets both write at the same time.
func TestRunHalf(t *testing.T) {
	var out bytes.Buffer
	in := `I: Retrie{"Time":"x","Action":"output","Package":"p","Output":"FAIL\tp\t1.0s\n"}` + "\nving dash\n"
	if err := run(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	if want := "I: Retrie\nFAIL\tp\t1.0s\nving dash\n\n== summary\nFAIL\tp\t1.0s\n"; out.String() != want {
		t.Errorf("run says %q, want %q", &out, want)
	}
}
