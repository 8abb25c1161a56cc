package learning

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"testing/synctest"

	"github.com/yanmesh/yan/model"
)

// tiny trains in less than a second.
func tiny() TrainConfig {
	return TrainConfig{
		Model: model.Config{Width: 32, Layers: 2, Channels: 2, Sections: 24, Neurons: 4, KeyRank: 8, Active: 4, Alpha: 0.5, ContextLayer: 1},
		Bytes: 40000, Batch: 4, Window: 64, Segment: 1024, Rate: 0.01, Dropout: 0.05, Seed: 7,
	}
}

func twoSources() []Source {
	return []Source{{Name: "readings", Text: readings(1, 6000)}, {Name: "recipes", Text: recipes(1, 5000), Repeat: 2}}
}

func newTrainer(t *testing.T, c TrainConfig, s []Source) *Trainer {
	t.Helper()
	tr, err := NewTrainer(c, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// unigram is the entropy of single bytes, in bits: what one knows without looking back.
func unigram(text []byte) (h float64) {
	var count [256]float64
	for _, c := range text {
		count[c]++
	}
	for _, n := range count {
		if n > 0 {
			p := n / float64(len(text))
			h -= p * math.Log2(p)
		}
	}
	return h
}

func TestTrainingLearns(t *testing.T) {
	tr := newTrainer(t, tiny(), twoSources())
	first := tr.Step()
	if first.Bytes != 4*64 || tr.Seen != int64(first.Bytes) {
		t.Errorf("a step of %+v, %d seen", first, tr.Seen)
	}
	var last TrainStep
	for !tr.Done() {
		last = tr.Step()
	}
	m, err := tr.Finish(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range [][]byte{readings(99, 4000), recipes(99, 4000)} { // never seen
		e := Evaluate(m, s, nil)
		t.Logf("first step %.2f, last %.2f, held out %.3f, of single bytes %.3f, accuracy %.2f", first.Bits, last.Bits, e.Bits, unigram(s), e.Accuracy)
		if e.Bits > 0.5*unigram(s) || e.Bits > 0.4*first.Bits {
			t.Errorf("%.3f bits a byte; single bytes have %.3f, and the first step lost %.3f", e.Bits, unigram(s), first.Bits)
		}
		if e.Events != len(s)-1 {
			t.Errorf("%d events counted of %d bytes", e.Events, len(s))
		}
		target := float64(tiny().Model.Active) / float64(tiny().Model.Sections)
		if math.Abs(e.Active-target) > 0.15*target {
			t.Errorf("%.4f of sections active, want %.4f within 15 %%", e.Active, target)
		}
	}
	if m.Background.Len() == 0 {
		t.Error("a finished base has no background")
	}
	if _, err := New(Config{}, m); err != nil {
		t.Errorf("nothing can be learnt on it: %v", err)
	}
	if m.Head.F32 != nil {
		t.Error("it was not rounded to 16 bits")
	}
}

// Calibrate reaches the share it is to reach, wherever the controller has left it.
func TestCalibrate(t *testing.T) {
	for _, push := range []float32{-0.3, 0.3} {
		tr := newTrainer(t, tiny(), twoSources())
		for range 20 {
			tr.Step()
		}
		for _, l := range tr.Model().Layers {
			for s := range l.Bias {
				l.Bias[s] += push
			}
		}
		c := tiny().Model
		target := float64(c.Active) / float64(c.Sections)
		share := func() (s float64) {
			for _, src := range twoSources() {
				s += Evaluate(tr.Model(), src.Text, nil).Active / 2
			}
			return s
		}
		before := share()
		tr.Calibrate()
		if after := share(); math.Abs(after-target) > 0.15*target {
			t.Errorf("pushed by %v: share %.4f before and %.4f after, want %.4f", push, before, after, target)
		}
	}
}

// trained is a training as far as so many steps, saved.
func trained(t *testing.T, steps int) (*Trainer, []byte) {
	t.Helper()
	tr := newTrainer(t, tiny(), twoSources())
	for range steps {
		tr.Step()
	}
	var b bytes.Buffer
	if err := tr.Save(&b); err != nil {
		t.Fatal(err)
	}
	return tr, b.Bytes()
}

// The number of threads changes nothing, to the bit, nor does a change of it on the way.
func TestTrainingOnManyThreads(t *testing.T) {
	_, want := trained(t, 30)
	for _, threads := range [][2]int{{1, 1}, {2, 2}, {3, 1}} {
		tr := newTrainer(t, tiny(), twoSources())
		for i := range 30 {
			if i%15 == 0 {
				tr.use(threads[i/15])
			}
			tr.Step()
		}
		var b bytes.Buffer
		if err := tr.Save(&b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("with %d threads and then %d it came to something else", threads[0], threads[1])
		}
	}
}

// A training that goes on after Close begins its threads again.
func TestTrainerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which waits for the threads to end
		tr := newTrainer(t, tiny(), twoSources())
		tr.Close()
		for range 3 {
			if s := tr.Step(); s.Bytes == 0 {
				t.Error("a step read nothing")
			}
			tr.Close()
			tr.Close()
		}
	})
}

// The cuts lie inside a segment, where one ends, and in a later epoch.
func TestResumedTrainingComesToTheSame(t *testing.T) {
	const steps = 80
	whole, want := trained(t, steps)
	if whole.epoch == 0 {
		t.Fatal("the test sees no second epoch")
	}
	for _, cut := range []int{1, 16, 70} {
		_, saved := trained(t, cut)
		tr := newTrainer(t, tiny(), twoSources())
		if err := tr.Restore(saved); err != nil {
			t.Fatal(err)
		}
		for range steps - cut {
			tr.Step()
		}
		var b bytes.Buffer
		if err := tr.Save(&b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("cut after %d steps, it came to something else", cut)
		}
	}
}

func TestRestoreOfAnotherTraining(t *testing.T) {
	_, saved := trained(t, 3)
	config := func(f func(*TrainConfig)) TrainConfig { c := tiny(); f(&c); return c }
	for name, tr := range map[string]*Trainer{
		"seed":    newTrainer(t, config(func(c *TrainConfig) { c.Seed = 8 }), twoSources()),
		"bytes":   newTrainer(t, config(func(c *TrainConfig) { c.Bytes++ }), twoSources()),
		"shape":   newTrainer(t, config(func(c *TrainConfig) { c.Model.Sections = 32 }), twoSources()),
		"name":    newTrainer(t, tiny(), []Source{{Name: "other", Text: twoSources()[0].Text}, twoSources()[1]}),
		"length":  newTrainer(t, tiny(), []Source{{Name: "readings", Text: twoSources()[0].Text[1:]}, twoSources()[1]}),
		"repeats": newTrainer(t, tiny(), []Source{twoSources()[0], {Name: "recipes", Text: twoSources()[1].Text}}),
		"fewer":   newTrainer(t, tiny(), twoSources()[:1]),
	} {
		if err := tr.Restore(saved); !errors.Is(err, ErrOtherTraining) {
			t.Errorf("%s differs: %v", name, err)
		}
	}
}

func TestRestoreOfGarbage(t *testing.T) {
	_, saved := trained(t, 2)
	tr := newTrainer(t, tiny(), twoSources())
	for _, n := range []int{0, 1, 8, 100, 2000, len(saved) / 2, len(saved) - 1} {
		if err := tr.Restore(saved[:n]); !errors.Is(err, model.ErrCheckpoint) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	if err := tr.Restore(append(bytes.Clone(saved), 0)); err == nil {
		t.Error("a tail went unnoticed")
	}
	var b bytes.Buffer
	if err := tr.Model().Write(&b, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := tr.Restore(b.Bytes()); !errors.Is(err, model.ErrCheckpoint) {
		t.Errorf("a model, which is no training: %v", err)
	}
	for _, swap := range [][2]string{
		{`\"At\":`, `\"At\":9`}, {`\"Source\":`, `\"Source\":9`}, {`\"Next\":`, `\"Next\":99`}, {`\"Source\":`, `\"Source\":-`},
	} {
		if err := tr.Restore(rewrite(t, saved, swap[0], swap[1])); err == nil {
			t.Errorf("with %s for %s it was taken", swap[1], swap[0])
		}
	}
}

func TestTrainerRefuses(t *testing.T) {
	text := readings(1, 500)
	for name, c := range map[string]struct {
		change  func(*TrainConfig)
		sources []Source
	}{
		"no data":         {func(*TrainConfig) {}, nil},
		"a single byte":   {func(*TrainConfig) {}, []Source{{Name: "a", Text: text}, {Name: "b", Text: text[:1]}}},
		"no bytes":        {func(c *TrainConfig) { c.Bytes = 0 }, []Source{{Name: "a", Text: text}}},
		"a negative one":  {func(c *TrainConfig) { c.Batch = -1 }, []Source{{Name: "a", Text: text}}},
		"no such shape":   {func(c *TrainConfig) { c.Model.Width = 33 }, []Source{{Name: "a", Text: text}}},
		"a short segment": {func(c *TrainConfig) { c.Segment = 1 }, []Source{{Name: "a", Text: text}}},
	} {
		cfg := tiny()
		c.change(&cfg)
		if _, err := NewTrainer(cfg, c.sources); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Evaluate may be stopped, and does not choke on nothing.
func TestEvaluate(t *testing.T) {
	tr, _ := trained(t, 5)
	text := readings(2, 2000)
	calls := 0
	e := Evaluate(tr.Model(), text, func(done int) bool { calls++; return done >= 512 })
	if e.Events != 512 || calls != 2 {
		t.Errorf("stopped after %d events and %d calls", e.Events, calls)
	}
	for n := range 2 {
		if e := Evaluate(tr.Model(), text[:n], nil); e != (Evaluation{}) {
			t.Errorf("of %d bytes: %+v", n, e)
		}
	}
}
