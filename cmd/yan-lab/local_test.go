package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

func localJSON(t *testing.T, args ...string) (r localReport) {
	t.Helper()
	status, out, errs := yanLab(t, append([]string{"local", "--json"}, args...)...)
	if status != ui.Done {
		t.Fatalf("%v: status %d: %s", args, status, errs)
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// Every rule is measured alike, and layers that learn are worth more than those that do not.
func TestLocal(t *testing.T) {
	r := localJSON(t, "--data", "shipped:strokes", "--test", "shipped:strokes", "--validate", "--epochs", "0.7", "--batch", "8", "--seeds", "2", "--layers", "3", "--rule", "sum,backward,frozen")
	if r.Metric != "accuracy" || r.Learnt != 900 || r.Asked != 100 || len(r.Rows) != 3 {
		t.Fatalf("%+v", r)
	}
	sum, full, frozen := r.Rows[0], r.Rows[1], r.Rows[2]
	t.Log(sum, full, frozen)
	if len(sum.Layers) != 3 || sum.Score != sum.Layers[2] || sum.Score.Min == sum.Score.Max {
		t.Errorf("%+v", sum)
	}
	if sum.Score.Mean < 0.5 || full.Score.Mean < 0.5 || frozen.Score.Mean > sum.Score.Mean-0.1 {
		t.Errorf("right: sum %.2f, backward %.2f, frozen %.2f", sum.Score.Mean, full.Score.Mean, frozen.Score.Mean)
	}
	if cost := float64(sum.Forward+sum.Backward) / float64(full.Forward+full.Backward); cost > 0.65 || sum.Kept*2 > full.Kept {
		t.Errorf("sum costs %.2f of backward, and keeps %d of %d bytes", cost, sum.Kept, full.Kept)
	}

	text := localJSON(t, "--text", "shipped:verse", "--bytes", "30000", "--seeds", "1", "--layers", "2", "--rule", "own,frozen")
	if own, frozen := text.Rows[0], text.Rows[1]; text.Metric != "bits_per_byte" || own.Score.Mean > 5 || frozen.Score.Mean < own.Score.Mean+0.3 {
		t.Errorf("bits a byte: own %v, frozen %v", own.Score, frozen.Score)
	}
}

func TestLocalRefuses(t *testing.T) {
	for line, says := range map[string]string{
		"--epochs 0": "above 0",
		"--rule up --data shipped:strokes --test shipped:strokes": `rule "up"`,
		"--known 2 --data shipped:strokes --test shipped:strokes": "out of range",
		"--text shipped:nothing":                                  "no such shipped data",
		"--data shipped:tones --test shipped:strokes":             "images",
	} {
		if status, _, errs := yanLab(t, append([]string{"local"}, strings.Fields(line)...)...); status != ui.BadUsage || !strings.Contains(errs, says) {
			t.Errorf("%s: status %d, %s", line, status, errs)
		}
	}
}
