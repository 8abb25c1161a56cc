package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// anything is a pattern for a line of a document, in which ... stands for anything.
func anything(line string) string { return strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, `.*`) }

// What docs/api.md shows is what a node with the base that ships answers.
func TestDocumentOfTheAPI(t *testing.T) {
	for _, name := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s on this machine", name)
		}
	}
	if help, err := exec.Command("curl", "--help", "all").Output(); err != nil || !strings.Contains(string(help), "--json") {
		t.Skip("curl is older than 7.82 and knows no --json")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	keyboard, _ := io.Pipe()
	b := begin(t, new(runFlags), keyboard, "--home", filepath.Join(t.TempDir(), "home"), "--offline", "--api", "127.0.0.1:0")
	at := b.wait("ready").API
	ran := 0
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		command, ok := strings.CutPrefix(line, "    $ ")
		if !ok {
			continue
		}
		ran++
		var want []string
		for _, l := range lines[i+1:] {
			if l, ok = strings.CutPrefix(l, "    "); !ok || strings.HasPrefix(l, "$ ") {
				break
			}
			want = append(want, anything(l))
		}
		out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(command, defaultAPI, at)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", command, err, out)
		}
		have := strings.Trim(strings.ReplaceAll(string(out), "\n\n", "\n"), "\n")
		if len(want) == 0 || !regexp.MustCompile("^"+strings.Join(want, "\n")+"$").MatchString(have) {
			t.Errorf("%s\nanswers  %s\ndocument %s", command, have, strings.Join(want, "\n"))
		}
	}
	// After those lessons the stream says what stands there of it.
	for _, line := range lines {
		if line, ok := strings.CutPrefix(line, `    {"heard":`); ok {
			ran++
			want := anything(`{"heard":` + line)
			if have := thought(t, "http://"+at+"/v1/stream", "the boat to the"); !regexp.MustCompile("^" + want + "$").MatchString(have) {
				t.Errorf("the stream\nanswers  %s\ndocument %s", have, want)
			}
		}
	}
	if ran < 11 {
		t.Errorf("only %d commands", ran)
	}
}
