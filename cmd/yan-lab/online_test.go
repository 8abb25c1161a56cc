package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/model/base"
)

// pocketFile is the pocket model in a file.
func pocketFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pocket.safetensors")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := base.Pocket().Write(f, false, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// Learning saves on a stream; by all weights it costs elsewhere, by the learner it does not.
func TestStream(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	file := func(name string, text []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return "text:" + path
	}
	var talk []byte
	for _, u := range dataset.Commands("music", 300, 1) {
		talk = append(talk, u+"\n"...)
	}
	status, out, errs := yanLab(t, "stream", "--model", pocketFile(t), "--data", file("talk", talk), "--keep", file("verse", dataset.Shipped("verse").Bytes()[:6000]),
		"--holdout", "1", "--seeds", "2", "--rate", "0.003", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r streamReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	rows := map[string]streamRow{}
	for _, row := range r.Rows {
		rows[row.Method] = row
	}
	if rows[byBase].Change.Mean != 0 || rows[byBase].Kept.Mean != 0 {
		t.Errorf("the base alone: %+v", rows[byBase])
	}
	for _, m := range []string{byAll, bySkill, byFast, byBoth} {
		if rows[m].Change.Max > -0.1 {
			t.Errorf("%s saves nothing: %+v", m, rows[m].Change)
		}
	}
	if all, both := rows[byAll].Kept.Mean, rows[byBoth].Kept.Mean; all < 0.05 || both > 0.02 {
		t.Errorf("elsewhere all weights cost %+.3f, the learner %+.3f", all, both)
	}
	if both := rows[byBoth].Change.Mean; both > rows[bySkill].Change.Mean || both > rows[byFast].Change.Mean {
		t.Errorf("together they save less than one alone: %+v", rows)
	}
}

// What is told is recalled, over a restart too, and the new value after it was told; who is told nothing guesses.
func TestFacts(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	status, out, errs := yanLab(t, "facts", "--model", pocketFile(t), "--facts", "30", "--others", "3000", "--seeds", "1", "--rate", "0.003",
		"--method", "untaught learner,learner,all weights", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r factsReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	none, learner, full := r.Rows[0], r.Rows[1], r.Rows[2]
	if none.After.Mean > 0.35 || none.Later.Mean > 0.35 {
		t.Errorf("who was told nothing knows: %+v", none)
	}
	if learner.After.Mean < 0.8 || learner.Later.Mean < 0.7 || learner.Changed.Mean < 0.8 {
		t.Errorf("the learner: %+v", learner)
	}
	if full.Cost.Mean < 2*max(learner.Cost.Mean, 0.01) {
		t.Errorf("all weights cost %+.3f elsewhere, the learner %+.3f", full.Cost.Mean, learner.Cost.Mean)
	}
}
