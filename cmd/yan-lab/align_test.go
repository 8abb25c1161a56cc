package main

import (
	"encoding/json"
	"testing"
)

// With a central devices hold fewer skills than without, and what they hold of others is nearer to what others hold.
func TestAlign(t *testing.T) {
	var rows []alignRow
	status, out, errs := yanLab(t, "align", "--devices", "6", "--skills", "2", "--learn", "700", "--seeds", "1", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if status, _, _ := yanLab(t, "align", "--devices", "3", "--skills", "2"); status != 2 {
		t.Errorf("three devices for two skills: status %d", status)
	}
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	alone, without, with := rows[0], rows[1], rows[2]
	if alone.Banks.Mean != 1 || without.Banks.Mean < 4 || with.Banks.Mean >= without.Banks.Mean {
		t.Errorf("skills a device: %v alone, %v without and %v with a central", alone.Banks.Mean, without.Banks.Mean, with.Banks.Mean)
	}
	if without.Records.Mean != 0 || with.Records.Mean == 0 {
		t.Errorf("bytes of records: %v without, %v with a central", without.Records.Mean, with.Records.Mean)
	}
	if with.Sections.Mean >= without.Sections.Mean || without.Sections.Mean == 0 {
		t.Errorf("sections are apart by %v without and %v with a central", without.Sections.Mean, with.Sections.Mean)
	}
}
