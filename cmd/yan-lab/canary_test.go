package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// On the pocket model: what was shared tells its secrets to who looks for them, so the search can find what is there. Of an
// owner who shares nothing, or something else, it finds as much as of one who never said them, and of one who
// keeps within a budget no more than chance.
func TestCanary(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	at := []string{"canary", "--model", pocketFile(t), "--say", "2048", "--repeat", "16", "--rehearse", "1", "--candidates", "256", "--seeds", "2", "--epsilon", "8", "--json"}
	look := func(more ...string) map[string]canaryRow {
		status, out, errs := yanLab(t, append(at, more...)...)
		if status != 0 {
			t.Fatalf("status %d: %s", status, errs)
		}
		var r canaryReport
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		rows := map[string]canaryRow{}
		for _, row := range r.Rows {
			rows[row.Life] = row
		}
		return rows
	}
	rows := look()
	if row := rows["shared"]; row.P > 1e-6 || row.Exposure.Mean < 4 || row.Learnt == nil || row.LearntP > 1e-3 || row.Secrets != 16 || row.Gain == nil || row.Gain.Mean < 0.02 {
		t.Errorf("shared without noise, and not found: %+v", row)
	}
	for _, life := range []string{"private", "neighbour", "ε 8"} {
		if row := rows[life]; row.P < 0.01 || row.Learnt != nil && row.LearntP < 0.01 || row.Found > 0 || row.Secrets != 16 {
			t.Errorf("%s: %+v", life, row)
		}
	}
	if quiet, loud := rows["private"].Sent.Mean, rows["neighbour"].Sent.Mean; quiet > 1000 || loud < 10_000 {
		t.Errorf("%v bytes are sent where nothing is shared, and %v where a neighbour is", quiet, loud)
	}
	if row := look("--repeat", "0")["shared"]; row.P < 0.01 {
		t.Errorf("never said, and found: %+v", row)
	}
	for _, args := range [][]string{{"--seeds", "0"}, {"--say", "10"}, {"--candidates", "2"}, {"--epsilon", "-3"}} {
		if status, _, errs := yanLab(t, append([]string{"canary"}, args...)...); status != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d: %s", args, status, errs)
		}
	}
}
