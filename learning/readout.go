package learning

import (
	"errors"
	"math"
	"slices"

	"github.com/yanmesh/yan/model/kernel"
)

// A Readout is a head's answers, solved from its sums at one time. It shares nothing with them that changes,
// but it uses the head's scratch: both belong to one goroutine.
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
	classes := h.Classes()
	if len(classes) == 0 {
		return nil, ErrNoClasses
	}
	width, k := h.width(), len(classes)
	g := make([]float64, width*width) // the lower triangle
	var trace float64
	for i := range width {
		row := h.moments[triangle(i, width):][:width-i]
		for j, v := range row {
			g[(i+j)*width+i] = float64(v)
		}
		trace += float64(row[0])
	}
	for i := range width {
		g[i*width+i] += h.cfg.Ridge * trace / float64(width)
	}
	s := make([]float64, width*k)
	for c, label := range classes {
		for i, v := range h.classes[label].sum {
			s[i*k+c] = float64(v)
		}
	}
	if err := choleskyBlocked(g, width); err != nil {
		return nil, err
	}
	solveBlocked(g, s, width, k)
	r := &Readout{head: h, classes: classes, weights: make([]float32, len(s))}
	scale := float64(headFull) // a score is 1 for the class and 0 for the others
	if h.cfg.Controls {
		scale = 1 // the sums are of so many times a control
	}
	for i, v := range s {
		r.weights[i] = float32(v * scale)
	}
	return r, nil
}

// Classes lists the classes, or the controls, in the order of the scores.
func (r *Readout) Classes() []string { return slices.Clone(r.classes) }

// Scores writes how much each example looks like each class to dst, (n, classes): about 1 for its own and 0
// for the others; or what each control should be, from about −1 to 1. x is (n, Inputs).
func (r *Readout) Scores(dst, x []float32) {
	d, k, width := r.head.cfg.Inputs, len(r.classes), r.head.width()
	for n := len(x) / d; n > 0; {
		m := min(n, headRows)
		rows := r.head.expand(x[:m*d], m)
		kernel.Gemm(r.head.ws, dst, k, rows, width, 1, r.weights, k, 1, m, k, width, false)
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

// choleskyBlocked replaces the lower triangle of a by L with L·Lᵀ = a.
func choleskyBlocked(a []float64, n int) error {
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
		for i := to; i < n; i++ {
			subtractProducts(a, n, i, from, to)
		}
	}
	return nil
}

// subtractProducts takes the products of row i with the rows before it, over columns from … to, off row i: four
// rows at a time, so that each number is loaded less often.
func subtractProducts(a []float64, n, i, from, to int) {
	x := a[i*n+from : i*n+to]
	j := to
	for ; j+4 <= i+1; j += 4 {
		b0, b1 := a[j*n+from:][:len(x)], a[(j+1)*n+from:][:len(x)]
		b2, b3 := a[(j+2)*n+from:][:len(x)], a[(j+3)*n+from:][:len(x)]
		var s0, s1, s2, s3 float64
		for p, v := range x {
			s0 += v * b0[p]
			s1 += v * b1[p]
			s2 += v * b2[p]
			s3 += v * b3[p]
		}
		y := a[i*n+j:][:4]
		y[0], y[1], y[2], y[3] = y[0]-s0, y[1]-s1, y[2]-s2, y[3]-s3
	}
	for ; j <= i; j++ {
		a[i*n+j] -= dot64(x, a[j*n+from:][:len(x)])
	}
}

func dot64(x, y []float64) (s float64) {
	for i, v := range x {
		s += v * y[i]
	}
	return s
}

// solveBlocked replaces b, (n, k), by x with L·Lᵀ·x = b.
func solveBlocked(l, b []float64, n, k int) {
	axpy := func(y []float64, a float64, x []float64) {
		for c, v := range x {
			y[c] -= a * v
		}
	}
	for i := range n {
		y := b[i*k : (i+1)*k]
		for p, v := range l[i*n : i*n+i] {
			axpy(y, v, b[p*k:(p+1)*k])
		}
		for c := range y {
			y[c] /= l[i*n+i]
		}
	}
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
