package main

import (
	"encoding/json"
	"math"
	"testing"
)

// A base with a demand works harder on hard bytes than one without, at about the same budget.
func TestHardness(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	status, out, errs := yanLab(t, "hardness", "--config", "pocket", "--train", "20000", "--seeds", "1", "--bytes", "2000",
		"--alpha", "0.5", "--demand", "0,0.4", "--cache", t.TempDir(), "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r struct{ Rows []hardnessRow }
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	rows := map[string]hardnessRow{}
	for _, row := range r.Rows {
		rows[row.Mind] = row
		if !(row.Bits.Mean > 0 && row.Bits.Mean < 8) || !(row.Mean > 0) || row.Ratio.Mean <= 0 {
			t.Errorf("%+v", row)
		}
	}
	if len(rows) != 3 {
		t.Fatalf("rows %v", rows)
	}
	still, demands := rows["alpha 0.5, demand 0"], rows["alpha 0.5, demand 0.4"]
	if demands.Ratio.Mean < 1.3*still.Ratio.Mean || math.Abs(demands.Mean-still.Mean) > 0.25*still.Mean {
		t.Errorf("with a demand %+v, without %+v", demands, still)
	}
}
