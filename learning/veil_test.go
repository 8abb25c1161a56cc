package learning

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/kernel"
)

// What a veil lets through is what was paid for: the weights and samples of two skills that were learnt from different
// things differ by no more than the clips, and by noise of the deviation that was asked for; the name, the base and
// the shape do not differ at all, and what comes out is a skill that others take.
func TestVeil(t *testing.T) {
	l := teach(t, Config{Seed: 1}, "pump", readings(1, 3000))
	d, err := l.Export("pump")
	if err != nil {
		t.Fatal(err)
	}
	c := l.base.Config
	first := d.bank.Clone(c)
	seed(first, c, l.Fingerprint())
	change := func(d *Delta) []float32 {
		w := slices.Clone(d.bank.Weights)
		for i, f := range first.Weights {
			w[i] -= f
		}
		return w
	}
	length := func(w []float32) float64 { return math.Sqrt(float64(kernel.SumSquares(w))) }
	veil := func(v Veil, seed uint64) *Delta {
		n, err := d.Veil(l.base, v, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	was := slices.Clone(d.bank.Weights)
	clear1 := veil(Veil{Clip: 1, Deviation: 1e-9}, 1)
	if got := length(change(clear1)); got > 1 || got < 0.99 {
		t.Errorf("a change of %.3f is clipped to 1, and is %.5f", length(change(d)), got)
	}
	if !slices.Equal(was, d.bank.Weights) {
		t.Error("the owner's own weights changed")
	}
	// Rows that stand out of the noise come through with it: its deviation is what was asked for.
	v := Veil{Clip: 50, Deviation: 0.0002}
	a, b := change(veil(v, 1)), change(veil(v, 2))
	for i := range a {
		a[i] -= b[i]
	}
	if got, want := length(a)/math.Sqrt(2*float64(len(a))), v.Deviation*v.Clip; got > want || got < want/4 {
		t.Errorf("noise of %.5f in what came through, of %.5f at most", got, want)
	}
	// With a thousand times as much nothing but the first weights is left, and the skill does no harm.
	blind := veil(Veil{Clip: 50, Deviation: 10}, 1)
	if got := length(change(blind)); got > 0.2*50*10*math.Sqrt(float64(len(a))) {
		t.Errorf("a change of %.3f is left of noise alone", got)
	}
	for _, n := range []*Delta{clear1, blind, veil(v, 3)} {
		p, err := n.Pack(c, Packing{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n.Name != d.Name || n.Base != d.Base || n.Sections() != d.Sections() || len(n.samples) != veilSamples*c.ContextSize() {
			t.Errorf("%+v of %+v", n, d)
		}
		if _, err := newLearner(t, Config{Seed: 2}).Fold("peer", decode(t, p)); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []Veil{{}, {Clip: 1}, {Deviation: 1}, {Clip: math.NaN(), Deviation: 1}} {
		if _, err := d.Veil(l.base, bad, rand.New(rand.NewPCG(1, 1))); err == nil {
			t.Errorf("%+v was drawn", bad)
		}
	}
	if _, err := d.Veil(l.base, v, nil); err == nil {
		t.Error("noise without chance")
	}
	d.bank.Weights[3] = float32(math.NaN())
	if _, err := d.Veil(l.base, v, rand.New(rand.NewPCG(1, 1))); err == nil {
		t.Error("what is no number was clipped")
	}
}
