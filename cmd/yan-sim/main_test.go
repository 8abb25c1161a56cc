package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/sim"
)

// call runs the command as a shell would, without any data folder.
func call(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Setenv("YAN_DATA", filepath.Join(t.TempDir(), "none"))
	var out, errs bytes.Buffer
	status = ui.Run(t.Context(), command(), args, &out, &errs)
	return status, out.String(), errs.String()
}

// A small world comes out the same twice, with everything that scripts rely on.
func TestSmallWorld(t *testing.T) {
	dir := t.TempDir()
	yaml := filepath.Join(dir, "few.yaml")
	if err := os.WriteFile(yaml, []byte("name: roles\nshows: '{mesh}'\nbase: tiny\ndata: {kind: roles, amount: 2000}\nfaults: {crashes: 1}"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"--scenario", yaml, "--devices", "4", "--seed", "7", "--for", "2m", "--json"}
	status, out, errs := call(t, append(args, "--out", dir, "--transcript", filepath.Join(dir, "more.txt"))...)
	if status != ui.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	if !strings.Contains(errs, "4 generated personas; the roles of tiny Shakespeare are not here") {
		t.Errorf("it does not say which data it used: %s", errs)
	}
	var s summary
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if s.Devices != 4 || s.Seed != 7 || s.Virtual < 120 || s.Events == 0 || s.Sent == 0 || len(s.Laws) != len(sim.Laws()) {
		t.Errorf("%+v", s)
	}
	if s.Kinds["have"] == 0 || s.Kinds["update"] == 0 || len(s.Kinds) != 6 {
		t.Errorf("bytes by kind: %v", s.Kinds)
	}
	for _, l := range s.Laws {
		if !l.Held {
			t.Errorf("broken: %s", l.Name)
		}
	}
	for _, v := range []float64{s.Accuracy.Alone, s.Accuracy.Mesh, s.Accuracy.Centralised, s.Bits.Alone, s.Bits.Mesh, s.Bits.Centralised} {
		if !(v > 0 && v < 8) {
			t.Errorf("a figure is %v", v)
		}
	}
	if !(s.Bits.Mesh < s.Bits.Alone && s.Bits.Alone < s.Bits.Untaught) {
		t.Errorf("bits a byte: %+v", s.Bits)
	}
	for _, name := range []string{"transcript.txt", "more.txt"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != s.Transcript {
			t.Errorf("%s is not the transcript that was hashed", name)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4 devices", "<svg", "in the mesh", s.Transcript} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the report has no %q", want)
		}
	}
	if bytes.Contains(page, []byte("src=\"http")) || bytes.Contains(page, []byte("<?xml")) {
		t.Error("the report is not a page of its own")
	}
	table, err := os.ReadFile(filepath.Join(dir, "curves.csv"))
	if err != nil || bytes.Count(table, []byte("\n")) != 1+12+4 {
		t.Errorf("%v: curves.csv: %s", err, table)
	}

	status, out, errs = call(t, args...)
	if status != ui.Done {
		t.Fatalf("status %d: %s", status, errs)
	}
	var again summary
	if err := json.Unmarshal([]byte(out), &again); err != nil {
		t.Fatal(err)
	}
	if again.Transcript != s.Transcript || again.Bits != s.Bits || again.Accuracy != s.Accuracy {
		t.Errorf("the same seed gives\n%+v\n%+v", s, again)
	}
}

func TestTable(t *testing.T) {
	s := summary{Devices: 4, Scenario: "roles", Seed: 1, Virtual: 90, Wall: 1.5, Events: 1234, Sent: 5678, Transcript: "abc",
		Accuracy: trio{0.1, 0.2, 0.3, 0.4}, Bits: trio{4, 3, 2, 1}, Laws: []lawHeld{{"one", true}, {"two", false}}, seen: newChronicle(nil, time.Minute)}
	var b bytes.Buffer
	if err := s.print(&b, 80, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4 devices, scenario roles, seed 1: 1 min 30 s of virtual time in 1.50 s, 1,234 events, 5.68 kB sent by each",
		"in the mesh", "30.00 %", "held    one", "BROKEN  two", "sha256 abc"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		args   string
		status int
		says   string
	}{
		{"--list", ui.Done, "roles"},
		{"--help", ui.Done, "--devices 100 --scenario roles"},
		{"--devices -1", ui.BadUsage, "--devices -1: must lie between 1 and 100000"},
		{"--devices many", ui.BadUsage, "many"},
		{"--for 1ms", ui.BadUsage, "--for 1ms"},
		{"--scenario street", ui.BadUsage, "there is activities, bad-central, churn"},
		{"more", ui.BadUsage, "more"},
		{"--devices 4 --transcript /nowhere/at/all", ui.Failed, "--transcript /nowhere/at/all"},
	}
	for _, tt := range tests {
		status, out, errs := call(t, strings.Fields(tt.args)...)
		if status != tt.status || !strings.Contains(out+errs, tt.says) {
			t.Errorf("%s: status %d, want %d, and %q: %s%s", tt.args, status, tt.status, tt.says, out, errs)
		}
	}
}

// A broken law is told with the command that shows it again, and ends a run with status 1.
func TestBrokenLawIsTold(t *testing.T) {
	err := again(options{devices: 5, scenario: "roles", seed: 9, length: time.Hour}, &sim.Broken{Law: "a law", Seed: 9, Event: 77, At: time.Minute, Err: errors.New("device x")})
	for _, want := range []string{"seed 9, at 1m0s", "a law", "device x", "yan-sim --devices 5 --scenario roles --seed 9 --for 1h0m0s --until 77 --transcript FILE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
