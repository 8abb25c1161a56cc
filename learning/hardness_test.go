package learning

import (
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
)

// Who spends more on what is hard has a ratio above one, whoever spends the same has one, and the bytes in between
// count for the mean alone.
func TestHardnessTellsWhoWorksHarder(t *testing.T) {
	for _, c := range []struct {
		name             string
		spend            func(i int) int
		ratio, mean, tol float64
	}{
		{"the same everywhere", func(int) int { return 7 }, 1, 7, 1e-12},
		{"more where it is hard", func(i int) int { return 10 + i }, (10 + 94.5) / (10 + 4.5), 10 + 49.5, 1e-12},
		{"less where it is hard", func(i int) int { return 110 - i }, (110 - 94.5) / (110 - 4.5), 110 - 49.5, 1e-12},
	} {
		var e Effort
		for k := range 100 {
			i := k * 37 % 100 // in no order
			e.nats, e.spent = append(e.nats, float64(i)/10), append(e.spent, c.spend(i))
		}
		h := e.Hardness()
		if math.Abs(h.Ratio-c.ratio) > c.tol || math.Abs(h.Mean-c.mean) > c.tol {
			t.Errorf("%s: ratio %v, mean %v; want %v and %v", c.name, h.Ratio, h.Mean, c.ratio, c.mean)
		}
	}
	if h := (&Effort{}).Hardness(); h != (Hardness{}) {
		t.Errorf("of nothing: %+v", h)
	}
}

// The sections that are counted are those that Evaluate counts, and open banks besides.
func TestHardnessCountsWhatIsComputed(t *testing.T) {
	m := base.Pocket()
	text := readings(5, 4000)
	h := MeasureHardness(m, text, nil)
	e := Evaluate(m, text, nil)
	if want := e.Active * float64(m.Config.Layers*m.Config.Sections); math.Abs(h.Mean-want) > 1e-9*want {
		t.Errorf("%v sections a byte, Evaluate counts %v", h.Mean, want)
	}
	if h.Hard == 0 || h.Easy == 0 || h.Ratio != h.Hard/h.Easy {
		t.Errorf("%+v", h)
	}
	b, err := model.NewBank(m.Config, "open", 6, 4)
	if err != nil {
		t.Fatal(err)
	}
	b.Gate.Force = true
	if with := MeasureHardness(m.WithBanks(b), text, nil); with.Mean <= h.Mean {
		t.Errorf("an open bank leaves the mean at %v of %v", with.Mean, h.Mean)
	}
	told := 0
	if MeasureHardness(m, text, func(done int) bool { told = done; return true }); told != 256 {
		t.Errorf("stopped after %d bytes, asked to after the first 256", told)
	}
}

// A base with a demand is trained with that of its texts, keeps it when it grows, and works harder where more is open.
func TestDemandIsTrainedWith(t *testing.T) {
	c := tiny()
	c.Model.Demand = 0.4
	tr := newTrainer(t, c, twoSources())
	if tr.Model().Demand == nil {
		t.Fatal("it has no demand")
	}
	want := tr.Model().Demand.Open
	tr.resize(c.Model.Sections + 4)
	if tr.Model().Demand == nil {
		t.Fatal("grown, it has none any more")
	}
	for !tr.Done() {
		tr.Step()
	}
	m, err := tr.Finish(true)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Demand.Open, want) {
		t.Error("what was trained with is not what is kept")
	}
	held := append(readings(3, 3000), recipes(3, 3000)...)
	with := MeasureHardness(m, held, nil)
	m.Demand = nil
	if without := MeasureHardness(m, held, nil); with.Ratio < 1.2*without.Ratio {
		t.Errorf("with its demand %+v, without %+v", with, without)
	}
}
