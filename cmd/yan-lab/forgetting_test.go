package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
)

func yanLab(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = ui.Run(context.Background(), command(), args, &o, &e)
	return status, o.String(), e.String()
}

// The whole command on what the project generates: what is fine-tuned gains and forgets, what has a gate keeps.
func TestForgetting(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	cache := t.TempDir()
	args := []string{"forgetting", "--config", "pocket", "--course", "far", "--mode", "contiguous", "--method", "full,ours",
		"--learn", "4000", "--train", "40000", "--seeds", "1", "--cache", cache, "--json"}
	status, out, errs := yanLab(t, args...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r forgettingReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(r.Tables) != 1 || r.Tables[0].Mode != "contiguous" {
		t.Fatalf("tables: %+v", r.Tables)
	}
	rows := map[string]forgettingRow{}
	for _, row := range r.Tables[0].Rows {
		rows[row.Method] = row
	}
	full, ours := rows["full"], rows["ours"]
	if full.Gain.Mean < 0.3 || full.Kept != 1 || (full.Forgot == nil) != (full.Forgetting.Mean <= nothing) {
		t.Errorf("full fine-tuning: %+v", full)
	}
	if ours.Gain.Mean < 0.1 || ours.Forgetting.Mean > 0.02 {
		t.Errorf("ours: %+v", ours)
	}
	if fast := rows["ours, nothing named, with the fast layer"]; fast.Gain.Mean < 0.1 || fast.Forgetting.Mean > 0.03 {
		t.Errorf("with the fast layer: %+v", fast)
	}
	if replay := rows["full, 20 % replay"]; replay.Forgetting.Mean >= full.Forgetting.Mean {
		t.Errorf("replay does not help: %+v", replay)
	}
	if kept, err := filepath.Glob(filepath.Join(cache, "base-*")); err != nil || len(kept) != 1 {
		t.Errorf("%v is kept, %v", kept, err)
	}
	t.Run("ablate", func(t *testing.T) { ablatesOn(t, cache) }) // on the same base
}

// ablatesOn checks that what a mechanism is for shows in a table without it.
func ablatesOn(t *testing.T, cache string) {
	args := []string{"ablate", "--config", "pocket", "--mode", "interleaved", "--method", "ours,always open,likelihood",
		"--learn", "6000", "--train", "40000", "--seeds", "1", "--cache", cache, "--json"}
	status, out, errs := yanLab(t, args...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r forgettingReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	rows := map[string]forgettingRow{}
	for _, row := range r.Tables[0].Rows {
		rows[row.Method] = row
	}
	ours, gates, open := rows["ours"], rows["– likelihood: by gates alone"], rows["– gates, likelihood: always open"]
	if len(rows) != 7 || ours.Gain.Mean < 0.1 || ours.Forgetting.Mean > 0.03 {
		t.Errorf("%d rows, ours %+v", len(rows), ours)
	}
	if open.Forgetting.Mean < 2*max(ours.Forgetting.Mean, 0.01) || gates.Forgetting.Mean < ours.Forgetting.Mean && gates.Gain.Mean > ours.Gain.Mean {
		t.Errorf("always open forgets %v, by gates %+v, by likelihood %+v: the table sees nothing", open.Forgetting.Mean, gates, ours)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"forgetting", "--course", "further"}, "--course further"},
		{[]string{"forgetting", "--mode", "mixed"}, "--mode mixed"},
		{[]string{"forgetting", "--seeds", "0"}, "--seeds 0"},
		{[]string{"ablate", "--course", "further"}, "--course further"},
		{[]string{"forgetting", "--config", "huge"}, "--config huge"},
		{[]string{"hardness", "--alpha", "2"}, "--alpha 2"},
		{[]string{"hardness", "--demand", "9"}, "--demand 9"},
		{[]string{"hardness", "--bytes", "10"}, "--bytes 10"},
		{[]string{"forget"}, "forget"},
	} {
		status, out, errs := yanLab(t, c.args...)
		if status != 2 || !strings.Contains(errs, c.says) || out != "" {
			t.Errorf("%v: status %d, stdout %q, stderr %q", c.args, status, out, errs)
		}
	}
}

// Cut into utterances and put together again, a text is what it was; in turn, each context comes as often.
func TestStreams(t *testing.T) {
	text := dataset.Shipped("prose").Bytes()[:5000]
	list := utterances(text, least)
	if len(list) < 10 || !bytes.Equal(slices.Concat(list...), text) {
		t.Errorf("%d utterances are not the text", len(list))
	}
	a, b := [][]byte{[]byte("old one"), []byte("old two\n"), []byte("old three")}, [][]byte{[]byte("new one "), []byte("new two\n\n")}
	s := interleaved(a, b)
	if got := string(s.text); got != "old one\nnew one\nold two\nnew two\n" {
		t.Errorf("interleaved: %q", got)
	}
	for i, l := range s.lesson {
		if want := i / 8 % 2; l != want-1 || s.place[i] != i%8 {
			t.Fatalf("byte %d is of lesson %d, place %d", i, l, s.place[i])
		}
	}
	nats := make([]float64, len(s.text))
	for i := range nats {
		nats[i] = math.Ln2 * float64(2+s.lesson[i])
	}
	if m := mean(nats, s); math.Abs(m.known-1) > 1e-12 || math.Abs(m.lessons-2) > 1e-12 {
		t.Errorf("mean %+v", m)
	}
}

// changed lists the numbers of a base that learning moved.
func changed(t *testing.T, b *baseline, s *stream) (at []int, m *model.Model) {
	t.Helper()
	from := base.Pocket().Thaw()
	m, err := b.learn(context.Background(), base.Pocket(), s, dataset.Shipped("verse").Bytes(), 0.01, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range from.Weights {
		if m.Weights[i] != w {
			at = append(at, i)
		}
	}
	return at, m
}

// Each baseline moves what it is said to move, and nothing else.
func TestBaselinesMoveTheirPart(t *testing.T) {
	s := contiguous(utterances(dataset.Shipped("prose").Bytes()[:1500], least), 0)
	within := func(at []int, list []stretch) (n int) {
		for _, i := range at {
			if slices.ContainsFunc(list, func(s stretch) bool { return s.from <= i && i < s.to }) {
				n++
			}
		}
		return n
	}
	p := base.Pocket().Thaw()
	every := secondMatrices(p, nil)
	for _, b := range baselines {
		at, m := changed(t, &b, s)
		in := within(at, every)
		switch b.name {
		case "W2 alone", "W2 by TF-IDF":
			if in == 0 || in != len(at) {
				t.Errorf("%s: moved %d numbers, %d of them in W2", b.name, len(at), in)
			}
			most := p.Config.Layers * p.Config.Sections * p.Config.SectionSize() / 3
			if b.name == "W2 by TF-IDF" {
				most /= specificShare
			}
			if in > most {
				t.Errorf("%s: moved %d numbers, at most %d are its", b.name, in, most)
			}
		default:
			if in == 0 || in == len(at) {
				t.Errorf("%s: moved %d numbers, %d of them in W2", b.name, len(at), in)
			}
		}
		_ = m
	}
	one := baseline{name: "rank 1", rank: 1}
	_, m := changed(t, &one, s)
	for _, tensor := range p.Tensors() {
		if tensor.Name != "head" {
			continue
		}
		cols := tensor.Shape[1]
		d := func(r, c int) float64 {
			i := tensor.Off + r*cols + c
			return float64(m.Weights[i]) - float64(p.Weights[i])
		}
		if d(101, 3) == 0 {
			t.Fatal("the head did not move")
		}
		for r := range 20 { // of a change of rank one every minor is nothing, up to rounding
			minor, size := d(101, 3)*d(r+97, r+5)-d(101, r+5)*d(r+97, 3), math.Abs(d(101, 3)*d(r+97, r+5))
			if math.Abs(minor) > 1e-3*size+1e-9 {
				t.Fatalf("minor %d is %g beside %g", r, minor, size)
			}
		}
	}
}

// What is known already is read and not learnt: where nothing else comes, nothing moves.
func TestNothingIsLearntFromWhatIsKnown(t *testing.T) {
	s := contiguous(utterances(dataset.Shipped("prose").Bytes()[:800], least), known)
	for _, b := range []baseline{{name: "full"}, {name: "low rank", rank: 4}} {
		if at, _ := changed(t, &b, s); len(at) > 0 {
			t.Errorf("%s: %d numbers moved", b.name, len(at))
		}
	}
}
