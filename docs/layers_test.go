package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/yanmesh/yan"

// platforms are what the project is built for. Files for one of them may import what no other does.
var platforms = []string{"linux/amd64", "linux/arm64", "linux/arm", "darwin/arm64", "windows/amd64"}

// layer is what a row of the table allows a package to import.
type layer struct {
	ours     []string // packages of this module, without its path
	anything bool     // any of them
	outside  []string // paths below which everything may be imported
}

var quoted = regexp.MustCompile("`([^`]+)`")

// readLayers reads the table of a document: a row is three cells, the first of which names packages
// in backquotes.
func readLayers(document string) (map[string]layer, error) {
	layers := map[string]layer{}
	for line := range strings.Lines(document) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		names := func(cell string) (list []string, err error) {
			for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
				list = append(list, m[1])
			}
			rest := strings.Trim(quoted.ReplaceAllString(cell, ""), ", –")
			if rest != "" && rest != "anything" || rest == "" && len(list) == 0 && !strings.Contains(cell, "–") {
				err = fmt.Errorf("a cell that is neither a list nor –: %q", cell)
			}
			return list, err
		}
		packages, err1 := names(cells[1])
		ours, err2 := names(cells[2])
		outside, err3 := names(cells[3])
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, err
		}
		for _, p := range packages {
			if _, twice := layers[p]; twice {
				return nil, fmt.Errorf("two rows for %s", p)
			}
			layers[p] = layer{ours, strings.Contains(cells[2], "anything"), outside}
		}
	}
	if len(layers) == 0 {
		return nil, errors.New("no table of layers")
	}
	return layers, nil
}

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Name, Doc string
	Imports, GoFiles      []string
	Error                 *struct{ Err string }
}

// packages lists the module's packages as one platform sees them.
func packages(t *testing.T, platform string) []goPackage {
	t.Helper()
	goos, goarch, _ := strings.Cut(platform, "/")
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Doc,Imports,GoFiles,Error", "./...")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", cmd, err, stderr.Bytes())
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		list = append(list, p)
	}
	if len(list) == 0 {
		t.Fatal("go list found no packages")
	}
	return list
}

// broken says how packages differ from what the layers allow.
func broken(layers map[string]layer, list []goPackage) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	for _, p := range list {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		seen[name] = true
		may, ok := layers[name]
		if !ok {
			say("%s is not in the table", name)
			continue
		}
		for _, imp := range p.Imports {
			if our, ok := strings.CutPrefix(imp, module+"/"); ok {
				if !may.anything && !slices.Contains(may.ours, our) {
					say("%s imports %s, which the table does not allow", name, our)
				}
			} else if first, _, _ := strings.Cut(imp, "/"); strings.Contains(first, ".") &&
				!slices.ContainsFunc(may.outside, func(path string) bool { return imp == path || strings.HasPrefix(imp, path+"/") }) {
				say("%s imports %s, which the table does not allow", name, imp)
			}
		}
	}
	for name, may := range layers {
		if !seen[name] {
			say("%s is in the table and does not exist", name)
		}
		for _, our := range may.ours {
			if _, ok := layers[our]; !ok {
				say("%s may import %s, which is not in the table", name, our)
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestLayers holds the code to the table in architecture.md.
func TestLayers(t *testing.T) {
	document, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	layers, err := readLayers(string(document))
	if err != nil {
		t.Fatalf("architecture.md: %v", err)
	}
	for _, platform := range platforms {
		for _, complaint := range broken(layers, packages(t, platform)) {
			t.Errorf("%s, by docs/architecture.md: %s", platform, complaint)
		}
	}
}

// The test above notices what it is there for.
func TestLayersNotice(t *testing.T) {
	table := "| package | ours | outside |\n|---|---|---|\n" +
		"| `a` | – | – |\n| `b`, `b/c` | `a` | `example.org/x` |\n| `cmd` | anything | – |\n"
	pkg := func(name string, imports ...string) goPackage {
		return goPackage{ImportPath: module + "/" + name, Imports: imports}
	}
	good := []goPackage{pkg("a", "fmt", "net/http"), pkg("b", module+"/a", "example.org/x/y"), pkg("b/c", "example.org/x"), pkg("cmd", module+"/b/c")}
	tests := []struct {
		name  string
		table string
		list  []goPackage
		want  string
	}{
		{"nothing wrong", table, good, ""},
		{"a package without a row", table, append(slices.Clone(good), pkg("d")), "d is not in the table"},
		{"a row without a package", table, good[:3], "cmd is in the table and does not exist"},
		{"an import upwards", table, append(good[1:], pkg("a", module+"/b")), "a imports b, which"},
		{"an import from outside", table, append(good[1:], pkg("a", "example.org/x")), "a imports example.org/x, which"},
		{"a path that only begins alike", table, append([]goPackage{good[0], good[2], good[3]}, pkg("b", "example.org/xy")), "b imports example.org/xy"},
		{"a permission for nothing", table + "| `d` | `e` | – |\n", append(slices.Clone(good), pkg("d")), "d may import e, which is not"},
		{"two rows for one", table + "| `a` | – | – |\n", good, "two rows for a"},
		{"a cell in prose", table + "| `d` | all of them | – |\n", good, "neither a list nor"},
		{"an empty cell", table + "| `d` | | – |\n", good, "neither a list nor"},
		{"no table", "nothing here", good, "no table"},
	}
	for _, tt := range tests {
		var got string
		if layers, err := readLayers(tt.table); err != nil {
			got = err.Error()
		} else {
			got = strings.Join(broken(layers, tt.list), "; ")
		}
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: says %q, want %q", tt.name, got, tt.want)
		}
	}
}
