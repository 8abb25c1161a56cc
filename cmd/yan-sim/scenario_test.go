package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/protocol"
	"github.com/yanmesh/yan/sim"
	"github.com/yanmesh/yan/sim/scenario"
)

// tiny runs a scenario with few devices that say little, without any data folder.
func tiny(t *testing.T, yaml []byte, n int) (*summary, *running) {
	t.Helper()
	t.Setenv("YAN_DATA", filepath.Join(t.TempDir(), "none"))
	sc, err := scenario.Parse("test", yaml)
	if err != nil {
		t.Fatal(err)
	}
	sc.Data.Amount = min(sc.Data.Amount, 120)
	if sc.Data.Examples() {
		sc.Data.Amount = 20
	}
	sc.Base, sc.Learning.Features = "tiny", 64
	sc.Exam = scenario.Exam{Devices: 4, Texts: 2, Bytes: 96, Points: 5, Centralised: sc.Exam.Centralised}
	o := options{devices: n, scenario: sc.Name, seed: 3, length: time.Minute}
	world, err := sc.World(n, o.seed, o.length, source{})
	if err != nil {
		t.Fatal(err)
	}
	s := &summary{Devices: n, text: !sc.Data.Examples()}
	r := &running{ctx: t.Context(), stderr: io.Discard, o: o, sc: sc, groups: world.Groups, opt: world.Options, s: s}
	if err := r.simulate(); err != nil {
		t.Fatalf("%s: %v", sc.Name, err)
	}
	s.Data = world.Note
	s.Shows = sc.Sentence(s.figures(world.Options, r.lead))
	return s, r
}

// Every built-in scenario runs on what the project generates, and its sentence has all its figures.
func TestBuiltinScenarios(t *testing.T) {
	slow(t)
	for _, name := range scenario.Names() {
		t.Run(name, func(t *testing.T) {
			s, _ := tiny(t, scenario.Builtin(name), 5)
			if strings.Contains(s.Shows, "not measured") || strings.Contains(s.Shows, "{") || s.Shows == "" {
				t.Errorf("it shows: %s", s.Shows)
			}
			if s.Events == 0 || s.Sent == 0 || !(s.Accuracy.Mesh > 0 && s.Accuracy.Mesh <= 1) || s.Accuracy.Alone == 0 || s.Data == "" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Files of one's own are as good as what is built in: each is a user, or several.
func TestOwnFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"Anna B.txt", "carl.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte(name+" writes down what the day was like\n"), 60), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	yaml := "name: own\nshows: '{mesh} and {laws}'\ndata: {kind: text, files: ['" + filepath.ToSlash(filepath.Join(dir, "Anna B.txt")) + "', '" + filepath.ToSlash(filepath.Join(dir, "carl.txt")) + "']}"
	s, r := tiny(t, []byte(yaml), 5)
	if len(r.opt.Devices) != 5 || r.opt.Devices[0].Name != "anna-b.txt-0" || r.opt.Devices[4].Name != "carl.txt-4" || s.Data != "2 files" {
		t.Errorf("%q, %q: %s", r.opt.Devices[0].Name, r.opt.Devices[4].Name, s.Data)
	}
	if !strings.HasSuffix(s.Shows, "% and all held") && !strings.HasSuffix(s.Shows, " %% and all held") {
		t.Errorf("it shows %q", s.Shows)
	}
	missing := scenario.Data{Kind: scenario.Text, Files: []string{filepath.Join(dir, "nobody.txt")}, Amount: 100}
	if _, err := (source{}).Users(4, 1, missing); err == nil || !strings.Contains(err.Error(), "nobody.txt") {
		t.Errorf("a missing file: %v", err)
	}
	short := scenario.Data{Kind: scenario.Text, Files: []string{filepath.Join(dir, "carl.txt")}, Amount: 100}
	if _, err := (source{}).Users(50, 1, short); err == nil || !strings.Contains(err.Error(), "too few for 50 users") {
		t.Errorf("a short file: %v", err)
	}
}

// The time until half have a skill is the moment when the one in the middle took it in.
func TestLead(t *testing.T) {
	devices := []sim.Device{{Name: "a"}, {Name: "b", Stream: []byte("x")}, {Name: "c"}, {Name: "d"}, {Name: "e"}}
	l := newLead(devices)
	if l == nil || l.teacher != 1 {
		t.Fatalf("%+v", l)
	}
	at := func(s int, m sim.Moment) {
		m.At = time.Duration(s) * time.Second
		l.watch(m)
	}
	at(5, sim.Moment{What: sim.Announced, Device: 1, Peer: -1})
	at(7, sim.Moment{What: sim.Tried, Device: 0, Peer: 1, Verdict: protocol.Folded})
	at(8, sim.Moment{What: sim.Tried, Device: 0, Peer: 1, Verdict: protocol.Folded}) // again
	at(8, sim.Moment{What: sim.Tried, Device: 2, Peer: 1, Verdict: protocol.Refused})
	at(8, sim.Moment{What: sim.Tried, Device: 2, Peer: 3, Verdict: protocol.Folded})
	at(9, sim.Moment{What: sim.Announced, Device: 1, Peer: -1})
	at(11, sim.Moment{What: sim.Tried, Device: 3, Peer: 1, Verdict: protocol.Folded})
	if s := l.spreading(); s.Half != 6 || s.Most != -1 || s.Had != 0.5 {
		t.Errorf("%+v", s)
	}
	if newLead(devices[2:]) != nil || newLead(append(devices, devices[1])) != nil {
		t.Error("a lead of none or two who were taught")
	}
}

// Every device that is asked counts in its group, and those of none among the others.
func TestGroups(t *testing.T) {
	slow(t)
	s, r := tiny(t, scenario.Builtin("slow-pi"), 6)
	asked := 0
	for _, g := range s.Groups {
		asked += g.Asked
	}
	if len(s.Groups) != 3 || s.Groups[2].Name != "others" || asked != r.sc.Exam.Devices || s.Groups[0].Accuracy == 0 {
		t.Errorf("%+v", s.Groups)
	}
}

// What is bad is said to be bad.
func TestFiguresAreHonest(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{compared(0.5, 0.4), "better by 10.0 points"}, {compared(0.4, 0.5), "worse by 10.0 points"}, {compared(0.4, 0.4), "no better and no worse"},
		{wayGone(1, 2), "50 %"}, {wayGone(-1, 2), "no part"}, {wayGone(1, 0), "no part (there was none to come)"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// Who interrupts a run gets what was measured so far, and is told that it ended early.
func TestInterrupt(t *testing.T) {
	s := &summary{Devices: 4, text: true}
	sc, err := scenario.Parse("test", scenario.Builtin("personas"))
	if err != nil {
		t.Fatal(err)
	}
	sc.Data.Amount, sc.Base, sc.Exam = 480, "tiny", scenario.Exam{Devices: 2, Texts: 1, Bytes: 64, Points: 2}
	world, err := sc.World(4, 1, time.Minute, source{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := &after{Context: t.Context(), left: 1}
	file := filepath.Join(t.TempDir(), "world")
	r := &running{ctx: ctx, stderr: io.Discard, o: options{devices: 4, seed: 1, length: time.Minute, save: file, saveEvery: time.Hour}, sc: sc, groups: world.Groups, opt: world.Options, s: s}
	if err := r.simulate(); !errors.Is(err, errStop) {
		t.Fatalf("it ended with %v", err)
	}
	if s.Events == 0 || s.Virtual == 0 || s.Kinds["have"] == 0 {
		t.Errorf("nothing is told of what was: %+v", s)
	}
	r.o.resume, r.ctx = file, t.Context()
	f, _, err := r.o.openSaved()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.saved = f
	if err := r.simulate(); err != nil || s.Resumed == 0 || s.Resumed > 60 || s.Virtual < 60 {
		t.Errorf("it went on at %v, to %v: %v", s.Resumed, s.Virtual, err)
	}
}

// after is a context that is done when it was asked for the left-th time.
type after struct {
	context.Context
	left int
}

var errStop = errors.New("stopped")

func (a *after) Err() error {
	if a.left--; a.left < 0 {
		return errStop
	}
	return nil
}

// What is printed by --show is what --scenario reads, and files that make no sense are bad usage.
func TestScenarioFiles(t *testing.T) {
	status, out, _ := call(t, "--show", "churn")
	if status != ui.Done || out != string(scenario.Builtin("churn")) {
		t.Fatalf("status %d: %s", status, out)
	}
	if status, out, _ := call(t, "--schema"); status != ui.Done || out != string(scenario.Schema()) {
		t.Errorf("status %d: %s", status, out)
	}
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte("name: mine\nlinks: {los: 1}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, says string }{
		{"--scenario " + file, "mine.yaml:2: links.los: no such key"},
		{"--scenario " + file + ".yaml", "check the name, or take one of --list"},
		{"--scenario " + filepath.Dir(file), "this is no file of at most"},
		{"--show mine", "there is activities"},
	} {
		status, out, errs := call(t, strings.Fields(tt.args)...)
		if status != ui.BadUsage || !strings.Contains(errs, tt.says) {
			t.Errorf("%s: status %d: %s%s", tt.args, status, out, errs)
		}
	}
}

// A world that breaks a law is made small, and the YAML of what is left breaks it too.
func TestMinimise(t *testing.T) {
	t.Setenv("YAN_DATA", filepath.Join(t.TempDir(), "none"))
	sc, err := scenario.Parse("test", scenario.Builtin("personas"))
	if err != nil {
		t.Fatal(err)
	}
	sc.Base, sc.Data.Amount = "tiny", 300
	world, err := sc.World(6, 2, 2*time.Minute, source{})
	if err != nil {
		t.Fatal(err)
	}
	opt := world.Options
	opt.Laws = []sim.Law{{Name: "memory is bounded", Holds: func(w *sim.World) error { // which it is not any more when something was announced
		if w.Traffic(protocol.KindAnnounce).Messages > 0 {
			return errors.New("somebody announced something")
		}
		return nil
	}}}
	w, err := sim.New(2, opt)
	if err != nil {
		t.Fatal(err)
	}
	var broken *sim.Broken
	if err := w.Run(2 * time.Minute); !errors.As(err, &broken) {
		t.Fatalf("it ended with %v", err)
	}
	file := filepath.Join(t.TempDir(), "small.yaml")
	r := &running{ctx: t.Context(), stderr: io.Discard, o: options{seed: 2, length: 2 * time.Minute, minimise: file}, sc: sc, opt: opt}
	if err := r.minimise(broken); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	small, err := scenario.Parse(file, b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := small.World(small.Devices, 2, small.Length, source{})
	if err != nil {
		t.Fatal(err)
	}
	if 2*again.Options.Weight() > opt.Weight() {
		t.Errorf("it weighs %d, and weighed %d:\n%s", again.Options.Weight(), opt.Weight(), b)
	}
	again.Options.Laws = opt.Laws
	if w, err = sim.New(2, again.Options); err != nil {
		t.Fatal(err)
	}
	if err := w.Play(small.Length); !errors.As(err, &broken) {
		t.Errorf("what is left ended with %v:\n%s", err, b)
	}
}

// Random worlds are counted, and --until ends a world at the event that it names.
func TestStorm(t *testing.T) {
	status, out, errs := call(t, "--storm", "5", "--seed", "11", "--json")
	var s tempest
	if err := json.Unmarshal([]byte(out), &s); err != nil || status != ui.Done {
		t.Fatalf("status %d, %v: %s%s", status, err, out, errs)
	}
	if s.Worlds != 5 || s.First != 11 || s.Devices < 10 || s.Events < 100 || s.Broken != "" {
		t.Errorf("%+v", s)
	}
	if status, _, errs := call(t, "--storm", "-1"); status != ui.BadUsage || !strings.Contains(errs, "--storm -1") {
		t.Errorf("status %d: %s", status, errs)
	}
}

func TestUntil(t *testing.T) {
	status, out, errs := call(t, "--scenario", "personas", "--devices", "4", "--for", "1m", "--until", "60", "--json")
	var s summary
	if err := json.Unmarshal([]byte(out), &s); err != nil || status != ui.Done {
		t.Fatalf("status %d, %v: %s%s", status, err, out, errs)
	}
	if s.Events != 60 || !s.Interrupted {
		t.Errorf("%d events, ended early: %v", s.Events, s.Interrupted)
	}
}
