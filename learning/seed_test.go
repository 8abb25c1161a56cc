package learning

import (
	"math"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/base"
)

// All who learn a skill of one name begin at the same weights, whatever their seeds; others begin elsewhere.
func TestSkillsOfOneNameBeginAlike(t *testing.T) {
	grown := func(cfg Config, name string) *Skill {
		l := newLearner(t, cfg)
		focus(t, l, name)
		return l.Skill("", name)
	}
	one, two := grown(Config{Seed: 1}, "music"), grown(Config{Seed: 2}, "music")
	if !slices.Equal(one.bank.Weights, two.bank.Weights) {
		t.Error("two devices begin at different neurons")
	}
	if slices.Equal(one.bank.Weights, grown(Config{Seed: 1}, "pump").bank.Weights) {
		t.Error("another name begins at the same neurons")
	}
	other := one.bank.Clone(base.Pocket().Config)
	seed(other, base.Pocket().Config, [32]byte{1})
	if slices.Equal(one.bank.Weights, other.Weights) {
		t.Error("another base begins at the same neurons")
	}
	few := grown(Config{Sections: 3}, "music")
	for i, l := range few.bank.Layers {
		if !slices.Equal(l.Keys, one.bank.Layers[i].Keys[:len(l.Keys)]) || !slices.Equal(l.Sections, one.bank.Layers[i].Sections[:len(l.Sections)]) {
			t.Error("the first sections of a larger skill are not those of a smaller one")
		}
	}
}

// First weights have the deviation that they should have, no mean, and W2 of zero; and they are those that they were when this was
// written: who draws others has nothing in common with the rest.
func TestFirstWeights(t *testing.T) {
	m := base.Pocket()
	l := newLearner(t, Config{})
	focus(t, l, "music")
	b := l.Skill("", "music").bank
	check := func(what string, w []float32, deviation float64) {
		var s, ss float64
		for _, v := range w {
			s, ss = s+float64(v), ss+float64(v)*float64(v)
		}
		n := float64(len(w))
		if got := math.Sqrt(ss / n); math.Abs(s/n) > 4*deviation/math.Sqrt(n) || math.Abs(got-deviation) > 4*deviation/math.Sqrt(n) {
			t.Errorf("%s: a mean of %v and a deviation of %v, want %v", what, s/n, got, deviation)
		}
	}
	top := b.Layers[len(b.Layers)-1]
	check("keys", top.Keys, 1)
	for s := range b.Sections {
		p := section(b, m.Config, len(b.Layers)-1, s)
		rows := len(p.weights) / 3
		check("W1 and W3", p.weights[:2*rows], 1/math.Sqrt(float64(m.Config.Width)))
		if p.fired() {
			t.Errorf("W2 of section %d are not zero", s)
		}
	}
	if got := sum(b.Weights); got != firstSum {
		t.Errorf("the weights sum to %#x, they were %#x", got, firstSum)
	}
}

const firstSum uint64 = 0xa445ba05266c3943
