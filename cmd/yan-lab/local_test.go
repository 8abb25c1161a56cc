package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
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

// strokes writes n digits that the project draws as a data argument.
func strokes(t *testing.T, n int, seed uint64) string {
	t.Helper()
	write := func(name string, data []byte, shape ...int) string {
		b := []byte{0, 0, 8, byte(len(shape))}
		for _, k := range shape {
			b = binary.BigEndian.AppendUint32(b, uint32(k))
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, append(b, data...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var pixels, labels []byte
	for _, e := range dataset.Strokes(n, seed).Items {
		pixels, labels = append(pixels, e.Pixels...), append(labels, byte(e.Label))
	}
	return "images:" + write("images", pixels, n, 28, 28) + "," + write("labels", labels, n)
}

// Every rule is measured alike, and layers that learn are worth more than those that do not.
func TestLocal(t *testing.T) {
	r := localJSON(t, "--data", strokes(t, 200, 1), "--test", strokes(t, 100, 2), "--epochs", "3", "--batch", "8", "--seeds", "2", "--layers", "2", "--rule", "sum,backward,frozen")
	if r.Metric != "accuracy" || r.Learnt != 200 || r.Asked != 100 || len(r.Rows) != 3 {
		t.Fatalf("%+v", r)
	}
	sum, full, frozen := r.Rows[0], r.Rows[1], r.Rows[2]
	t.Log(sum, full, frozen)
	if len(sum.Layers) != 2 || sum.Score != sum.Layers[1] || sum.Score.Min == sum.Score.Max {
		t.Errorf("%+v", sum)
	}
	if sum.Score.Mean < 0.5 || full.Score.Mean < 0.5 || frozen.Score.Mean > sum.Score.Mean-0.1 {
		t.Errorf("right: sum %.2f, backward %.2f, frozen %.2f", sum.Score.Mean, full.Score.Mean, frozen.Score.Mean)
	}
	if cost := float64(sum.Forward+sum.Backward) / float64(full.Forward+full.Backward); cost > 0.65 || sum.Kept*3/2 > full.Kept {
		t.Errorf("sum costs %.2f of backward, and keeps %d of %d bytes", cost, sum.Kept, full.Kept)
	}

	text := localJSON(t, "--text", "shipped:verse", "--bytes", "20000", "--seeds", "1", "--layers", "2", "--rule", "own,frozen")
	if own, frozen := text.Rows[0], text.Rows[1]; text.Metric != "bits_per_byte" || own.Score.Mean > 5.5 || frozen.Score.Mean < own.Score.Mean+0.3 {
		t.Errorf("bits a byte: own %v, frozen %v", own.Score, frozen.Score)
	}
}

func TestLocalRefuses(t *testing.T) {
	for line, says := range map[string]string{
		"--validate --known 1.5": "a probability",
		"--epochs 0":             "above 0",
		"--rule up":              `rule "up"`,
		"--text shipped:nothing": "no such shipped data",
		"--data shipped:tones --test shipped:strokes": "images",
	} {
		if status, _, errs := yanLab(t, append([]string{"local"}, strings.Fields(line)...)...); status != ui.BadUsage || !strings.Contains(errs, says) {
			t.Errorf("%s: status %d, %s", line, status, errs)
		}
	}
}
