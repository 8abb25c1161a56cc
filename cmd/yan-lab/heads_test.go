package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/ui"
)

// Heads that are taught class by class know every class at the end, in words, pictures and movements; a softmax that is taught
// so knows the last ones. The commands compare the heads with those that were taught at once themselves.
func TestHeads(t *testing.T) {
	t.Setenv("YAN_DATA", t.TempDir()+"/none") // what the project draws, speaks and moves
	for name, c := range map[string]struct {
		trials int
		least  float64
	}{"digits": {1, 0.9}, "sounds": {7, 0.6}, "motions": {3, 0.7}} {
		t.Run(name, func(t *testing.T) {

			status, out, errs := yanLab(t, name, "--seeds", "2", "--features", "200", "--json")
			if status != 0 {
				t.Fatalf("status %d: %s", status, errs)
			}
			var r headReport
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatal(err)
			}
			if len(r.Rows) != c.trials || !r.EqualToJoint || r.Features != 200 || r.Seeds != 2 || !strings.Contains(errs, "data: ") {
				t.Errorf("%d trials: %+v; %s", len(r.Rows), r, errs)
			}
			for _, row := range r.Rows {
				if row.Head.Min < c.least || row.Head.Mean < row.NearestMean.Mean || row.Head.Max > 1 {
					t.Errorf("%s: the head is right about %+v, the nearest mean about %+v", row.Trial, row.Head, row.NearestMean)
				}
				if row.InTasks.Max > 0.7 {
					t.Errorf("%s: a softmax taught task by task forgets nothing: %+v", row.Trial, row.InTasks)
				}
				if row.Learnt == 0 || row.Asked == 0 || len(row.After) == 0 || row.After[len(row.After)-1] != row.Head {
					t.Errorf("%+v", row)
				}
			}
			if first := r.Rows[0].After; len(first) < 2 || first[0].Mean < first[len(first)-1].Mean-0.01 {
				t.Errorf("after each task: %+v", first)
			}
		})
	}
}

// The order of tasks and whose head it is are chance, and nothing else: the same seed gives the same answers.
func TestHeadsAreRepeatable(t *testing.T) {
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	ask := func(seed string) string {
		status, out, errs := yanLab(t, "motions", "--seeds", "1", "--seed", seed, "--features", "100", "--json")
		if status != 0 {
			t.Fatalf("status %d: %s", status, errs)
		}
		return out
	}
	one := ask("5")
	if ask("5") != one {
		t.Error("the same seed gives another report")
	}
	if ask("6") == one {
		t.Error("another seed gives the same report")
	}
}

func TestHeadsRefuse(t *testing.T) {
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no seeds":          {[]string{"digits", "--seeds", "0"}, ui.BadUsage, "must be at least 1"},
		"no features":       {[]string{"sounds", "--features", "0"}, ui.BadUsage, "must be at least 1"},
		"a test alone":      {[]string{"digits", "--test", "shipped:strokes"}, ui.BadUsage, "--data and --test go together"},
		"another kind":      {[]string{"sounds", "--data", "shipped:strokes"}, ui.BadUsage, "data belongs here"},
		"a file that isn't": {[]string{"motions", "--data", "sensors:no.gz,no.gz,no.gz"}, ui.Failed, "no.gz"},
	} {
		status, out, errs := yanLab(t, c.args...)
		if status != c.status || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%s: status %d, %q, %q", name, status, out, errs)
		}
	}
}
