package learning

import (
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel/portable"
)

// A skill learns at a rate that never falls, so its last weights are those of its last chunks as much as those of its
// context. What others are shown is the average of what the weights were after each write, in which that after write i
// counts as i⁵: polynomial-decay averaging with η = 5 (Shamir and Zhang 2013, "Stochastic Gradient Descent for
// Non-smooth Optimization", section 4), which needs no word on when learning will end. The owner's own stream goes
// on with the last weights: they follow it.
const (
	// averagePower is η + 1: of texts from three to sixty thousand bytes none was shown worse than with the last weights, and
	// the longest one nearly as well as with η = 3.
	averagePower = 6
	// averageYoung is how many writes nothing is averaged over: weights go one way still, and an average would only be late.
	averageYoung = 128
	// averageGap is how seldom the weights are looked at: whenever their number of writes has grown by one in so many. So an
	// average of n writes costs averageGap·ln n passes over the weights, and not n.
	averageGap = 128
	// averageHorizon is how many writes an average looks back at most, so that a skill of years still changes.
	averageHorizon = 1 << 14
)

// An average is that of a skill's weights.
type average struct {
	Writes uint64 // so far, or averageHorizon
	Noted  uint64 // of them it holds; 0 as long as there is none

	bank *model.Bank // nil as long as there is none; its gate means nothing
}

// wrote counts a write that left a bank's weights as they are now.
func (a *average) wrote(b *model.Bank, c model.Config) {
	a.Writes++
	if a.Writes <= averageYoung {
		return
	}
	if a.bank == nil {
		a.bank, a.Noted = b.Clone(c), averageYoung
	}
	known := a.Noted - averageYoung
	if a.Writes-a.Noted <= known/averageGap {
		return
	}
	part := 1 - float32(portable.Pow(float64(known)/float64(a.Writes-averageYoung), averagePower))
	mean := a.bank.Weights
	for i, w := range b.Weights { // a number that did not move stays what it is, to the bit
		mean[i] += float32(part * (w - mean[i]))
	}
	a.Writes = min(a.Writes, averageHorizon)
	a.Noted = a.Writes
}

// of is the average as a bank behind b's gate, and b itself before there is one. It shares its weights.
func (a *average) of(b *model.Bank) *model.Bank {
	n := *b
	if a.bank != nil {
		n.Weights, n.Layers = a.bank.Weights, a.bank.Layers
	}
	return &n
}
