package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
)

// tiny trains in a second.
const tiny = `{
	"model": {"width": 32, "layers": 2, "channels": 2, "sections": 16, "neurons": 4, "key_rank": 8, "active": 4, "alpha": 0.5},
	"bytes": 40000, "batch": 4, "window": 64, "segment": 1024, "rate": 0.01, "dropout": 0.05, "seed": 3
}`

// put writes a file and returns its path.
func put(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// yan runs a command line.
func yan(ctx context.Context, step func(int64), args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = ui.Run(ctx, command(step), args, &out, &err)
	return status, out.String(), err.String()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// A training that was stopped and resumed comes to the same file as one that was not, to the byte: when
// it was asked to stop, when the machine died, and with any number of processors.
func TestStoppedTrainingComesToTheSameFile(t *testing.T) {
	dir := t.TempDir()
	cfg := put(t, filepath.Join(dir, "tiny.json"), tiny)
	file := func(name string) string { return filepath.Join(dir, name) }
	args := func(out string, more ...string) []string {
		return append([]string{"--config", cfg, "--out", file(out), "--half", "--note", "licence=none needed"}, more...)
	}

	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	status, stdout, stderr := yan(t.Context(), nil, args("whole", "--json")...)
	if status != ui.Done {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var r result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	if r.Out != file("whole") || r.BytesSeen < 40000 || r.Parameters == 0 || r.BytesPerSecond <= 0 || len(r.HeldOut) != 1 ||
		r.HeldOut[0].Data != "shipped:corpus" || r.HeldOut[0].BitsPerByte > 5 || r.ActiveShare < 0.1 || r.ActiveShare > 0.5 {
		t.Errorf("the result is %+v", r)
	}
	if !strings.Contains(stderr, "the corpus that the project generates") {
		t.Errorf("without --data nothing tells what was taken: %s", stderr)
	}
	want := read(t, file("whole"))

	runtime.GOMAXPROCS(2)
	// Ctrl-C, twice.
	for _, stop := range []int64{9000, 30000} {
		ctx, cancel := context.WithCancel(t.Context())
		more := []string{}
		if stop != 9000 {
			more = []string{"--resume"}
		}
		status, _, stderr := yan(ctx, func(seen int64) {
			if seen >= stop {
				cancel()
			}
		}, args("stopped", more...)...)
		cancel()
		if status != ui.Failed || !strings.Contains(stderr, "--resume") {
			t.Fatalf("stopped at %d: status %d: %s", stop, status, stderr)
		}
		if exists(file("stopped")) || !exists(file("stopped.train")) {
			t.Fatal("a stopped training leaves its state, and no model")
		}
	}
	if status, _, stderr := yan(t.Context(), nil, args("stopped", "--resume")...); status != ui.Done {
		t.Fatalf("resumed: status %d: %s", status, stderr)
	}
	if !bytes.Equal(read(t, file("stopped")), want) {
		t.Error("stopped and resumed, it came to another file")
	}

	// A machine that dies leaves what was saved last.
	kept := false
	if status, _, stderr := yan(t.Context(), func(seen int64) {
		if seen >= 20000 && !kept {
			kept = true
			put(t, file("killed.train"), string(read(t, file("alive.train"))))
		}
	}, args("alive", "--save-every", "1ns")...); status != ui.Done {
		t.Fatalf("status %d: %s", status, stderr)
	}
	if status, _, stderr := yan(t.Context(), nil, args("killed", "--resume")...); status != ui.Done {
		t.Fatalf("resumed: status %d: %s", status, stderr)
	}
	if !bytes.Equal(read(t, file("alive")), want) || !bytes.Equal(read(t, file("killed")), want) {
		t.Error("killed and resumed, it came to another file")
	}

	for _, name := range []string{"whole", "stopped", "killed"} {
		if _, err := png.Decode(bytes.NewReader(read(t, file(name+".png")))); err != nil {
			t.Errorf("%s: its loss curve: %v", name, err)
		}
		for _, suffix := range []string{trainSuffix, curveSuffix} {
			if exists(file(name + suffix)) {
				t.Errorf("%s is left", name+suffix)
			}
		}
	}
	m, err := model.Load(want)
	if err != nil {
		t.Fatal(err)
	}
	if m.Background.Len() == 0 {
		t.Error("the model has no background, so no device can learn on it")
	}
	if rest, err := filepath.Glob(file(".part-*")); err != nil || len(rest) > 0 {
		t.Errorf("%v are left, %v", rest, err)
	}
	f, err := model.ReadTensors(want)
	if err != nil {
		t.Fatal(err)
	}
	if f.Meta["note.licence"] != "none needed" || f.Meta["note.data"] != "shipped:corpus" ||
		f.Meta["note.command"] != "yan-train --config tiny.json --half" {
		t.Errorf("its notes are %v", f.Meta)
	}
}

// Stopped when all is learnt and the measuring has begun, the model is there, and --resume ends the rest.
func TestStoppedWhileMeasuring(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	args := []string{"--config", put(t, filepath.Join(dir, "tiny.json"), tiny), "--bytes", "3000", "--out", out}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	status, stdout, stderr := yan(ctx, func(seen int64) {
		if seen >= 3000 {
			cancel()
		}
	}, args...)
	if status != ui.Failed || stdout != "" || !strings.Contains(stderr, "--resume") || !exists(out+trainSuffix) {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	want := read(t, out)
	status, stdout, stderr = yan(t.Context(), func(int64) { t.Error("a step was taken") }, append(args, "--resume")...)
	if status != ui.Done || !strings.Contains(stdout, "shipped:corpus") || exists(out+trainSuffix) || !bytes.Equal(read(t, out), want) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// A file named twice is read twice, and measured once; bytes that are no UTF-8 are bytes like others.
func TestData(t *testing.T) {
	dir := t.TempDir()
	cfg := put(t, filepath.Join(dir, "tiny.json"), tiny)
	raw := put(t, filepath.Join(dir, "raw"), strings.Repeat("\xff\xfe\x00\x80 not text \xc3", 300))
	tsv := put(t, filepath.Join(dir, "say.tsv"), strings.Repeat("a\tfirst\n", 50)+strings.Repeat("b\tsecond\n", 50))
	out := filepath.Join(dir, "out")
	status, stdout, stderr := yan(t.Context(), nil, "--config", cfg, "--bytes", "6000", "--out", out, "--json",
		"--data", "text:"+raw, "--data", "tsv:"+tsv, "--data", "text:"+raw)
	if status != ui.Done {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var r result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.HeldOut) != 2 || r.HeldOut[0].Data != "text:"+raw || r.HeldOut[1].Data != "tsv:"+tsv || r.HeldOut[0].Bytes != 450 {
		t.Errorf("held out: %+v", r.HeldOut)
	}
	f, err := model.ReadTensors(read(t, out))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Meta["note.data"]; got != "text:raw, tsv:say.tsv, text:raw" {
		t.Errorf("its data is noted as %q", got)
	}
	for _, v := range f.Meta {
		if strings.Contains(v, dir) {
			t.Errorf("a note tells where files lie on this machine: %q", v)
		}
	}
}

func TestWithoutHoldout(t *testing.T) {
	dir := t.TempDir()
	cfg := put(t, filepath.Join(dir, "tiny.json"), tiny)
	status, stdout, stderr := yan(t.Context(), nil, "--config", cfg, "--bytes", "3000", "--holdout", "0",
		"--data", "text:"+put(t, filepath.Join(dir, "text"), strings.Repeat("over and over. ", 200)), "--out", filepath.Join(dir, "out"))
	if status != ui.Done || !strings.Contains(stdout, "parameters") || strings.Contains(stdout, "held out") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// The numbers of the presets are how the models that ship were made.
func TestPresets(t *testing.T) {
	for name, want := range map[string]learning.TrainConfig{
		"small":  {Model: model.Small(), Bytes: 1_500_000, Batch: 8, Rate: 0.003, Window: 128},
		"base":   {Model: model.Base(), Bytes: 16_000_000, Batch: 16, Rate: 0.0025, Dropout: 0.05},
		"pocket": {Model: model.Pocket(), Bytes: 3_000_000, Batch: 8, Rate: 0.004},
		"tiny":   {Model: model.Tiny(), Bytes: 3_000_000, Batch: 8, Rate: 0.006, Survey: 640},
	} {
		c := command(nil)
		if err := c.ParseFlags([]string{"--out", "x", "--config", name}); err != nil {
			t.Fatal(err)
		}
		got, err := readConfig(options{config: name}, c.Flags())
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v", name, got, err)
		}
	}
	c := command(nil)
	if err := c.ParseFlags([]string{"--out", "x", "--seed", "7", "--dropout", "0", "--batch", "2"}); err != nil {
		t.Fatal(err)
	}
	got, err := readConfig(options{config: "base", seed: 7, batch: 2}, c.Flags())
	if err != nil || got.Seed != 7 || got.Dropout != 0 || got.Batch != 2 || got.Rate != 0.0025 {
		t.Errorf("flags over a preset make %+v, %v", got, err)
	}
}

// A base may be trained by any of the optimizers, grown from few sections, and comes to another file by each.
func TestOptimizersAndGrowth(t *testing.T) {
	dir := t.TempDir()
	cfg := put(t, filepath.Join(dir, "grow.json"), strings.Replace(strings.Replace(tiny, `"sections": 16`, `"sections": 32`, 1),
		`"seed": 3`, `"growth": {"from": 16, "span": 4096, "fall": 0.5}, "seed": 3`, 1))
	seen := map[string]string{}
	for _, name := range []string{"adam", "sgd", "muon"} {
		out := filepath.Join(dir, name)
		status, stdout, stderr := yan(t.Context(), nil, "--config", cfg, "--out", out, "--bytes", "20000", "--optimizer", name, "--json")
		if status != ui.Done {
			t.Fatalf("%s: status %d: %s", name, status, stderr)
		}
		var r result
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		b := read(t, out)
		m, err := model.Load(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.Config.Sections != 32 || r.Parameters != m.Parameters() || r.ActiveShare > 0.3 {
			t.Errorf("%s: %d sections and %d parameters, told as %+v", name, m.Config.Sections, m.Parameters(), r)
		}
		for other, file := range seen {
			if file == string(b) {
				t.Errorf("%s comes to the file of %s", name, other)
			}
		}
		seen[name] = string(b)
	}
}

// Everything that can be wrong is said in one line, with what to do, before a step is taken, and what is
// there stays as it is.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string { return put(t, filepath.Join(dir, name), content) }
	cfg := file("tiny.json", tiny)
	good := file("good", strings.Repeat("something to read. ", 200))
	out := filepath.Join(dir, "out")

	// A training that was stopped, to be resumed wrongly.
	begin := func(name string, args ...string) string {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		path := filepath.Join(dir, name)
		yan(ctx, func(int64) { cancel() }, append([]string{"--config", cfg, "--data", "text:" + good, "--out", path}, args...)...)
		if !exists(path + trainSuffix) {
			t.Fatal("no training was left")
		}
		return path
	}
	stopped, cut, junk := begin("stopped"), begin("cut"), begin("junk")
	put(t, cut+trainSuffix, string(read(t, cut+trainSuffix)[:5000]))
	put(t, junk+trainSuffix, "this is no training")

	for _, c := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"no out", []string{"--config", cfg}, ui.BadUsage, "out"},
		{"unknown flag", []string{"--out", out, "--nonsense"}, ui.BadUsage, "--nonsense"},
		{"an argument too many", []string{"--out", out, "text:" + good}, ui.BadUsage, "text:"},
		{"empty file", []string{"--out", out, "--data", "text:" + file("empty", "")}, ui.Failed, "is empty"},
		{"one byte", []string{"--out", out, "--data", "text:" + file("one", "x")}, ui.Failed, "too few"},
		{"missing file", []string{"--out", out, "--data", "text:" + dir + "/none"}, ui.Failed, "no such file"},
		{"directory", []string{"--out", out, "--data", "text:" + dir}, ui.Failed, "is a directory"},
		{"no kind", []string{"--out", out, "--data", good}, ui.BadUsage, "kind:path"},
		{"pictures", []string{"--out", out, "--data", "images:a,b"}, ui.BadUsage, "images:"},
		{"no tab", []string{"--out", out, "--data", "tsv:" + good}, ui.Failed, "no tab"},
		{"config missing", []string{"--out", out, "--config", "huge"}, ui.BadUsage, "small, base, pocket and tiny"},
		{"config is a directory", []string{"--out", out, "--config", dir}, ui.Failed, "JSON file"},
		{"config is no JSON", []string{"--out", out, "--config", good}, ui.BadUsage, "JSON object"},
		{"config with a typo", []string{"--out", out, "--config", file("typo.json", `{"byts": 5}`)}, ui.BadUsage, "byts"},
		{"config with a tail", []string{"--out", out, "--config", file("tail.json", tiny+tiny)}, ui.BadUsage, "more than one"},
		{"config without a model", []string{"--out", out, "--config", file("none.json", `{"bytes": 5}`)}, ui.BadUsage, "width 0"},
		{"config without bytes", []string{"--out", out, "--config", file("zero.json", `{"batch": 5}`)}, ui.BadUsage, "bytes 0"},
		{"no bytes", []string{"--out", out, "--bytes", "-5"}, ui.BadUsage, "bytes -5"},
		{"rate", []string{"--out", out, "--rate", "NaN"}, ui.BadUsage, "rate NaN"},
		{"no rate", []string{"--out", out, "--rate", "0"}, ui.BadUsage, "rate 0"},
		{"optimizer", []string{"--out", out, "--optimizer", "newton"}, ui.BadUsage, "adam, sgd and muon"},
		{"dropout", []string{"--out", out, "--dropout", "1"}, ui.BadUsage, "dropout 1"},
		{"batch", []string{"--out", out, "--batch", "0"}, ui.BadUsage, "batch 0"},
		{"window", []string{"--out", out, "--window", "-1"}, ui.BadUsage, "window -1"},
		{"holdout", []string{"--out", out, "--holdout", "1"}, ui.BadUsage, "--holdout 1"},
		{"save-every", []string{"--out", out, "--save-every", "0s"}, ui.BadUsage, "--save-every"},
		{"note", []string{"--out", out, "--note", "licence"}, ui.BadUsage, "key=value"},
		{"note of ours", []string{"--out", out, "--note", "data=x"}, ui.BadUsage, "another key"},
		{"note twice", []string{"--out", out, "--note", "k=x", "--note", "k=y"}, ui.BadUsage, "into one"},
		{"out is a directory", []string{"--out", dir}, ui.Failed, "name another"},
		{"out in no folder", []string{"--out", dir + "/none/out"}, ui.Failed, "cannot be written"},
		{"out below a file", []string{"--out", good + "/out"}, ui.Failed, "cannot be written"},
		{"nothing to resume", []string{"--config", cfg, "--out", out, "--resume"}, ui.Failed, "leave out --resume"},
		{"a stopped training in the way", []string{"--config", cfg, "--data", "text:" + good, "--out", stopped}, ui.Failed, "--resume"},
		{"another seed", []string{"--config", cfg, "--data", "text:" + good, "--out", stopped, "--resume", "--seed", "9"}, ui.Failed, "config differs"},
		{"another config", []string{"--config", "small", "--data", "text:" + good, "--out", stopped, "--resume"}, ui.Failed, "config differs"},
		{"other data", []string{"--config", cfg, "--out", stopped, "--resume"}, ui.Failed, "another training"},
		{"a state cut off", []string{"--config", cfg, "--data", "text:" + good, "--out", cut, "--resume"}, ui.Failed, "damaged"},
		{"no state", []string{"--config", cfg, "--data", "text:" + good, "--out", junk, "--resume"}, ui.Failed, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			was := read(t, stopped+trainSuffix)
			status, stdout, stderr := yan(t.Context(), func(int64) { t.Error("a step was taken") }, c.args...)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			last := lines[len(lines)-1]
			if status != c.status || !strings.HasPrefix(last, "yan-train: ") || !strings.Contains(last, c.says) || stdout != "" {
				t.Errorf("status %d, want %d with %q: %s%s", status, c.status, c.says, stdout, stderr)
			}
			if strings.Count(stderr, "yan-train: ") != 1 {
				t.Errorf("more than one line of error: %s", stderr)
			}
			if exists(out) || !bytes.Equal(read(t, stopped+trainSuffix), was) {
				t.Error("files were touched")
			}
		})
	}
}

func TestHelpHasTwoExamples(t *testing.T) {
	status, stdout, _ := yan(t.Context(), nil, "--help")
	if status != ui.Done || strings.Count(stdout, "yan-train --config") < 3 {
		t.Errorf("status %d: %s", status, stdout)
	}
}
