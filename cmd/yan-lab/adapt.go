package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A predictor tells how surprising each byte of a text is, in nats; the first counts nothing.
type predictor func(text []byte) []float64

// predicts reads a text with a model as one stream.
func predicts(m *model.Model) predictor {
	return func(text []byte) []float64 {
		const chunk = 256
		in := sense.Text(text)
		t := model.Tape{Lean: true}
		s := m.NewState()
		nats := make([]float64, len(in))
		for at := 0; at < len(in)-1; {
			n := min(chunk, len(in)-1-at)
			m.Forward(s, in[at:at+n], &t)
			surprises(nats[at+1:at+n+1], &t, in[at+1:at+n+1])
			at += n
		}
		return nats
	}
}

// surprises is how surprising what came next is to what the last Forward on t predicted.
func surprises(nats []float64, t *model.Tape, next []sense.Event) {
	var d [sense.Symbols]float32
	for p := range next {
		nats[p] = gradient.CrossEntropy(d[:], t.Logits[p*sense.Symbols:(p+1)*sense.Symbols], next[p:p+1], 1)
	}
}

// A baseline is a way to change the base itself.
type baseline struct {
	name   string
	parts  func(b *basis) []stretch // of the weights that move; nil moves all
	rank   int                      // not 0: they move by products of two matrices of that rank
	replay int                      // old bytes for each hundred new ones
	twice  bool                     // every lesson is read a second time
	rates  []float64                // to choose from
}

// A basis is what a baseline may look at before it begins.
type basis struct {
	base *model.Model
	old  []byte // of what the base was trained on
	new  []byte // of what is to be learnt
}

// A stretch of a model's weights.
type stretch struct{ from, to int }

var baselines = []baseline{
	{name: "full", rates: []float64{0.0003, 0.0007, 0.0015, 0.003}},
	{name: "full, 20 % replay", replay: 20, rates: []float64{0.0003, 0.0007, 0.0015, 0.003}},
	{name: "full, read twice", twice: true, rates: []float64{0.0003, 0.0007, 0.0015, 0.003}},
	{name: "low rank, 8", rank: 8, rates: []float64{0.001, 0.003, 0.01}},
	{name: "W2 alone", parts: func(b *basis) []stretch { return secondMatrices(b.base, nil) }, rates: []float64{0.001, 0.003, 0.01}},
	{name: "W2 by TF-IDF", parts: func(b *basis) []stretch { return secondMatrices(b.base, specific(b)) }, rates: []float64{0.001, 0.003, 0.01}},
}

// How a baseline reads: so many streams side by side, so many bytes of each in a step.
const (
	adaptLanes  = 2
	adaptWindow = 128
)

// learn has a copy of the base learn a stream.
func (b *baseline) learn(ctx context.Context, base *model.Model, s *stream, old []byte, rate float64, seed uint64) (*model.Model, error) {
	m, err := b.read(ctx, base, s, old, rate, seed)
	if err != nil || !b.twice {
		return m, err
	}
	return b.read(ctx, m, s, old, rate, seed)
}

// read has a copy of the base learn those bytes of a stream that belong to a lesson, once and in order, by Adam and
// backpropagation through windows.
func (b *baseline) read(ctx context.Context, base *model.Model, s *stream, old []byte, rate float64, seed uint64) (*model.Model, error) {
	m := base.Thaw()
	grad, err := gradient.NewGrad(m.Config)
	if err != nil {
		return nil, err
	}
	var low *lowRank
	adam := gradient.NewAdam(gradient.AdamConfig{Beta1: 0.9, Beta2: 0.98, Eps: 1e-8}, m)
	if b.rank > 0 {
		low = newLowRank(m, b.rank, seed)
	}
	var keep []stretch
	if b.parts != nil {
		keep = b.parts(&basis{base: base, old: old, new: s.text})
	}
	pool := kernel.NewPool(1)
	defer pool.Close()

	r := rand.New(rand.NewPCG(seed, 5))
	var lanes []*adaptLane
	size := len(s.text) / adaptLanes
	for k := range adaptLanes {
		lanes = append(lanes, &adaptLane{text: s.text[k*size : (k+1)*size], lesson: s.lesson[k*size : (k+1)*size], state: m.NewState()})
	}
	var tape model.Tape
	var pass gradient.Pass
	var dlogits []float32
	for lanes[0].at < size-1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := slices.Clone(lanes)
		if b.replay > 0 { // old text comes as often as its share of the bytes wants it
			if r.IntN(100) < b.replay*adaptLanes {
				now = append(now, draw(m, old, r))
			}
		}
		var states []*model.State
		var in [][]sense.Event
		var next []sense.Event
		var counts []bool
		for _, l := range now {
			n := min(adaptWindow, len(l.text)-1-l.at)
			states, in = append(states, l.state), append(in, sense.Text(l.text[l.at:l.at+n]))
			next = append(next, sense.Text(l.text[l.at+1:l.at+n+1])...)
			for i := l.at + 1; i <= l.at+n; i++ {
				counts = append(counts, l.lesson == nil || l.lesson[i] != known)
			}
			l.at += n
		}
		m.ForwardAll(states, in, &tape)
		if cap(dlogits) < len(next)*sense.Symbols {
			dlogits = make([]float32, len(next)*sense.Symbols)
		}
		d := dlogits[:len(next)*sense.Symbols]
		gradient.CrossEntropy(d, tape.Logits, next, 1/float32(len(next)))
		for i, c := range counts {
			if !c {
				clear(d[i*sense.Symbols : (i+1)*sense.Symbols])
			}
		}
		pass.Backward(m, &tape, d, grad)
		if low != nil {
			low.step(m, grad, rate)
			continue
		}
		if b.parts != nil {
			only(grad.Base.Weights, keep)
		}
		adam.Step(pool, m, []*gradient.Grad{grad}, rate, 1)
	}
	return m, nil
}

// An adaptLane is one of the streams that a step reads.
type adaptLane struct {
	text   []byte
	lesson []int // nil if all of it counts
	at     int
	state  *model.State
}

// draw begins a lane somewhere in a text.
func draw(m *model.Model, text []byte, r *rand.Rand) *adaptLane {
	at := r.IntN(max(len(text)-adaptWindow, 1))
	return &adaptLane{text: text[at:min(at+adaptWindow+1, len(text))], state: m.NewState()}
}

// only clears all of w but what keep lists, in ascending order.
func only(w []float32, keep []stretch) {
	at := 0
	for _, k := range keep {
		clear(w[at:k.from])
		at = k.to
	}
	clear(w[at:])
}

// secondMatrices lists W2 of the sections that chosen has, of all if it is nil.
func secondMatrices(m *model.Model, chosen [][]bool) (list []stretch) {
	layer, size := 0, m.Config.SectionSize()
	for _, t := range m.Tensors() {
		if !strings.HasSuffix(t.Name, ".sections") {
			continue
		}
		for s := range m.Config.Sections {
			if chosen == nil || chosen[layer][s] {
				end := t.Off + (s+1)*size
				list = append(list, stretch{end - size/3, end})
			}
		}
		layer++
	}
	return list
}

// How TF-IDF counts (learning.md 6.5): the share of a layer's sections that may be written, and the
// background as so many chunks.
const (
	specificShare = 6
	specificChunk = 64
	specificBytes = 32 << 10
)

// specific chooses a sixth of each layer's sections: those that the new text fires often and chunks of the old one seldom.
func specific(b *basis) [][]bool {
	c := b.base.Config
	tf := firing(b.base, b.new)
	df := firing(b.base, b.old)
	chosen := make([][]bool, c.Layers)
	for i := range chosen {
		chosen[i] = make([]bool, c.Sections)
		score := make([]float64, c.Sections)
		order := make([]int, c.Sections)
		for s := range score {
			idf := math.Log((df.chunks + 1) / (df.inChunks[i][s] + 1))
			score[s], order[s] = tf.gates[i][s]*idf, s
		}
		slices.SortStableFunc(order, func(x, y int) int {
			switch {
			case score[x] > score[y]:
				return -1
			case score[x] < score[y]:
				return 1
			}
			return 0
		})
		for _, s := range order[:max(c.Sections/specificShare, 1)] {
			chosen[i][s] = true
		}
	}
	return chosen
}

// A fired says how sections answered a text.
type fired struct {
	gates    [][]float64 // (L, S) sum of gates
	inChunks [][]float64 // (L, S) chunks in which it fired
	chunks   float64
}

func firing(m *model.Model, text []byte) (f fired) {
	for range m.Layers {
		f.gates = append(f.gates, make([]float64, m.Config.Sections))
		f.inChunks = append(f.inChunks, make([]float64, m.Config.Sections))
	}
	t := model.Tape{Lean: true}
	s := m.NewState()
	for part := range slices.Chunk(sense.Text(text[:min(len(text), specificBytes)]), specificChunk) {
		m.Forward(s, part, &t)
		f.chunks++
		for i := range m.Layers {
			rt := &t.Layers[i].Base
			for k, sec := range rt.Sec {
				f.gates[i][sec] += float64(rt.Gate[k])
			}
			for sec := range m.Config.Sections {
				if rt.Start[sec+1] > rt.Start[sec] {
					f.inChunks[i][sec]++
				}
			}
		}
	}
	return f
}

// A lowRank moves every matrix of a model by A·B (Hu et al. 2021, LoRA): A is drawn, B begins at zero.
type lowRank struct {
	matrices []adapted
	steps    int
}

// An adapted is one matrix of rows by cols, with its adapter.
type adapted struct {
	at, rows, cols, rank int
	frozen               []float32 // what it was
	a, b                 []float32 // (rows, rank), (rank, cols)
	da, db               []float32
	ma, va, mb, vb       []float32
}

func newLowRank(m *model.Model, rank int, seed uint64) *lowRank {
	l := &lowRank{}
	r := rand.New(rand.NewPCG(seed, 6))
	for _, t := range m.Tensors() {
		if len(t.Shape) < 2 || strings.HasSuffix(t.Name, ".shift") {
			continue
		}
		w := adapted{at: t.Off, cols: t.Shape[len(t.Shape)-1], rank: rank}
		w.rows = t.Len() / w.cols
		w.frozen = slices.Clone(m.Weights[t.Off : t.Off+t.Len()])
		for _, p := range []*[]float32{&w.a, &w.da, &w.ma, &w.va} {
			*p = kernel.Aligned(w.rows * rank)
		}
		for _, p := range []*[]float32{&w.b, &w.db, &w.mb, &w.vb} {
			*p = kernel.Aligned(w.cols * rank)
		}
		for i := range w.a {
			w.a[i] = float32(r.NormFloat64() / math.Sqrt(float64(rank)))
		}
		l.matrices = append(l.matrices, w)
	}
	return l
}

// step moves the adapters against the gradient of the matrices, dA = G·Bᵀ and dB = Aᵀ·G, renews the matrices and clears
// the gradient.
func (l *lowRank) step(m *model.Model, g *gradient.Grad, rate float64) {
	l.steps++
	c := kernel.AdamConst{
		LR: float32(rate), Beta1: 0.9, Beta2: 0.98, Eps: 1e-8,
		Corr1: float32(1 / (1 - math.Pow(0.9, float64(l.steps)))), Corr2: float32(1 / (1 - math.Pow(0.98, float64(l.steps)))),
	}
	ws := kernel.NewWorkspace()
	for i := range l.matrices {
		w := &l.matrices[i]
		n := w.rows * w.cols
		dw := g.Base.Weights[w.at : w.at+n]
		kernel.Gemm(ws, w.da, w.rank, dw, w.cols, 1, w.b, 1, w.cols, w.rows, w.rank, w.cols, false)
		kernel.Gemm(ws, w.db, w.cols, w.a, 1, w.rank, dw, w.cols, 1, w.rank, w.cols, w.rows, false)
		kernel.Adam(w.a, w.da, w.ma, w.va, c)
		kernel.Adam(w.b, w.db, w.mb, w.vb, c)
		now := m.Weights[w.at : w.at+n]
		copy(now, w.frozen)
		kernel.Gemm(ws, now, w.cols, w.a, w.rank, 1, w.b, w.cols, 1, w.rows, w.cols, w.rank, true)
	}
	clear(g.Base.Weights)
	for _, t := range g.Touched {
		clear(t)
	}
}

// tune returns the rate at which a baseline predicts the validation part of the lessons best.
func (b *baseline) tune(ctx context.Context, base *model.Model, learn, valid *stream, old []byte) (best float64, err error) {
	least := math.Inf(1)
	for _, rate := range b.rates {
		m, err := b.learn(ctx, base, learn, old, rate, 0)
		if err != nil {
			return 0, err
		}
		if bits := mean(predicts(m)(valid.text), valid).lessons; bits < least {
			best, least = rate, bits
		}
	}
	if math.IsInf(least, 1) {
		return 0, fmt.Errorf("%s: at no rate does it predict anything", b.name)
	}
	return best, nil
}
