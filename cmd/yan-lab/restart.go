package main

import (
	"bytes"
	"errors"
	"math"
	"slices"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A restart is a gate whose evidence begins anew at the end of every line: linear discriminants on what the base alone
// makes of each byte, summed since then and divided by the root of how many there were; it opens where the sum exceeds
// what a share of the base's own lines, and of what was said between the lessons, reach as far from their beginning
// (learning.md, "Open question").
type restart struct {
	kind   evidenceKind
	banks  []lineFit // one for each lesson
	common [][]float64
	bias   []float64 // of common
}

// An evidenceKind says what a restart looks at.
type evidenceKind struct {
	wide  bool // decay and slope states of all layers and what leaves the last, and not the context layers' decays alone
	fresh bool // by a base that begins each line as if nothing had been, so that what came before cannot mislead
}

// A lineFit is one bank's discriminant against what the base knows.
type lineFit struct {
	weight []float64
	middle float64
	theta  [len(places)]float64
}

// places are how far from a line's beginning a byte may be: thresholds and reports tell these apart.
var places = [...]int{0, 8, 16, 32, 64}

func placeOf(n int) int {
	k := 0
	for k+1 < len(places) && n >= places[k+1] {
		k++
	}
	return k
}

// restartFiring is the share of the base's own bytes at which such a gate may open, restartRidge what is added to
// covariances, as a share of the mean variance: as those of the gates that ship.
const (
	restartFiring = 0.01
	restartRidge  = 0.3
	restartStride = 3 // of so many bytes one is a sample
)

// solve solves the gates for what a question is about.
func (q *question) solve(kind evidenceKind) (*restart, error) {
	return solveRestart(q.base, q.learnt, len(q.banks), q.old, kind)
}

// restarted has banks opened by restarts.
func restarted(kind evidenceKind) func(q *question) (predictor, error) {
	return func(q *question) (predictor, error) {
		r, err := q.solve(kind)
		if err != nil {
			return nil, err
		}
		return openedBy(q.base, q.banks, func(text []byte) []int { return r.opens(q.base, text) }), nil
	}
}

// restartOpens is where restarts open banks.
func restartOpens(kind evidenceKind) func(q *question, text []byte) ([][]float64, error) {
	return func(q *question, text []byte) ([][]float64, error) {
		r, err := q.solve(kind)
		if err != nil {
			return nil, err
		}
		open := make([][]float64, len(q.banks))
		for k := range open {
			open[k] = make([]float64, len(text))
		}
		for i, k := range r.opens(q.base, text[:len(text)-1]) {
			if k >= 0 {
				open[k][i+1] = 1
			}
		}
		return open, nil
	}
}

// features is what a base makes of each byte of a text, a row of dim numbers for each.
func features(m *model.Model, text []byte, kind evidenceKind) (rows []float32, dim int) {
	c := m.Config
	d, dc := c.Width, c.Width/c.Channels
	dim = c.ContextSize()
	if kind.wide {
		dim = (2*c.Layers + 1) * d
	}
	rows = make([]float32, 0, len(text)*dim)
	var t model.Tape
	s := m.NewState()
	norm := make([]float32, d)
	for at := 0; at < len(text); {
		n := min(256, len(text)-at)
		if end := bytes.IndexByte(text[at:at+n], '\n'); kind.fresh && end >= 0 {
			n = end + 1
		}
		if kind.fresh && (at == 0 || text[at-1] == '\n') {
			s.Reset()
		}
		m.Forward(s, sense.Text(text[at:at+n]), &t)
		at += n
		for p := range t.N {
			add := func(x []float32) {
				for o := 0; o < d; o += dc {
					kernel.RMSNorm(norm[o:o+dc], x[p*d+o:p*d+o+dc], nil, 1e-20)
				}
				rows = append(rows, norm...)
			}
			if !kind.wide {
				for i := range c.ContextLayer + 1 {
					add(t.Layers[i].XD)
				}
				continue
			}
			for i := range t.Layers {
				add(t.Layers[i].XD)
				add(t.Layers[i].XS)
			}
			add(t.H)
		}
	}
	return rows, dim
}

// solveRestart solves the gates of all lessons from the stream that they were learnt from, against text of the base's.
func solveRestart(m *model.Model, learnt *stream, lessons int, old []byte, kind evidenceKind) (*restart, error) {
	r := &restart{kind: kind}
	mine, dim := features(m, learnt.text, kind)
	theirs, _ := features(m, old, kind)
	// Directions come from one half of what is known, thresholds from the other.
	half := len(theirs) / dim / 2
	between := len(learnt.text) / 2
	background := slices.Clone(theirs[:half*dim])
	for i := range between {
		if learnt.lesson[i] == known {
			background = append(background, mine[i*dim:(i+1)*dim]...)
		}
	}
	kept := momentsOf(background, dim, nil)
	var means [][]float64
	for k := range lessons {
		own := momentsOf(mine, dim, func(i int) bool { return learnt.lesson[i] == k })
		if own.n == 0 {
			return nil, errors.New("a lesson without a byte")
		}
		cov := slices.Clone(kept.cov)
		for i, v := range own.cov {
			cov[i] = (cov[i] + v) / 2
		}
		diff := make([]float64, dim)
		for j := range diff {
			diff[j] = own.mean[j] - kept.mean[j]
		}
		w, err := solved(cov, diff, dim)
		if err != nil {
			return nil, err
		}
		fit := lineFit{weight: w}
		for j, v := range w {
			fit.middle += v * (own.mean[j] + kept.mean[j]) / 2
		}
		r.banks = append(r.banks, fit)
		means = append(means, own.mean)
	}
	for _, mean := range means { // how likely each context is, on a scale that all share
		w, err := solved(kept.cov, mean, dim)
		if err != nil {
			return nil, err
		}
		bias := 0.0
		for j, v := range w {
			bias -= v * mean[j] / 2
		}
		r.common, r.bias = append(r.common, w), append(r.bias, bias)
	}
	for k := range r.banks {
		fit := &r.banks[k]
		fit.threshold(old[half:], theirs[half*dim:], dim, func(int) bool { return true })
		fit.threshold(learnt.text[between:], mine[between*dim:], dim, func(i int) bool { return learnt.lesson[between+i] == known })
	}
	return r, nil
}

// threshold raises the thresholds to what the background of a text reaches; where counts says which bytes are of it.
func (f *lineFit) threshold(text []byte, rows []float32, dim int, counts func(i int) bool) {
	const few = 100 // bytes that tell nothing of a share of a hundredth
	var reach [len(places)][]float64
	n := 0
	var sum float64
	for i := range text {
		if i > 0 && text[i-1] == '\n' {
			n, sum = 0, 0
		}
		sum += dot(f.weight, rows[i*dim:(i+1)*dim]) - f.middle
		n++
		if counts(i) {
			at := placeOf(n - 1)
			reach[at] = append(reach[at], sum/math.Sqrt(float64(n)))
		}
	}
	for at, list := range reach {
		if len(list) < few && at > 0 { // as nearer to the beginning
			f.theta[at] = max(f.theta[at], f.theta[at-1])
			continue
		}
		if len(list) > 0 {
			slices.Sort(list)
			f.theta[at] = max(f.theta[at], list[min(int((1-restartFiring)*float64(len(list))), len(list)-1)])
		}
	}
}

// opens is, after each byte of a text, the bank that is open; −1 for none.
func (r *restart) opens(m *model.Model, text []byte) []int {
	rows, dim := features(m, text, r.kind)
	open := make([]int, len(text))
	sum, own := make([]float64, len(r.banks)), make([]float64, len(r.banks))
	n := 0
	for i := range text {
		if i > 0 && text[i-1] == '\n' {
			n = 0
			clear(sum)
			clear(own)
		}
		n++
		open[i] = -1
		best := math.Inf(-1)
		for k := range r.banks {
			row := rows[i*dim : (i+1)*dim]
			sum[k] += dot(r.banks[k].weight, row) - r.banks[k].middle
			own[k] += dot(r.common[k], row) + r.bias[k]
			if sum[k]/math.Sqrt(float64(n)) > r.banks[k].theta[placeOf(n-1)] && own[k] > best {
				open[i], best = k, own[k]
			}
		}
	}
	return open
}

// openedBy reads a text as one stream, with the one bank open that open names after each byte.
func openedBy(base *model.Model, banks []*model.Bank, open func(text []byte) []int) predictor {
	return func(text []byte) []float64 {
		minds := []*model.Model{base}
		for _, b := range banks {
			b.Gate.Force = true
			minds = append(minds, base.WithBanks(b))
		}
		in := sense.Text(text)
		which := open(text)
		nats := make([]float64, len(in))
		t := model.Tape{Lean: true}
		s := base.NewState()
		for at := 0; at < len(in)-1; {
			end := at + 1
			for end < len(in)-1 && which[end] == which[at] && end-at < 256 {
				end++
			}
			minds[which[at]+1].Forward(s, in[at:end], &t)
			surprises(nats[at+1:end+1], &t, in[at+1:end+1])
			at = end
		}
		return nats
	}
}

func dot(w []float64, x []float32) (s float64) {
	for j, v := range x {
		s += w[j] * float64(v)
	}
	return s
}

type momentum struct {
	n    int
	mean []float64
	cov  []float64 // (dim, dim)
}

// momentsOf the rows for which keep is true, or of all; of every third.
func momentsOf(rows []float32, dim int, keep func(int) bool) momentum {
	m := momentum{mean: make([]float64, dim), cov: make([]float64, dim*dim)}
	var kept []float32
	for i := 0; i*dim < len(rows); i += restartStride {
		if keep == nil || keep(i) {
			m.n++
			for j, v := range rows[i*dim : (i+1)*dim] {
				m.mean[j] += float64(v)
				kept = append(kept, v)
			}
		}
	}
	if m.n == 0 {
		return m
	}
	for j := range m.mean {
		m.mean[j] /= float64(m.n)
	}
	for i := range kept {
		kept[i] -= float32(m.mean[i%dim])
	}
	c := make([]float32, dim*dim)
	kernel.Gemm(kernel.NewWorkspace(), c, dim, kept, 1, dim, kept, dim, 1, dim, dim, m.n, false)
	for i, v := range c {
		m.cov[i] = float64(v) / float64(m.n)
	}
	return m
}

// solved is x with (a + ridge)·x = b, by Cholesky's decomposition.
func solved(a, b []float64, n int) ([]float64, error) {
	l := slices.Clone(a)
	var trace float64
	for j := range n {
		trace += a[j*n+j]
	}
	for j := range n {
		l[j*n+j] += restartRidge*trace/float64(n) + 1e-9
	}
	for i := range n {
		for j := range i + 1 {
			s := l[i*n+j]
			for k := range j {
				s -= l[i*n+k] * l[j*n+k]
			}
			if i == j {
				if !(s > 0) {
					return nil, errors.New("a covariance that is none")
				}
				l[i*n+i] = math.Sqrt(s)
			} else {
				l[i*n+j] = s / l[j*n+j]
			}
		}
	}
	x := slices.Clone(b)
	for i := range n {
		for k := range i {
			x[i] -= l[i*n+k] * x[k]
		}
		x[i] /= l[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			x[i] -= l[k*n+i] * x[k]
		}
		x[i] /= l[i*n+i]
	}
	return x, nil
}
