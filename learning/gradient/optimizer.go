package gradient

import (
	"math"
	"slices"
	"strings"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// AdamConfig are the constants of Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov
// and Hutter 2019).
type AdamConfig struct {
	Beta1, Beta2 float64
	Eps          float64
	Decay        float64 // weight decay, of matrices only
}

// Adam holds a base's moments. A section's moments rest while the section has no gradient.
type Adam struct {
	Config AdamConfig
	Steps  int
	M, V   []float32 // laid out as the model's weights

	sections [][]stretch // (L, S) what each section is of the weights
	dense    []stretch   // what learns at every step
	live     []stretch   // what learns at this step, in pieces
	squares  []float32   // of the gradient of each piece

	// What the tasks of a step share.
	model *model.Model
	grads []*Grad
	step  kernel.AdamConst
	decay float32
	scale float32
	first func(worker, task int)
	then  func(worker, task int)
}

// A stretch of the weights.
type stretch struct {
	from, to int
	layer    int // of a section; −1 for what is dense
	section  int
	decays   bool
}

// NewAdam returns an optimizer for models of m's shape.
func NewAdam(c AdamConfig, m *model.Model) *Adam {
	a := &Adam{Config: c, M: kernel.Aligned(len(m.Weights)), V: kernel.Aligned(len(m.Weights))}
	for _, t := range m.Tensors() {
		switch {
		case strings.HasSuffix(t.Name, ".bias"): // gates are not moved by gradients
		case strings.HasSuffix(t.Name, ".sections"):
			size := m.Config.SectionSize()
			of := make([]stretch, m.Config.Sections)
			for s := range of {
				at := t.Off + s*size
				of[s] = stretch{at, at + size, len(a.sections), s, true}
			}
			a.sections = append(a.sections, of)
		default:
			vector := len(t.Shape) == 1 || strings.HasSuffix(t.Name, ".shift")
			a.dense = append(a.dense, stretch{t.Off, t.Off + t.Len(), -1, 0, !vector})
		}
	}
	a.first, a.then = a.sum, a.move
	return a
}

// piece is how many weights a task works on: few enough for one task's gradients to stay in the second cache from the
// one loop over them to the next.
const piece = 1 << 14

// gather lists what has a gradient in any of grads.
func (a *Adam) gather(grads []*Grad) {
	a.live = a.live[:0]
	add := func(s stretch) {
		for ; s.to-s.from > piece; s.from += piece {
			part := s
			part.to = s.from + piece
			a.live = append(a.live, part)
		}
		a.live = append(a.live, s)
	}
	for _, s := range a.dense {
		add(s)
	}
	for i, of := range a.sections {
		for k, s := range of {
			if slices.ContainsFunc(grads, func(g *Grad) bool { return g.Touched[i][k] }) {
				add(s)
			}
		}
	}
}

// Step adds up grads, whose number is not zero, scales the sum to a norm of at most clip and moves the weights of m
// against it. It leaves the gradients zero, with no section touched, and returns the norm that their sum had. Sections that
// none of them touched cost nothing. pool shares the work out, which does not change what comes out.
func (a *Adam) Step(pool *kernel.Pool, m *model.Model, grads []*Grad, rate, clip float64) (norm float64) {
	a.Steps++
	a.model, a.grads = m, grads
	a.gather(grads)
	if cap(a.squares) < len(a.live) {
		a.squares = make([]float32, len(a.live))
	}
	pool.Run(len(a.live), a.first)
	var squares float64
	for _, s := range a.squares[:len(a.live)] { // in their order, whoever computed them
		squares += float64(s)
	}
	norm = math.Sqrt(squares)

	a.scale = 1
	if norm > clip {
		a.scale = float32(clip / norm)
	}
	a.step = kernel.AdamConst{
		LR: float32(rate), Beta1: float32(a.Config.Beta1), Beta2: float32(a.Config.Beta2), Eps: float32(a.Config.Eps),
		Corr1: float32(1 / (1 - math.Pow(a.Config.Beta1, float64(a.Steps)))),
		Corr2: float32(1 / (1 - math.Pow(a.Config.Beta2, float64(a.Steps)))),
	}
	a.decay = float32(rate * a.Config.Decay)
	pool.Run(len(a.live), a.then)
	for _, g := range grads {
		for _, t := range g.Touched {
			clear(t)
		}
	}
	a.model, a.grads = nil, nil
	return norm
}

// sum adds the gradients of one piece up in the first of them.
func (a *Adam) sum(_, task int) {
	s := a.live[task]
	sum := a.grads[0].Base.Weights[s.from:s.to]
	known := s.layer < 0 || a.grads[0].Touched[s.layer][s.section]
	for _, g := range a.grads[1:] {
		w := g.Base.Weights[s.from:s.to]
		switch {
		case s.layer < 0:
			kernel.Add(sum, w)
			clear(w)
		case !g.Touched[s.layer][s.section]:
		case known:
			kernel.Add(sum, w)
		default:
			copy(sum, w)
			known = true
		}
	}
	a.squares[task] = kernel.SumSquares(sum)
}

// move takes the step of one piece.
func (a *Adam) move(_, task int) {
	s := a.live[task]
	g := a.grads[0].Base.Weights[s.from:s.to]
	if a.scale != 1 {
		kernel.Scale(g, a.scale)
	}
	c := a.step
	if s.decays {
		c.Decay = a.decay
	}
	kernel.Adam(a.model.Weights[s.from:s.to], g, a.M[s.from:s.to], a.V[s.from:s.to], c)
	if s.layer < 0 {
		clear(g)
	}
}

// RMSprop steps the sections and keys of one bank without momentum, so that a section which did not
// fire does not move (learning.md 6.5). V has the size of the bank's weights.
type RMSprop struct {
	Beta float64 // how long second moments last, in steps: 1/(1−Beta)
	Eps  float64
	V    []float32
	Age  []uint32 // steps that each section has made, to correct young moments

	c kernel.AdamConst // of the section that is moved
}

// NewRMSprop returns an optimizer for b.
func NewRMSprop(b *model.Bank) *RMSprop {
	return &RMSprop{Beta: 0.99, Eps: 1e-8, V: kernel.Aligned(len(b.Weights)), Age: make([]uint32, b.Sections*len(b.Layers))}
}

// Step moves b against g for the sections that t's routes fired and returns how many those were. Where a number of the
// gradient is not finite, nothing is moved and the answer is zero. It leaves g zero; what did not fire has to be zero before.
func (o *RMSprop) Step(b, g *model.Bank, index int, t *model.Tape, rate float64) (written int) {
	var squares float32
	o.fired(b, index, t, func(_ *uint32, from, to int) { squares += kernel.SumSquares(g.Weights[from:to]) })
	if squares-squares != 0 {
		clear(g.Weights)
		return 0
	}
	o.fired(b, index, t, func(age *uint32, from, to int) {
		if age != nil {
			*age++
			written++
			o.c = kernel.AdamConst{
				LR: float32(rate), Beta2: float32(o.Beta), Eps: float32(o.Eps),
				Corr1: 1, Corr2: float32(1 / (1 - math.Pow(o.Beta, float64(*age)))),
			}
		}
		// Adam without momentum: its first moment is the gradient itself.
		d := g.Weights[from:to]
		kernel.Adam(b.Weights[from:to], d, d, o.V[from:to], o.c)
		clear(d)
	})
	return written
}

// fired calls f for where the key and the weights of every section that fired stand in the bank, with the section's age
// first and with nil for its second piece.
func (o *RMSprop) fired(b *model.Bank, index int, t *model.Tape, f func(age *uint32, from, to int)) {
	at := 0
	for i, l := range b.Layers {
		if l.Sections == nil {
			continue
		}
		key, size := len(l.Keys)/b.Sections, len(l.Sections)/b.Sections
		rt := &t.Layers[i].Banks[index]
		for s := range b.Sections {
			if rt.Len() > 0 && rt.Start[s] < rt.Start[s+1] {
				f(&o.Age[i*b.Sections+s], at+s*key, at+(s+1)*key)
				from := at + len(l.Keys) + s*size
				f(nil, from, from+size)
			}
		}
		at += len(l.Keys) + len(l.Sections)
	}
}
