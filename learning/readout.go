package learning

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/yanmesh/yan/model/kernel"
)

// A Readout is a head's answers, solved from its sums at one time. It shares nothing with them that changes.
type Readout struct {
	head    *Head
	classes []string  // sorted
	weights []float32 // (width, classes)
}

// ErrNoClasses is what Solve returns for a head that was shown nothing.
var ErrNoClasses = errors.New("learning: head: it was shown no examples: learn some first")

// Solve computes the read-out W = (G + λI)⁻¹·S, G being the second moments, S the sums of features of each class
// and λ the ridge. It depends on the sums alone.
func (h *Head) Solve() (*Readout, error) {
	r, _, err := h.solve(nil)
	return r, err
}

// solve is Solve. It also returns, of rows of features (n, width) that the head was shown among others, what it would say of each, (n, classes), had
// it not been shown that one: the score less the share that is the row's own, h = φᵀ(G + λI)⁻¹φ (Allen 1974, "The Relationship
// between Variable Selection and Data Augmentation and a Method for Prediction": leave-one-out of a ridge regression is exact). to is what
// the score of row i should be.
func (h *Head) solve(shown *answered) (*Readout, []float64, error) {
	classes := h.Classes()
	if len(classes) == 0 {
		return nil, nil, ErrNoClasses
	}
	width, k := h.width(), len(classes)
	room := solveRooms.Get().(*solveRoom)
	defer solveRooms.Put(room)
	g := room.of(width * width) // the lower triangle
	for i := range width {
		for j, v := range h.moments[triangle(i, width):][:width-i] {
			g[(i+j)*width+i] = float64(v) / float64(h.unit)
		}
	}
	for i, ridge := 0, h.ridge(); i < width; i++ {
		g[i*width+i] += ridge
	}
	s := make([]float64, width*k)
	for c, label := range classes {
		for i, v := range h.classes[label].sum {
			s[i*k+c] = float64(v)
		}
	}
	if err := choleskyBlocked(g, width); err != nil {
		return nil, nil, err
	}
	forward(g, s, width, k)
	backward(g, s, width, k)
	full := 1.0 // what a score of 1 is in the sums
	if h.cfg.Controls {
		full = headFull
	}
	var without []float64
	if shown != nil {
		without = shown.leaveOneOut(g, s, width, classes, full)
	}
	r := &Readout{head: h, classes: classes, weights: make([]float32, len(s))}
	for i, v := range s {
		r.weights[i] = float32(v * headFull / full)
	}
	return r, without, nil
}

// ridge is λ.
func (h *Head) ridge() float64 {
	var trace float64
	width := h.width()
	for i := range width {
		trace += float64(h.moments[triangle(i, width)]) / float64(h.unit)
	}
	return float64(h.cfg.Ridge*trace/float64(width)) + h.cfg.Least
}

// answered are rows of features of which it is known what should be said.
type answered struct {
	rows []float64                     // (n, width)
	to   func(i int, c string) float64 // what row i should score for a class
}

func (a *answered) leaveOneOut(l, weights []float64, width int, classes []string, full float64) []float64 {
	n, k := len(a.rows)/width, len(classes)
	columns := make([]float32, len(a.rows)) // (width, n)
	for i := range n {
		for j, v := range a.rows[i*width : (i+1)*width] {
			columns[j*n+i] = float32(v)
		}
	}
	scores := make([]float64, n*k)
	for i := range n {
		for j, v := range a.rows[i*width : (i+1)*width] {
			for c, w := range weights[j*k : (j+1)*k] {
				scores[i*k+c] += float64(v * w)
			}
		}
	}
	forwardMany(l, columns, width, n)
	own := make([]float64, n)
	for j := range width {
		for i, v := range columns[j*n : (j+1)*n] {
			own[i] += float64(float64(v) * float64(v))
		}
	}
	for i := range n {
		share := min(own[i], 0.999)
		for c, class := range classes {
			scores[i*k+c] = float64((scores[i*k+c]/full - float64(share*a.to(i, class))) / (1 - share))
		}
	}
	return scores
}

// solveRoom is room for a factor, which outlives no call.
type solveRoom struct{ g []float64 }

var solveRooms = sync.Pool{New: func() any { return new(solveRoom) }}

func (r *solveRoom) of(n int) []float64 {
	if cap(r.g) < n {
		r.g = make([]float64, n)
	}
	return r.g[:n]
}

// Classes lists the classes, or the controls, in the order of the scores.
func (r *Readout) Classes() []string { return slices.Clone(r.classes) }

// Shuffled returns a read-out with the same weights for each class or control, but of other features than those they were solved for: as large,
// and of no use. What knows something has to do better.
func (r *Readout) Shuffled(rng *rand.Rand) *Readout {
	s, k := *r, len(r.classes)
	s.weights = make([]float32, len(r.weights))
	for to, from := range rng.Perm(r.head.width()) {
		copy(s.weights[to*k:(to+1)*k], r.weights[from*k:(from+1)*k])
	}
	return &s
}

// Scores writes how much each example looks like each class to dst, (n, classes): about 1 for its own and 0
// for the others; or what each control should be, from about −1 to 1. x is (n, Inputs).
func (r *Readout) Scores(dst, x []float32) {
	d, k, width := r.head.cfg.Inputs, len(r.classes), r.head.width()
	sc := headScratches.Get().(*headScratch)
	defer headScratches.Put(sc)
	for n := len(x) / d; n > 0; {
		m := min(n, headRows)
		rows := r.head.expand(sc, x[:m*d], m)
		kernel.Gemm(sc.ws, dst, k, rows, width, 1, r.weights, k, 1, m, k, width, false)
		kernel.Scale(dst[:m*k], 1.0/headFull)
		x, dst, n = x[m*d:], dst[m*k:], n-m
	}
}

// Answer returns the class that each example of x looks like most.
func (r *Readout) Answer(x []float32) []string {
	k := len(r.classes)
	scores := make([]float32, len(x)/r.head.cfg.Inputs*k)
	r.Scores(scores, x)
	out := make([]string, 0, len(scores)/k)
	for row := range slices.Chunk(scores, k) {
		best := 0
		for c, v := range row {
			if v > row[best] {
				best = c
			}
		}
		out = append(out, r.classes[best])
	}
	return out
}

// solveBlock is how many columns of the factor are done at a time, so that they stay in the cache.
const solveBlock = 64

// choleskyBlocked replaces the lower triangle of a by L with L·Lᵀ = a. What a block of columns takes off the rest, which is nearly all of the work, goes
// through the kernel: a product of 24 bits is off by a millionth of what the ridge is.
func choleskyBlocked(a []float64, n int) error {
	sc := headScratches.Get().(*headScratch)
	defer headScratches.Put(sc)
	for from := 0; from < n; from += solveBlock {
		to := min(from+solveBlock, n)
		for i := from; i < n; i++ {
			ri := a[i*n+from : i*n+to]
			for j := range min(i+1, to) - from {
				s := ri[j] - dot64(ri[:j], a[(from+j)*n+from:][:j])
				if i != from+j {
					ri[j] = s / a[(from+j)*n+from+j]
				} else if s > 0 {
					ri[j] = math.Sqrt(s)
				} else {
					return errors.New("learning: head: its sums are of no examples: something was taken back that was not learnt")
				}
			}
		}
		subtractProducts(sc, a, n, from, to)
	}
	return nil
}

// subtractProducts takes the products of all rows below to, over columns from … to, off the lower triangle there.
func subtractProducts(sc *headScratch, a []float64, n, from, to int) {
	b, m := to-from, n-to
	sc.rows, sc.panel = grow(sc.rows, m*b), grow(sc.panel, headPanel*m)
	for i := range m {
		for j, v := range a[(to+i)*n+from:][:b] {
			sc.rows[i*b+j] = float32(v)
		}
	}
	for top := 0; top < m; top += headPanel {
		end := min(top+headPanel, m)
		kernel.Gemm(sc.ws, sc.panel, end, sc.rows[top*b:], b, 1, sc.rows, 1, b, end-top, end, b, false)
		for i := top; i < end; i++ {
			y := a[(to+i)*n+to:][:i+1]
			for j, v := range sc.panel[(i-top)*end:][:i+1] {
				y[j] -= float64(v)
			}
		}
	}
}

func dot64(x, y []float64) (s float64) {
	for i, v := range x {
		s += float64(v * y[i])
	}
	return s
}

// axpy takes a·x off y. The product is rounded, here and above, so that no machine fuses it with the difference and all come to the same.
func axpy(y []float64, a float64, x []float64) {
	for c, v := range x {
		y[c] -= float64(a * v)
	}
}

// forward replaces b, (n, k), by y with L·y = b.
func forward(l, b []float64, n, k int) {
	for i := range n {
		y := b[i*k : (i+1)*k]
		for p, v := range l[i*n : i*n+i] {
			axpy(y, v, b[p*k:(p+1)*k])
		}
		for c := range y {
			y[c] /= l[i*n+i]
		}
	}
}

// forwardMany is forward for many columns, with the kernel's precision: b is (n, k).
func forwardMany(l []float64, b []float32, n, k int) {
	sc := headScratches.Get().(*headScratch)
	defer headScratches.Put(sc)
	for from := 0; from < n; from += solveBlock {
		to := min(from+solveBlock, n)
		sc.in, sc.panel = grow(sc.in, (to-from)*max(from, 1)), grow(sc.panel, (to-from)*k)
		if from > 0 {
			for i := from; i < to; i++ {
				for j, v := range l[i*n : i*n+from] {
					sc.in[(i-from)*from+j] = float32(v)
				}
			}
			kernel.Gemm(sc.ws, sc.panel, k, sc.in, from, 1, b, k, 1, to-from, k, from, false)
			for i, v := range sc.panel[:(to-from)*k] {
				b[from*k+i] -= v
			}
		}
		for i := from; i < to; i++ {
			y := b[i*k : (i+1)*k]
			for p := from; p < i; p++ {
				v := float32(l[i*n+p])
				for c, x := range b[p*k : (p+1)*k] {
					y[c] -= float32(v * x)
				}
			}
			d := float32(l[i*n+i])
			for c := range y {
				y[c] /= d
			}
		}
	}
}

// backward replaces b, (n, k), by x with Lᵀ·x = b.
func backward(l, b []float64, n, k int) {
	for i := n - 1; i >= 0; i-- {
		y := b[i*k : (i+1)*k]
		for c := range y {
			y[c] /= l[i*n+i]
		}
		for p, v := range l[i*n : i*n+i] {
			axpy(b[p*k:(p+1)*k], v, y)
		}
	}
}
