package nettest

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Log keeps the lines that a server or a client has logged.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Printf adds a line.
func (l *Log) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// String returns all lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// Wait waits for a line that matches pattern and returns the last submatch.
func (l *Log) Wait(t testing.TB, pattern string) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(l.String()); m != nil {
			return m[len(m)-1]
		}
	}
	t.Fatalf("no line like %q was logged, but %q", pattern, l)
	return ""
}
