package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/cmd/internal/speed"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
)

// smallPlan measures everything, nothing for long, and calls a small shape by the name of a large one, so that others'
// figures stand beside it.
func smallPlan(*benchFlags) speed.Plan {
	shape := speed.Shape{Name: "15M", Config: model.Pocket()}
	return speed.Plan{Segment: time.Millisecond, Rounds: 2, Patience: time.Minute, Limit: time.Hour, Contexts: []int{0, 1000}, Prefill: []int{512},
		Shapes: []speed.Shape{shape}, Training: []speed.Shape{{Name: "5M", Config: model.Pocket()}}, Memory: 1 << 20}
}

// bench runs the command by itself with these flags.
func bench(ctx context.Context, c common, planned func(*benchFlags) speed.Plan, args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	status = ui.Run(ctx, benchCommand(&c, planned), args, &o, &e)
	return status, o.String(), e.String()
}

func TestBenchInJSON(t *testing.T) {
	file := pocket(t)
	status, out, errs := bench(t.Context(), common{model: file, json: true}, smallPlan)
	if status != ui.Done {
		t.Fatalf("status %d, %q", status, errs)
	}
	r := decode[map[string]any](t, out)
	if r["name"] != filepath.Base(file) || r["whole"] != true {
		t.Errorf("%v, whole: %v", r["name"], r["whole"])
	}
	positive := func(what string, v any) {
		if f, ok := v.(float64); !ok || !(f > 0) || math.IsInf(f, 0) {
			t.Errorf("%s is %v", what, v)
		}
	}
	for _, k := range []string{"prefill", "learn_step_ns", "state_bytes", "share_of_peak"} {
		positive(k, r[k])
	}
	peak, _ := r["peak"].(map[string]any)
	positive("fma_gflops", peak["fma_gflops"])
	positive("read_gbps", peak["read_gbps"])
	places, _ := r["decode"].([]any)
	for i, p := range places {
		p, _ := p.(map[string]any)
		positive("events_per_second", p["events_per_second"])
		if p["context"] != []any{0., 1000.}[i] {
			t.Errorf("place %d is %v", i, p["context"])
		}
	}
	shapes, _ := r["shapes"].([]any)
	training, _ := r["training"].([]any)
	if len(places) != 2 || len(shapes) != 1 || len(training) != 1 {
		t.Errorf("%d places, %d shapes, %d trained", len(places), len(shapes), len(training))
	}
}

// People get a table for each thing that was measured, and a row for each model in it.
func TestBenchTables(t *testing.T) {
	status, out, errs := bench(t.Context(), common{}, smallPlan)
	if status != ui.Done {
		t.Fatalf("status %d, %q", status, errs)
	}
	for row, want := range map[string]int{"\nembedded base ": 4, "\n15M ": 4, "\n- llama.cpp ": 1, " 5M  ": 1, "Measured in ": 1, "\nnote: ": 0} {
		if got := strings.Count(out, row); got != want {
			t.Errorf("%d times %q, want %d, in %s", got, row, want, out)
		}
	}
}

// What stands beside others' figures is theirs, and the ratios are right.
func TestBenchBesideOthers(t *testing.T) {
	rate := speed.Rate{Median: 8232, Best: 9000, Least: 8000, Segments: 7}
	f := speed.Figures{Name: "15M", Parameters: 15004050, Weights: "bf16", WeightBytes: 30028232, Active: 0.1,
		Decode:   []speed.Decode{{Context: 0, Rate: rate}, {Context: 16000, Rate: speed.Rate{Median: 7200, Best: 7200, Least: 7200, Segments: 7}}, {Context: 100000, Rate: rate}},
		Flatness: 0.02, Share: 0.6, Early: 19656, State: 19656, Resident: 93e6, Decoding: 62e6, PeakResident: 99e6,
		Prefills: []speed.Prefill{{Events: 512, Rate: speed.Rate{Median: 16028, Best: 17000, Least: 16000, Segments: 7}}}, PrefillShare: 0.5,
		LearnStep: 300e3, LearnSpread: 0.1, Step: 100e3, Forward: 90e3}
	r := &speed.Report{Figures: f, Peak: speed.Peak{FMA: 118, Memory: 20, Cache: 110}, Machine: speed.Machine{CPU: "Some CPU", Level: "avx512", Processors: 2, Clock: "cpu"},
		Training: []*speed.Training{{Name: "25M", Parameters: 23e6, Active: 1, Rate: speed.Rate{Median: 1038, Best: 1100, Least: 996.2, Segments: 2}, Share: 0.7, Threads: 2, Faster: 1.9}},
		Pool:     &speed.Pool{ForkJoin: 1100, One: 75e3, Two: 39e3, Faster: 1.92}, Notes: []string{"nothing was left out"}, Seconds: 99}
	var out bytes.Buffer
	if err := printBench(&out, r); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"Some CPU (avx512), 2 processors",
		"peaks: 118 GFLOP/s; reading 110 GB/s from the second cache, 20 GB/s from memory",
		"bytes/s at 0 16,000 100,000 best at 0 spread flat within of read peak",
		"15M 8,232 7,200 8,232 9,000 12.1 % 2.0 % 60.0 %",
		"- llama.cpp 2,744 240",
		"- times as many bytes 3× 30×",
		"- times as many steps 12× 120×",
		"15M 512 16,028 17,000 6.2 % 50.0 % 16,028 1×",
		"15M 15,004,050 10.0 % 30.0 MB 19.7 kB 19.7 kB 62.0 MB 93.0 MB 99.0 MB 186 MB 50.0 %",
		"15M 100 µs 90.0 µs 300 µs 10.0 % 3×",
		"25M 23,000,000 100.0 % 1,038 1,100 10.0 % 70.0 % 1.9× 519 2×",
		"Two threads meet within 1.1 µs; a product of 75 µs takes 39 µs with two, 1.92× as fast.",
		"note: nothing was left out",
		"Measured in 99 s.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

// Who stops it gets what was measured until then, and a status that says so.
func TestBenchStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	status, out, errs := bench(ctx, common{json: true}, func(f *benchFlags) speed.Plan {
		cancel()
		return smallPlan(f)
	})
	if r := decode[speed.Report](t, out); status != ui.Failed || r.Whole || strings.Count(errs, "\n") != 1 {
		t.Errorf("status %d, whole: %v, %q", status, r.Whole, errs)
	}
	if status, out, _ := bench(ctx, common{}, smallPlan); status != ui.Failed || strings.Contains(out, "\n\n\n") {
		t.Errorf("status %d, %q", status, out)
	}
}

func TestBenchFailures(t *testing.T) {
	for name, args := range map[string][]string{
		"none.safetensors": {"--model", filepath.Join(t.TempDir(), "none.safetensors")},
		"photo.jpg":        {"--model", file(t, "photo.jpg", []byte("\xff\xd8\xff\xe0 not tensors"))},
	} {
		status, out, errs := yan(t, "", append(args, "bench")...)
		if status != ui.Failed || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, name) || !strings.Contains(errs, "leave --model out") {
			t.Errorf("%s: status %d, %q, %q", name, status, out, errs)
		}
	}
	for says, args := range map[string]string{"write one of them": "bench --quick --full", "unknown command": "bench now"} {
		if status, out, errs := yan(t, "", strings.Fields(args)...); status != ui.BadUsage || out != "" || !strings.Contains(errs, says) {
			t.Errorf("%s: status %d, %q, %q", args, status, out, errs)
		}
	}
}

// Flags choose the plan.
func TestBenchPlans(t *testing.T) {
	asJSON := func(f benchFlags) string {
		b, err := json.Marshal(f.plan())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	usual, quick, full := asJSON(benchFlags{}), asJSON(benchFlags{quick: true}), asJSON(benchFlags{full: true})
	if usual == quick || usual == full || quick == full {
		t.Error("two of three plans are one")
	}
	for _, s := range (&benchFlags{full: true}).plan().Shapes {
		if s.Far != 0 {
			t.Errorf("%s is not measured everywhere", s.Name)
		}
	}
}
