package gradient

import (
	"math"
	"slices"
	"strings"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/kernel/portable"
)

// AdamConfig are the constants of Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov
// and Hutter 2019).
type AdamConfig struct {
	Beta1, Beta2 float64
	Eps          float64
	Decay        float64 // weight decay, of matrices only
}

// A Moment is what an optimizer remembers of one kind: numbers that are laid out as the model's weights, or, where there are fewer,
// do not depend on how many sections it has.
type Moment struct {
	Name string
	Data []float32
}

// Adam holds a base's moments, 8 bytes a parameter. A section's moments rest while the section has no gradient.
type Adam struct {
	Config AdamConfig
	Steps  int
	M, V   []float32 // laid out as the model's weights

	pieces
	step  kernel.AdamConst
	decay float32
	then  func(worker, task int)
}

// pieces are the weights of a base that learn, cut up to be worked on by several threads.
type pieces struct {
	sections [][]stretch // (L, S) what each section is of the weights
	dense    []stretch   // what learns at every step
	live     []stretch   // what learns at this step, in pieces
	squares  []float32   // of the gradient of each piece

	// What the tasks of a step share.
	model *model.Model
	grads []*Grad
	scale float32
	first func(worker, task int)
}

// A stretch of the weights.
type stretch struct {
	from, to int
	layer    int // of a section; −1 for what is dense
	section  int
	decays   bool
	rows     int // of the matrices that a dense stretch consists of; 0 for vectors
	cols     int
}

// NewAdam returns an optimizer for models of m's shape.
func NewAdam(c AdamConfig, m *model.Model) *Adam {
	a := &Adam{Config: c, M: kernel.Aligned(len(m.Weights)), V: kernel.Aligned(len(m.Weights))}
	a.cut(m)
	a.then = a.move
	return a
}

// Age points to the number of steps that were taken.
func (a *Adam) Age() *int { return &a.Steps }

// Moments lists what a remembers beside its age.
func (a *Adam) Moments() []Moment { return []Moment{{"adam.m", a.M}, {"adam.v", a.V}} }

// cut finds out what learns of models of m's shape.
func (p *pieces) cut(m *model.Model) {
	for _, t := range m.Tensors() {
		switch {
		case strings.HasSuffix(t.Name, ".bias"): // gates are not moved by gradients
		case strings.HasSuffix(t.Name, ".sections"):
			size := m.Config.SectionSize()
			of := make([]stretch, m.Config.Sections)
			for s := range of {
				at := t.Off + s*size
				of[s] = stretch{at, at + size, len(p.sections), s, true, m.Config.Neurons, m.Config.Width}
			}
			p.sections = append(p.sections, of)
		case len(t.Shape) == 1 || strings.HasSuffix(t.Name, ".shift"):
			p.dense = append(p.dense, stretch{t.Off, t.Off + t.Len(), -1, 0, false, 0, 0})
		default:
			n := len(t.Shape)
			p.dense = append(p.dense, stretch{t.Off, t.Off + t.Len(), -1, 0, true, t.Shape[n-2], t.Shape[n-1]})
		}
	}
	p.first = p.sum
}

// piece is how many weights a task works on: few enough for one task's gradients to stay in the second cache from the
// one loop over them to the next.
const piece = 1 << 14

// gather lists what has a gradient in any of grads, dense weights in pieces of at most most.
func (p *pieces) gather(grads []*Grad, most int) {
	p.live = p.live[:0]
	for _, s := range p.dense {
		for ; s.to-s.from > most; s.from += most {
			part := s
			part.to = s.from + most
			p.live = append(p.live, part)
		}
		p.live = append(p.live, s)
	}
	for i, of := range p.sections {
		for k, s := range of {
			if slices.ContainsFunc(grads, func(g *Grad) bool { return g.Touched[i][k] }) {
				p.live = append(p.live, s)
			}
		}
	}
}

// begin adds up grads and finds out by what the sum is to be scaled for a norm of at most clip. It returns the norm that it
// has now.
func (p *pieces) begin(pool *kernel.Pool, m *model.Model, grads []*Grad, clip float64, most int) (norm float64) {
	p.model, p.grads = m, grads
	p.gather(grads, most)
	if cap(p.squares) < len(p.live) {
		p.squares = make([]float32, len(p.live))
	}
	pool.Run(len(p.live), p.first)
	var squares float64
	for _, s := range p.squares[:len(p.live)] { // in their order, whoever computed them
		squares += float64(s)
	}
	norm = math.Sqrt(squares)

	p.scale = 1
	if norm > clip {
		p.scale = float32(clip / norm)
	}
	return norm
}

// end leaves no section touched.
func (p *pieces) end() {
	for _, g := range p.grads {
		for _, t := range g.Touched {
			clear(t)
		}
	}
	p.model, p.grads = nil, nil
}

// sum adds the gradients of one piece up in the first of them.
func (p *pieces) sum(_, task int) {
	s := p.live[task]
	sum := p.grads[0].Base.Weights[s.from:s.to]
	known := s.layer < 0 || p.grads[0].Touched[s.layer][s.section]
	for _, g := range p.grads[1:] {
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
	p.squares[task] = kernel.SumSquares(sum)
}

// gradient is that of a piece, scaled.
func (p *pieces) gradient(s stretch) []float32 {
	g := p.grads[0].Base.Weights[s.from:s.to]
	if p.scale != 1 {
		kernel.Scale(g, p.scale)
	}
	return g
}

// Step adds up grads, whose number is not zero, scales the sum to a norm of at most clip and moves the weights of m
// against it. It leaves the gradients zero, with no section touched, and returns the norm that their sum had. Sections that
// none of them touched cost nothing. pool shares the work out, which does not change what comes out.
func (a *Adam) Step(pool *kernel.Pool, m *model.Model, grads []*Grad, rate, clip float64) (norm float64) {
	a.Steps++
	norm = a.begin(pool, m, grads, clip, piece)
	a.step = a.Config.constants(a.Steps, rate)
	a.decay = float32(rate * a.Config.Decay)
	pool.Run(len(a.live), a.then)
	a.end()
	return norm
}

// constants are those of the step that comes after steps − 1 others.
func (c AdamConfig) constants(steps int, rate float64) kernel.AdamConst {
	return kernel.AdamConst{
		LR: float32(rate), Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Eps),
		Corr1: float32(1 / (1 - portable.Pow(c.Beta1, float64(steps)))),
		Corr2: float32(1 / (1 - portable.Pow(c.Beta2, float64(steps)))),
	}
}

// move takes the step of one piece.
func (a *Adam) move(_, task int) {
	s := a.live[task]
	g := a.gradient(s)
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
				Corr1: 1, Corr2: float32(1 / (1 - portable.Pow(o.Beta, float64(*age)))),
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
