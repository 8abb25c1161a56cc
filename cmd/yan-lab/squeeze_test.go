package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// On what the project generates, with the pocket model: fewer bits are fewer bytes, changes are fewer than the whole, a skill with enough
// bits is worth what it is to its owner, and nothing is forgotten by any.
func TestSqueezeCommand(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	status, out, errs := yanLab(t, "squeeze", "--model", pocketFile(t), "--learn", "3072", "--every", "1024", "--held", "800", "--seeds", "1", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r squeezeReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(r.Rows) != len(formats()) || r.Own.Mean < 0.3 || len(r.Skills) != 1 {
		t.Fatalf("%d rows, a gain of %v for %v", len(r.Rows), r.Own, r.Skills)
	}
	rows := map[string]squeezeRow{}
	for _, row := range r.Rows {
		rows[row.Format] = row
		if row.Forgetting.Mean > 0.02 || row.First <= 0 || row.Later <= 0 {
			t.Errorf("%+v", row)
		}
	}
	if exact := rows["float32"]; exact.Kept.Mean < 0.99 || exact.Kept.Mean > 1.01 {
		t.Errorf("float32 keeps %v of the gain", exact.Kept)
	}
	last := rows["float32"].Later
	for _, name := range []string{"bf16", "int8", "int6", "int5", "int4", "int3", "int2", "int2, changes, top 10 %"} {
		row := rows[name]
		if row.Later >= last || row.Later > row.Plain+128 {
			t.Errorf("%s: %+v, before it %v bytes", name, row, last)
		}
		last = row.Later
	}
	alone, near := rows["int5, patches"], rows["int5, patches, slack 0.5"]
	if whole := rows["int5"]; alone.Later >= whole.Later || near.Later >= alone.Later || near.First > whole.First*1.2 {
		t.Errorf("patches of %v bytes, of versions that keep to the one before %v, of whole ones %v", alone.Later, near.Later, whole.Later)
	}
	if near.Kept.Mean < 0.95 {
		t.Errorf("what nodes send: %+v", near)
	}
	for _, args := range [][]string{{"--seeds", "0"}, {"--every", "0"}, {"--learn", "100"}, {"--held", "1"}} {
		if status, _, errs := yanLab(t, append([]string{"squeeze"}, args...)...); status != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d: %s", args, status, errs)
		}
	}
}
