package docs

import (
	"bytes"
	"fmt"
	"go/format"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// files lists the project's files with one of these endings. What a checkout makes for itself, and
// folders whose name begins with a dot, are left out.
func files(t *testing.T, root string, endings ...string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "out", "dist"}, d.Name())) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && slices.Contains(endings, filepath.Ext(path)) {
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatalf("no file below %s ends in %v", root, endings)
	}
	return list
}

// Every package says what it is, in a sentence that begins as the tools expect.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range packages(t, platforms[0]) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if p.Name != "main" && !strings.HasPrefix(p.Doc, "Package "+p.Name+" ") {
			t.Errorf("%s: its comment begins with %q, want %q", name, p.Doc, "Package "+p.Name+" …")
		}
		if p.Name == "main" && p.Doc == "" {
			t.Errorf("%s: no comment says what the program is", name)
		}
	}
}

func TestGofmt(t *testing.T) {
	for _, path := range files(t, "..", ".go") {
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := format.Source(have)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if !bytes.Equal(have, want) {
			t.Errorf("%s: not formatted: run gofmt -w on it", path)
		}
	}
}

var (
	fence   = regexp.MustCompile("(?ms)^[ \t]*(```|~~~).*?^[ \t]*(```|~~~)[ \t]*$")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)|(?m:^\[[^\]]+\]:\s*(\S+))`)
	heading = regexp.MustCompile(`(?m)^#{1,6}[ \t]+(.+?)[ \t#]*$`)
)

// anchors lists what a link may name behind the # in a document.
func anchors(document string) []string {
	var list []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(document, ""), -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsNumber(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		same := 0
		for _, s := range list {
			if s == slug || strings.HasPrefix(s, slug+"-") && strings.Trim(s[len(slug)+1:], "0123456789") == "" {
				same++
			}
		}
		if same > 0 {
			slug = fmt.Sprintf("%s-%d", slug, same)
		}
		list = append(list, slug)
	}
	return list
}

// deadLinks lists the relative links of a document, at path below root, that lead nowhere.
func deadLinks(root, path string) (links int, dead []string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, nil, err
	}
	prose := code.ReplaceAllString(fence.ReplaceAllString(string(b), ""), "")
	for _, m := range link.FindAllStringSubmatch(prose, -1) {
		target := m[1] + m[2]
		u, err := url.Parse(target)
		if err != nil {
			dead = append(dead, target+": not a link")
			continue
		}
		if u.Scheme != "" || u.Host != "" {
			continue
		}
		links++
		at := path
		if u.Path != "" {
			at = filepath.Join(filepath.Dir(path), filepath.FromSlash(u.Path))
		}
		switch rel, err := filepath.Rel(root, at); {
		case err != nil || strings.HasPrefix(rel, ".."):
			dead = append(dead, target+": leads out of the project")
			continue
		case strings.HasPrefix(u.Path, "/"):
			dead = append(dead, target+": begins at the root of somebody's disk")
			continue
		}
		other, err := os.ReadFile(at)
		if err != nil {
			if info, err := os.Stat(at); err != nil || !info.IsDir() || u.Fragment != "" {
				dead = append(dead, target+": there is no such file")
			}
			continue
		}
		if u.Fragment != "" && filepath.Ext(at) == ".md" && !slices.Contains(anchors(string(other)), u.Fragment) {
			dead = append(dead, target+": no heading of that name")
		}
	}
	return links, dead, nil
}

func TestNoDeadLinks(t *testing.T) {
	total := 0
	for _, path := range files(t, "..", ".md") {
		links, dead, err := deadLinks("..", path)
		if err != nil {
			t.Fatal(err)
		}
		total += links
		for _, d := range dead {
			t.Errorf("%s: %s", path, d)
		}
	}
	if total == 0 {
		t.Error("no document has a link to another")
	}
}

// The test above notices what it is there for.
func TestDeadLinksNotice(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"docs/b.md": "# One thing\n\n## It's `so` – 2!\n\n## One thing\n",
		"docs/a.md": "# Here\n[b](b.md) [up](../README.md \"a title\") [there](https://example.org/x) [self](#here) [dir](../docs)\n" +
			"[one](b.md#one-thing) [so](b.md#its-so--2) [twice](b.md#one-thing-1)\n[ref]: b.md\n" +
			"[gone](c.md) [no](b.md#nothing) [out](../../x.md) [root](/etc/x) [nor](#there) \n[def]: d.md\n" +
			"`[code](e.md)`\n```\n[code](f.md)\n```\n",
		"README.md": "x",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	links, dead, err := deadLinks(root, filepath.Join(root, "docs", "a.md"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, d := range dead {
		target, _, _ := strings.Cut(d, ":")
		targets = append(targets, target)
	}
	if got, want := strings.Join(targets, " "), "c.md b.md#nothing ../../x.md /etc/x #there d.md"; got != want {
		t.Errorf("dead: %s, want %s", got, want)
	}
	if links != 14 {
		t.Errorf("%d links seen, want 14", links)
	}
}
