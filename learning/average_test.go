package learning

import (
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
)

// oneBank is a bank of the pocket base whose first weight is w.
func oneBank(t *testing.T) (*model.Bank, model.Config) {
	t.Helper()
	c := base.Pocket().Config
	b, err := model.NewBank(c, "one", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	return b, c
}

// The average is the one of the paper, in which weights after write i count as i⁶ − (i−1)⁶, about 6i⁵, from where it begins, and what
// never moved is in it to the bit.
func TestAverageCountsLaterWritesMore(t *testing.T) {
	b, c := oneBank(t)
	var a average
	var sum, of float64
	b.Weights[1] = 0.1
	for i := 1 - averageYoung; i <= averageGap; i++ {
		b.Weights[0] = float32(math.Sin(float64(i)))
		a.wrote(b, c)
		if i <= 0 {
			if a.bank != nil || a.of(b).Weights[0] != b.Weights[0] {
				t.Fatalf("%d writes are averaged", i+averageYoung)
			}
			continue
		}
		part := math.Pow(float64(i), 6) - math.Pow(float64(i-1), 6)
		sum, of = sum+part*math.Sin(float64(i)), of+part
		if got := float64(a.of(b).Weights[0]); math.Abs(got-sum/of) > 1e-6 {
			t.Fatalf("after %d writes %v, want %v", i, got, sum/of)
		}
	}
	if a.of(b).Weights[1] != 0.1 {
		t.Errorf("what never moved is %v", a.of(b).Weights[1])
	}
}

// An average costs a logarithm of its writes, and looks back so far and no further.
func TestAverageIsCheap(t *testing.T) {
	b, c := oneBank(t)
	var a average
	looks, writes := 0, 8*averageHorizon
	for i := range writes {
		if i == writes-4*averageHorizon {
			b.Weights[0] = 1
		}
		noted := a.Noted
		sum := a.of(b).Weights[0]
		a.wrote(b, c)
		if a.Noted != noted || a.of(b).Weights[0] != sum {
			looks++
		}
		if a.Writes > averageHorizon+averageHorizon/averageGap+1 {
			t.Fatalf("it counts %d writes", a.Writes)
		}
	}
	most := averageGap + averageGap*math.Log(float64(averageHorizon)/averageGap) + 8*averageGap
	if float64(looks) > most || looks < averageGap {
		t.Errorf("%d looks at the weights for %d writes, at most %.0f", looks, writes, most)
	}
	if got := a.of(b).Weights[0]; got < 0.999 {
		t.Errorf("four horizons ago it became 1, and is held for %v", got)
	}
}

// Others are shown the average, the owner's stream goes on with the last weights, and a learner may be asked for
// the last to be shown.
func TestOthersAreShownTheAverage(t *testing.T) {
	text := readings(1, 9000)
	l := teach(t, Config{Seed: 1, Rate: 0.002}, "pump", text)
	last := teach(t, Config{Seed: 1, Rate: 0.002, Last: true}, "pump", text)
	s := l.Skill("", "pump")
	live, shown := l.Model().Banks[0].Weights, l.Settled().Banks[0].Weights
	if !slices.Equal(live, s.bank.Weights) || !slices.Equal(shown, s.mean.bank.Weights) || slices.Equal(live, shown) {
		t.Error("the stream reads with the average, or others do with the last weights")
	}
	if !slices.Equal(live, last.Model().Banks[0].Weights) || !slices.Equal(live, last.Settled().Banks[0].Weights) {
		t.Error("what is shown changes what is learnt, or the last weights were asked for and not shown")
	}
	d, err := l.Export("pump")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.bank.Weights, shown) {
		t.Error("what travels is not what is shown")
	}
	held := readings(9, 2000)
	if a, b := Evaluate(l.Settled(), held, nil).Bits, Evaluate(last.Settled(), held, nil).Bits; a >= b {
		t.Errorf("%v bits a byte with the average, %v with the last weights", a, b)
	}
}

// What was undone is not averaged over.
func TestAverageBeginsAnewWhenUndone(t *testing.T) {
	l := teach(t, Config{Seed: 1}, "pump", readings(1, 5000))
	s := l.Skill("", "pump")
	l.undo(s)
	if s.mean.bank != nil || s.mean.Writes != 0 {
		t.Fatalf("an average of %d writes", s.mean.Writes)
	}
	s.test.Stands = true
	if !slices.Equal(l.Settled().Banks[0].Weights, s.bank.Weights) {
		t.Error("with nothing to average, something else than the weights is shown")
	}
}

// A skill that misled speaks less loudly to others too.
func TestAverageIsSoftened(t *testing.T) {
	l := teach(t, Config{Seed: 1}, "pump", readings(1, 5000))
	s := l.Skill("", "pump")
	was := s.mean.bank.Clone(l.Base().Config)
	l.start.Reset()
	l.utterance = textOf(readings(2, 60))
	l.wrote, l.surprised, l.trust = 0, 1e6, -1
	l.judge(59)
	for i, bl := range s.mean.bank.Layers {
		size := 0
		if bl.Sections != nil {
			size = len(bl.Sections) / s.bank.Sections
		}
		for j, w := range bl.Sections {
			want := was.Layers[i].Sections[j]
			if j%size >= size/3*2 {
				want *= relief
			}
			if w != want {
				t.Fatalf("number %d of layer %d is %v, want %v", j, i, w, want)
			}
		}
	}
}

// A step is as long whatever its gradient is: what few events tell moves the weights as much less.
func TestFewEventsMoveLess(t *testing.T) {
	const rate = 0.001
	for _, n := range []int{8, 32} {
		l := newLearner(t, Config{Seed: 1, Rate: rate, Rehearse: 1, Fast: -1})
		focus(t, l, "pump")
		was := slices.Clone(l.Model().Banks[0].Weights)
		l.Read(textOf(readings(1, n+1)))
		l.Flush()
		var most float64
		for i, w := range l.Model().Banks[0].Weights {
			most = max(most, math.Abs(float64(w-was[i])))
		}
		if want := rate * float64(n) / 32; math.Abs(most-want) > 0.02*want { // at first, a step of RMSprop is the rate itself
			t.Errorf("%d events moved a number by %v, want %v", n, most, want)
		}
	}
}
