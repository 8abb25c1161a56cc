package learning

import (
	"fmt"
	"math"

	"github.com/yanmesh/yan/model"
)

// Skills of one name begin at the same weights, so their changes can be added up, and added up as whole numbers the terms can be
// hidden from whoever adds (see package exchange/tally). What goes in is, in this order: the change of every weight and how far
// the middle of the context is from that of the background, both in steps of sumStep, and how many events it was learnt from.
const (
	sumStep   = 1. / (1 << 16)
	sumMost   = 16      // a number is no larger than so much, ...
	sumEvents = 1 << 24 // ... events are no more, ...
	sumTerms  = 64      // ... and there are no more terms, so that no sum of them leaves 31 bits
)

// Summand returns the delta as whole numbers modulo 2³², to be added to those of others of its name, base and shape.
func (d *Delta) Summand(base *model.Model) ([]uint32, error) {
	_, change, err := d.change(base)
	if err != nil {
		return nil, err
	}
	sum := make([]uint32, 0, len(change)+base.Config.ContextSize()+1)
	for _, part := range [][]float32{change, d.context(base)} {
		for i, v := range part {
			if v != v {
				return nil, fmt.Errorf("learning: skill %s: number %d is none", d.Name, i)
			}
			sum = append(sum, uint32(int32(math.RoundToEven(min(max(float64(v), -sumMost), sumMost)/sumStep))))
		}
	}
	return append(sum, uint32(min(d.Events, sumEvents))), nil
}

// FromSum returns the mean of so many deltas of a name and shape, of which nothing is known but their sum.
func FromSum(base *model.Model, name string, sections, neurons int, sum []uint32, terms int) (*Delta, error) {
	c := base.Config
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if terms < 1 || terms > sumTerms || !bankFits(c, sections, neurons, maxPackedWeight) || len(sum) != c.BankSize(sections, neurons)+c.ContextSize()+1 {
		return nil, fmt.Errorf("%w: a sum of %d numbers of %d terms", ErrDelta, len(sum), terms)
	}
	d := &Delta{Name: name, Base: base.Fingerprint(), Events: uint64(sum[len(sum)-1])}
	if d.Events > uint64(terms)*sumEvents {
		return nil, fmt.Errorf("%w: a sum of %d events", ErrDelta, d.Events)
	}
	var err error
	if d.bank, err = model.NewBank(c, name, sections, neurons); err != nil {
		return nil, err
	}
	seed(d.bank, c, d.Base)
	mean := func(v uint32) float32 { return float32(float64(int32(v)) * sumStep / float64(terms)) }
	w := d.bank.Weights
	for i := range w {
		w[i] += mean(sum[i])
	}
	if err := checkWeights(w); err != nil {
		return nil, err
	}
	context := make([]float32, c.ContextSize())
	for j := range context {
		context[j] = mean(sum[len(w)+j])
		if context[j] > sumMost || context[j] < -sumMost {
			return nil, fmt.Errorf("%w: a context at %v", ErrDelta, context[j])
		}
	}
	d.standAt(base, context)
	return d, nil
}

// change is how far the delta's weights are from those that skills of its name begin with, which are first.
func (d *Delta) change(base *model.Model) (first *model.Bank, change []float32, err error) {
	first, err = model.NewBank(base.Config, d.Name, d.bank.Sections, d.bank.Neurons)
	if err != nil {
		return nil, nil, err
	}
	seed(first, base.Config, base.Fingerprint())
	change = make([]float32, len(first.Weights))
	for i, f := range first.Weights {
		change[i] = d.bank.Weights[i] - f
	}
	return first, change, nil
}

// context is how far the middle of the delta's context is from that of the background.
func (d *Delta) context(base *model.Model) []float32 {
	dim := base.Config.ContextSize()
	own := meanRow(d.samples, dim)
	for j, m := range meanRow(base.Background.Samples, dim) {
		own[j] -= m
	}
	return own
}

// standAt gives the delta samples that lie about a middle as the background does about its own.
func (d *Delta) standAt(base *model.Model, context []float32) {
	bg, dim := base.Background, base.Config.ContextSize()
	have := bg.Len()
	take := min(veilSamples, have)
	d.samples = d.samples[:0]
	for k := range take {
		for j, x := range bg.Samples[k*have/take*dim:][:dim] {
			d.samples = append(d.samples, min(max(x+context[j], -maxSample), maxSample-model.Int8Step))
		}
	}
}
