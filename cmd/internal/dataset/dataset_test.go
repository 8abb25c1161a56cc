package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// put writes a file into a fresh folder and returns its path.
func put(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenReadsEachKind(t *testing.T) {
	tests := []struct {
		name, kind, content string
		items               []Item
		stream              string
	}{
		{"text is the file's bytes", Text, "one\r\n\xff\x00two", []Item{{"", "one\r\n\xff\x00two"}}, "one\r\n\xff\x00two"},
		{"lines drop the line ending and blank lines", Lines, "one\r\n\n  \ntwo \xfe", []Item{{"", "one"}, {"", "two \xfe"}}, "one\ntwo \xfe\n"},
		{"tsv ignores further columns", TSV, "A\tplay it\tslot=it\nB\t\n", []Item{{"A", "play it"}, {"B", ""}}, "play it\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := put(t, "f", tt.content)
			d, err := Open(tt.kind + ":" + path)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(d.Items, tt.items) {
				t.Errorf("items %q, want %q", d.Items, tt.items)
			}
			if got := string(d.Bytes()); got != tt.stream {
				t.Errorf("stream %q, want %q", got, tt.stream)
			}
			if d.Kind != tt.kind || d.Path != path || d.Note == "" {
				t.Errorf("kind %q, path %q, note %q", d.Kind, d.Path, d.Note)
			}
		})
	}
}

// A name that is not here is looked up in the data folder; one that is here wins.
func TestOpenLooksInTheDataFolder(t *testing.T) {
	root, here := t.TempDir(), t.TempDir()
	t.Setenv("YAN_DATA", root)
	t.Chdir(here)
	if err := os.MkdirAll(filepath.Join(root, "set"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "set", "a.txt"), []byte("there"), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := Open("text:set/a.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Bytes()) != "there" || !strings.Contains(d.Note, root) {
		t.Errorf("read %q from %q", d.Bytes(), d.Note)
	}
	if err := os.MkdirAll("set", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("set/a.txt", []byte("here"), 0o644); err != nil {
		t.Fatal(err)
	}
	if d, err = Open("text:set/a.txt"); err != nil || string(d.Bytes()) != "here" {
		t.Errorf("read %q, %v", d.Bytes(), err)
	}
}

func TestOpenKeepsLabels(t *testing.T) {
	path := put(t, "f.tsv", "A\tone\nB\ttwo\nC\tthree\nA\tfour\n")
	d, err := Open("tsv:" + path + "#A,C")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(d.Bytes()); got != "one\nthree\nfour\n" {
		t.Errorf("kept %q", got)
	}
	odd := put(t, "f#A", "A\tx\nB\ty\n")
	if d, err = Open("tsv:" + odd); err != nil || len(d.Items) != 2 {
		t.Errorf("a file whose own name has a # gave %v, %v", d, err)
	}
}

// Every bad argument gives one line that names it and says what to do, and tells usage from failure.
func TestOpenRefuses(t *testing.T) {
	t.Setenv("YAN_DATA", t.TempDir())
	empty := put(t, "empty", "")
	tests := []struct {
		arg   string
		usage bool
		want  []string
	}{
		{"", true, []string{`""`, "text:FILE"}},
		{"input.txt", true, []string{`"input.txt"`, "text:FILE"}},
		{"video:x", true, []string{"video:x", `unknown kind "video"`, "this command reads text:, lines: and tsv: data"}},
		{"Text:x", true, []string{`unknown kind "Text"`}},
		{":x", true, []string{`unknown kind ""`}},
		{"text:", true, []string{"text:", "no name", "text:FILE"}},
		{"shipped:nothing", true, []string{"shipped:nothing", "corpus", "weather"}},
		{"images:a,b", true, []string{"images:a,b", "this command reads text:, lines: and tsv: data"}},
		{"sound:a", true, []string{"sound:a", "this command reads text:, lines: and tsv: data"}},
		{"sensors:a,b", true, []string{"sensors:a,b", "this command reads"}},
		{"frames:a,b", true, []string{"frames:a,b", "this command reads"}},
		{"track:oval", true, []string{"track:oval", "this command reads"}},
		{"text:no-such-file", false, []string{"text:no-such-file", "no such file", "$YAN_DATA"}},
		{"text:" + empty + ".not", false, []string{".not", "no such file", "check the name"}},
		{"tsv:no-such-file#A", false, []string{"no-such-file#A", "no such file"}},
		{"text:" + filepath.Dir(empty), false, []string{"is a directory", "name a file in it"}},
		{"text:" + empty, false, []string{"is empty"}},
		{"lines:" + put(t, "blank", "\n \n\r\n"), false, []string{"only blank lines"}},
		{"tsv:" + put(t, "flat", "A\tx\n\nno tab here\n"), false, []string{"line 3", "no tab", "label<TAB>text"}},
		{"tsv:" + put(t, "abc", "A\tx\nB\ty\n") + "#Z", true, []string{`label "Z"`, `"A", "B"`}},
		{"text:two\nlines", false, []string{`"text:two\nlines"`, "no such file"}},
		{"text:bad\x00name", false, []string{"cannot be read"}},
	}
	for _, tt := range tests {
		d, err := Open(tt.arg)
		if err == nil {
			t.Errorf("Open(%q) read %v", tt.arg, d)
			continue
		}
		text := err.Error()
		if strings.ContainsAny(text, "\n\r") || !strings.HasPrefix(text, "dataset: ") {
			t.Errorf("Open(%q): not one line of ours: %q", tt.arg, text)
		}
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("Open(%q) says %q, without %q", tt.arg, text, want)
			}
		}
		var u interface{ Usage() bool }
		if got := errors.As(err, &u) && u.Usage(); got != tt.usage {
			t.Errorf("Open(%q): usage error %v, want %v", tt.arg, got, tt.usage)
		}
	}
}

func TestOpenRefusesAnUnreadableFile(t *testing.T) {
	path := put(t, "secret", "x")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(path); err == nil {
		t.Skip("the file's mode does not keep this user from reading it")
	}
	if _, err := Open("text:" + path); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("got %v", err)
	}
}

func TestSplitCutsTheTail(t *testing.T) {
	text := &Data{Kind: Text, Items: []Item{{Text: "0123456789"}}, Note: "n"}
	lines := &Data{Kind: Lines, Items: []Item{{"", "a"}, {"", "b"}, {"", "c"}, {"", "d"}}, Note: "n"}
	tests := []struct {
		d           *Data
		holdout     float64
		train, held string
	}{
		{text, 0.1, "012345678", "9"},
		{text, 0.25, "0123456", "789"},
		{text, 0.001, "012345678", "9"}, // never nothing where something was asked for
		{text, 0.999, "0", "123456789"},
		{text, 0, "0123456789", ""},
		{text, -1, "0123456789", ""},
		{text, 1, "", "0123456789"},
		{text, 7, "", "0123456789"},
		{text, math.NaN(), "0123456789", ""},
		{lines, 0.25, "a\nb\nc\n", "d\n"},
		{lines, 0.5, "a\nb\n", "c\nd\n"},
		{lines, 0, "a\nb\nc\nd\n", ""},
		{lines, 1, "", "a\nb\nc\nd\n"},
		{&Data{Kind: Text, Items: []Item{{Text: "x"}}}, 0.1, "x", ""},
		{&Data{Kind: Text}, 0.1, "", ""},
	}
	for _, tt := range tests {
		before := string(tt.d.Bytes())
		train, held := tt.d.Split(tt.holdout)
		if string(train.Bytes()) != tt.train || string(held.Bytes()) != tt.held {
			t.Errorf("Split(%v) of %q gave %q and %q, want %q and %q",
				tt.holdout, before, train.Bytes(), held.Bytes(), tt.train, tt.held)
		}
		train.Items = append(train.Items, Item{Text: "more"})
		if string(tt.d.Bytes()) != before || string(held.Bytes()) != tt.held {
			t.Errorf("Split(%v): the parts share memory that one of them may write", tt.holdout)
		}
	}
}

func TestRoot(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{"project/a/b", "shared/data", "elsewhere/x"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(base, "project", "go.mod"), []byte("module m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("YAN_DATA", "")
	for _, tt := range []struct {
		dir string
		ok  bool
	}{{"project", true}, {"project/a/b", true}, {"elsewhere/x", false}} {
		t.Chdir(filepath.Join(base, tt.dir))
		dir, ok := Root()
		if ok != tt.ok {
			t.Errorf("from %s: Root() = %s, %v", tt.dir, dir, ok)
		}
		if ok && !isDir(dir) {
			t.Errorf("from %s: %s is no folder", tt.dir, dir)
		}
	}
	t.Setenv("YAN_DATA", filepath.Join(base, "none"))
	if dir, ok := Root(); ok || !strings.HasSuffix(dir, "none") {
		t.Errorf("a data folder that is set but missing gave %s, %v", dir, ok)
	}
	t.Setenv("YAN_DATA", base)
	if dir, ok := Root(); !ok || dir != base {
		t.Errorf("$YAN_DATA gave %s, %v", dir, ok)
	}
}

// FuzzOpen holds every reader to its promise: whatever the bytes, an error of one line or a stream
// whose parts add up to it.
func FuzzOpen(f *testing.F) {
	f.Add("text", []byte("hello"))
	f.Add("lines", []byte("a\r\n\nb"))
	f.Add("tsv", []byte("x\ty\tz\n"))
	f.Fuzz(func(t *testing.T, kind string, content []byte) {
		if !slices.Contains([]string{Text, Lines, TSV}, kind) {
			kind = TSV
		}
		d, err := Open(kind + ":" + put(t, "f", string(content)))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of two lines: %q", err)
			}
			return
		}
		if kind == Text && !bytes.Equal(d.Bytes(), content) {
			t.Fatalf("text came out as %q", d.Bytes())
		}
		train, held := d.Split(0.3)
		if !bytes.Equal(append(train.Bytes(), held.Bytes()...), d.Bytes()) {
			t.Fatal("the parts do not add up")
		}
	})
}

// A training that was stopped finds its data in the order in which it left it, in every version to come.
func TestShuffle(t *testing.T) {
	d := &Data{Kind: Lines}
	for i := range 12 {
		d.Items = append(d.Items, Item{Text: fmt.Sprint(i)})
	}
	d.Shuffle()
	const want = "5 6 8 1 2 9 3 4 10 11 0 7"
	if got := strings.ReplaceAll(strings.TrimSpace(string(d.Bytes())), "\n", " "); got != want {
		t.Errorf("shuffled to %q, want %q", got, want)
	}
}
