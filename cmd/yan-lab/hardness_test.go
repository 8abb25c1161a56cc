package main

import (
	"encoding/json"
	"math"
	"testing"
)

// A base whose gates are the sparsemax works harder on hard bytes than one whose gates are half shifted thresholds.
func TestHardness(t *testing.T) {
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	status, out, errs := yanLab(t, "hardness", "--config", "pocket", "--train", "40000", "--seeds", "1", "--bytes", "2000",
		"--alpha", "0.5,1", "--kappa", "0.3", "--cache", t.TempDir(), "--json")
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
	if len(rows) != 4 {
		t.Fatalf("rows %v", rows)
	}
	if a, b := rows["alpha 0.5"].Ratio.Mean, rows["alpha 1"].Ratio.Mean; a >= b {
		t.Errorf("half shifted %v, sparsemax %v", a, b)
	}
	still, moves := rows["alpha 0.5"], rows["alpha 0.5, moving by 0.3"]
	if moves.Ratio.Mean <= still.Ratio.Mean || math.Abs(moves.Mean-still.Mean) > 0.15*still.Mean {
		t.Errorf("moving with entropy: %+v, at rest %+v", moves, still)
	}
}

// What always goes on alike leaves nothing open, what may go on in many ways much.
func TestEntropies(t *testing.T) {
	text := []byte("abababababaxcaxdaxeaxfaxgaxhaxiaxj")
	table := entropies(text)
	pair := func(s string) float64 { return table[int(s[0])<<8|int(s[1])] }
	if !(pair("ba") < pair("ax")) {
		t.Errorf("after ba %v, after ax %v", pair("ba"), pair("ax"))
	}
	if pair("zz") != 1.5 {
		t.Errorf("a pair that never came: %v", pair("zz"))
	}
	for i, v := range table {
		if !(v >= -1.5 && v <= 1.5) {
			t.Fatalf("pair %x: %v", i, v)
		}
	}
}
