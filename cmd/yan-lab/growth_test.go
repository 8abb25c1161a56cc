package main

import (
	"encoding/json"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The command on what the project generates, with one seed and little reading: what grows ends with ten times the sections it began
// with, and a smaller share of its parameters active.
func TestGrowthCommand(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	status, out, errs := yanLab(t, "growth", "--bytes", "150000", "--seeds", "1", "--held", "5000", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r growthReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(r.Rows) != 3 {
		t.Fatalf("%d rows", len(r.Rows))
	}
	full, grown, tenth := r.Rows[0], r.Rows[1], r.Rows[2]
	if grown.From != tenth.To || grown.Growths == 0 || grown.To <= 2*grown.From || grown.Last.Mean >= grown.First || full.Against.Mean != 0 || tenth.Growths != 0 {
		t.Errorf("grown: %+v, of %+v", grown, full)
	}
	for _, row := range r.Rows {
		if row.Bits.Mean > 4 || row.Bits.Mean < 0.2 {
			t.Errorf("%s: %v bits a byte", row.Base, row.Bits)
		}
	}
	for _, bad := range [][]string{{"--config", "huge"}, {"--bytes", "5"}, {"--seeds", "0"}} {
		if status, _, errs := yanLab(t, append([]string{"growth"}, bad...)...); status != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d: %s", bad, status, errs)
		}
	}
}

// Every optimizer learns the digits that the project draws less surprising than guesses, and what each spent is told.
func TestOptimizersCommand(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	image := filepath.Join(t.TempDir(), "curves.png")
	status, out, errs := yanLab(t, "optimizers", "--most", "250", "--asked", "100", "--tune", "40", "--epochs", "6", "--seeds", "1", "--goal", "0.3", "--plot", image, "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r optimizersReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(r.Rows) != len(optimizerNames) || r.Train != 250 || r.Test != 100 {
		t.Fatalf("%d rows of %d digits", len(r.Rows), r.Train)
	}
	state := map[string]float64{"sgd": 4, "adam": 8, "l-bfgs": 184}
	for _, row := range r.Rows {
		curve := row.Curves[0]
		last := curve[len(curve)-1]
		if last.MACs < 1e8 || last.Loss > min(curve[0].Loss, math.Log(10)) {
			t.Errorf("%s: %.3f right, %+v", row.Method, row.Accuracy.Mean, last)
		}
		if row.Method == "adam" && row.Accuracy.Mean < 0.3 {
			t.Errorf("%s has %.3f right", row.Method, row.Accuracy.Mean)
		}
		if want := state[row.Method]; want > 0 && (row.State < want || row.State > 1.05*want) {
			t.Errorf("%s remembers %v bytes a parameter, want %v", row.Method, row.State, want)
		}
		if (row.Method == "l-bfgs") != (row.Rate == 0) {
			t.Errorf("%s at the rate %v", row.Method, row.Rate)
		}
	}
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Error(err)
	}
	if status, _, errs := yanLab(t, "optimizers", "--method", "newton"); status != 2 || !strings.Contains(errs, "l-bfgs") {
		t.Errorf("status %d: %s", status, errs)
	}
}
