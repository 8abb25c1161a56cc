package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model/base"
)

// pocket writes the small base to a file, so that tests are quick.
func pocket(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	m := base.Pocket()
	if err := m.Write(&b, true, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pocket.safetensors")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func yanTransfer(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = ui.Run(context.Background(), command(), args, &o, &e)
	return status, o.String(), e.String()
}

// The whole command: two nodes on loopback, a skill goes over, and the recipient has it without training.
func TestTransfer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	status, out, errs := yanTransfer(t, "--skill", "generated:music", "--own", "generated:weather", "--model", pocket(t), "--seeds", "1", "--json", "--out", dir)
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var s summary
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if s.Donor.Skill > 0.9*s.Base.Skill {
		t.Errorf("the donor learnt little: %.3f from %.3f bits", s.Donor.Skill, s.Base.Skill)
	}
	if s.GainTransferred < 0.9 || s.OwnChange < -0.03 || s.BaseChange < -0.01 || s.GradientSteps != 0 {
		t.Errorf("transferred %.3f, own %+.3f, base %+.4f, %d gradient steps", s.GainTransferred, s.OwnChange, s.BaseChange, s.GradientSteps)
	}
	if s.Bytes <= 0 || s.Bytes >= s.FullModelBytes {
		t.Errorf("%d bytes of %d went over", s.Bytes, s.FullModelBytes)
	}
	for name, want := range map[string]string{"report.html": "recipient after</text>", "result.json": `"gain_transferred"`} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Contains(b, []byte(want)) {
			t.Errorf("%s: %d bytes without %s, %v", name, len(b), want, err)
		}
	}
}

// Each mistake gets one line that says what to do, and the right status.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	empty, short := file("empty.txt", ""), file("short.txt", "a\nb\n")
	long := file("long.txt", strings.Repeat("play some jazz\n", 200))
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--skill", "lines:" + long}, 2, "--skill and --own go together"},
		{[]string{"--skill", "track:nowhere"}, 2, "track:roads"},
		{[]string{"--own", "generated:nothing"}, 2, "generated:weather"},
		{[]string{"--seeds", "0"}, 2, "--seeds 0"},
		{[]string{"--holdout", "1"}, 2, "--holdout 1"},
		{[]string{"--skill", "lines:" + empty, "--own", "lines:" + long}, 1, empty},
		{[]string{"--skill", "lines:" + short, "--own", "lines:" + long}, 1, "too few"},
		{[]string{"--skill", "lines:" + filepath.Join(dir, "none"), "--own", "lines:" + long}, 1, "none"},
		{[]string{"--skill", "lines:" + dir, "--own", "lines:" + long}, 1, "directory"},
		{[]string{"--model", long}, 1, "not a checkpoint"},
		{[]string{"extra"}, 2, "extra"},
	} {
		status, out, errs := yanTransfer(t, c.args...)
		if status != c.status || !strings.Contains(errs, c.says) || out != "" {
			t.Errorf("%v: status %d, stdout %q, stderr %q; want status %d and %q", c.args, status, out, errs, c.status, c.says)
		}
		if n := strings.Count(strings.TrimSpace(errs), "\n"); n > 1 {
			t.Errorf("%v: %d lines of error", c.args, n+1)
		}
	}
}

// Each seed reads the same lines, from another one on.
func TestFrom(t *testing.T) {
	text := []byte("one\ntwo\nthree\nfour\nfive\nsix\nseven\n")
	seen := map[string]bool{}
	for seed := range uint64(6) {
		got := string(from(text, seed))
		seen[got] = true
		lines := strings.SplitAfter(got, "\n")
		slices.Sort(lines)
		want := strings.SplitAfter(string(text), "\n")
		slices.Sort(want)
		if !slices.Equal(lines, want) {
			t.Errorf("seed %d reads %q", seed, got)
		}
	}
	if len(seen) < 4 {
		t.Errorf("six seeds read %d texts", len(seen))
	}
	for _, short := range []string{"", "x", "no end", "\n"} {
		if got := from([]byte(short), 3); string(got) != short && len(short) == 0 || len(got) != len(short) {
			t.Errorf("%q becomes %q", short, got)
		}
	}
}
