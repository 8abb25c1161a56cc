package main

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
)

// A step goes down the slope that finite differences find.
func TestPerceptronStepsDownTheSlope(t *testing.T) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 1))
		net := newPerceptron(7, 5, 6, 3)
		x := net.start(rng)
		inputs, labels := make([]float32, 4*7), []int{0, 2, 1, 2}
		for i := range inputs {
			inputs[i] = rng.Float32()
		}
		loss := func(x []float32) float64 { _, nats := net.test(x, inputs, labels, nil); return nats }
		stepped := slices.Clone(x)
		net.step(stepped, inputs, labels, 0.25)
		kinks, here := 0, loss(x)
		for i := range x {
			const h = 2e-3
			up, down := slices.Clone(x), slices.Clone(x)
			up[i] += h
			down[i] -= h
			above, below := (loss(up)-here)/h, (here-loss(down))/h
			if math.Abs(above-below) > 2e-3 { // a unit begins to fire on the way
				kinks++
			} else if got := float64(x[i]-stepped[i]) / 0.25; math.Abs(got-(above+below)/2) > 1e-3 {
				t.Fatalf("seed %d, parameter %d: %v, where the slope is %v", seed, i, got, (above+below)/2)
			}
		}
		if kinks > len(x)/4 {
			t.Errorf("seed %d: %d of %d parameters have no slope", seed, kinks, len(x))
		}
	}
}

// Shards are dealt whole: nobody is left out, nobody has more than two shards' classes.
func TestShards(t *testing.T) {
	labels := make([]int, 1000)
	for i := range labels {
		labels[i] = i * 7 % 10
	}
	seen := make([]int, len(labels))
	for _, part := range shards(labels, 16, 2, rand.New(rand.NewPCG(1, 1))) {
		classes := map[int]bool{}
		for _, i := range part {
			seen[i]++
			classes[labels[i]] = true
		}
		if len(classes) > 4 {
			t.Errorf("%d classes in two shards", len(classes))
		}
	}
	if slices.Min(seen) != 1 || slices.Max(seen) != 1 {
		t.Errorf("examples are dealt %d to %d times", slices.Min(seen), slices.Max(seen))
	}
}

// smallGround is a society's place in a test: few digits that the project draws, and a small net.
func smallGround(rounds int) *ground {
	train, test := newPile(dataset.Strokes(800, 1).Items), newPile(dataset.Strokes(300, 2).Items)
	return &ground{ctx: context.Background(), net: newPerceptron(train.width, 12, arenaClasses), train: train, test: test, rounds: rounds, seed: 1, tell: func(tally) {}}
}

func TestArenaOfBytes(t *testing.T) {
	g := smallGround(10)
	if err := g.bytes(); err != nil {
		t.Fatal(err)
	}
	by := map[string]tally{}
	for _, x := range g.tallies {
		by[x.way+", "+x.of] = x
	}
	full, ours := by["all parameters, 3 strangers each round"], by["ours: steps of 2, 6 strangers each round"]
	if bare := float64(g.rounds * 3 * 4 * g.net.size()); full.sent < bare || full.sent > 1.02*bare {
		t.Errorf("all parameters: %.0f bytes sent, where the parameters alone are %.0f", full.sent, bare)
	}
	if ours.sent > full.sent/5 || ours.sent == 0 {
		t.Errorf("ours sends %.0f bytes, all parameters %.0f", ours.sent, full.sent)
	}
	if len(by) != 5 || ours.accuracy < 0.3 || by["steps of 2, no feedback, 6 strangers each round"].accuracy > ours.accuracy-0.05 {
		t.Errorf("%+v", by)
	}
}

// What is to break plain averaging does, but two that need more rounds, and nobody who judges by its own examples is broken by any.
func TestArenaOfPoison(t *testing.T) {
	g := smallGround(20)
	var plain, ours policy
	for _, p := range policies() {
		switch p.name {
		case "plain averaging":
			plain = p
		case "ours":
			ours = p
		}
	}
	parts := evenly(len(g.train.labels), 3, rand.New(rand.NewPCG(1, 1)))
	run := func(p policy, a attack, hostile int) float64 {
		if err := g.meet(g.newSociety(parts, hostile), a, p, hostile, a.name); err != nil {
			t.Fatal(err)
		}
		return g.tallies[len(g.tallies)-1].accuracy
	}
	clean := run(plain, attack{}, 0)
	if clean < 0.7 {
		t.Fatalf("the honest alone come to %.2f", clean)
	}
	for _, a := range append(collusions(), nuisances()[0]) {
		broken, held := run(plain, a, 6), run(ours, a, 6)
		t.Logf("%s: %.3f by plain averaging, %.3f by judging, %.3f without it", a.name, broken, held, clean)
		if held < clean-0.1 {
			t.Errorf("%s: %.3f where %.3f is reached without it", a.name, held, clean)
		}
		if broken > clean-0.1 && !slices.Contains([]string{"ALIE", "dissensus"}, a.name) {
			t.Errorf("%s: plain averaging keeps %.3f of %.3f: no attack", a.name, broken, clean)
		}
	}
}

func TestArenaIsReported(t *testing.T) {
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	status, out, errs := yanLab(t, "arena", "diverse", "--rounds", "2", "--seeds", "2", "--only", "a", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r arenaReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Arena != "diverse" || r.Rounds != 2 || len(r.Cells) != 3 || r.Learnt == 0 || r.Asked == 0 {
		t.Errorf("%+v", r)
	}
	for _, c := range r.Cells {
		if c.Accuracy.Min > c.Accuracy.Max || c.Accuracy.Max <= 0 {
			t.Errorf("%+v", c)
		}
	}
	for _, args := range [][]string{{"arena"}, {"arena", "nothing"}, {"arena", "bytes", "--seeds", "0"}, {"arena", "poison", "--only", "nobody"}} {
		if status, _, _ := yanLab(t, args...); status == 0 {
			t.Errorf("%v: no error", args)
		}
	}
}
