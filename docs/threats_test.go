package docs

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")

// What threats.md says to hold is shown by tests that are there.
func TestThreatsNameTests(t *testing.T) {
	document, err := os.ReadFile("threats.md")
	if err != nil {
		t.Fatal(err)
	}
	named := testName.FindAllSubmatch(document, -1)
	if len(named) < 20 {
		t.Fatalf("threats.md names %d tests", len(named))
	}
	var there []string
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	for _, path := range files(t, "..", ".go") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			there = append(there, string(m[1]))
		}
	}
	for _, m := range named {
		if name := string(m[1]); !slices.Contains(there, name) {
			t.Errorf("threats.md names %s, and there is no such test", name)
		}
	}
}
