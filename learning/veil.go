package learning

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/yanmesh/yan/learning/privacy"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// A Veil is what a delta is hidden behind, so that it tells little of what its skill was learnt from.
type Veil struct {
	Clip      float64 // how long the change of all weights together may be
	Deviation float64 // of the noise in each number, in units of how long the vector may be that it is in
}

const (
	// VeilClip is about how long the change of a skill of the embedded base is that was learnt from a few thousand bytes.
	VeilClip = 8
	// veilContext is how far the middle of a context's evidence may be from that of the background.
	veilContext = 8
	// VeilSensitivity is how far what is veiled of two skills can be apart, in units of the veil's lengths: the
	// change and the context each at opposite ends.
	VeilSensitivity = 2 * math.Sqrt2
	// veilSamples is how many samples stand for a context.
	veilSamples = 64
	// veilWeight bounds a weight with its noise, so that others take it also when it has been rounded.
	veilWeight = 0.9 * maxDeltaWeight
)

// Veil returns the delta with its change clipped and noise in it. What is left of the samples that its gate is solved
// from is their middle, clipped and with noise too; about it they lie as the background does. The first
// weights, the background and the name are known to everyone, so nothing but those two vectors comes from what was
// learnt, and Events and Gain, which the caller answers for.
//
// Of what is to be published the best is made: rows that may be noise alone are left out, and the others are
// shrunk by what of them is noise (James and Stein 1961), which tells nobody anything more.
func (d *Delta) Veil(base *model.Model, v Veil, r *rand.Rand) (*Delta, error) {
	c := base.Config
	if r == nil || !(v.Clip > 0) || !(v.Deviation > 0) {
		return nil, fmt.Errorf("learning: skill %s: a veil of %+v", d.Name, v)
	}
	first, change, err := d.change(base)
	if err != nil {
		return nil, err
	}
	if err := v.draw(change, v.Clip, c.Width, r); err != nil {
		return nil, fmt.Errorf("learning: skill %s: %w", d.Name, err)
	}
	n := &Delta{Name: d.Name, Base: d.Base, Events: d.Events, Gain: d.Gain, bank: first}
	for i, v := range change {
		n.bank.Weights[i] = min(max(first.Weights[i]+v, -veilWeight), veilWeight)
	}
	own := d.context(base)
	if err := v.draw(own, veilContext, len(own), r); err != nil {
		return nil, fmt.Errorf("learning: skill %s: %w", d.Name, err)
	}
	n.standAt(base, own)
	return n, nil
}

// draw puts the veil over a vector and takes away again what of each row is noise.
func (v Veil) draw(x []float32, length float64, row int, r *rand.Rand) error {
	if _, err := privacy.Clip(x, length); err != nil {
		return err
	}
	deviation := v.Deviation * length
	privacy.Noise(x, deviation, r)
	for at := 0; at < len(x); at += row {
		part := x[at:min(at+row, len(x))]
		n, sum := float64(len(part)), float64(kernel.SumSquares(part))/(deviation*deviation)
		if sum < n+float64(4*math.Sqrt(2*n)) { // as noise alone may come to
			clear(part)
			continue
		}
		kernel.Scale(part, float32(1-(n-2)/sum))
	}
	return nil
}

// meanRow is the middle of rows of dim numbers.
func meanRow(rows []float32, dim int) []float32 {
	sum := make([]float64, dim)
	for i, x := range rows {
		sum[i%dim] += float64(x)
	}
	mean := make([]float32, dim)
	for j, s := range sum {
		mean[j] = float32(s * float64(dim) / float64(max(len(rows), 1)))
	}
	return mean
}
