package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

// A world that goes on from where it was saved ends as the one that was saved does, and so does its transcript.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	file, whole, rest := filepath.Join(dir, "world"), filepath.Join(dir, "whole.txt"), filepath.Join(dir, "rest.txt")
	yaml := filepath.Join(dir, "few.yaml")
	if err := os.WriteFile(yaml, []byte("name: few\nshows: '{mesh}'\nbase: tiny\ndata: {kind: personas, amount: 400}\nfaults: {crashes: 1}\nexam: {texts: 2, bytes: 96, points: 4}"), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(args ...string) (s summary) {
		status, out, errs := call(t, args...)
		if err := json.Unmarshal([]byte(out), &s); err != nil || status != ui.Done {
			t.Fatalf("status %d, %v: %s%s", status, err, out, errs)
		}
		return s
	}
	a := read("--scenario", yaml, "--devices", "5", "--seed", "4", "--for", "2m", "--json", "--save", file, "--save-every", "70s", "--transcript", whole)
	b := read("--resume", file, "--json", "--transcript", rest)
	if a.Accuracy != b.Accuracy || a.Bits != b.Bits || a.Seed != b.Seed || a.Devices != b.Devices || b.Resumed < 70 || b.Resumed > 120 || a.Virtual != b.Virtual {
		t.Errorf("saved and went on:\n%+v\nwent on:\n%+v", a, b)
	}
	all, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	last, err := os.ReadFile(rest)
	if err != nil {
		t.Fatal(err)
	}
	if len(last) < 1000 || !bytes.HasSuffix(all, last) {
		t.Errorf("a transcript of %d bytes does not end as the one that goes on from there, of %d", len(all), len(last))
	}

	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	for name, b := range map[string][]byte{"cut off": saved[:len(saved)/2], "turned": append(bytes.Clone(saved[:len(saved)-9]), make([]byte, 9)...), "nothing": nil,
		"text": []byte("name: few"), "much asked": append([]byte(saveMagic), 255, 255, 255, 255)} {
		if err := os.WriteFile(bad, b, 0o644); err != nil {
			t.Fatal(err)
		}
		status, _, errs := call(t, "--resume", bad)
		if status != ui.Failed || !strings.Contains(errs, "--resume "+bad) {
			t.Errorf("%s: status %d: %s", name, status, errs)
		}
	}
	if status, _, errs := call(t, "--resume", file, "--seed", "5"); status != ui.BadUsage || !strings.Contains(errs, "resume") {
		t.Errorf("status %d: %s", status, errs)
	}
	if status, _, errs := call(t, "--resume", file+"x"); status != ui.BadUsage || !strings.Contains(errs, "name a file that was saved") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// What was asked for when a world was saved comes from a file that anybody may have changed.
func FuzzReadAsked(f *testing.F) {
	f.Add([]byte(saveMagic + "\x02\x00\x00\x00{}"))
	f.Add([]byte(saveMagic + "\xff\xff\xff\xff"))
	f.Add([]byte(saveMagic + "\x10\x00\x00\x00{\"yaml\":\"bmFt\"}xx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readAsked(bytes.NewReader(b))
		if err != nil {
			return
		}
		head, err := a.head()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := readAsked(bytes.NewReader(head)); err != nil || !reflect.DeepEqual(a, again) {
			t.Errorf("%v: read %+v, and then %+v", err, a, again)
		}
	})
}
