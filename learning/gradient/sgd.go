package gradient

import (
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// SGD is gradient descent with momentum (Polyak 1964, in the form of Sutskever et al. 2013, eqs. 1 and 2), with decoupled
// weight decay of matrices. It remembers 4 bytes a parameter. A section's momentum rests while the section has no gradient.
type SGD struct {
	Momentum, Decay float64
	Steps           int
	M               []float32 // velocity, laid out as the model's weights

	pieces
	rate, decay float32
	then        func(worker, task int)
}

// NewSGD returns an optimizer for models of m's shape.
func NewSGD(momentum, decay float64, m *model.Model) *SGD {
	o := &SGD{Momentum: momentum, Decay: decay, M: kernel.Aligned(len(m.Weights))}
	o.cut(m)
	o.then = o.move
	return o
}

// Age points to the number of steps that were taken.
func (o *SGD) Age() *int { return &o.Steps }

// Moments lists what o remembers beside its age.
func (o *SGD) Moments() []Moment { return []Moment{{"sgd.m", o.M}} }

// Step does what Adam's does, by its own rule.
func (o *SGD) Step(pool *kernel.Pool, m *model.Model, grads []*Grad, rate, clip float64) (norm float64) {
	o.Steps++
	norm = o.begin(pool, m, grads, clip, piece)
	o.rate, o.decay = float32(rate), float32(rate*o.Decay)
	pool.Run(len(o.live), o.then)
	o.end()
	return norm
}

// move takes the step of one piece: v = μ·v + g and w −= Decay·w + rate·v.
func (o *SGD) move(_, task int) {
	s := o.live[task]
	g, v, w := o.gradient(s), o.M[s.from:s.to], o.model.Weights[s.from:s.to]
	kernel.Scale(v, float32(o.Momentum))
	kernel.Add(v, g)
	if s.decays {
		kernel.Scale(w, 1-o.decay)
	}
	kernel.Axpy(w, -o.rate, v)
	if s.layer < 0 {
		clear(g)
	}
}
