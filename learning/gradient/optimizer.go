package gradient

import (
	"math"

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
}

// NewAdam returns an optimizer for a base of so many weights.
func NewAdam(c AdamConfig, weights int) *Adam {
	return &Adam{Config: c, M: kernel.Aligned(weights), V: kernel.Aligned(weights)}
}

// Step moves m's weights against g. The biases of gates are not its business.
func (a *Adam) Step(m *model.Model, g *Grad, rate float64) {
	a.Steps++
	c := kernel.AdamConst{
		LR: float32(rate), Beta1: float32(a.Config.Beta1), Beta2: float32(a.Config.Beta2), Eps: float32(a.Config.Eps),
		Corr1: float32(1 / (1 - math.Pow(a.Config.Beta1, float64(a.Steps)))),
		Corr2: float32(1 / (1 - math.Pow(a.Config.Beta2, float64(a.Steps)))),
	}
	decay := float32(rate * a.Config.Decay)
	matrix := make(map[int]bool)
	frozen := make(map[int]bool)
	for _, t := range g.Base.Tensors() {
		matrix[t.Off] = len(t.Shape) > 1 && !hasSuffix(t.Name, ".shift")
		frozen[t.Off] = hasSuffix(t.Name, ".bias")
	}
	g.each(func(off, end int, w []float32) {
		if frozen[off] {
			return
		}
		k := c
		if is, known := matrix[off]; is || !known { // pieces inside a tensor are sections
			k.Decay = decay
		}
		kernel.Adam(m.Weights[off:end], w, a.M[off:end], a.V[off:end], k)
	})
}

func hasSuffix(s, suffix string) bool {
	return len(s) >= len(suffix) && s[len(s)-len(suffix):] == suffix
}

// RMSprop steps the sections and keys of one bank without momentum, so that a section which did not
// fire does not move (learning.md 6.5). V has the size of the bank's weights.
type RMSprop struct {
	Beta float64 // how long second moments last, in steps: 1/(1−Beta)
	Eps  float64
	V    []float32
	Age  []uint32 // steps that each section has made, to correct young moments
}

// NewRMSprop returns an optimizer for b.
func NewRMSprop(b *model.Bank) *RMSprop {
	return &RMSprop{Beta: 0.99, Eps: 1e-8, V: kernel.Aligned(len(b.Weights)), Age: make([]uint32, b.Sections*len(b.Layers))}
}

// Step moves b against g for the sections that t's routes fired, by at most rate·clip for any number,
// and returns how many sections it wrote.
func (o *RMSprop) Step(b, g *model.Bank, index int, t *model.Tape, rate float64) (written int) {
	at := 0
	for i := range b.Layers {
		bl, gl := &b.Layers[i], &g.Layers[i]
		if bl.Sections == nil {
			continue
		}
		rt := &t.Layers[i].Banks[index]
		keys, size := len(bl.Keys)/b.Sections, len(bl.Sections)/b.Sections
		for s := range b.Sections {
			if rt.Len() == 0 || rt.Start[s] == rt.Start[s+1] {
				continue
			}
			written++
			age := &o.Age[i*b.Sections+s]
			*age++
			corr := 1 / (1 - math.Pow(o.Beta, float64(*age)))
			c := kernel.AdamConst{LR: float32(rate), Beta1: 0, Beta2: float32(o.Beta), Eps: float32(o.Eps), Corr1: 1, Corr2: float32(corr)}
			k := at + s*keys
			rms(bl.Keys[s*keys:(s+1)*keys], gl.Keys[s*keys:(s+1)*keys], o.V[k:k+keys], c)
			k = at + len(bl.Keys) + s*size
			rms(bl.Sections[s*size:(s+1)*size], gl.Sections[s*size:(s+1)*size], o.V[k:k+size], c)
		}
		at += len(bl.Keys) + len(bl.Sections)
	}
	return written
}

// rms is v ← β·v + (1−β)·g² and w ← w − rate·g/(√(v·corr) + ε).
func rms(w, g, v []float32, c kernel.AdamConst) {
	b, nb := c.Beta2, 1-c.Beta2
	for i, x := range g {
		n := b*v[i] + nb*x*x
		v[i] = n
		w[i] -= c.LR * x / (float32(math.Sqrt(float64(n*c.Corr2))) + c.Eps)
	}
}
