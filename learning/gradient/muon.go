package gradient

import (
	"math"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// Muon moves every matrix against its momentum made orthogonal, so that all directions in it count alike (Jordan et al. 2024,
// "Muon: An optimizer for hidden layers in neural networks"), scaled to steps as long as Adam's (Liu et al. 2025,
// arXiv:2502.16982, eq. 4). Embeddings, the head and vectors are moved by Adam. It remembers 4 bytes a parameter of a matrix and 8 of
// the rest. A section's three matrices and their momentum rest while the section has no gradient.
type Muon struct {
	Momentum float64
	Config   AdamConfig // of what is no matrix; Decay is that of matrices as well
	Steps    int
	M        []float32 // momentum, laid out as the model's weights
	V        []float32 // second moments of what Adam moves, one such tensor behind the other

	pieces
	at          map[int]int // where the second moments are of what begins at a place of the weights; none for matrices
	step        kernel.AdamConst
	rate, decay float32
	crew        []orthogonal // one for each thread
	then        func(worker, task int)
}

// NewMuon returns an optimizer for models of m's shape.
func NewMuon(momentum float64, c AdamConfig, m *model.Model) *Muon {
	o := &Muon{Momentum: momentum, Config: c, M: kernel.Aligned(len(m.Weights)), at: map[int]int{}}
	o.cut(m)
	size := 0
	for _, t := range m.Tensors() {
		if t.Name == "embed" || t.Name == "head" {
			o.at[t.Off] = -1
		}
	}
	for _, s := range o.dense {
		if _, ends := o.at[s.from]; ends || s.rows == 0 {
			o.at[s.from] = size
			size += s.to - s.from
		}
	}
	o.V = kernel.Aligned(size)
	o.then = o.move
	return o
}

// Age points to the number of steps that were taken.
func (o *Muon) Age() *int { return &o.Steps }

// Moments lists what o remembers beside its age.
func (o *Muon) Moments() []Moment { return []Moment{{"muon.m", o.M}, {"muon.v", o.V}} }

// Step does what Adam's does, by its own rule.
func (o *Muon) Step(pool *kernel.Pool, m *model.Model, grads []*Grad, rate, clip float64) (norm float64) {
	o.Steps++
	norm = o.begin(pool, m, grads, clip, math.MaxInt)
	o.step = o.Config.constants(o.Steps, rate)
	o.rate, o.decay = float32(rate), float32(rate*o.Config.Decay)
	for len(o.crew) < pool.Threads() {
		o.crew = append(o.crew, orthogonal{ws: kernel.NewWorkspace()})
	}
	pool.Run(len(o.live), o.then)
	o.end()
	return norm
}

// move takes the step of one tensor or section.
func (o *Muon) move(worker, task int) {
	s := o.live[task]
	g, m, w := o.gradient(s), o.M[s.from:s.to], o.model.Weights[s.from:s.to]
	if at, ok := o.at[s.from]; ok {
		c := o.step
		if s.decays {
			c.Decay = o.decay
		}
		kernel.Adam(w, g, m, o.V[at:at+len(w)], c)
	} else {
		// m = μ·m + g, and the step follows g + μ·m, as Nesterov's does.
		kernel.Scale(m, float32(o.Momentum))
		kernel.Add(m, g)
		kernel.Axpy(g, float32(o.Momentum), m)
		kernel.Scale(w, 1-o.decay)
		size := s.rows * s.cols
		for at := 0; at < len(w); at += size {
			u := o.crew[worker].of(g[at:at+size], s.rows, s.cols)
			kernel.Axpy(w[at:at+size], -o.rate*adamLength*float32(math.Sqrt(float64(max(s.rows, s.cols)))), u)
		}
	}
	if s.layer < 0 {
		clear(g)
	}
}

const (
	// adamLength is the root mean square of Adam's steps at a rate of 1, which Muon's shall have as well.
	adamLength = 0.2
	// newtonSchulz is how many iterations make singular values near enough to 1.
	newtonSchulz = 5
)

// orthogonal holds the buffers of what makes a matrix orthogonal.
type orthogonal struct {
	ws         *kernel.Workspace
	x, y, a, b []float32
}

// of returns the matrix U·Vᵀ, about, for g = U·Σ·Vᵀ of so many rows and columns: singular values between 0.7 and 1.2. It
// belongs to o until its next call. The iteration is X ← a·X + (b·A + c·A²)·X with A = X·Xᵀ (Jordan et al. 2024), from X = g/‖g‖.
func (o *orthogonal) of(g []float32, rows, cols int) []float32 {
	const a, b, c = 3.4445, -4.7750, 2.0315
	short, long, rs, cs := rows, cols, cols, 1 // X is short by long; where that is gᵀ, only the strides change
	if rows > cols {
		short, long, rs, cs = cols, rows, 1, cols
	}
	o.x, o.y = fit(o.x, len(g)), fit(o.y, len(g))
	o.a, o.b = fit(o.a, short*short), fit(o.b, short*short)
	norm := math.Sqrt(float64(kernel.SumSquares(g)))
	if !(norm > 0) || norm > math.MaxFloat32 {
		clear(o.x)
		return o.x
	}
	kernel.ScaleTo(o.x, float32(1/norm), g)
	for range newtonSchulz {
		kernel.Gemm(o.ws, o.a, short, o.x, rs, cs, o.x, cs, rs, short, short, long, false)
		kernel.Gemm(o.ws, o.b, short, o.a, short, 1, o.a, short, 1, short, short, short, false)
		kernel.Scale(o.b, c)
		kernel.Axpy(o.b, b, o.a)
		kernel.ScaleTo(o.y, a, o.x)
		if rows > cols { // gᵀ in the place of X: the product is taken from the other side
			kernel.Gemm(o.ws, o.y, cols, o.x, cols, 1, o.b, short, 1, rows, cols, short, true)
		} else {
			kernel.Gemm(o.ws, o.y, cols, o.b, short, 1, o.x, cols, 1, rows, cols, short, true)
		}
		o.x, o.y = o.y, o.x
	}
	return o.x
}
