package learning

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
)

// growingTiny grows twice or more while it trains.
func growingTiny() TrainConfig {
	c := tiny()
	c.Model.Sections = 64
	c.Growth = Growth{From: 16, Span: 2048, Fall: 0.2}
	return c
}

// A model that has just grown says, to the bit, what it said before, whatever it reads; and once what was added is awake it no longer does.
func TestGrowthChangesNothing(t *testing.T) {
	for name, vary := range map[string]func(*TrainConfig){
		"usual":            func(*TrainConfig) {},
		"empty":            func(c *TrainConfig) { c.Growth.Empty = true },
		"thresholds":       func(c *TrainConfig) { c.Model.Alpha = 0 },
		"sparsemax":        func(c *TrainConfig) { c.Model.Alpha = 1 },
		"a tight budget":   func(c *TrainConfig) { c.Model.MaxActive = c.Model.Active },
		"demand":           func(c *TrainConfig) { c.Model.Demand = 3 },
		"muon":             func(c *TrainConfig) { c.Optimizer = "muon" },
		"gradient descent": func(c *TrainConfig) { c.Optimizer = "sgd" },
	} {
		cfg := growingTiny()
		vary(&cfg)
		tr := newTrainer(t, cfg, twoSources())
		for range 40 {
			tr.Step()
		}
		before := tr.Model().Thaw()
		have := before.Config.Sections
		moments, age := tr.optimizer.Moments(), *tr.optimizer.Age()
		tr.grow(16)
		checkMoments(t, name, before, tr, moments, age)
		after := tr.Model()
		if after.Config.Sections != have+16 || after.Parameters() <= before.Parameters() || after.Config.Active != before.Config.Active {
			t.Fatalf("%s: from %+v it grew to %+v", name, before.Config, after.Config)
		}
		for _, text := range [][]byte{readings(1, 3000), recipes(3, 1000), noise(1, 3000)} {
			if !sameThought(before, after, text) {
				t.Errorf("%s: it says something else once it has grown", name)
			}
		}
		for i := range after.Layers {
			for s := have; s < have+16; s++ {
				after.Layers[i].Bias[s] += wakeSteps * tr.growing.Wake[i][s]
			}
		}
		if sameThought(before, after, readings(1, 3000)) {
			t.Errorf("%s: awake, what was added says nothing: the test sees nothing", name)
		}
	}
}

// checkMoments sees that the optimizer of a model that has grown remembers what it did before.
func checkMoments(t *testing.T, name string, before *model.Model, tr *Trainer, was []gradient.Moment, age int) {
	t.Helper()
	if *tr.optimizer.Age() != age || age == 0 {
		t.Errorf("%s: %d steps old, and %d before", name, *tr.optimizer.Age(), age)
	}
	for k, now := range tr.optimizer.Moments() {
		if len(was[k].Data) != len(before.Weights) {
			if sum(was[k].Data) != sum(now.Data) {
				t.Errorf("%s: %s is another", name, now.Name)
			}
			continue
		}
		moved := false
		for i, of := range tr.Model().Tensors() {
			from := before.Tensors()[i]
			old := was[k].Data[from.Off:][:from.Len()]
			moved = moved || slices.Max(old) > 0
			if !slices.Equal(old, now.Data[of.Off:][:from.Len()]) {
				t.Errorf("%s: %s of %s is another", name, now.Name, of.Name)
			}
		}
		if !moved {
			t.Errorf("%s: %s is zero: the test sees nothing", name, now.Name)
		}
	}
}

// train trains to the end, or so many steps.
func train(tr *Trainer, steps int) (grown []int) {
	for ; steps != 0 && !tr.Done(); steps-- {
		tr.Step()
		if n := tr.Model().Config.Sections; len(grown) == 0 || grown[len(grown)-1] != n {
			grown = append(grown, n)
		}
	}
	return grown
}

// It grows where surprise persists, up to what it may, and the share of sections that are active falls with every growth. It does not
// grow where nothing surprises it, nor where it gets better fast.
func TestGrowsWhereSurprisePersists(t *testing.T) {
	slow(t)
	sizes := func(text []byte, change func(*TrainConfig)) []int {
		cfg := growingTiny()
		cfg.Dropout = 0
		change(&cfg)
		tr := newTrainer(t, cfg, []Source{{Name: "text", Text: text}})
		grown := train(tr, -1)
		tr.Calibrate()
		e := Evaluate(tr.Model(), text[:min(len(text), 4000)], nil)
		want := float64(cfg.Model.Active) / float64(tr.Model().Config.Sections)
		if len(grown) > 1 && (e.Active < 0.6*want || e.Active > 1.6*want) {
			t.Errorf("%.4f of %d sections active, want %.4f", e.Active, tr.Model().Config.Sections, want)
		}
		return grown
	}
	all := func(*TrainConfig) {}
	if g := sizes(noise(2, 30000), all); len(g) < 3 || g[0] != 16 || g[len(g)-1] != 64 {
		t.Errorf("on noise it had %v sections, want 16 to 64", g)
	}
	if g := sizes(bytes.Repeat([]byte("ab"), 3000), all); len(g) != 1 {
		t.Errorf("on what it knows it had %v sections", g)
	}
	if g := sizes(noise(2, 30000), func(c *TrainConfig) { c.Growth.Fall = -1 }); len(g) != 1 {
		t.Errorf("where getting twice as bad was still no persistence, it had %v sections", g)
	}
}

// A training that was stopped, before, while and after what it added woke, goes on to the same to the bit.
func TestResumedGrowth(t *testing.T) {
	slow(t)
	for _, name := range []string{"adam", "sgd", "muon"} {
		cfg := growingTiny()
		cfg.Optimizer = name
		save := func(tr *Trainer) []byte {
			var b bytes.Buffer
			if err := tr.Save(&b); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		}
		whole := newTrainer(t, cfg, twoSources())
		grown := train(whole, 100)
		want := save(whole)
		if len(grown) < 2 {
			t.Fatalf("%s: %v sections: the test sees no growth", name, grown)
		}
		for _, cut := range []int{5, 40, 70} {
			first := newTrainer(t, cfg, twoSources())
			train(first, cut)
			rest := newTrainer(t, cfg, twoSources())
			if err := rest.Restore(save(first)); err != nil {
				t.Fatal(err)
			}
			train(rest, 100-cut)
			if !bytes.Equal(save(rest), want) {
				t.Errorf("%s: stopped after %d steps, with %d sections, it came to something else", name, cut, first.Model().Config.Sections)
			}
		}
		saved := save(whole)
		tr := newTrainer(t, cfg, twoSources())
		for _, swap := range [][2]string{{`\"Sections\":`, `\"Sections\":9`}, {`\"Load\":[[`, `\"Load\":[[0,`}, {`\"Growing\"`, `\"Grew\"`}} {
			if err := tr.Restore(rewrite(t, saved, swap[0], swap[1])); !errors.Is(err, model.ErrCheckpoint) {
				t.Errorf("with %s for %s: %v", swap[1], swap[0], err)
			}
		}
	}
}

func TestGrowthRefuses(t *testing.T) {
	for name, change := range map[string]func(*TrainConfig){
		"from more than it may have":  func(c *TrainConfig) { c.Growth.From = 65 },
		"from fewer than are active":  func(c *TrainConfig) { c.Growth.From = 3 },
		"by less than nothing":        func(c *TrainConfig) { c.Growth.Share = -1 },
		"in stretches of no length":   func(c *TrainConfig) { c.Growth.Span = -1 },
		"where surprise is below any": func(c *TrainConfig) { c.Growth.Fall = 1 },
		"of no such optimizer":        func(c *TrainConfig) { c.Optimizer = "newton" },
	} {
		cfg := growingTiny()
		change(&cfg)
		if _, err := NewTrainer(cfg, twoSources()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
