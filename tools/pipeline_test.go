package tools

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// A job is one of .gitlab-ci.yml, with what it takes over from those that it extends.
type job struct {
	Extends   string
	Stage     string
	Script    []string
	Needs     []string
	Rules     []rule
	Artifacts struct{ Paths []string }
	Parallel  struct{ Matrix []map[string][]string }
}

// A rule says whether a job is in a pipeline: the first one counts whose condition is true.
type rule struct{ If, When string }

// A pipeline is .gitlab-ci.yml.
type pipeline struct {
	text   string
	stages []string
	rules  []rule // of the pipeline itself
	jobs   map[string]job
}

// keywords are the entries at the top of the file that are no jobs.
var keywords = []string{"image", "stages", "variables", "cache", "workflow"}

func readPipeline(t *testing.T) *pipeline {
	t.Helper()
	text := get(t, "../.gitlab-ci.yml")
	var top map[string]yaml.Node
	if err := yaml.Unmarshal(text, &top); err != nil {
		t.Fatal(err)
	}
	p := &pipeline{text: string(text), jobs: make(map[string]job)}
	var flow struct{ Rules []rule }
	for name, node := range top {
		var err error
		switch {
		case name == "stages":
			err = node.Decode(&p.stages)
		case name == "workflow":
			err = node.Decode(&flow)
		case !slices.Contains(keywords, name):
			var j job
			err = node.Decode(&j)
			p.jobs[name] = j
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	p.rules = flow.Rules
	for name := range p.jobs {
		p.jobs[name] = p.whole(t, name)
	}
	return p
}

// whole returns a job with what it does not say itself.
func (p *pipeline) whole(t *testing.T, name string) job {
	t.Helper()
	j, ok := p.jobs[name]
	if !ok {
		t.Fatalf("a job extends %q, which there is not", name)
	}
	if j.Extends == "" {
		return j
	}
	base := p.whole(t, j.Extends)
	if j.Stage == "" {
		j.Stage = base.Stage
	}
	if j.Script == nil {
		j.Script = base.Script
	}
	if j.Needs == nil {
		j.Needs = base.Needs
	}
	if j.Rules == nil {
		j.Rules = base.Rules
	}
	return j
}

// hidden reports whether GitLab does not run the job, which others extend.
func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// TestPipeline checks what GitLab would refuse, and that each job runs what there is.
func TestPipeline(t *testing.T) {
	p := readPipeline(t)
	targets := makeTargets(t)
	published := []string{"server"} // by nobody: it has the key of whoever builds it
	command := regexp.MustCompile(`(?:^|\s)(make|\.ci/run)((?: +[\w./=$"-]+)*)`)
	for name, j := range p.jobs {
		if hidden(name) {
			continue
		}
		if !slices.Contains(p.stages, j.Stage) {
			t.Errorf("%s: the stage %q is none of %q", name, j.Stage, p.stages)
		}
		if len(j.Script) == 0 {
			t.Errorf("%s has no script", name)
		}
		for _, need := range j.Needs {
			n, ok := p.jobs[need]
			if !ok || hidden(need) || slices.Index(p.stages, n.Stage) > slices.Index(p.stages, j.Stage) {
				t.Errorf("%s needs %q, which there is not before it", name, need)
			}
		}
		for _, line := range j.Script {
			program, _, _ := strings.Cut(line, " ")
			if fi, err := os.Stat(filepath.Join("..", program)); strings.HasPrefix(program, ".ci/") &&
				(err != nil || fi.Mode()&0o111 == 0) {
				t.Errorf("%s: %s is no program: %v", name, program, err)
			}
			for _, m := range command.FindAllStringSubmatch(line, -1) {
				for _, word := range strings.Fields(m[2]) {
					if !strings.Contains(word, "=") && !targets[word] {
						t.Errorf("%s: make has no target %q", name, word)
					}
				}
			}
		}
		for _, values := range j.Parallel.Matrix {
			published = append(published, values["EXAMPLE"]...)
		}
	}
	slices.Sort(published)
	var examples []string
	files, err := filepath.Glob("../examples/*/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		examples = append(examples, filepath.Base(filepath.Dir(f)))
	}
	if !slices.Equal(published, examples) {
		t.Errorf("%q are published, and there are %q", published, examples)
	}
	// GitLab's own variables name its registry.
	if m := regexp.MustCompile(`[\w-]+\.(com|io|org|net|dev)\b`).FindString(p.text); m != "" {
		t.Errorf(".gitlab-ci.yml names the host %s", m)
	}
}

// makeTargets returns the targets that make knows by name.
func makeTargets(t *testing.T) map[string]bool {
	t.Helper()
	cmd := exec.Command("make", "-C", "..", "-pRrq", ":")
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "LC_ALL=C")
	out, _ := cmd.Output() // make ends with an error: there is no target ":"
	targets := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^([\w./-]+):`).FindAllStringSubmatch(string(out), -1) {
		targets[m[1]] = true
	}
	if !targets["all"] {
		t.Fatalf("make -p lists no target all: %s", out)
	}
	return targets
}

// TestPipelines says which jobs each kind of pipeline has.
func TestPipelines(t *testing.T) {
	p := readPipeline(t)
	check := []string{"arm64", "images", "lint", "payload", "reproducible", "test", "test-slow", "unit"}
	publish := append([]string{"container", "example", "example-on-debian"}, check...)
	for name, tt := range map[string]struct {
		variables map[string]string
		want      []string
	}{
		"a branch":         {map[string]string{"CI_COMMIT_BRANCH": "s"}, check},
		"the main branch":  {map[string]string{"CI_COMMIT_BRANCH": "main"}, publish},
		"the newest":       {map[string]string{"CI_COMMIT_BRANCH": "latest"}, []string{"images"}},
		"a tag":            {map[string]string{"CI_COMMIT_TAG": "x"}, check},
		"a candidate":      {map[string]string{"CI_COMMIT_TAG": "v0.2.0-rc1"}, check},
		"a release":        {map[string]string{"CI_COMMIT_TAG": "v0.2.0"}, append([]string{"latest", "release"}, publish...)},
		"a merge request":  {map[string]string{"CI_PIPELINE_SOURCE": "merge_request_event"}, check},
		"its branch":       {map[string]string{"CI_COMMIT_BRANCH": "s", "CI_OPEN_MERGE_REQUESTS": "!1"}, nil},
		"a fork's request": {map[string]string{"CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_TAG": ""}, check},
	} {
		tt.variables["CI_DEFAULT_BRANCH"] = "main"
		var got []string
		for job, j := range p.jobs {
			if !hidden(job) && admits(t, p.rules, tt.variables) && (j.Rules == nil || admits(t, j.Rules, tt.variables)) {
				got = append(got, job)
			}
		}
		slices.Sort(got)
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("the pipeline of %s has %q, want %q", name, got, tt.want)
		}
		// A job whose need is not in the pipeline is an error to GitLab.
		for _, job := range got {
			for _, need := range p.jobs[job].Needs {
				if !slices.Contains(got, need) {
					t.Errorf("the pipeline of %s has %s without %s, which it needs", name, job, need)
				}
			}
		}
	}
}

// admits reports whether rules let a job into a pipeline with these variables.
func admits(t *testing.T, rules []rule, variables map[string]string) bool {
	t.Helper()
	for _, r := range rules {
		if r.If == "" || holds(t, r.If, variables) {
			return r.When != "never"
		}
	}
	return false
}

// holds evaluates the conditions that occur here.
func holds(t *testing.T, condition string, variables map[string]string) bool {
	t.Helper()
	term := regexp.MustCompile(`^\$(\w+)(?: (==|=~) (?:"([^"]*)"|\$(\w+)|/(.*)/))?$`)
	for part := range strings.SplitSeq(condition, " && ") {
		m := term.FindStringSubmatch(part)
		if m == nil {
			t.Fatalf("this test does not understand the condition %q", condition)
		}
		value, ok := variables[m[1]], false
		switch {
		case m[2] == "":
			ok = value != ""
		case m[2] == "=~":
			ok = regexp.MustCompile(m[5]).MatchString(value)
		case m[4] != "":
			ok = value == variables[m[4]]
		default:
			ok = value == m[3]
		}
		if !ok {
			return false
		}
	}
	return true
}

// TestDownloadLinks compares the links in the documents with the artefacts that they lead to: those of a job of the
// newest successful pipeline of a branch.
func TestDownloadLinks(t *testing.T) {
	p := readPipeline(t)
	link := regexp.MustCompile(`/-/jobs/artifacts/([^/\s]+)/raw/([^?\s]+)\?job=([\w-]+)`)
	found := make(map[string]bool)
	for name, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			branch, file, job := m[1], m[2], m[3]
			found[branch+" "+file+" "+job] = true
			j, ok := p.jobs[job]
			if !ok || hidden(job) {
				t.Errorf("%s: the link %s: there is no job %q", name, m[0], job)
				continue
			}
			if !slices.Contains(j.Artifacts.Paths, file) && !slices.Contains(j.Artifacts.Paths, path.Dir(file)+"/") {
				t.Errorf("%s: the link %s: the artefacts are %q", name, m[0], j.Artifacts.Paths)
			}
			on := map[string]string{"CI_COMMIT_BRANCH": branch, "CI_DEFAULT_BRANCH": "main"}
			if !admits(t, p.rules, on) || j.Rules != nil && !admits(t, j.Rules, on) {
				t.Errorf("%s: the link %s: the job does not run for that branch", name, m[0])
			}
		}
	}
	// What people have in their scripts since the first release, in the README and in an iPXE script.
	for _, file := range []string{"wyrcan.kernel", "wyrcan.initrd", "wyrcan.iso"} {
		if !found["latest "+file+" images"] {
			t.Errorf("no document has the link to %s that people have in their iPXE scripts", file)
		}
	}
	// Somebody moves that branch.
	if !strings.Contains(string(get(t, "../.ci/latest")), ":refs/heads/latest") {
		t.Error(".ci/latest does not push the branch that the links name")
	}
}
