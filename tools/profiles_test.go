package tools

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// In a shell of the boot environment no policy counts. So where a policy is built in, the menu of wyrcan.efi has no
// entry with a shell, unless somebody asks for it by name.
func TestProfilesOfMake(t *testing.T) {
	for args, want := range map[string]string{
		"":                          "clear shell nokeep",
		"KEYS=team.pub":             "clear nokeep",
		"PROFILES=":                 "",
		"KEYS=a.pub PROFILES=shell": "shell",
	} {
		line := append([]string{"--no-print-directory", "-s", "-C", "..", "--eval", "show: ; @echo '$(PROFILES)'", "show"},
			strings.Fields(args)...)
		cmd := exec.Command("make", line...)
		for _, e := range os.Environ() {
			if name, _, _ := strings.Cut(e, "="); !slices.Contains(append(given, "PROFILES", "KEYS"), name) {
				cmd.Env = append(cmd.Env, e)
			}
		}
		out, err := cmd.CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
			t.Errorf("make %s: PROFILES is %q, %v, want %q", args, got, err, want)
		}
	}
}
